"""Field errors, and the forms of names and values that the API server knows of all kinds.

Each function returns a list of (path, type, detail) as the server's field errors; an empty list
means accepted. Lengths are in bytes.
"""

import ipaddress
import json
import re
import uuid

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
SEMVER = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?")

LABEL_TEXT = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or"
              " '-', and must start and end with an alphanumeric character")
SUBDOMAIN_TEXT = ("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric"
                  " characters, '-' or '.', and must start and end with an alphanumeric character")
QUALIFIED_TEXT = ("name part must consist of alphanumeric characters, '-', '_' or '.', and must"
                  " start and end with an alphanumeric character")
RAW_LIMIT = 10 * 1024
ANNOTATIONS_LIMIT = 256 * 1024


# ---- errors -------------------------------------------------------------------------------------

def invalid(path, value, text):
    return (path, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {text}")


def required(path, text=""):
    return (path, "FieldValueRequired", "Required value" + (f": {text}" if text else ""))


def too_long(path, limit):
    return (path, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(path, count, limit):
    return (path, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} items")


def duplicate(path, value):
    return (path, "FieldValueDuplicate", f"Duplicate value: {json.dumps(value)}")


def forbidden(path, text):
    return (path, "FieldValueForbidden", f"Forbidden: {text}")


def unsupported(path, value, choices):
    listed = ", ".join(json.dumps(choice) for choice in choices)
    return (path, "FieldValueNotSupported",
            f"Unsupported value: {json.dumps(value)}: supported values: {listed}")


# ---- forms --------------------------------------------------------------------------------------

def size(text):
    return len(text.encode())


def label(value, path):
    if size(value) > 63 or not LABEL.fullmatch(value):
        return [invalid(path, value, LABEL_TEXT)]
    return []


def subdomain(value, path):
    if size(value) > 253 or not SUBDOMAIN.fullmatch(value):
        return [invalid(path, value, SUBDOMAIN_TEXT)]
    return []


def driver(value, path):
    """As names of CSI drivers: a capital letter earns a warning, no refusal."""
    if not value:
        return [required(path)]
    errors = [too_long(path, 63)] if size(value) > 63 else []
    return errors + subdomain(value.lower(), path)


def pool(value, path):
    if not value:
        return [required(path)]
    errors = [too_long(path, 253)] if size(value) > 253 else []
    for part in value.split("/"):
        errors += subdomain(part, path)
    return errors


def label_name(value, path):
    """[prefix/]name, as keys of labels, taints and types of conditions are."""
    if not value:
        return [invalid(path, value, "name part must be non-empty")]
    parts, errors = value.split("/"), []
    if len(parts) > 2:
        return [invalid(path, value, "a qualified name " + QUALIFIED_TEXT)]
    if len(parts) == 2:
        if not parts[0]:
            errors.append(invalid(path, value, "prefix part must be non-empty"))
        else:
            errors += subdomain(parts[0], path)
    if not parts[-1]:
        errors.append(invalid(path, value, "name part must be non-empty"))
    elif size(parts[-1]) > 63 or not QUALIFIED.fullmatch(parts[-1]):
        errors.append(invalid(path, value, QUALIFIED_TEXT))
    return errors


def label_value(value, path):
    if size(value) > 63 or (value and not QUALIFIED.fullmatch(value)):
        return [invalid(path, value, "a valid label must be an empty string or consist of"
                        " alphanumeric characters, '-', '_' or '.'")]
    return []


def identifier(value, path):
    errors = [too_long(path, 32)] if size(value) > 32 else []
    if not C_IDENTIFIER.fullmatch(value):
        errors.append(invalid(path, value, "a valid C identifier must start with alphabetic"
                              " character or '_', followed by a string of alphanumeric characters"
                              " or '_'"))
    return errors


def qualified(name, path):
    """Keys of attributes and capacities: [domain/]identifier. Up to 1.37 a second slash turned
    the whole check off; nobody should count on it."""
    parts = name.split("/")
    if len(parts) == 1:
        return identifier(name, path)
    if len(parts) > 2:
        return [invalid(path, name, "must have at most one slash")]
    errors = driver(parts[0], path) if parts[0] else \
        [invalid(path, "", "the domain must not be empty")]
    return errors + (identifier(parts[1], path) if parts[1] else
                     [invalid(path, "", "the name must not be empty")])


def fully_qualified(name, path):
    errors = qualified(name, path)
    if "/" not in name:
        errors.append(invalid(path, name, "a fully qualified name must be a domain and a name"
                              " separated by a slash"))
    return errors


def uid(value, path):
    """An RFC 4122 UUID in its normal spelling."""
    try:
        normal = str(uuid.UUID(value)) == value
    except ValueError:
        normal = False
    return [] if normal else [invalid(path, value, "uid must be in RFC 4122 normalized form")]


def raw(value, path, needed):
    if value is None:
        return [required(path)] if needed else []
    if size(json.dumps(value, separators=(",", ":"), ensure_ascii=False)) > RAW_LIMIT:
        return [too_long(path, RAW_LIMIT)]
    if not isinstance(value, dict):
        return [invalid(path, "<value omitted>", "must be a valid JSON object")]
    return []


def interface_address(text, path):
    """An address with its length in the one spelling there is; an IPv4-mapped IPv6 address has
    none, it is the IPv4 address."""
    try:
        parsed = ipaddress.ip_interface(text)
    except ValueError:
        parsed = None
    if parsed is None or "/" not in text or "%" in text:
        return [invalid(path, text, "must be a valid address in CIDR form,"
                        " (e.g. 10.9.8.7/24 or 2001:db8::1/64)")]
    length, mapped = parsed.network.prefixlen, getattr(parsed.ip, "ipv4_mapped", None)
    if mapped is not None:
        canonical = f"{mapped}/{length - 96 if length > 32 else length}"
    else:
        canonical = f"{parsed.ip}/{length}"
    if text != canonical:
        return [invalid(path, text, f'must be in canonical form ("{canonical}")')]
    return []


def condition(entry, path):
    errors = label_name(entry.get("type", ""), f"{path}.type")
    if entry.get("status") not in ("True", "False", "Unknown"):
        errors.append(unsupported(f"{path}.status", entry.get("status", ""),
                                  ("False", "True", "Unknown")))
    if entry.get("observedGeneration", 0) < 0:
        errors.append(invalid(f"{path}.observedGeneration", entry["observedGeneration"],
                              "must be greater than or equal to zero"))
    if not entry.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime"))
    reason = entry.get("reason", "")
    if not reason:
        errors.append(required(f"{path}.reason"))
    elif not REASON.fullmatch(reason):
        errors.append(invalid(f"{path}.reason", reason, "a condition reason must start with"
                              " alphabetic character, optionally followed by a string of"
                              " alphanumeric characters or '_,:', and must end with an"
                              " alphanumeric character or '_'"))
    if size(reason) > 1024:
        errors.append(too_long(f"{path}.reason", 1024))
    if size(entry.get("message", "")) > 32768:
        errors.append(too_long(f"{path}.message", 32768))
    return errors


def conditions(entries, path):
    errors, seen = [], set()
    for i, entry in enumerate(entries):
        if entry.get("type") in seen:
            errors.append(duplicate(f"{path}[{i}].type", entry.get("type")))
        seen.add(entry.get("type"))
        errors += condition(entry, f"{path}[{i}]")
    return errors


# ---- metadata -----------------------------------------------------------------------------------

def _owners(owners):
    errors = []
    for i, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{i}]"
        version = owner.get("apiVersion", "")
        if not version.split("/")[-1] or version.count("/") > 1:
            errors.append(invalid(f"{path}.apiVersion", version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                errors.append(invalid(f"{path}.{field}", "", "must not be empty"))
    controllers = sum(1 for owner in owners if owner.get("controller"))
    if controllers > 1:
        errors.append(invalid("metadata.ownerReferences", controllers,
                              "Only one reference can have Controller set to true"))
    return errors


def metadata(meta, namespaced):
    """What is asked of any object's metadata; generateName as if its dash were a letter."""
    errors, prefix = [], meta.get("generateName", "")
    if prefix:
        masked = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        errors += subdomain(masked, "metadata.generateName")
    errors += subdomain(meta["name"], "metadata.name") if meta.get("name") else \
        [required("metadata.name", "name or generateName is required")]
    if namespaced and not meta.get("namespace"):
        errors.append(required("metadata.namespace"))
    elif namespaced:
        errors += label(meta["namespace"], "metadata.namespace")
    elif meta.get("namespace"):
        errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    for key, value in meta.get("labels", {}).items():
        errors += label_name(key, "metadata.labels") + label_value(value, "metadata.labels")
    for key in meta.get("annotations", {}):
        errors += label_name(key.lower(), "metadata.annotations")
    if sum(size(key) + size(value) for key, value in meta.get("annotations", {}).items()) > \
            ANNOTATIONS_LIMIT:
        errors.append(too_long("metadata.annotations", ANNOTATIONS_LIMIT))
    for finalizer in meta.get("finalizers", []):
        errors += label_name(finalizer, "metadata.finalizers")
    return errors + _owners(meta.get("ownerReferences", []))


def same_object(patch, stored):
    """A patch may name the object it means; that it means another one is two errors, by the checks
    of all kinds and by those of its own."""
    found = patch.get("uid")
    if not found or found == stored["uid"]:
        return []
    return [invalid("metadata.uid", found, "field is immutable")] * 2
