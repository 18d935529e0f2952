"""What the API server refuses: limits and forms of resource.k8s.io objects and of core events.

Each function returns a list of (path, type, detail) as the server's field errors; an empty list
means accepted. Numbers are those of the resource.k8s.io API (128 or 64 devices, 32 attributes and
capacities, 64-byte values, 16 addresses, 8 conditions, 10 KiB of raw JSON).
"""

import ipaddress
import json
import re

from allocator_cel import CELError, compile_expression

LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
C_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
REASON = re.compile(r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$")

LABEL_TEXT = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or"
              " '-', and must start and end with an alphanumeric character")
SUBDOMAIN_TEXT = ("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric"
                  " characters, '-' or '.', and must start and end with an alphanumeric character")
RAW_LIMIT = 10 * 1024


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


def _size(text):
    return len(text.encode())


def _label(value, path):
    if not value:
        return [required(path)]
    if len(value) > 63 or not LABEL.match(value):
        return [invalid(path, value, LABEL_TEXT)]
    return []


def _subdomain(value, path):
    if not value:
        return [required(path)]
    if len(value) > 253 or not SUBDOMAIN.match(value):
        return [invalid(path, value, SUBDOMAIN_TEXT)]
    return []


def _driver(value, path):
    if not value:
        return [required(path)]
    errors = [too_long(path, 63)] if len(value) > 63 else []
    return errors + ([] if SUBDOMAIN.match(value) else [invalid(path, value, SUBDOMAIN_TEXT)])


def _pool(value, path):
    if not value:
        return [required(path)]
    errors = [too_long(path, 253)] if len(value) > 253 else []
    for part in value.split("/"):
        errors += _subdomain(part, path)
    return errors


def _qualified(name, path, domain_needed=False):
    """Attribute and capacity keys: [domain/]C-identifier."""
    if not name:
        return [required(path, "name required")]
    parts = name.split("/")
    if len(parts) > 2:
        return [invalid(path, name, "must have at most one slash")]
    errors = []
    if len(parts) == 2:
        errors += [required(path, "the domain must not be empty")] if not parts[0] else \
            _driver(parts[0], path)
    elif domain_needed:
        errors.append(invalid(path, name, "must include a domain"))
    identifier = parts[-1]
    if not identifier:
        return errors + [required(path, "the name must not be empty")]
    if len(identifier) > 32:
        errors.append(too_long(path, 32))
    if not C_IDENTIFIER.match(identifier):
        errors.append((path, "FieldValueTypeInvalid", f"Invalid value: {json.dumps(identifier)}:"
                       " a valid C identifier must start with alphabetic character or '_',"
                       " followed by a string of alphanumeric characters or '_'"))
    return errors


def _raw(value, path, needed):
    if value is None:
        return [required(path)] if needed else []
    if _size(json.dumps(value, separators=(",", ":"))) > RAW_LIMIT:
        return [too_long(path, RAW_LIMIT)]
    if not isinstance(value, dict):
        return [invalid(path, "<value omitted>", "parameters must be a valid JSON object")]
    return []


def metadata(meta, namespaced):
    errors = _subdomain(meta.get("name", ""), "metadata.name") if meta.get("name") else \
        [required("metadata.name", "name or generateName is required")]
    if namespaced:
        errors += _label(meta.get("namespace", ""), "metadata.namespace")
    elif meta.get("namespace"):
        errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    controllers = 0
    for i, owner in enumerate(meta.get("ownerReferences", [])):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                errors.append(invalid(f"metadata.ownerReferences[{i}].{field}", "",
                                      "must not be empty"))
        controllers += 1 if owner.get("controller") else 0
    if controllers > 1:
        errors.append(invalid("metadata.ownerReferences", controllers,
                              "Only one reference can have Controller set to true"))
    for key in list(meta.get("labels", {})) + list(meta.get("annotations", {})):
        name = key.split("/")[-1]
        if len(name) > 63 or not QUALIFIED.match(name) or key.count("/") > 1:
            errors.append(invalid("metadata.labels", key, "name part must consist of alphanumeric"
                                  " characters, '-', '_' or '.'"))
    return errors


def _attribute(attribute, path):
    errors = []
    if len(attribute) == 0:
        return [required(path, "exactly one value must be specified")]
    if len(attribute) > 1:
        return [invalid(path, attribute, "exactly one value must be specified")]
    for field in ("string", "version"):
        if field in attribute and _size(attribute[field]) > 64:
            errors.append(too_long(f"{path}.{field}", 64))
    if "version" in attribute and not SEMVER.match(attribute["version"]):
        errors.append(invalid(f"{path}.version", attribute["version"],
                              "must be a string compatible with semver.org spec 2.0.0"))
    return errors


def _node_scope(holder, path, choices):
    given = [f"`{field}`" for field in choices if holder.get(field)]
    names = ", ".join(f"`{field}`" for field in choices[:-1]) + f", or `{choices[-1]}`"
    if not given:
        return [required(path, f"exactly one of {names} is required")]
    if len(given) > 1:
        return [invalid(path, "{" + ", ".join(given) + "}",
                        f"exactly one of {names} is required, but multiple fields are set")]
    errors = []
    if holder.get("nodeName"):
        errors += _subdomain(holder["nodeName"], f"{path}.nodeName")
    if holder.get("nodeSelector"):
        terms = holder["nodeSelector"].get("nodeSelectorTerms", [])
        if len(terms) != 1:
            errors.append(invalid(f"{path}.nodeSelector.nodeSelectorTerms", len(terms),
                                  "must have exactly one node selector term"))
    return errors


def _device(device, path, per_device):
    errors = _label(device.get("name", ""), f"{path}.name")
    attributes, capacity = device.get("attributes", {}), device.get("capacity", {})
    for name, value in attributes.items():
        errors += _qualified(name, f"{path}.attributes[{name}]")
        errors += _attribute(value, f"{path}.attributes[{name}]")
    for name, value in capacity.items():
        errors += _qualified(name, f"{path}.capacity[{name}]")
        if "requestPolicy" in value and not device.get("allowMultipleAllocations"):
            errors.append(forbidden(f"{path}.capacity[{name}].requestPolicy",
                                    "only allowed with `allowMultipleAllocations`"))
    if len(attributes) + len(capacity) > 32:
        errors.append(invalid(path, len(attributes) + len(capacity),
                              "the total number of attributes and capacities must not exceed 32"))
    if per_device:
        errors += _node_scope(device, path, ("nodeName", "nodeSelector", "allNodes"))
    else:
        for field in ("nodeName", "nodeSelector", "allNodes"):
            if device.get(field):
                errors.append(invalid(f"{path}.{field}", device[field],
                                      "`perDeviceNodeSelection` must be set to true to use this"))
    taints = device.get("taints", [])
    if len(taints) > 16:
        errors.append(too_many(f"{path}.taints", len(taints), 16))
    for i, taint in enumerate(taints):
        if taint.get("effect") not in ("None", "NoSchedule", "NoExecute"):
            errors.append(unsupported(f"{path}.taints[{i}].effect", taint.get("effect", ""),
                                      ("NoExecute", "NoSchedule", "None")))
        if not QUALIFIED.match(taint.get("key", "").split("/")[-1]):
            errors.append(invalid(f"{path}.taints[{i}].key", taint.get("key", ""),
                                  "name part must consist of alphanumeric characters"))
    binding = device.get("bindingConditions", [])
    failing = device.get("bindingFailureConditions", [])
    for field, value in (("bindingConditions", binding), ("bindingFailureConditions", failing)):
        if len(value) > 4:
            errors.append(too_many(f"{path}.{field}", len(value), 4))
    if bool(binding) != bool(failing):
        errors.append(invalid(path, "", "bindingConditions and bindingFailureConditions must be"
                              " set together"))
    if len(device.get("consumesCounters", [])) > 2:
        errors.append(too_many(f"{path}.consumesCounters", len(device["consumesCounters"]), 2))
    return errors


def resource_slice(new, old=None):
    spec = new.get("spec", {})
    errors = metadata(new["metadata"], False)
    errors += _driver(spec.get("driver", ""), "spec.driver")
    pool = spec.get("pool", {})
    errors += _pool(pool.get("name", ""), "spec.pool.name")
    if pool.get("resourceSliceCount", 0) <= 0:
        errors.append(invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0),
                              "must be greater than zero"))
    if pool.get("generation", 0) < 0:
        errors.append(invalid("spec.pool.generation", pool["generation"],
                              "must be greater than or equal to zero"))
    errors += _node_scope(spec, "spec",
                          ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"))
    if old is not None:
        before = old["spec"]
        for path, was, now in (
                ("spec.driver", before.get("driver"), spec.get("driver")),
                ("spec.pool.name", before["pool"].get("name"), pool.get("name")),
                ("spec.nodeName", before.get("nodeName", ""), spec.get("nodeName", ""))):
            if was != now:
                errors.append(invalid(path, now, "field is immutable"))
    devices, counters = spec.get("devices", []), spec.get("sharedCounters", [])
    if devices and counters:
        errors.append(invalid("spec", "{`devices`, `sharedCounters`}", "only one of"
                              " `sharedCounters` or `devices` is allowed"))
    if len(counters) > 8:
        errors.append(too_many("spec.sharedCounters", len(counters), 8))
    special = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    limit = 64 if special else 128
    seen = set()
    for i, device in enumerate(devices):
        errors += _device(device, f"spec.devices[{i}]", spec.get("perDeviceNodeSelection"))
        if device.get("name") in seen:
            errors.append(duplicate(f"spec.devices[{i}].name", device["name"]))
        seen.add(device.get("name"))
    if len(devices) > limit:
        errors.append(too_many("spec.devices", len(devices), limit))
    return errors


def _selectors(selectors, path):
    errors = [too_many(path, len(selectors), 32)] if len(selectors) > 32 else []
    for i, selector in enumerate(selectors):
        here = f"{path}[{i}].cel"
        expression = selector.get("cel", {}).get("expression")
        if expression is None:
            errors.append(required(here))
        elif _size(expression) > RAW_LIMIT:
            errors.append(too_long(f"{here}.expression", RAW_LIMIT))
        else:
            try:
                compile_expression(expression)
            except CELError as error:
                errors.append(invalid(f"{here}.expression", expression,
                                      f"compilation failed: {error}"))
    return errors


def _opaque(entry, path):
    if "opaque" not in entry:
        return [required(f"{path}.opaque")]
    return _driver(entry["opaque"].get("driver", ""), f"{path}.opaque.driver") + \
        _raw(entry["opaque"].get("parameters"), f"{path}.opaque.parameters", True)


def _one_request(request, path, with_all=True):
    errors = _subdomain(request.get("deviceClassName", ""), f"{path}.deviceClassName")
    errors += _selectors(request.get("selectors", []), f"{path}.selectors")
    mode = request.get("allocationMode", "ExactCount")
    count = request.get("count")
    if mode == "All":
        if count:
            errors.append(invalid(f"{path}.count", count,
                                  "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount":
        if count is not None and count <= 0:
            errors.append(invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        errors.append(unsupported(f"{path}.allocationMode", mode, ("All", "ExactCount")))
    return errors


def _request_names(spec):
    names = set()
    for request in spec.get("devices", {}).get("requests", []):
        names.add(request.get("name"))
        for sub in request.get("firstAvailable", []):
            names.add(f"{request.get('name')}/{sub.get('name')}")
    return names


def _name_refs(names, known, path):
    return [invalid(f"{path}[{i}]", name, "must be the name of a request in the claim")
            for i, name in enumerate(names) if name not in known]


def claim_spec(spec, path="spec"):
    devices = spec.get("devices", {})
    errors, seen = [], set()
    known = _request_names(spec)
    for field, items in (("requests", devices.get("requests", [])),
                         ("constraints", devices.get("constraints", [])),
                         ("config", devices.get("config", []))):
        if len(items) > 32:
            errors.append(too_many(f"{path}.devices.{field}", len(items), 32))
    for i, request in enumerate(devices.get("requests", [])):
        here = f"{path}.devices.requests[{i}]"
        errors += _label(request.get("name", ""), f"{here}.name")
        if request.get("name") in seen:
            errors.append(duplicate(f"{here}.name", request["name"]))
        seen.add(request.get("name"))
        if ("exactly" in request) == bool(request.get("firstAvailable")):
            text = "exactly one of `exactly` or `firstAvailable` is required"
            errors.append(required(here, text) if "exactly" not in request else
                          invalid(here, "", text))
        if "exactly" in request:
            errors += _one_request(request["exactly"], f"{here}.exactly")
        if len(request.get("firstAvailable", [])) > 8:
            errors.append(too_many(f"{here}.firstAvailable", len(request["firstAvailable"]), 8))
        for j, sub in enumerate(request.get("firstAvailable", [])):
            errors += _label(sub.get("name", ""), f"{here}.firstAvailable[{j}].name")
            errors += _one_request(sub, f"{here}.firstAvailable[{j}]")
    for i, constraint in enumerate(devices.get("constraints", [])):
        here = f"{path}.devices.constraints[{i}]"
        errors += _name_refs(constraint.get("requests", []), known, f"{here}.requests")
        field = "distinctAttribute" if "distinctAttribute" in constraint else "matchAttribute"
        errors += _qualified(constraint.get(field, ""), f"{here}.{field}", True)
    for i, entry in enumerate(devices.get("config", [])):
        here = f"{path}.devices.config[{i}]"
        errors += _name_refs(entry.get("requests", []), known, f"{here}.requests")
        errors += _opaque(entry, here)
    return errors


def resource_claim(new, old=None):
    errors = metadata(new["metadata"], True)
    if old is not None and new.get("spec", {}) != old.get("spec", {}):
        errors.append(invalid("spec", "<value omitted>", "field is immutable"))
    return errors + claim_spec(new.get("spec", {}))


def resource_claim_template(new, old=None):
    errors = metadata(new["metadata"], True)
    if old is not None and new.get("spec", {}) != old.get("spec", {}):
        errors.append(invalid("spec", "<value omitted>", "field is immutable"))
    return errors + claim_spec(new.get("spec", {}).get("spec", {}), "spec.spec")


def device_class(new, _old=None):
    spec = new.get("spec", {})
    errors = metadata(new["metadata"], False) + _selectors(spec.get("selectors", []),
                                                          "spec.selectors")
    for i, entry in enumerate(spec.get("config", [])):
        errors += _opaque(entry, f"spec.config[{i}]")
    return errors


def _condition(condition, path):
    errors = []
    kind = condition.get("type", "")
    if not kind:
        errors.append(required(f"{path}.type"))
    elif not QUALIFIED.match(kind.split("/")[-1]):
        errors.append(invalid(f"{path}.type", kind, "name part must consist of alphanumeric"
                              " characters, '-', '_' or '.'"))
    if condition.get("status") not in ("True", "False", "Unknown"):
        errors.append(unsupported(f"{path}.status", condition.get("status", ""),
                                  ("False", "True", "Unknown")))
    if condition.get("observedGeneration", 0) < 0:
        errors.append(invalid(f"{path}.observedGeneration", condition["observedGeneration"],
                              "must be greater than or equal to zero"))
    if not condition.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime", "must be set"))
    reason = condition.get("reason", "")
    if not reason:
        errors.append(required(f"{path}.reason", "must be set"))
    elif len(reason) > 1024 or not REASON.match(reason):
        errors.append(invalid(f"{path}.reason", reason, "a condition reason must start with"
                              " alphabetic character, optionally followed by a string of"
                              " alphanumeric characters or '_,:', and must end with an"
                              " alphanumeric character or '_'"))
    if _size(condition.get("message", "")) > 32768:
        errors.append(too_long(f"{path}.message", 32768))
    return errors


def _address(text, path):
    try:
        parsed = ipaddress.ip_interface(text)
    except ValueError:
        parsed = None
    if parsed is None or "/" not in text or "%" in text:
        return [invalid(path, text, "must be a valid address in CIDR form,"
                        " (e.g. 10.9.8.7/24 or 2001:db8::1/64)")]
    canonical = f"{parsed.ip}/{parsed.network.prefixlen}"
    if text != canonical:
        return [invalid(path, text, f"must be in canonical form ({canonical})")]
    return []


def _network_data(data, path):
    errors = []
    for field, limit in (("interfaceName", 256), ("hardwareAddress", 128)):
        if _size(data.get(field, "")) > limit:
            errors.append(too_long(f"{path}.{field}", limit))
    addresses = data.get("ips", [])
    seen = set()
    for i, address in enumerate(addresses):
        errors += _address(address, f"{path}.ips[{i}]")
        if address in seen:
            errors.append(duplicate(f"{path}.ips[{i}]", address))
        seen.add(address)
    if len(addresses) > 16:
        errors.append(too_many(f"{path}.ips", len(addresses), 16))
    return errors


def device_key(entry):
    return (entry.get("driver", ""), entry.get("pool", ""), entry.get("device", ""),
            entry.get("shareID", ""))


def _device_statuses(status):
    allocated = {device_key(result) for result in
                 (status.get("allocation") or {}).get("devices", {}).get("results", [])}
    errors, seen = [], set()
    for i, entry in enumerate(status.get("devices", [])):
        path, key = f"status.devices[{i}]", device_key(entry)
        shown = "/".join(part for part in key if part)
        errors += _driver(entry.get("driver", ""), f"{path}.driver")
        errors += _pool(entry.get("pool", ""), f"{path}.pool")
        errors += _label(entry.get("device", ""), f"{path}.device")
        if key not in allocated:
            errors.append(invalid(path, shown, "must be an allocated device in the claim"))
        if key in seen:
            errors.append(duplicate(f"{path}.deviceID", shown))
        seen.add(key)
        conditions = entry.get("conditions", [])
        if len(conditions) > 8:
            errors.append(too_many(f"{path}.conditions", len(conditions), 8))
        for j, condition in enumerate(conditions):
            errors += _condition(condition, f"{path}.conditions[{j}]")
        types = [condition.get("type") for condition in conditions]
        errors += [duplicate(f"{path}.conditions[{j}].type", kind)
                   for j, kind in enumerate(types) if kind in types[:j]]
        errors += _raw(entry.get("data"), f"{path}.data", False)
        errors += _network_data(entry.get("networkData", {}), f"{path}.networkData")
    return errors


def claim_status(new, old):
    status, before = new.get("status", {}), old.get("status", {})
    known = _request_names(new.get("spec", {}))
    errors = []
    reserved = status.get("reservedFor", [])
    if len(reserved) > 256:
        errors.append(too_many("status.reservedFor", len(reserved), 256))
    seen = set()
    for i, consumer in enumerate(reserved):
        for field in ("resource", "name", "uid"):
            if not consumer.get(field):
                errors.append(required(f"status.reservedFor[{i}].{field}"))
        if consumer.get("uid") in seen:
            errors.append(duplicate(f"status.reservedFor[{i}].uid", consumer["uid"]))
        seen.add(consumer.get("uid"))
    allocation = status.get("allocation")
    if reserved and allocation is None:
        errors.append(forbidden("status.reservedFor",
                                "may not be specified when `allocated` is not set"))
    if new["metadata"].get("deletionTimestamp") and allocation is not None:
        if [consumer for consumer in reserved if consumer not in before.get("reservedFor", [])]:
            errors.append(forbidden("status.reservedFor", "new entries may not be added while"
                                    " `deallocationRequested` or `deletionTimestamp` are set"))
    errors += _device_statuses(status)
    if allocation is not None and before.get("allocation") is not None:
        if allocation != before["allocation"]:
            errors.append(invalid("status.allocation", "<value omitted>", "field is immutable"))
    elif allocation is not None:
        results = allocation.get("devices", {}).get("results", [])
        if len(results) > 32:
            errors.append(too_many("status.allocation.devices.results", len(results), 32))
        for i, result in enumerate(results):
            path = f"status.allocation.devices.results[{i}]"
            errors += _name_refs([result.get("request", "")], known, f"{path}.request")
            errors += _driver(result.get("driver", ""), f"{path}.driver")
            errors += _pool(result.get("pool", ""), f"{path}.pool")
            errors += _label(result.get("device", ""), f"{path}.device")
        config = allocation.get("devices", {}).get("config", [])
        if len(config) > 64:
            errors.append(too_many("status.allocation.devices.config", len(config), 64))
        for i, entry in enumerate(config):
            path = f"status.allocation.devices.config[{i}]"
            if entry.get("source") not in ("FromClass", "FromClaim"):
                errors.append(unsupported(f"{path}.source", entry.get("source", ""),
                                          ("FromClaim", "FromClass")))
            errors += _name_refs(entry.get("requests", []), known, f"{path}.requests")
            errors += _opaque(entry, path)
    return errors


def event(new, old=None):
    """Core events, as the legacy rules (no eventTime) or the newer ones judge them."""
    errors = metadata(new["metadata"], True)
    namespace = new["metadata"].get("namespace", "")
    subject = new.get("involvedObject", {}).get("namespace", "")
    mismatch = invalid("involvedObject.namespace", subject, "does not match event.namespace")
    if not new.get("eventTime"):
        if (not subject and namespace not in ("", "default")) or (subject and subject != namespace):
            errors.append(mismatch)
        return errors
    if old is not None:
        return errors
    if not subject and namespace not in ("default", "kube-system"):
        errors.append(mismatch)
    for field, limit in (("reportingComponent", 253), ("reportingInstance", 128), ("action", 128),
                         ("reason", 128)):
        value = new.get(field, "")
        if not value:
            errors.append(required(field))
        elif _size(value) > limit:
            errors.append(invalid(field, value, f"can have at most {limit} characters"))
    if _size(new.get("message", "")) > 1024:
        errors.append(invalid("message", "<value omitted>", "can have at most 1024 characters"))
    if new.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", new.get("type", ""), ""))
    return errors
