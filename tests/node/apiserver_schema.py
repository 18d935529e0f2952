"""Field tables of the objects the stand-in API server keeps, and the decoder that goes by them.

The real server decodes into Go structs: a field it does not know is dropped with a Warning header
(fieldValidation=Warn, the default) or refused (Strict), a field of an alpha gate that is off is
dropped without a word, and a value of the wrong JSON type is a 400. A client that misspells a field
therefore sees its write accepted and its data gone, which is what this decoder reproduces.
"""

import re

# "name type" pairs; "!Gate" names the alpha feature gate of a field, dropped silently without it.
TABLE = """
ObjectMeta: name string; generateName string; namespace string; selfLink string; uid string;
  resourceVersion string; generation int; creationTimestamp time; deletionTimestamp time;
  deletionGracePeriodSeconds int; labels map[string]; annotations map[string];
  ownerReferences []OwnerReference; finalizers []string; managedFields []raw
OwnerReference: apiVersion string; kind string; name string; uid string; controller bool;
  blockOwnerDeletion bool
NodeSelector: nodeSelectorTerms []NodeSelectorTerm
NodeSelectorTerm: matchExpressions []NodeSelectorRequirement; matchFields []NodeSelectorRequirement
NodeSelectorRequirement: key string; operator string; values []string

ResourceSlice: apiVersion string; kind string; metadata ObjectMeta; spec ResourceSliceSpec
ResourceSliceSpec: driver string; pool ResourcePool; nodeName string; nodeSelector NodeSelector;
  allNodes bool; devices []Device; perDeviceNodeSelection bool; sharedCounters []CounterSet;
  partitionTypeAttribute string!DRAPartitionableDevicesType;
  skipNodeOperations []string!DRAOptionalNodeOperations
ResourcePool: name string; generation int; resourceSliceCount int
CounterSet: name string; counters map[Counter]
Counter: value quantity
Device: name string; attributes map[DeviceAttribute]; capacity map[DeviceCapacity];
  consumesCounters []DeviceCounterConsumption; nodeName string; nodeSelector NodeSelector;
  allNodes bool; taints []DeviceTaint; bindsToNode bool; bindingConditions []string;
  bindingFailureConditions []string; allowMultipleAllocations bool;
  nodeAllocatableResources raw!DRANodeAllocatableResources
DeviceAttribute: int int; bool bool; string string; version string;
  ints []int!DRAListTypeAttributes; bools []bool!DRAListTypeAttributes;
  strings []string!DRAListTypeAttributes; versions []string!DRAListTypeAttributes
DeviceCapacity: value quantity; requestPolicy raw
DeviceCounterConsumption: counterSet string; counters map[Counter]
DeviceTaint: key string; value string; effect string; timeAdded time

DeviceClass: apiVersion string; kind string; metadata ObjectMeta; spec DeviceClassSpec
DeviceClassSpec: selectors []DeviceSelector; config []DeviceClassConfiguration;
  extendedResourceName string
DeviceClassConfiguration: opaque OpaqueDeviceConfiguration
OpaqueDeviceConfiguration: driver string; parameters raw
DeviceSelector: cel CELDeviceSelector
CELDeviceSelector: expression string

ResourceClaim: apiVersion string; kind string; metadata ObjectMeta; spec ResourceClaimSpec;
  status ResourceClaimStatus
ResourceClaimSpec: devices DeviceClaim
DeviceClaim: requests []DeviceRequest; constraints []DeviceConstraint;
  config []DeviceClaimConfiguration
DeviceRequest: name string; exactly ExactDeviceRequest; firstAvailable []DeviceSubRequest
ExactDeviceRequest: deviceClassName string; selectors []DeviceSelector; allocationMode string;
  count int; adminAccess bool; tolerations []DeviceToleration; capacity raw
DeviceSubRequest: name string; deviceClassName string; selectors []DeviceSelector;
  allocationMode string; count int; tolerations []DeviceToleration; capacity raw
DeviceToleration: key string; operator string; value string; effect string; tolerationSeconds int
DeviceConstraint: requests []string; matchAttribute string; distinctAttribute string
DeviceClaimConfiguration: requests []string; opaque OpaqueDeviceConfiguration
ResourceClaimStatus: allocation AllocationResult; reservedFor []ResourceClaimConsumerReference;
  devices []AllocatedDeviceStatus
AllocationResult: devices DeviceAllocationResult; nodeSelector NodeSelector;
  allocationTimestamp time
DeviceAllocationResult: results []DeviceRequestAllocationResult;
  config []DeviceAllocationConfiguration
DeviceRequestAllocationResult: request string; driver string; pool string; device string;
  adminAccess bool; tolerations []DeviceToleration; bindingConditions []string;
  bindingFailureConditions []string; shareID string; consumedCapacity raw;
  skipNodeOperations []string!DRAOptionalNodeOperations
DeviceAllocationConfiguration: source string; requests []string; opaque OpaqueDeviceConfiguration
ResourceClaimConsumerReference: apiGroup string; resource string; name string; uid string
AllocatedDeviceStatus: driver string; pool string; device string; shareID string;
  conditions []Condition; data raw; networkData NetworkDeviceData
NetworkDeviceData: interfaceName string; ips []string; hardwareAddress string
Condition: type string; status string; observedGeneration int; lastTransitionTime time;
  reason string; message string

ResourceClaimTemplate: apiVersion string; kind string; metadata ObjectMeta;
  spec ResourceClaimTemplateSpec
ResourceClaimTemplateSpec: metadata ObjectMeta; spec ResourceClaimSpec

Event: apiVersion string; kind string; metadata ObjectMeta; involvedObject ObjectReference;
  reason string; message string; source EventSource; firstTimestamp time; lastTimestamp time;
  count int; type string; eventTime microtime; series EventSeries; action string;
  related ObjectReference; reportingComponent string; reportingInstance string
ObjectReference: kind string; namespace string; name string; uid string; apiVersion string;
  resourceVersion string; fieldPath string
EventSource: component string; host string
EventSeries: count int; lastObservedTime microtime

Node: apiVersion string; kind string; metadata ObjectMeta; spec raw; status raw
Pod: apiVersion string; kind string; metadata ObjectMeta; spec raw; status raw
"""

RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
QUANTITY = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?$")
SCALARS = {"string", "int", "bool", "time", "microtime", "quantity", "raw"}


class DecodeError(Exception):
    """The body has a value that does not fit its field's type."""


def _parse_table(text):
    types = {}
    joined = re.sub(r"\n +", " ", text)
    for line in joined.strip().splitlines():
        if not line.strip():
            continue
        name, fields = line.split(":", 1)
        types[name] = {}
        for pair in fields.split(";"):
            field, kind = pair.split()
            kind, _, gate = kind.partition("!")
            types[name][field] = (kind, gate)
    return types


TYPES = _parse_table(TABLE)


def _scalar(value, kind, path):
    wanted = {"int": int, "bool": bool}.get(kind, str)
    if kind == "quantity" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if wanted is int and isinstance(value, bool):
        raise DecodeError(f"json: cannot unmarshal bool into Go struct field {path} of type int64")
    if not isinstance(value, wanted):
        got = {bool: "bool", int: "number", float: "number", str: "string", list: "array",
               dict: "object"}.get(type(value), type(value).__name__)
        go_type = {"int": "int64", "bool": "bool"}.get(kind, "string")
        raise DecodeError(
            f"json: cannot unmarshal {got} into Go struct field {path} of type {go_type}")
    if kind == "int" and not -(1 << 63) <= value < (1 << 63):
        raise DecodeError(f"json: cannot unmarshal number {value} into Go struct field {path}"
                          " of type int64")
    if kind in ("time", "microtime") and not RFC3339.match(value):
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    if kind == "quantity" and not QUANTITY.match(value):
        raise DecodeError("quantities must match the regular expression"
                          " '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    return value


def decode(value, kind, path="", unknown=None, gates=()):
    """Return value as the server keeps it; names of unknown fields are appended to `unknown`."""
    if kind == "raw":
        return value
    if kind.startswith("[]"):
        if not isinstance(value, list):
            raise DecodeError(f"json: cannot unmarshal {type(value).__name__} into Go struct field"
                              f" {path} of type array")
        return [decode(item, kind[2:], f"{path}[{i}]", unknown, gates)
                for i, item in enumerate(value)]
    if kind.startswith("map["):
        if not isinstance(value, dict):
            raise DecodeError(f"json: cannot unmarshal {type(value).__name__} into Go struct field"
                              f" {path} of type map")
        # Go's encoder writes the keys of a map sorted.
        return {key: decode(item, kind[4:-1], f"{path}.{key}", unknown, gates)
                for key, item in sorted(value.items())}
    if kind in SCALARS:
        return _scalar(value, kind, path)
    if not isinstance(value, dict):
        raise DecodeError(f"json: cannot unmarshal {type(value).__name__} into Go struct field"
                          f" {path or kind} of type {kind}")
    kept = {}
    for field, item in value.items():
        here = f"{path}.{field}" if path else field
        if field not in TYPES[kind]:
            if unknown is not None:
                unknown.append(here)
            continue
        field_kind, gate = TYPES[kind][field]
        if (gate and gate not in gates) or item is None:
            continue
        kept[field] = decode(item, field_kind, here, unknown, gates)
    return kept


def undeclared(value, kind, path=""):
    """First reason why server-side apply could not type this value, or None.

    Apply does not drop: the typed conversion fails as a whole on a field the schema lacks."""
    if kind == "raw" or value is None:
        return None
    if kind.startswith("[]"):
        if not isinstance(value, list):
            return f"{path}: expected list, got {value!r}"
        for i, item in enumerate(value):
            if found := undeclared(item, kind[2:], f"{path}[{i}]"):
                return found
        return None
    if kind.startswith("map["):
        if not isinstance(value, dict):
            return f"{path}: expected map, got {value!r}"
        for key, item in value.items():
            if found := undeclared(item, kind[4:-1], f"{path}.{key}"):
                return found
        return None
    if kind in SCALARS:
        try:
            _scalar(value, kind, path)
        except DecodeError as error:
            return f"{path}: {error}"
        return None
    if not isinstance(value, dict):
        return f"{path}: expected map, got {value!r}"
    for field, item in value.items():
        if field not in TYPES[kind]:
            return f"{path}.{field}: field not declared in schema"
        if found := undeclared(item, TYPES[kind][field][0], f"{path}.{field}"):
            return found
    return None
