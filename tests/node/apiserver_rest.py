"""The REST verbs over the store: what each request means, and every refusal."""

import base64
import copy
import dataclasses
import json
import random
import typing

import yaml

import apiserver_apply
import apiserver_forms
import apiserver_rights
import apiserver_validate
import apiserver_watch
from apiserver_faults import Disconnect, Faults, Journal
from apiserver_kinds import GROUP, KINDS, apply_defaults, field_value, from_v1, to_v1
from apiserver_schema import DecodeError, decode
from apiserver_store import Plain404, StatusError, Store, now

BODY_LIMIT = 3 * 1024 * 1024


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict
    body: bytes
    user: typing.Any
    proto: str = "direct"

    def flag(self, name):
        return self.query.get(name, "") in ("1", "true", "True")


@dataclasses.dataclass
class Response:
    """An answer: `body` bytes, or `stream` an async iterator of watch lines."""

    code: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list = dataclasses.field(default_factory=list)
    stream: typing.Any = None


@dataclasses.dataclass
class Target:
    """What a path names: a kind, and within it a namespace, an object and a subresource."""

    kind: typing.Any
    version: str
    namespace: str = ""
    name: str = ""
    sub: str = ""

    @property
    def resource(self):
        return self.kind.plural + (f"/{self.sub}" if self.sub else "")


@dataclasses.dataclass
class Settings:
    """How the server behaves; a test changes these while it runs."""

    versions: tuple = ("v1",)
    json_404: bool = False
    watch_list: bool = True
    bookmark_seconds: float = 60.0
    watch_life: typing.Any = None
    split_watch: bool = False
    gone_style: str = "event"
    granular_status: bool = True
    managed_fields: bool = True
    gates: tuple = ()
    git_version: str = "v1.37.1"


class Rest:
    """Handlers; all of them run in the server's event loop, so the store needs no lock."""

    def __init__(self, settings, seed=None, history=1000):
        self.settings, self.store = settings, Store(history, seed)
        self.faults, self.journal = Faults(), Journal()
        self.ownership = {}
        self.random = random.Random(seed)

    # ---- dispatch ---------------------------------------------------------------------------

    def target(self, request):
        parts = [part for part in request.path.split("/") if part]
        if parts[:2] == ["api", "v1"]:
            group, version, rest = "", "v1", parts[2:]
        elif len(parts) > 2 and parts[0] == "apis" and parts[1] == GROUP:
            group, version, rest = GROUP, parts[2], parts[3:]
            # The test's own calls speak v1 whatever versions the clients are offered.
            if version not in self.settings.versions and request.proto != "direct":
                raise Plain404()
        else:
            raise Plain404()
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        if not rest or len(rest) > 3 or rest[0] not in KINDS or KINDS[rest[0]].group != group:
            raise Plain404()
        kind = KINDS[rest[0]]
        name, sub = (rest + ["", ""])[1:3]
        if (sub and not (sub == "status" and kind.has_status)) or \
                (namespace and not kind.namespaced) or \
                (name and kind.namespaced and not namespace):
            raise Plain404()
        return Target(kind, version, namespace, name, sub)

    @staticmethod
    def verb(request, target):
        if request.method in ("GET", "HEAD"):
            if target.name:
                return "get"
            return "watch" if request.flag("watch") else "list"
        if request.method == "DELETE":
            return "delete" if target.name else "deletecollection"
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method)
        if verb is None or (verb == "create") == bool(target.name):
            raise StatusError(405, "the server does not allow this method on the requested"
                              " resource")
        return verb

    async def handle(self, request):
        """Answer one request; Disconnect when the connection is to be cut instead."""
        verb, resource, name, code = request.method.lower(), request.path, "", 0
        try:
            if request.user is None:
                raise StatusError(401, "Unauthorized")
            found = self.discovery(request)
            if found is not None:
                verb, code = "discover", found.code
                return found
            target = self.target(request)
            verb, resource, name = self.verb(request, target), target.resource, target.name
            self.authorize(request.user, verb, target)
            drop_after = await self.faults.before(verb, resource, request.user.name)
            self.acceptable(request)
            response = getattr(self, "do_" + verb)(request, target)
            code = response.code
            if drop_after:
                raise Disconnect()
            return response
        except StatusError as error:
            code = error.code
            headers = [] if error.retry_after is None else [("Retry-After", str(error.retry_after))]
            return Response(code, json.dumps(error.body()).encode() + b"\n", headers=headers)
        except Plain404:
            code = 404
            if self.settings.json_404:
                error = StatusError(404, "the server could not find the requested resource")
                return Response(404, json.dumps(error.body()).encode())
            return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
        except Disconnect:
            code = -1
            raise
        finally:
            user = request.user.name if request.user else ""
            self.journal.add(user, verb, resource, name, code, request.proto)

    def discovery(self, request):
        path = request.path.rstrip("/")
        versions = [{"groupVersion": f"{GROUP}/{version}", "version": version}
                    for version in self.settings.versions]
        group = {"name": GROUP, "versions": versions, "preferredVersion": versions[0]} \
            if versions else None
        if path in ("/healthz", "/readyz", "/livez"):
            return Response(200, b"ok", "text/plain; charset=utf-8")
        if path == "/version":
            return self.json(200, {"major": "1", "minor": self.settings.git_version.split(".")[1],
                                   "gitVersion": self.settings.git_version})
        if path == "/api":
            return self.json(200, {"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            return self.json(200, {"kind": "APIGroupList", "apiVersion": "v1",
                                   "groups": [group] if group else []})
        if path == f"/apis/{GROUP}" and group:
            return self.json(200, {"kind": "APIGroup", "apiVersion": "v1", **group})
        for prefix, wanted, version in [("/api/v1", "", "v1")] + [
                (f"/apis/{GROUP}/{version}", GROUP, version)
                for version in self.settings.versions]:
            if path == prefix:
                resources = []
                for kind in KINDS.values():
                    if kind.group == wanted:
                        entry = {"name": kind.plural, "singularName": kind.kind.lower(),
                                 "namespaced": kind.namespaced, "kind": kind.kind,
                                 "verbs": ["create", "delete", "deletecollection", "get", "list",
                                           "patch", "update", "watch"]}
                        resources.append(entry)
                        if kind.has_status:
                            resources.append({**entry, "name": kind.plural + "/status",
                                              "verbs": ["get", "patch", "update"]})
                return self.json(200, {"kind": "APIResourceList", "apiVersion": "v1",
                                       "groupVersion": f"{wanted}/{version}".lstrip("/"),
                                       "resources": resources})
        return None

    @staticmethod
    def authorize(user, verb, target):
        if not user.may(verb, target.kind.group, target.resource, target.name):
            scope = f'in the namespace "{target.namespace}"' if target.namespace else \
                "at the cluster scope"
            named = f' "{target.name}"' if target.name else ""
            raise StatusError(403, f'{target.kind.label}{named} is forbidden: User "{user.name}"'
                              f' cannot {verb} resource "{target.resource}" in API group'
                              f' "{target.kind.group}" {scope}')

    @staticmethod
    def acceptable(request):
        accept = request.headers.get("accept", "*/*")
        if not any(kind.split(";")[0].strip() in ("application/json", "application/*", "*/*", "")
                   for kind in accept.split(",")):
            raise StatusError(406, "only the following media types are accepted: application/json,"
                              " application/yaml, application/vnd.kubernetes.protobuf")

    # ---- bodies -----------------------------------------------------------------------------

    @staticmethod
    def json(code, obj, headers=()):
        return Response(code, json.dumps(obj).encode() + b"\n", headers=list(headers))

    @staticmethod
    def parse(request, loose=False):
        if len(request.body) > BODY_LIMIT:
            raise StatusError(413, f"Request entity too large: limit is {BODY_LIMIT}")
        try:
            return yaml.safe_load(request.body) if loose else json.loads(request.body)
        except (ValueError, yaml.YAMLError) as error:
            raise StatusError(400, f"error decoding body: {error}") from None

    def read_object(self, request, target):
        """The object in the body in v1 form, with the warnings its unknown fields earn."""
        content = request.headers.get("content-type", "application/json").split(";")[0].strip()
        if content not in ("application/json", "application/yaml"):
            raise StatusError(415, "the body of the request was in an unknown format - accepted"
                              " media types include: application/json, application/yaml")
        body = self.parse(request, content == "application/yaml")
        kind = target.kind
        wanted = f"{kind.group}/{target.version}" if kind.group else target.version
        if not isinstance(body, dict):
            raise StatusError(400, "couldn't get version/kind; json parse error")
        if (body.get("kind", kind.kind), body.get("apiVersion", wanted)) != (kind.kind, wanted):
            raise StatusError(400, f"the API version in the data ({body.get('apiVersion')},"
                              f" {body.get('kind')}) does not match the expected API version"
                              f" ({wanted}, {kind.kind})")
        unknown = []
        try:
            obj = decode(to_v1(kind, body, target.version), kind.kind, "", unknown,
                         self.settings.gates)
        except (DecodeError, AttributeError, TypeError) as error:
            raise StatusError(400, f'{kind.kind} in version "{target.version}" cannot be handled as'
                              f" a {kind.kind}: {error}") from None
        warnings = [("Warning", f'299 - "unknown field \\"{field}\\""') for field in unknown]
        mode = request.query.get("fieldValidation", "Warn")
        if unknown and mode == "Strict":
            listed = ", ".join(f'unknown field "{field}"' for field in unknown)
            raise StatusError(400, f'{kind.kind} in version "{target.version}" cannot be handled as'
                              f" a {kind.kind}: strict decoding error: {listed}")
        meta = obj.setdefault("metadata", {})
        if kind.namespaced:
            if meta.setdefault("namespace", target.namespace) != target.namespace:
                raise StatusError(400, "the namespace of the provided object does not match the"
                                  " namespace sent on the request")
        if target.name and meta.setdefault("name", target.name) != target.name:
            raise StatusError(400, f"the name of the object ({meta['name']}) does not match the"
                              f" name on the URL ({target.name})")
        obj.setdefault("kind", kind.kind)
        apply_defaults(kind, obj, now())
        return obj, warnings if mode == "Warn" else []

    @staticmethod
    def check(kind, obj, errors):
        if errors:
            texts = [f"{path}: {detail}" for path, _, detail in errors]
            text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
            name = obj["metadata"].get("name", "")
            label = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
            raise StatusError(422, f'{label} "{name}" is invalid: {text}', causes=[
                {"reason": reason, "message": detail, "field": path}
                for path, reason, detail in errors],
                details={"name": name, "group": kind.group, "kind": kind.kind})

    def present(self, target, obj):
        """A stored object as it is sent: version, kind and the managers of its status."""
        shown = from_v1(target.kind, obj, target.version)
        owners = self.ownership.get(obj["metadata"]["uid"])
        if owners and owners.managers and self.settings.managed_fields:
            shown["metadata"]["managedFields"] = owners.managed_fields(shown["apiVersion"])
        return shown

    # ---- writes -----------------------------------------------------------------------------

    def do_create(self, request, target):
        obj, warnings = self.read_object(request, target)
        if target.kind.has_status and target.kind.kind == "ResourceClaim":
            obj.pop("status", None)
        self.store.prepare_name(target.kind, obj["metadata"])
        self.check(target.kind, obj, target.kind.validate(obj))
        apiserver_rights.own_slices_only(request.user, target.kind, obj)
        if request.flag("dryRun") or request.query.get("dryRun") == "All":
            return self.json(201, self.present(target, obj), warnings)
        created = self.store.create(target.kind, obj)
        return self.json(201, self.present(target, created), warnings)

    def current(self, target, meta, patch=False):
        """The stored object a write is for, after its uid and resourceVersion were compared. Of a
        patch the uid is no precondition, but a change of a field that cannot change."""
        stored = self.store.get(target.kind, target.namespace, target.name)
        label, name = target.kind.label, target.name
        if meta.get("uid") and meta["uid"] != stored["metadata"]["uid"] and not patch:
            raise StatusError(409, f'Operation cannot be fulfilled on {label} "{name}":'
                              f" Precondition failed: UID in precondition: {meta['uid']}, UID in object"
                              f" meta: {stored['metadata']['uid']}", details={"name": name})
        version = meta.get("resourceVersion")
        if version and version != stored["metadata"]["resourceVersion"]:
            raise StatusError(409, f'Operation cannot be fulfilled on {label} "{name}": the object'
                              " has been modified; please apply your changes to the latest version"
                              " and try again", details={"name": name, "kind": target.kind.plural})
        return stored

    def do_update(self, request, target):
        obj, warnings = self.read_object(request, target)
        stored = self.current(target, obj["metadata"])
        return self.json(200, self.present(target, self.replace(request, target, obj, stored)),
                         warnings)

    def status_errors(self, request, target, new, stored):
        errors = apiserver_rights.status_errors(request.user, self.verb(request, target), new,
                                                stored) if self.settings.granular_status else []
        return errors + apiserver_validate.claim_status(new, stored)

    def replace(self, request, target, obj, stored, errors=()):
        """Store obj in place of stored, through the main resource or its status; `errors` were
        found before."""
        errors = list(errors)
        kind = target.kind
        if target.sub == "status":
            new = copy.deepcopy(stored)
            new["status"] = obj.get("status", {})
            if kind.kind == "ResourceClaim":
                self.drop_deallocated(new, stored)
                self.check(kind, new, errors + self.status_errors(request, target, new, stored))
        else:
            new = obj
            for field in ("uid", "creationTimestamp", "deletionTimestamp",
                          "deletionGracePeriodSeconds", "generation"):
                new["metadata"].pop(field, None)
                if field in stored["metadata"]:
                    new["metadata"][field] = stored["metadata"][field]
            if kind.has_status and "status" in stored:
                new["status"] = stored["status"]
            elif kind.has_status:
                new.pop("status", None)
            apiserver_rights.own_slices_only(request.user, kind, stored, new)
            self.check(kind, new, errors + kind.validate(new, stored))
        new["metadata"].pop("managedFields", None)
        updated = self.store.update(kind, new, kind.counts_generation)
        if kind.kind == "ResourceClaim":
            owners = self.ownership.get(new["metadata"]["uid"])
            if owners:
                owners.forget([apiserver_validate.device_key(entry) for entry in
                               updated.get("status", {}).get("devices", [])])
        return updated

    @staticmethod
    def drop_deallocated(new, stored):
        """Status entries of devices that this write takes out of the allocation go with them."""
        def allocated(claim):
            results = (claim.get("status", {}).get("allocation") or {}).get("devices", {})
            return {apiserver_validate.device_key(item) for item in results.get("results", [])}
        gone = allocated(stored) - allocated(new)
        devices = [entry for entry in new["status"].get("devices", [])
                   if apiserver_validate.device_key(entry) not in gone]
        new["status"].pop("devices", None)
        if devices:
            new["status"]["devices"] = devices

    def do_patch(self, request, target):
        content = request.headers.get("content-type", "").split(";")[0].strip()
        if content == "application/apply-patch+yaml":
            return self.apply(request, target)
        if content not in ("application/merge-patch+json",
                           "application/strategic-merge-patch+json"):
            raise StatusError(415, "the body of the request was in an unknown format - accepted"
                              " media types include: application/json-patch+json,"
                              " application/merge-patch+json, application/apply-patch+yaml")
        patch = self.parse(request)
        stored = self.current(target, patch.get("metadata") or {}, patch=True)
        merged = _merge(from_v1(target.kind, stored, target.version), patch)
        inner = dataclasses.replace(request, body=json.dumps(merged).encode(),
                                    headers={"content-type": "application/json"})
        obj, warnings = self.read_object(inner, target)
        errors = apiserver_forms.same_object(patch.get("metadata") or {}, stored["metadata"])
        return self.json(200, self.present(target, self.replace(request, target, obj, stored,
                                                                errors)), warnings)

    def apply(self, request, target):
        manager = request.query.get("fieldManager", "")
        if not manager:
            raise StatusError(422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager:"
                              " Required value: is required for apply patch", causes=[
                                  {"reason": "FieldValueRequired", "field": "fieldManager",
                                   "message": "Required value: is required for apply patch"}])
        if len(manager) > 128:
            raise StatusError(422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too"
                              " long")
        if target.kind.kind != "ResourceClaim" or target.sub != "status":
            raise StatusError(415, "the stand-in applies to resourceclaims/status only")
        body = self.parse(request, loose=True)
        apiserver_apply.check_patch(body, target.namespace, target.name,
                                    f"{GROUP}/{target.version}")
        stored = self.current(target, body.get("metadata") or {}, patch=True)
        uid = stored["metadata"]["uid"]
        owners = self.ownership.get(uid) or apiserver_apply.Ownership()
        new, after = apiserver_apply.apply_status(stored, body, manager, request.flag("force"),
                                                  owners)
        try:
            new["status"] = decode(new["status"], "ResourceClaimStatus", "status",
                                   gates=self.settings.gates)
        except DecodeError as error:
            raise StatusError(400, str(error)) from None
        errors = apiserver_forms.same_object(body.get("metadata") or {}, stored["metadata"])
        self.check(target.kind, new, errors + self.status_errors(request, target, new, stored))
        updated = self.store.update(target.kind, new)
        self.ownership[uid] = after
        return self.json(200, self.present(target, updated))

    def do_delete(self, request, target):
        options = self.parse(request) if request.body.strip() else {}
        apiserver_rights.own_slices_only(request.user, target.kind, self.store.get(
            target.kind, target.namespace, target.name))
        obj, removed = self.store.delete(target.kind, target.namespace, target.name,
                                         (options or {}).get("preconditions"))
        if not removed:
            return self.json(200, self.present(target, obj))
        self.ownership.pop(obj["metadata"]["uid"], None)
        return self.json(200, {"kind": "Status", "apiVersion": "v1", "metadata": {},
                               "status": "Success",
                               "details": {"name": target.name, "group": target.kind.group,
                                           "kind": target.kind.plural,
                                           "uid": obj["metadata"]["uid"]}})

    def do_deletecollection(self, request, target):
        matches = self.selector(request, target.kind)
        gone = self.store.list(target.kind, target.namespace or None, matches)
        for obj in gone:
            self.store.delete(target.kind, obj["metadata"].get("namespace", ""),
                              obj["metadata"]["name"])
        return self.json(200, self.as_list(target, gone))

    # ---- reads ------------------------------------------------------------------------------

    @staticmethod
    def selector(request, kind):
        tests = []
        for part in filter(None, request.query.get("fieldSelector", "").split(",")):
            negative = "!=" in part
            field, _, value = part.replace("!=", "=").replace("==", "=").partition("=")
            if field not in kind.fields + ("metadata.name", "metadata.namespace"):
                raise StatusError(400, f"field label not supported: {field}")
            tests.append((field, value, negative))
        for part in filter(None, request.query.get("labelSelector", "").split(",")):
            key, _, value = part.partition("=")
            tests.append((("labels", key), value.lstrip("="), False))

        def matches(obj):
            for field, value, negative in tests:
                got = obj["metadata"].get("labels", {}).get(field[1]) \
                    if isinstance(field, tuple) else field_value(obj, field)
                if (got == value) == negative:
                    return False
            return True
        return matches

    def as_list(self, target, items, **meta):
        version = f"{target.kind.group}/{target.version}" if target.kind.group else target.version
        shown = [self.present(target, obj) for obj in items]
        return {"kind": target.kind.kind + "List", "apiVersion": version,
                "metadata": {"resourceVersion": str(self.store.version), **meta}, "items": shown}

    def do_get(self, request, target):
        return self.json(200, self.present(target, self.store.get(
            target.kind, target.namespace, target.name)))

    def not_future(self, text):
        """The version asked for as a number; a version not reached yet is a Timeout."""
        if not text.isdigit():
            raise StatusError(400, f"strconv.ParseUint: parsing {json.dumps(text)}: invalid syntax")
        if int(text) > self.store.version:
            raise StatusError(504, f"Too large resource version: {text}, current:"
                              f" {self.store.version}", retry_after=1, causes=[
                                  {"reason": "ResourceVersionTooLarge",
                                   "message": "Too large resource version"}])
        return int(text)

    def do_list(self, request, target):
        version = request.query.get("resourceVersion", "")
        if version and version != "0":
            self.not_future(version)
        items = self.store.list(target.kind, target.namespace or None,
                                self.selector(request, target.kind))
        limit = int(request.query.get("limit") or 0)
        if not limit or version == "0":
            return self.json(200, self.as_list(target, items))
        start = 0
        if request.query.get("continue"):
            made_at, start = json.loads(base64.urlsafe_b64decode(request.query["continue"]))
            if made_at < self.store.oldest:
                raise StatusError(410, "The provided continue parameter is too old to display a"
                                  " consistent list result.", "Expired")
        meta = {}
        if start + limit < len(items):
            token = json.dumps([self.store.version, start + limit]).encode()
            meta = {"continue": base64.urlsafe_b64encode(token).decode(),
                    "remainingItemCount": len(items) - start - limit}
        return self.json(200, self.as_list(target, items[start:start + limit], **meta))

    def do_watch(self, request, target):
        selected = self.selector(request, target.kind)
        namespace = target.namespace

        def matches(obj):
            return (not namespace or obj["metadata"].get("namespace") == namespace) \
                and selected(obj)
        initial, bookmarks = False, request.flag("allowWatchBookmarks")
        if "sendInitialEvents" in request.query:
            initial = request.flag("sendInitialEvents")
            if not self.settings.watch_list or not bookmarks or \
                    request.query.get("resourceVersionMatch") != "NotOlderThan":
                raise StatusError(422, 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents:'
                                  " Forbidden: sendInitialEvents is forbidden for watch unless the"
                                  " WatchList feature gate is enabled")
        version = request.query.get("resourceVersion", "")
        since, first = None, []
        if version not in ("", "0"):
            since = self.not_future(version)
        if initial or version in ("", "0"):
            first, since = self.store.list(target.kind, namespace or None, matches), None
        try:
            watcher = self.store.watch(target.kind, matches, since)
        except StatusError as error:
            if self.settings.gone_style == "http":
                raise
            return Response(200, stream=apiserver_watch.one_error(error))
        seconds = float(request.query.get("timeoutSeconds") or self.random.uniform(1800, 3600))
        return Response(200, stream=apiserver_watch.events(self, target, watcher, first,
                                                           seconds, bookmarks, bool(initial)))


def _merge(target, patch):
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
