"""The kinds served, who may do what with them, and the conversions of older API versions."""

import copy
import dataclasses
import itertools
import os
import typing

import yaml

import apiserver_validate as validate

GROUP = "resource.k8s.io"


@dataclasses.dataclass(frozen=True, eq=True)
class Kind:
    """One served resource; hashed by its name so that it can key the store."""

    plural: str
    kind: str
    group: str
    namespaced: bool
    validate: typing.Any = dataclasses.field(compare=False, default=None)
    fields: tuple = dataclasses.field(compare=False, default=())
    counts_generation: bool = dataclasses.field(compare=False, default=False)
    has_status: bool = dataclasses.field(compare=False, default=False)

    @property
    def label(self):
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _loose(new, _old=None):
    return validate.metadata(new["metadata"], new["kind"] != "Node")


KINDS = {kind.plural: kind for kind in (
    Kind("resourceslices", "ResourceSlice", GROUP, False, validate.resource_slice,
         ("spec.nodeName", "spec.driver", "spec.pool.name"), True),
    Kind("resourceclaims", "ResourceClaim", GROUP, True, validate.resource_claim,
         has_status=True),
    Kind("resourceclaimtemplates", "ResourceClaimTemplate", GROUP, True,
         validate.resource_claim_template),
    Kind("deviceclasses", "DeviceClass", GROUP, False, validate.device_class,
         counts_generation=True),
    Kind("nodes", "Node", "", False, _loose),
    Kind("pods", "Pod", "", True, _loose, ("spec.nodeName",), has_status=True),
    Kind("events", "Event", "", True, validate.event,
         ("involvedObject.name", "involvedObject.uid", "reason")),
)}

MANIFEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "packaging",
                        "daemonset.yaml")


def _cluster_role(path):
    """The rules of a manifest's ClusterRole, as (verb, group, resource, name or "" for all)."""
    with open(path, encoding="utf-8") as file:
        role = next(item for item in yaml.safe_load_all(file) if item["kind"] == "ClusterRole")
    return frozenset(itertools.chain.from_iterable(
        itertools.product(rule["verbs"], rule["apiGroups"], rule["resources"],
                          rule.get("resourceNames", [""])) for rule in role["rules"]))


# What the driver may do is what its own manifest says, no more.
DRIVER_RULES = _cluster_role(MANIFEST)
# A user that is on no node, such as a kubeconfig's with a certificate, needs this besides.
ARBITRARY_NODE = frozenset({("arbitrary-node:patch", GROUP, "resourceclaims/driver", "dra.net")})
SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclasses.dataclass
class User:
    """An authenticated caller; rules None means everything is allowed."""

    name: str
    rules: typing.Any = None
    node: str = ""

    def may(self, verb, group, resource, name=""):
        return self.rules is None or (verb, group, resource, "") in self.rules or \
            (bool(name) and (verb, group, resource, name) in self.rules)

    @property
    def on_node(self):
        """The node its token is bound to; only tokens of service accounts say one."""
        return self.node if self.name.startswith(SERVICE_ACCOUNT) else ""


def _claim_specs(kind, obj):
    if kind.kind == "ResourceClaim":
        return [obj.get("spec", {})]
    if kind.kind == "ResourceClaimTemplate":
        return [obj.get("spec", {}).get("spec", {})]
    return []


def to_v1(kind, obj, version):
    """An object as received in `version`, in the form of v1."""
    if version != "v1beta1" or kind.group != GROUP:
        return obj
    obj = copy.deepcopy(obj)
    if kind.kind == "ResourceSlice":
        for device in (obj.get("spec") or {}).get("devices") or []:
            device.update(device.pop("basic", None) or {})
    for spec in _claim_specs(kind, obj):
        for request in (spec.get("devices") or {}).get("requests") or []:
            flat = {field: request.pop(field) for field in list(request)
                    if field not in ("name", "firstAvailable")}
            if flat:
                request["exactly"] = flat
    return obj


def from_v1(kind, obj, version):
    """A stored object in the form of `version`, with kind and apiVersion set."""
    obj = copy.deepcopy(obj)
    obj["kind"] = kind.kind
    obj["apiVersion"] = f"{kind.group}/{version}" if kind.group else version
    if version != "v1beta1" or kind.group != GROUP:
        return obj
    if kind.kind == "ResourceSlice":
        for device in obj["spec"].get("devices", []):
            basic = {field: device.pop(field) for field in list(device) if field != "name"}
            device["basic"] = basic
    for spec in _claim_specs(kind, obj):
        for request in spec.get("devices", {}).get("requests", []):
            request.update(request.pop("exactly", {}))
    return obj


def apply_defaults(kind, obj, stamp):
    """What the server fills in: request modes and counts, and when a taint was added."""
    for spec in _claim_specs(kind, obj):
        for request in spec.get("devices", {}).get("requests", []):
            holders = request.get("firstAvailable", []) + [request.get("exactly")]
            for holder in holders:
                if holder is not None:
                    holder.setdefault("allocationMode", "ExactCount")
                    if holder["allocationMode"] == "ExactCount":
                        holder.setdefault("count", 1)
    if kind.kind == "ResourceSlice":
        for device in obj.get("spec", {}).get("devices", []):
            for taint in device.get("taints", []):
                taint.setdefault("timeAdded", stamp)


def field_value(obj, path):
    for part in path.split("."):
        obj = obj.get(part, "") if isinstance(obj, dict) else ""
    return obj if isinstance(obj, str) else str(obj)
