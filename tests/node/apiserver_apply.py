"""Server-side apply of claim status: who owns which field of which device entry.

status.devices is a list-map keyed by driver, pool, device and shareID; conditions is one keyed by
type; networkData.ips and data are atomic. Applying replaces what this manager applied before: an
entry or field it no longer names goes away unless another manager owns it as well.
"""

import copy
import json

from apiserver_schema import undeclared
from apiserver_store import StatusError, now
from apiserver_validate import device_key


def _leaves(entry):
    """Field paths of one device entry with their values; keys of list-maps are part of the path."""
    found = {}
    for field, value in entry.items():
        if field in ("driver", "pool", "device", "shareID"):
            continue
        if field == "conditions":
            for condition in value or []:
                for name, item in condition.items():
                    found["conditions", condition.get("type", ""), name] = item
        elif field == "networkData":
            for name, item in (value or {}).items():
                found["networkData", name] = item
        else:
            found[(field,)] = value
    return found


def _build(key, leaves, order):
    entry = {name: value for name, value in zip(("driver", "pool", "device", "shareID"), key)
             if value}
    conditions = {}
    for path in sorted(leaves, key=lambda path: order.index(path) if path in order else len(order)):
        value = leaves[path]
        if path[0] == "conditions":
            conditions.setdefault(path[1], {"type": path[1]})[path[2]] = value
        elif path[0] == "networkData":
            entry.setdefault("networkData", {})[path[1]] = value
        else:
            entry[path[0]] = value
    if conditions:
        entry["conditions"] = list(conditions.values())
    return entry


def _fields_v1(keys, owned):
    devices = {}
    for key in keys:
        shown = {name: value for name, value in zip(("device", "driver", "pool"),
                                                    (key[2], key[0], key[1]))}
        item = {".": {}}
        for path in sorted(leaf for its_key, leaf in owned if its_key == key):
            at = item
            for depth, part in enumerate(path):
                name = f'k:{json.dumps({"type": part})}' if path[0] == "conditions" and depth == 1 \
                    else f"f:{part}"
                at = at.setdefault(name, {})
        devices["k:" + json.dumps(shown, separators=(",", ":"))] = item
    return {"f:status": {"f:devices": devices}}


class Ownership:
    """Managers of one claim's status: manager -> (device keys, set of (key, field path))."""

    def __init__(self):
        self.managers = {}

    def others(self, manager, key, path=None):
        for name, (keys, owned) in self.managers.items():
            if name == manager:
                continue
            if (path is None and key in keys) or (path is not None and (key, path) in owned):
                return name
        return None

    def forget(self, present):
        """Device entries that are gone from the object belong to nobody."""
        for name in list(self.managers):
            keys, owned = self.managers[name]
            keys = [key for key in keys if key in present]
            if keys:
                self.managers[name] = (keys, {item for item in owned if item[0] in present})
            else:
                del self.managers[name]

    def managed_fields(self, api_version):
        return [{"manager": name, "operation": "Apply", "apiVersion": api_version, "time": now(),
                 "fieldsType": "FieldsV1", "fieldsV1": _fields_v1(keys, owned),
                 "subresource": "status"} for name, (keys, owned) in sorted(self.managers.items())]


def check_patch(body, namespace, name, api_version):
    """What is refused before anything is merged."""
    if not isinstance(body, dict):
        raise StatusError(400, "error decoding YAML: not an object")
    if body.get("apiVersion") != api_version or body.get("kind") != "ResourceClaim":
        raise StatusError(400, f"invalid object type: /{body.get('apiVersion', '')},"
                          f" Kind={body.get('kind', '')}")
    meta = body.get("metadata") or {}
    if meta.get("managedFields"):
        raise StatusError(400, "metadata.managedFields must be nil")
    if meta.get("name", name) != name:
        raise StatusError(400, f"the name of the object ({meta['name']}) does not match the name on"
                          f" the URL ({name})")
    if meta.get("namespace", namespace) != namespace:
        raise StatusError(400, f"the namespace of the object ({meta['namespace']}) does not match"
                          f" the namespace on the URL ({namespace})")
    reason = undeclared(body, "ResourceClaim")
    keys = [device_key(entry) for entry in (body.get("status") or {}).get("devices") or []
            if isinstance(entry, dict)]
    if reason is None:
        for i, entry in enumerate((body.get("status") or {}).get("devices") or []):
            missing = [field for field in ("driver", "pool", "device") if field not in entry]
            if missing:
                reason = (f'.status.devices: element {i}: associative list with keys has an element'
                          f' that omits key field "{missing[0]}"')
            elif keys.count(keys[i]) > 1:
                reason = f".status.devices: duplicate entries for key {keys[i]}"
            types = [condition.get("type") for condition in entry.get("conditions") or []]
            if None in types:
                reason = (f'.status.devices[{i}].conditions: associative list with keys has an'
                          ' element that omits key field "type"')
            elif len(set(types)) < len(types):
                reason = f".status.devices[{i}].conditions: duplicate entries for key [type]"
    if reason is not None:
        raise StatusError(500, f"failed to create typed patch object ({namespace}/{name};"
                          f" {api_version}, Kind=ResourceClaim): {reason}", "")


def apply_status(stored, body, manager, force, ownership):
    """The object after the apply, and its new ownership; StatusError 409 on a conflict."""
    applied = copy.deepcopy((body.get("status") or {}).get("devices") or [])
    for entry in applied:
        for field in [name for name, value in entry.items() if value is None]:
            del entry[field]
    current = {device_key(entry): _leaves(entry)
               for entry in stored.get("status", {}).get("devices", [])}
    order = {key: list(leaves) for key, leaves in current.items()}
    positions = list(current)
    wanted = {device_key(entry): _leaves(entry) for entry in applied}
    conflicts = []
    for key, leaves in wanted.items():
        for path, value in leaves.items():
            owner = ownership.others(manager, key, path)
            if owner and current.get(key, {}).get(path) != value:
                conflicts.append((owner, key, path))
    if conflicts and not force:
        causes = [{"reason": "FieldManagerConflict", "message": f'conflict with "{owner}"',
                   "field": ".status.devices" + "".join(f".{part}" for part in path)}
                  for owner, _, path in conflicts]
        raise StatusError(409, f"Apply failed with {len(conflicts)} conflict"
                          f"{'s' if len(conflicts) > 1 else ''}: conflicts with"
                          f' "{conflicts[0][0]}"', causes=causes)
    after = copy.deepcopy(ownership)
    for owner, key, path in conflicts:
        after.managers[owner][1].discard((key, path))
    had_keys, had = ownership.managers.get(manager, ([], set()))
    for key, path in had:
        if path not in wanted.get(key, {}) and not ownership.others(manager, key, path):
            current.get(key, {}).pop(path, None)
    for key in had_keys:
        if key not in wanted and not ownership.others(manager, key):
            current.pop(key, None)
    for key, leaves in wanted.items():
        current.setdefault(key, {}).update(leaves)
        order.setdefault(key, []).extend(path for path in leaves if path not in order.get(key, []))
    if wanted:
        after.managers[manager] = (list(wanted), {(key, path) for key, leaves in wanted.items()
                                                  for path in leaves})
    else:
        after.managers.pop(manager, None)
    result = copy.deepcopy(stored)
    keys = [key for key in positions if key in current] + [key for key in current
                                                          if key not in positions]
    devices = [_build(key, current[key], order[key]) for key in keys]
    status = result.setdefault("status", {})
    if devices:
        status["devices"] = devices
    else:
        status.pop("devices", None)
    return result, after
