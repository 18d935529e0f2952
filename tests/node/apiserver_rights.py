"""Rights beyond the verbs on a resource: who may write which part of a claim's status, and whose
slices a driver may touch."""

from apiserver_kinds import GROUP
from apiserver_store import StatusError
from apiserver_validate import device_key, forbidden


def _allocated_node(claim):
    """The one node an allocation is for, or ""."""
    selector = (claim.get("status", {}).get("allocation") or {}).get("nodeSelector") or {}
    terms = selector.get("nodeSelectorTerms", [])
    if len(terms) != 1 or terms[0].get("matchExpressions") or \
            len(terms[0].get("matchFields", [])) != 1:
        return ""
    field = terms[0]["matchFields"][0]
    if (field.get("key"), field.get("operator")) != ("metadata.name", "In") or \
            len(field.get("values", [])) != 1:
        return ""
    return field["values"][0]


def _changed_drivers(new, stored):
    before = {device_key(entry): entry for entry in stored.get("status", {}).get("devices", [])}
    now = {device_key(entry): entry for entry in new.get("status", {}).get("devices", [])}
    return sorted({key[0] for key in before.keys() | now.keys() if before.get(key) != now.get(key)})


def status_errors(user, verb, new, stored):
    """Since 1.36 allocation and reservation are the scheduler's, and the entries of a driver in
    status.devices its own. What is missing is told as field errors, together with whatever else
    the write does wrong: an Invalid answer, no Forbidden one."""
    if user.rules is None:
        return []
    errors, status, before = [], new.get("status", {}), stored.get("status", {})
    if any(status.get(field) != before.get(field) for field in ("allocation", "reservedFor")) and \
            not user.may(verb, GROUP, "resourceclaims/binding"):
        errors.append(forbidden("status.allocation", "changing status.allocation or"
                                ' status.reservedFor requires resource="resourceclaims/binding",'
                                f' verb="{verb}" permission'))
    if not status.get("allocation"):
        return errors
    node = _allocated_node(new)
    verbs = [f"arbitrary-node:{verb}"]
    if node and user.on_node == node:
        verbs.insert(0, f"associated-node:{verb}")
    for driver in _changed_drivers(new, stored):
        if not any(user.may(one, GROUP, "resourceclaims/driver", driver) for one in verbs):
            errors.append(forbidden(
                "status.devices", 'changing status.devices requires resource="resourceclaims/driver'
                f'", verb="[{" ".join(verbs)}]" permission: resourceclaims.{GROUP} "{driver}" is'
                f' forbidden: User "{user.name}" cannot {verbs[0]} resource'
                f' "resourceclaims/driver" in API group "{GROUP}" in the namespace'
                f' "{new["metadata"]["namespace"]}"'))
    return errors


def own_slices_only(user, kind, *objects):
    """packaging/slice-policy.yaml: a driver on a node writes the slices of that node."""
    if kind.kind != "ResourceSlice" or user.rules is None or not user.on_node:
        return
    for obj in objects:
        node = obj.get("spec", {}).get("nodeName", "")
        if node != user.on_node:
            raise StatusError(422, f'resourceslices.{GROUP} "{obj["metadata"].get("name", "")}" is'
                              " forbidden: ValidatingAdmissionPolicy 'slices.dra.net' with binding"
                              f" 'slices.dra.net' denied request: a driver on node {user.on_node}"
                              f" may not write slices of node {node or '(none)'}", "Invalid")
