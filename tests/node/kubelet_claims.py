"""The kubelet's DRA manager: which claims are prepared, and the calls to their drivers.

Error texts are those a user finds in the pod's events.
"""

import threading

import grpc

from apiserver_store import StatusError
from kubelet_plugins import KubeletError
from kubelet_rpc import go_error


class ClaimInfo:
    """What is remembered of one claim while pods of this node use it."""

    def __init__(self, claim):
        meta = claim["metadata"]
        self.namespace, self.name, self.uid = meta["namespace"], meta["name"], meta["uid"]
        results = claim["status"]["allocation"]["devices"]["results"]
        self.drivers = list(dict.fromkeys(item["driver"] for item in results))
        self.pods, self.prepared, self.devices = set(), False, []

    @property
    def triple(self):
        return (self.namespace, self.name, self.uid)

    def cdi_devices(self, request=None):
        """CDI ids for a container, all or those of one request: one for each device, so that the
        runtime may be handed the same id many times."""
        return [name for device in self.devices
                if not request or not device["requests"] or request in device["requests"]
                for name in device["cdi"]]


class ClaimManager:
    """Prepare and Unprepare for pods; one RPC for each driver with all of a pod's claims."""

    def __init__(self, api, plugins, call_seconds=45):
        self.api, self.plugins, self.call_seconds = api, plugins, call_seconds
        self.lock, self.infos = threading.RLock(), {}

    def _fetch(self, pod, own_name, name):
        space, meta = pod["metadata"]["namespace"], pod["metadata"]
        try:
            claim = self.api.claim(space, name)
        except StatusError as error:
            raise KubeletError(f"fetch ResourceClaim {name}: {error}") from None
        made = any(entry["name"] == own_name and "resourceClaimTemplateName" in entry
                   for entry in pod["spec"].get("resourceClaims", []))
        owners = [owner["uid"] for owner in claim["metadata"].get("ownerReferences", [])
                  if owner.get("controller")]
        if made and meta["uid"] not in owners:
            raise KubeletError(f"ResourceClaim {space}/{name} was not created for pod"
                               f" {space}/{meta['name']} (pod is not owner)")
        reserved = [item["uid"] for item in claim.get("status", {}).get("reservedFor", [])]
        if meta["uid"] not in reserved:
            raise KubeletError(f"pod {meta['name']} ({meta['uid']}) is not allowed to use"
                               f" ResourceClaim {name} ({claim['metadata']['uid']})")
        if "allocation" not in claim.get("status", {}):
            raise KubeletError(f"ResourceClaim {name}: not allocated")
        return claim

    def prepare(self, pod, names):
        """Prepare what is not yet; raises KubeletError in the words of the event."""
        try:
            self._prepare(pod, names)
        except KubeletError as error:
            raise KubeletError(f"prepare dynamic resources: {error}") from None

    def _prepare(self, pod, names):
        claims = [self._fetch(pod, own, name) for own, name in names.items()]
        drivers = {}
        for claim in claims:
            for driver in ClaimInfo(claim).drivers:
                drivers[driver] = self.plugins.get(driver)
        batches, waiting = {}, {}
        with self.lock:
            for claim in claims:
                meta = claim["metadata"]
                info = self.infos.setdefault((meta["namespace"], meta["name"]), ClaimInfo(claim))
                if info.uid != meta["uid"]:
                    raise KubeletError(f"old ResourceClaim with same name {meta['name']} and"
                                       f" different UID {info.uid} still exists (previous pod"
                                       " force-deleted?!)")
                info.pods.add(pod["metadata"]["uid"])
                if info.prepared:
                    continue
                waiting[info.uid] = info
                for driver in info.drivers:
                    batches.setdefault(driver, []).append(info)
        for driver, infos in batches.items():
            self._call(drivers[driver], infos)
        for info in waiting.values():
            info.prepared = True

    def _checked(self, method, infos, answer):
        known = {info.uid: info for info in infos}
        for uid, result in answer.claims.items():
            if uid not in known:
                raise KubeletError(f"{method} returned result for unknown claim UID {uid}")
            if result.error:
                raise KubeletError(f"{method} failed for ResourceClaim {known[uid].name}:"
                                   f" {result.error}")
        missing = len(infos) - len(answer.claims)
        if missing:
            raise KubeletError(f"{method} skipped {missing} ResourceClaims")
        return known

    def _call(self, plugin, infos):
        try:
            answer = plugin.client.prepare([info.triple for info in infos], self.call_seconds)
        except grpc.RpcError as error:
            raise KubeletError(f"NodePrepareResources: {go_error(error)}") from None
        except ValueError as error:  # de-registered since it was chosen, and its channel closed
            raise KubeletError(f"NodePrepareResources: {error}") from None
        known = self._checked("NodePrepareResources", infos, answer)
        for uid, result in answer.claims.items():
            info = known[uid]
            info.devices = [device for device in info.devices if device["driver"] != plugin.name]
            info.devices += [{"driver": plugin.name, "pool": device.pool_name,
                              "device": device.device_name,
                              "requests": list(device.request_names),
                              "cdi": list(device.cdi_device_ids)} for device in result.devices]

    def cdi_devices(self, pod, names, container):
        """The CDI ids of the claims a container lists in resources.claims."""
        found = []
        for entry in container.get("resources", {}).get("claims", []):
            info = self.infos.get((pod["metadata"]["namespace"], names[entry["name"]]))
            if info is None:
                raise KubeletError("internal error: unable to get claim info for ResourceClaim"
                                   f" {names[entry['name']]}")
            found += info.cdi_devices(entry.get("request"))
        return found

    def unprepare(self, pod, names):
        try:
            self._unprepare(pod, names)
        except KubeletError as error:
            raise KubeletError(f"unprepare dynamic resources: {error}") from None

    def _unprepare(self, pod, names):
        uid, space = pod["metadata"]["uid"], pod["metadata"]["namespace"]
        batches, done = {}, []
        with self.lock:
            for name in names.values():
                info = self.infos.get((space, name))
                if info is None:
                    continue
                if info.pods - {uid}:
                    info.pods.discard(uid)
                    continue
                done.append((space, name))
                for driver in info.drivers:
                    batches.setdefault(driver, []).append(info)
        for driver, infos in batches.items():
            plugin = self.plugins.get(driver)
            try:
                answer = plugin.client.unprepare([info.triple for info in infos],
                                                 self.call_seconds)
            except grpc.RpcError as error:
                raise KubeletError(f"NodeUnprepareResources: {go_error(error)}") from None
            except ValueError as error:
                raise KubeletError(f"NodeUnprepareResources: {error}") from None
            self._checked("NodeUnprepareResources", infos, answer)
        with self.lock:
            for key in done:
                self.infos.pop(key, None)

    def restarted(self):
        """A new kubelet process has the claims from its checkpoint, but none of them prepared."""
        with self.lock:
            for info in self.infos.values():
                info.prepared = False
