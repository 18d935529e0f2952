"""What the self-tests share: servers, objects to create in them, and the manifests."""

import atexit
import os
import shutil
import tempfile

import yaml

from apiserver import APIServer

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = tempfile.mkdtemp(prefix="node-selftest-")
atexit.register(shutil.rmtree, WORK, True)
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
STARTED = []


def server(**options):
    api = APIServer(tempfile.mkdtemp(dir=WORK), seed=7, **options).start()
    STARTED.append(api)
    return api


def finish():
    for api in STARTED:
        api.stop()
    shutil.rmtree(WORK, True)


API = server()


def device(name="nic0", **attributes):
    found = {f"dra.net/{key}": {"bool" if isinstance(value, bool) else "int"
                                if isinstance(value, int) else "string": value}
             for key, value in {"ifName": name, **attributes}.items()}
    return {"name": name, "attributes": found}


def slice_of(devices, node="node-a", generation=1, count=1, **spec):
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
            "metadata": {"generateName": f"00000-dra.net-{node}-"},
            "spec": {"driver": "dra.net", "nodeName": node, "devices": devices,
                     "pool": {"name": node, "generation": generation,
                              "resourceSliceCount": count}, **spec}}


def manifests(name):
    with open(os.path.join(HERE, "manifests", name), encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def wipe(api=API):
    for claim in api.objects("resourceclaims"):
        claim["metadata"]["finalizers"] = []
        api.call("PUT", f"{CLAIMS}/{claim['metadata']['name']}", claim)
    for plural in ("resourceslices", "resourceclaims", "resourceclaimtemplates", "deviceclasses",
                   "pods", "events"):
        api.call("DELETE", api.path(plural))
    api.clear_faults()


def create(obj, api=API):
    plural = {"ResourceSlice": "resourceslices", "ResourceClaim": "resourceclaims", "Pod": "pods",
              "ResourceClaimTemplate": "resourceclaimtemplates", "Event": "events",
              "DeviceClass": "deviceclasses"}[obj["kind"]]
    space = obj["metadata"].get("namespace", "default")
    namespaced = obj["kind"] not in ("ResourceSlice", "DeviceClass")
    return api.call("POST", api.path(plural, space if namespaced else None), obj)
