"""Scheduler and claim controller for one node: claims from templates, and devices for claims.

Only what is published in ResourceSlices is handed out, from complete pools at their highest
generation, in the order of slice names; devices of other claims' allocations are taken.
"""

import threading
import time

from allocator_cel import CELError, compile_expression, evaluate
from apiserver_store import StatusError, now

FINALIZER = "resource.kubernetes.io/delete-protection"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"


class Unschedulable(Exception):
    """The pod's claims cannot be satisfied from what is published now."""


class Device:
    """One published device with the identity an allocation names it by."""

    def __init__(self, driver, pool, spec):
        self.driver, self.pool, self.spec = driver, pool, spec
        self.name = spec["name"]
        self.key = (driver, pool, self.name)

    def attribute(self, qualified):
        """The typed value of a fully qualified attribute, or None."""
        domain, _, identifier = qualified.rpartition("/")
        attributes = self.spec.get("attributes", {})
        found = attributes.get(qualified)
        if found is None and domain == self.driver:
            found = attributes.get(identifier)
        return None if found is None else next(iter(found.items()))


def published(slices, node):
    """Devices of complete pools usable on this node, in the order the scheduler tries them."""
    pools = {}
    for item in sorted(slices, key=lambda item: item["metadata"]["name"]):
        spec = item["spec"]
        if spec.get("nodeName") == node or spec.get("allNodes"):
            pools.setdefault((spec["driver"], spec["pool"]["name"]), []).append(spec)
    devices = []
    for (driver, pool), specs in pools.items():
        generation = max(spec["pool"].get("generation", 0) for spec in specs)
        current = [spec for spec in specs if spec["pool"].get("generation", 0) == generation]
        if any(spec["pool"]["resourceSliceCount"] != len(current) for spec in current):
            continue
        found = [Device(driver, pool, device) for spec in current
                 for device in spec.get("devices", [])]
        if len({device.name for device in found}) == len(found):
            devices += found
    return devices


def tolerated(device, tolerations):
    """No taint of the device keeps a claim with these tolerations away."""
    for taint in device.spec.get("taints", []):
        if taint.get("effect") == "None":
            continue
        fits = any((not item.get("effect") or item["effect"] == taint.get("effect"))
                   and (item.get("operator") == "Exists" and item.get("key") in (None, "",
                                                                                 taint["key"])
                        or item.get("key") == taint["key"]
                        and item.get("value", "") == taint.get("value", ""))
                   for item in tolerations)
        if not fits:
            return False
    return True


class Allocator:
    """Works through the API server as the control plane does, with its own user."""

    def __init__(self, api, node):
        self.api, self.node = api, node
        self.lock = threading.Lock()  # one pod at a time, as the scheduler does

    # ---- claims of a pod --------------------------------------------------------------------

    def create_pod(self, manifest):
        """Create the pod, and a claim for each template it names; returns the pod object."""
        meta = manifest["metadata"]
        space = meta.setdefault("namespace", "default")
        pod = self.api.call("POST", self.api.path("pods", space), manifest)
        statuses = []
        for entry in pod["spec"].get("resourceClaims", []):
            if "resourceClaimTemplateName" in entry:
                name = self._from_template(pod, entry)["metadata"]["name"]
                statuses.append({"name": entry["name"], "resourceClaimName": name})
        pod["spec"]["nodeName"] = self.node
        pod = self.api.call("PUT", self.api.path("pods", space, pod["metadata"]["name"]), pod)
        pod["status"] = {"phase": "Pending", "resourceClaimStatuses": statuses}
        return self.api.call("PUT", self.api.path("pods", space, pod["metadata"]["name"],
                                                  "status"), pod)

    def _from_template(self, pod, entry):
        space = pod["metadata"]["namespace"]
        template = self.api.call("GET", self.api.path("resourceclaimtemplates", space,
                                                      entry["resourceClaimTemplateName"]))
        inner = template["spec"].get("metadata", {})
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"],
                 "uid": pod["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}
        claim = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                 "metadata": {"generateName": f"{pod['metadata']['name']}-{entry['name']}-",
                              "labels": inner.get("labels", {}),
                              "annotations": {**inner.get("annotations", {}),
                                              POD_CLAIM: entry["name"]},
                              "ownerReferences": [owner]},
                 "spec": template["spec"]["spec"]}
        return self.api.call("POST", self.api.path("resourceclaims", space), claim)

    @staticmethod
    def claim_names(pod):
        """Claim object name by the pod's own name for it."""
        made = {item["name"]: item["resourceClaimName"] for item in
                pod.get("status", {}).get("resourceClaimStatuses", [])}
        return {entry["name"]: entry.get("resourceClaimName") or made.get(entry["name"])
                for entry in pod["spec"].get("resourceClaims", [])}

    def schedule(self, pod):
        """Allocate and reserve every claim of the pod, or raise Unschedulable."""
        space = pod["metadata"]["namespace"]
        with self.lock:
            for name in self.claim_names(pod).values():
                self._retry(lambda name=name: self._reserve(space, name, pod))

    @staticmethod
    def _retry(work, attempts=10):
        """Do it again when somebody else wrote in between, as controllers do."""
        for attempt in range(attempts):
            try:
                return work()
            except StatusError as error:
                if error.code != 409 or attempt == attempts - 1:
                    raise
                time.sleep(0.005)
        return None

    def _reserve(self, space, name, pod):
        claim = self.api.call("GET", self.api.path("resourceclaims", space, name))
        status = claim.setdefault("status", {})
        if "allocation" not in status:
            allocation = self.allocate(claim)
            if FINALIZER not in claim["metadata"].get("finalizers", []):
                claim["metadata"].setdefault("finalizers", []).append(FINALIZER)
                stored = self.api.call("PUT", self.api.path("resourceclaims", space, name), claim)
                claim["metadata"] = stored["metadata"]
            status["allocation"] = allocation
        consumer = {"resource": "pods", "name": pod["metadata"]["name"],
                    "uid": pod["metadata"]["uid"]}
        if consumer not in status.get("reservedFor", []):
            status.setdefault("reservedFor", []).append(consumer)
        return self.api.call("PUT", self.api.path("resourceclaims", space, name, "status"), claim)

    def release(self, pod):
        """The pod is gone: unreserve, deallocate, and delete what came from templates."""
        space, names = pod["metadata"]["namespace"], self.claim_names(pod)
        made = {entry["name"] for entry in pod["spec"].get("resourceClaims", [])
                if "resourceClaimTemplateName" in entry}
        for own_name, name in names.items():
            try:
                self._retry(lambda name=name: self._unreserve(space, name, pod))
                if own_name in made:
                    self.api.call("DELETE", self.api.path("resourceclaims", space, name))
            except StatusError as error:
                if error.code != 404:
                    raise

    def _unreserve(self, space, name, pod):
        claim = self.api.call("GET", self.api.path("resourceclaims", space, name))
        status = claim.setdefault("status", {})
        left = [item for item in status.get("reservedFor", [])
                if item["uid"] != pod["metadata"]["uid"]]
        status["reservedFor"] = left
        if not left:
            status.pop("reservedFor")
            status.pop("allocation", None)
        stored = self.api.call("PUT", self.api.path("resourceclaims", space, name, "status"), claim)
        if not left and FINALIZER in stored["metadata"].get("finalizers", []):
            stored["metadata"]["finalizers"].remove(FINALIZER)
            self.api.call("PUT", self.api.path("resourceclaims", space, name), stored)

    # ---- allocation -------------------------------------------------------------------------

    def _in_use(self):
        used = set()
        for claim in self.api.objects("resourceclaims"):
            allocation = claim.get("status", {}).get("allocation") or {}
            for item in allocation.get("devices", {}).get("results", []):
                if not item.get("adminAccess"):
                    used.add((item["driver"], item["pool"], item["device"]))
        return used

    def _class(self, name):
        try:
            return self.api.call("GET", self.api.path("deviceclasses", None, name))
        except StatusError as error:
            raise Unschedulable(f"device class {name}: {error}") from None

    @staticmethod
    def _matches(device, selectors):
        for selector in selectors:
            try:
                tree = compile_expression(selector["cel"]["expression"])
                if not evaluate(tree, device.driver, device.spec):
                    return False
            except CELError:
                return False
        return True

    def _choices(self, devices, request, device_class):
        selectors = device_class["spec"].get("selectors", []) + request.get("selectors", [])
        return [device for device in devices if self._matches(device, selectors)
                and tolerated(device, request.get("tolerations", []))]

    def allocate(self, claim):
        """status.allocation for the claim, or Unschedulable."""
        spec = claim["spec"].get("devices", {})
        devices = published(self.api.objects("resourceslices"), self.node)
        alternatives = []
        for request in spec.get("requests", []):
            if "exactly" in request:
                alternatives.append([(request["name"], request["exactly"])])
            else:
                alternatives.append([(f"{request['name']}/{sub['name']}", sub)
                                     for sub in request.get("firstAvailable", [])])
        chosen = self._search(alternatives, devices, self._in_use(), spec.get("constraints", []),
                              [])
        if chosen is None:
            raise Unschedulable(f"cannot allocate all claims: {claim['metadata']['name']}"
                                f" ({len(devices)} devices published)")
        results, config = [], []
        for name, request, found in chosen:
            for device in found:
                result = {"request": name, "driver": device.driver, "pool": device.pool,
                          "device": device.name}
                if request.get("adminAccess"):
                    result["adminAccess"] = True
                if request.get("tolerations"):
                    result["tolerations"] = request["tolerations"]
                results.append(result)
            for entry in self._class(request["deviceClassName"])["spec"].get("config", []):
                config.append({"source": "FromClass", "requests": [name], **entry})
        names = {name for name, _, _ in chosen} | {name.split("/")[0] for name, _, _ in chosen}
        for entry in spec.get("config", []):
            if not entry.get("requests") or names & set(entry["requests"]):
                config.append({"source": "FromClaim", **entry})
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In",
                                   "values": [self.node]}]}]
        allocation = {"devices": {"results": results},
                      "nodeSelector": {"nodeSelectorTerms": terms}, "allocationTimestamp": now()}
        if config:
            allocation["devices"]["config"] = config
        return allocation

    def _search(self, alternatives, devices, used, constraints, chosen):
        """`chosen` extended by (request name, request, devices) for the rest; None if none fits."""
        if not alternatives:
            return chosen
        for name, request in alternatives[0]:
            choices = self._choices(devices, request, self._class(request["deviceClassName"]))
            admin = bool(request.get("adminAccess"))
            free = choices if admin else [device for device in choices if device.key not in used]
            if request.get("allocationMode") == "All":
                sets = [choices] if choices and len(free) == len(choices) else []
            else:
                sets = _combinations(free, request.get("count", 1))
            for found in sets:
                longer = chosen + [(name, request, found)]
                if not _agree(longer, constraints):
                    continue
                taken = used if admin else used | {device.key for device in found}
                complete = self._search(alternatives[1:], devices, taken, constraints, longer)
                if complete is not None:
                    return complete
        return None


def _combinations(devices, count, start=0):
    if count == 0:
        yield []
        return
    for i in range(start, len(devices)):
        for rest in _combinations(devices, count - 1, i + 1):
            yield [devices[i]] + rest


def _agree(chosen, constraints):
    """Whether the devices chosen so far keep to every constraint."""
    for constraint in constraints:
        wanted, values = constraint.get("requests", []), []
        distinct = constraint.get("distinctAttribute")
        for name, _, found in chosen:
            if wanted and name not in wanted and name.split("/")[0] not in wanted:
                continue
            for device in found:
                value = device.attribute(distinct or constraint["matchAttribute"])
                if value is None or (distinct and value in values) or \
                        (not distinct and values and value != values[0]):
                    return False
                values.append(value)
    return True
