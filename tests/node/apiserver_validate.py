"""What the API server refuses: limits and rules of resource.k8s.io objects and of core events.

Each function returns a list of (path, type, detail) as the server's field errors; an empty list
means accepted. Numbers are those of the resource.k8s.io API.
"""

from allocator_cel import CELError, compile_expression
from apiserver_forms import (RAW_LIMIT, conditions, driver, duplicate, forbidden, fully_qualified,
                             interface_address, invalid, label, label_name, label_value, metadata,
                             pool, qualified, raw, required, size, subdomain, too_long, too_many,
                             uid, unsupported, SEMVER)

DEVICES_MAX, DEVICES_MAX_ADVANCED = 128, 64
KEYS_MAX, VALUES_MAX, VALUE_SIZE_MAX = 32, 48, 64
LISTS = ("ints", "bools", "strings", "versions")
EFFECTS = ("NoExecute", "NoSchedule", "None")


def _list(items, limit, path, check, key=None):
    """Entries one by one, none twice; of a list that is too long nothing else is said."""
    if len(items) > limit:
        return [too_many(path, len(items), limit)]
    errors, seen = [], set()
    for i, item in enumerate(items):
        errors += check(item, f"{path}[{i}]")
        if key is not None:
            if key(item) in seen:
                errors.append(duplicate(f"{path}[{i}]", key(item)))
            seen.add(key(item))
    return errors


# ---- slices -------------------------------------------------------------------------------------

def _attribute(attribute, path):
    errors = []
    for field in ("string", "version"):
        if field in attribute:
            errors += _attribute_text(field, attribute[field], f"{path}.{field}")
    for field in LISTS:
        if field in attribute and not attribute[field]:
            errors.append(invalid(f"{path}.{field}", [], "must not be empty if specified"))
    for field in ("strings", "versions"):
        for i, text in enumerate(attribute.get(field, [])):
            errors += _attribute_text(field[:-1], text, f"{path}.{field}[{i}]")
    if len(attribute) != 1:
        errors.append(invalid(path, attribute or "", "exactly one value must be specified"))
    return errors


def _attribute_text(field, text, path):
    errors = [too_long(path, VALUE_SIZE_MAX)] if size(text) > VALUE_SIZE_MAX else []
    if field == "version" and not SEMVER.fullmatch(text):
        errors.append(invalid(path, text, "must be a string compatible with semver.org spec 2.0.0"))
    return errors


def _scope(holder, path, choices, suffix=""):
    """Exactly one of the fields that say on which nodes something is."""
    errors, given = [], []
    for field in choices:
        value = holder.get(field)
        if value is None:
            continue
        if value == "" or value is False:
            errors.append(invalid(f"{path}.{field}", value, "must be either unset or set to "
                                  + ("a non-empty string" if value == "" else "true")))
            continue
        given.append(f"`{field}`")
        if field == "nodeName":
            errors += subdomain(value, f"{path}.nodeName")
        if field == "nodeSelector" and len(value.get("nodeSelectorTerms", [])) != 1:
            errors.append(invalid(f"{path}.nodeSelector.nodeSelectorTerms",
                                  len(value.get("nodeSelectorTerms", [])),
                                  "must have exactly one node selector term"))
    names = ", ".join(f"`{field}`" for field in choices)
    if not given:
        errors.append(required(path, f"exactly one of {names} is required{suffix}"))
    elif len(given) > 1:
        errors.append(invalid(path, "{" + ", ".join(given) + "}", f"exactly one of {names} is"
                              f" required{suffix}, but multiple fields are set"))
    return errors


def _taint(taint, path):
    errors = label_name(taint.get("key", ""), f"{path}.key")
    errors += label_value(taint.get("value", ""), f"{path}.value")
    if not taint.get("effect"):
        errors.append(required(f"{path}.effect"))
    elif taint["effect"] not in EFFECTS:
        errors.append(unsupported(f"{path}.effect", taint["effect"], EFFECTS))
    return errors


def _binding(holder, path):
    binding = holder.get("bindingConditions", [])
    failing = holder.get("bindingFailureConditions", [])
    errors = []
    for field, value in (("bindingConditions", binding), ("bindingFailureConditions", failing)):
        errors += _list(value, 4, f"{path}.{field}", label_name, lambda item: item)
    errors += [invalid(f"{path}.bindingFailureConditions[{i}]", item, "bindingFailureConditions"
                       " must not overlap with bindingConditions")
               for i, item in enumerate(failing) if item in binding]
    if bool(binding) != bool(failing):
        field = "bindingFailureConditions" if binding else "bindingConditions"
        errors.append(invalid(f"{path}.{field}", [], f"{field} are required, too"))
    return errors


def _counters(counters, path):
    if not counters:
        return [required(path)]
    if len(counters) > 32:
        return [too_many(path, len(counters), 32)]
    return [error for name in counters for error in label(name, path)]


def _counter_set(entry, path):
    errors = label(entry["name"], f"{path}.name") if entry.get("name") else \
        [required(f"{path}.name")]
    return errors + _counters(entry.get("counters"), f"{path}.counters")


def _consumption(entry, path):
    errors = label(entry["counterSet"], f"{path}.counterSet") if entry.get("counterSet") else \
        [required(f"{path}.counterSet")]
    return errors + _counters(entry.get("counters"), f"{path}.counters")


def _capacity(device, path):
    errors = []
    for name, value in device.get("capacity", {}).items():
        errors += qualified(name, f"{path}.capacity")
        policy = value.get("requestPolicy")
        if policy is not None and not device.get("allowMultipleAllocations"):
            errors.append(forbidden(f"{path}.capacity[{name}].requestPolicy",
                                    "allowMultipleAllocations must be true"))
    return errors


def _device(device, path, per_device):
    errors = label(device.get("name", ""), f"{path}.name")
    attributes, capacity = device.get("attributes", {}), device.get("capacity", {})
    if len(attributes) + len(capacity) > KEYS_MAX:
        errors.append(invalid(path, len(attributes) + len(capacity), "the total number of"
                              f" attributes and capacities must not exceed {KEYS_MAX}"))
    values = sum(sum(len(value.get(field, [])) for field in LISTS) or 1
                 for value in attributes.values())
    if values > VALUES_MAX:
        errors.append(invalid(path, values, "the total number of attribute values must not exceed"
                              f" {VALUES_MAX}"))
    for name, value in attributes.items():
        errors += qualified(name, f"{path}.attributes")
        errors += _attribute(value, f"{path}.attributes[{name}]")
    errors += _capacity(device, path)
    errors += _list(device.get("taints", []), 16, f"{path}.taints", _taint)
    errors += _list(device.get("consumesCounters", []), 2, f"{path}.consumesCounters",
                    _consumption, lambda item: item.get("counterSet"))
    here = ("nodeName", "nodeSelector", "allNodes")
    if per_device:
        errors += _scope(device, path, here, " when `perDeviceNodeSelection` is set to true in the"
                         " ResourceSlice spec")
    elif any(device.get(field) is not None for field in here):
        errors.append(invalid(path, None, "`nodeName`, `nodeSelector` and `allNodes` can only be"
                              " set if `perDeviceNodeSelection` is set to true in the ResourceSlice"
                              " spec"))
    return errors + _binding(device, path)


def _is_advanced(device):
    return device.get("taints") or device.get("consumesCounters") or any(
        field in value for value in device.get("attributes", {}).values() for field in LISTS)


def _pool_numbers(where, path):
    errors = pool(where.get("name", ""), f"{path}.name")
    if where.get("resourceSliceCount", 0) <= 0:
        errors.append(invalid(f"{path}.resourceSliceCount", where.get("resourceSliceCount", 0),
                              "must be greater than zero"))
    if where.get("generation", 0) < 0:
        errors.append(invalid(f"{path}.generation", where["generation"],
                              "must be greater than or equal to zero"))
    return errors


def resource_slice(new, old=None):
    spec = new.get("spec", {})
    where = spec.get("pool", {})
    errors = metadata(new["metadata"], False)
    errors += driver(spec.get("driver", ""), "spec.driver") + _pool_numbers(where, "spec.pool")
    if old is not None:
        before = old["spec"]
        for path, was, now in (
                ("spec.pool.name", before["pool"].get("name"), where.get("name")),
                ("spec.driver", before.get("driver"), spec.get("driver")),
                ("spec.nodeName", before.get("nodeName"), spec.get("nodeName"))):
            if was != now:
                errors.append(invalid(path, now, "field is immutable"))
    errors += _scope(spec, "spec", ("nodeName", "nodeSelector", "allNodes",
                                    "perDeviceNodeSelection"))
    devices = spec.get("devices") or []
    if spec.get("devices") is not None and spec.get("sharedCounters") is not None:
        errors.append(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    limit = DEVICES_MAX_ADVANCED if any(map(_is_advanced, devices)) else DEVICES_MAX
    errors += _list(devices, limit, "spec.devices",
                    lambda device, path: _device(device, path, spec.get("perDeviceNodeSelection")),
                    lambda device: device.get("name"))
    return errors + _list(spec.get("sharedCounters") or [], 8, "spec.sharedCounters", _counter_set,
                          lambda item: item.get("name"))


# ---- claims and classes -------------------------------------------------------------------------

def _selector(selector, path):
    expression = (selector.get("cel") or {}).get("expression")
    if expression is None:
        return [required(f"{path}.cel")]
    if size(expression) > RAW_LIMIT:
        return [too_long(f"{path}.cel.expression", RAW_LIMIT)]
    try:
        compile_expression(expression)
    except CELError as error:
        return [invalid(f"{path}.cel.expression", expression, f"compilation failed: {error}")]
    return []


def _opaque(entry, path):
    if "opaque" not in entry:
        return [required(f"{path}.opaque")]
    return driver(entry["opaque"].get("driver", ""), f"{path}.opaque.driver") + \
        raw(entry["opaque"].get("parameters"), f"{path}.opaque.parameters", True)


def _toleration(entry, path):
    errors = label_name(entry["key"], f"{path}.key") if entry.get("key") else []
    operator, value = entry.get("operator", ""), entry.get("value", "")
    if operator == "Exists" and value:
        errors.append(invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        errors += label_value(value, f"{path}.value")
    elif not operator:
        errors.append(required(f"{path}.operator"))
    elif operator != "Exists":
        errors.append(unsupported(f"{path}.operator", operator, ("Equal", "Exists")))
    if entry.get("effect") and entry["effect"] not in EFFECTS:
        errors.append(unsupported(f"{path}.effect", entry["effect"], EFFECTS))
    return errors


def _one_request(request, path):
    name = request.get("deviceClassName", "")
    errors = subdomain(name, f"{path}.deviceClassName") if name else \
        [required(f"{path}.deviceClassName")]
    errors += _list(request.get("selectors", []), 32, f"{path}.selectors", _selector)
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode == "All":
        if count:
            errors.append(invalid(f"{path}.count", count,
                                  "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount":
        if count <= 0:
            errors.append(invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        errors.append(unsupported(f"{path}.allocationMode", mode, ("All", "ExactCount")))
    return errors + _list(request.get("tolerations", []), 16, f"{path}.tolerations", _toleration)


def _sub_request(sub, path):
    return label(sub.get("name", ""), f"{path}.name") + _one_request(sub, path)


def _request(request, path):
    errors = label(request.get("name", ""), f"{path}.name")
    text = "exactly one of `exactly` or `firstAvailable` is required"
    exactly, choices = request.get("exactly"), request.get("firstAvailable", [])
    if exactly is None and not choices:
        return errors + [required(path, text)]
    if exactly is not None and choices:
        return errors + [invalid(path, None, text + ", but multiple fields are set")]
    if exactly is not None:
        return errors + _one_request(exactly, f"{path}.exactly")
    return errors + _list(choices, 8, f"{path}.firstAvailable", _sub_request,
                          lambda sub: sub.get("name"))


class _Names:
    """The requests of a claim, which other parts refer to by name or name/subname."""

    def __init__(self, spec):
        self.known = set()
        for request in spec.get("devices", {}).get("requests", []):
            self.known.add(request.get("name"))
            for sub in request.get("firstAvailable", []):
                self.known.add(f"{request.get('name')}/{sub.get('name')}")

    def reference(self, name, path):
        parts = name.split("/")
        errors = [error for part in parts for error in label(part, path)] if len(parts) < 3 else []
        if name not in self.known:
            errors.append(invalid(path, name, "must be the name of a request in the claim or the"
                                  " name of a request and a subrequest separated by '/'"))
        return errors

    def references(self, names, path):
        return _list(names, 32, path, self.reference, lambda name: name)

    def constraint(self, entry, path):
        errors = self.references(entry.get("requests", []), f"{path}.requests")
        for field in ("matchAttribute", "distinctAttribute"):
            if field in entry:
                return errors + fully_qualified(entry[field], f"{path}.{field}")
        return errors + [required(path, 'exactly one of "matchAttribute" or "distinctAttribute" is'
                                  ' required')]

    def config(self, entry, path):
        return self.references(entry.get("requests", []), f"{path}.requests") + _opaque(entry, path)

    def allocated_config(self, entry, path):
        errors = []
        if not entry.get("source"):
            errors.append(required(f"{path}.source"))
        elif entry["source"] not in ("FromClass", "FromClaim"):
            errors.append(unsupported(f"{path}.source", entry["source"],
                                      ("FromClaim", "FromClass")))
        return errors + self.config(entry, path)

    def result(self, entry, path):
        errors = self.reference(entry.get("request", ""), f"{path}.request")
        errors += _device_id(entry, path) + _binding(entry, path)
        return errors


def claim_spec(spec, path="spec"):
    devices, names, path = spec.get("devices", {}), _Names(spec), f"{path}.devices"
    return _list(devices.get("requests", []), 32, f"{path}.requests", _request,
                 lambda request: request.get("name")) + \
        _list(devices.get("constraints", []), 32, f"{path}.constraints", names.constraint) + \
        _list(devices.get("config", []), 32, f"{path}.config", names.config)


def _unchanged_spec(new, old):
    """All that is asked of a claim or template that is there already."""
    return [] if new.get("spec", {}) == old.get("spec", {}) else \
        [invalid("spec", "<value omitted>", "field is immutable")]


def resource_claim(new, old=None):
    return metadata(new["metadata"], True) + (
        claim_spec(new.get("spec", {})) if old is None else _unchanged_spec(new, old))


def resource_claim_template(new, old=None):
    return metadata(new["metadata"], True) + (
        claim_spec(new.get("spec", {}).get("spec", {}), "spec.spec") if old is None else
        _unchanged_spec(new, old))


def device_class(new, _old=None):
    spec = new.get("spec", {})
    return metadata(new["metadata"], False) + \
        _list(spec.get("selectors", []), 32, "spec.selectors", _selector) + \
        _list(spec.get("config", []), 32, "spec.config", _opaque)


# ---- status of claims ---------------------------------------------------------------------------

def device_key(entry):
    return (entry.get("driver", ""), entry.get("pool", ""), entry.get("device", ""),
            entry.get("shareID", ""))


def _device_id(entry, path):
    errors = driver(entry.get("driver", ""), f"{path}.driver")
    errors += pool(entry.get("pool", ""), f"{path}.pool")
    errors += label(entry.get("device", ""), f"{path}.device")
    if "shareID" in entry:
        errors += uid(entry["shareID"], f"{path}.shareID")
    return errors


def _network_data(data, path):
    errors = []
    for field, limit in (("interfaceName", 256), ("hardwareAddress", 128)):
        if size(data.get(field, "")) > limit:
            errors.append(too_long(f"{path}.{field}", limit))
    return errors + _list(data.get("ips", []), 16, f"{path}.ips", interface_address,
                          lambda address: address)


def _device_status(entry, path, allocated):
    errors, key = _device_id(entry, path), device_key(entry)
    if key not in allocated:
        errors.append(invalid(path, "/".join(part for part in key if part),
                              "must be an allocated device in the claim"))
    if len(entry.get("conditions", [])) > 8:
        errors.append(too_many(f"{path}.conditions", len(entry["conditions"]), 8))
    return errors + conditions(entry.get("conditions", []), f"{path}.conditions") + \
        raw(entry.get("data"), f"{path}.data", False) + \
        _network_data(entry.get("networkData", {}), f"{path}.networkData")


def _consumer(entry, path):
    return [required(f"{path}.{field}") for field in ("resource", "name", "uid")
            if not entry.get(field)]


def claim_status(new, old):
    status, before = new.get("status", {}), old.get("status", {})
    names, reserved = _Names(new.get("spec", {})), status.get("reservedFor", [])
    allocation = status.get("allocation")
    devices = (allocation or {}).get("devices", {})
    allocated = {device_key(result) for result in devices.get("results", [])}
    errors = _list(reserved, 256, "status.reservedFor", _consumer, lambda item: item.get("uid"))
    errors += _list(status.get("devices", []), 10000, "status.devices",
                    lambda entry, path: _device_status(entry, path, allocated), device_key)
    if reserved and allocation is None:
        errors.append(forbidden("status.reservedFor",
                                "may not be specified when `allocated` is not set"))
    elif new["metadata"].get("deletionTimestamp") and \
            [consumer for consumer in reserved if consumer not in before.get("reservedFor", [])]:
        errors.append(forbidden("status.reservedFor", "new entries may not be added while"
                                " `deallocationRequested` or `deletionTimestamp` are set"))
    if allocation is None:
        return errors
    if before.get("allocation") is not None:
        return errors if allocation == before["allocation"] else errors + [
            invalid("status.allocation", "<value omitted>", "field is immutable")]
    path = "status.allocation.devices"
    return errors + _list(devices.get("results", []), 32, f"{path}.results", names.result) + \
        _list(devices.get("config", []), 64, f"{path}.config", names.allocated_config)


# ---- events -------------------------------------------------------------------------------------

def event(new, _old=None):
    """Core events: of one without eventTime nothing but its namespace is looked at; no name or
    label has a form."""
    namespace = new["metadata"].get("namespace", "")
    subject = new.get("involvedObject", {}).get("namespace", "")
    errors = subdomain(namespace, "namespace")
    if not new["metadata"].get("name"):
        errors.append(required("metadata.name", "name or generateName is required"))
    mismatch = invalid("involvedObject.namespace", subject, "does not match event.namespace")
    if not new.get("eventTime"):
        if (not subject and namespace not in ("", "default")) or (subject and subject != namespace):
            errors.append(mismatch)
        return errors
    if not subject and namespace not in ("default", "kube-system"):
        errors.append(mismatch)
    errors += label_name(new["reportingComponent"], "reportingComponent") \
        if new.get("reportingComponent") else [required("reportingComponent")]
    for field in ("reportingInstance", "action", "reason"):
        value = new.get(field, "")
        if not value:
            errors.append(required(field))
        elif size(value) > 128:
            errors.append(invalid(field, "", "can have at most 128 characters"))
    if size(new.get("message", "")) > 1024:
        errors.append(invalid("message", "", "can have at most 1024 characters"))
    return errors
