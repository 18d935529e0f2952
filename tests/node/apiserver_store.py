"""Objects, resource versions and the bounded history that watches are replayed from."""

import asyncio
import collections
import copy
import datetime
import json
import random
import uuid

GENERATED = "bcdfghjklmnpqrstvwxz2456789"


def now(micro=False):
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


class StatusError(Exception):
    """An answer of the server other than success, as the Status object it is sent as."""

    REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound",
               405: "MethodNotAllowed", 406: "NotAcceptable", 409: "Conflict", 410: "Expired",
               413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid",
               429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable",
               504: "Timeout"}

    def __init__(self, code, message, reason=None, causes=None, details=None, retry_after=None):
        super().__init__(message)
        self.code, self.message = code, message
        self.reason = self.REASONS.get(code, "") if reason is None else reason
        self.details = dict(details or {})
        if causes:
            self.details["causes"] = causes
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def body(self):
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                  "message": self.message, "reason": self.reason, "code": self.code}
        if self.details:
            status["details"] = self.details
        return status


class Plain404(Exception):
    """A path no handler is registered for: before 1.38 plain text, not a Status."""


class Watcher:
    """One watch: a queue the store fills and the connection drains."""

    def __init__(self, kind, matches):
        self.kind, self.matches = kind, matches
        self.queue = asyncio.Queue()

    def offer(self, event, obj, version):
        if self.matches(obj):
            self.queue.put_nowait((event, obj, version))

    def control(self, action, argument=None):
        self.queue.put_nowait((action, argument, None))


class Store:
    """All kinds share one resource version counter, as they do in etcd."""

    def __init__(self, history=1000, seed=None):
        self.version = 1000
        self.objects = collections.defaultdict(dict)
        self.history = collections.deque(maxlen=history)
        self.oldest = self.version
        self.watchers = set()
        self.random = random.Random(seed)

    def _publish(self, event, kind, obj):
        if len(self.history) == self.history.maxlen:
            self.oldest = self.history[0][0]
        self.history.append((self.version, event, kind, obj))
        for watcher in list(self.watchers):
            if watcher.kind == kind:
                watcher.offer(event, obj, self.version)

    def _next(self):
        self.version += 1
        return str(self.version)

    def get(self, kind, namespace, name):
        try:
            return copy.deepcopy(self.objects[kind][namespace, name])
        except KeyError:
            raise StatusError(404, f'{kind.label} "{name}" not found',
                              details={"name": name, "group": kind.group, "kind": kind.plural}
                              ) from None

    def list(self, kind, namespace=None, matches=lambda obj: True):
        return [copy.deepcopy(obj) for (space, _), obj in sorted(self.objects[kind].items())
                if namespace in (None, space) and matches(obj)]

    def _fresh_name(self, kind, meta, attempts=8):
        base = meta["generateName"][:58]
        for _ in range(attempts):
            name = base + "".join(self.random.choice(GENERATED) for _ in range(5))
            if (meta.get("namespace", ""), name) not in self.objects[kind]:
                return name
        raise StatusError(409, f'{kind.label} "{base}" already exists, the server was not able to'
                          " generate a unique name for the object", "AlreadyExists")

    def prepare_name(self, kind, meta):
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._fresh_name(kind, meta)

    def create(self, kind, obj):
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        if key in self.objects[kind]:
            raise StatusError(409, f'{kind.label} "{meta["name"]}" already exists', "AlreadyExists",
                              details={"name": meta["name"], "kind": kind.plural})
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            meta.pop(field, None)
        meta["uid"] = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        meta["creationTimestamp"] = now()
        meta["resourceVersion"] = self._next()
        if kind.counts_generation:
            meta["generation"] = 1
        self.objects[kind][key] = obj
        self._publish("ADDED", kind, obj)
        return copy.deepcopy(obj)

    def update(self, kind, obj, bump_generation=False):
        """Replace a stored object; writing what is stored already changes nothing."""
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        stored = self.objects[kind][key]
        meta["resourceVersion"] = stored["metadata"]["resourceVersion"]
        if bump_generation and obj.get("spec") != stored.get("spec"):
            meta["generation"] = stored["metadata"].get("generation", 0) + 1
        if obj == stored:
            return copy.deepcopy(obj)
        meta["resourceVersion"] = self._next()
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            return self._remove(kind, key, obj)
        self.objects[kind][key] = obj
        self._publish("MODIFIED", kind, obj)
        return copy.deepcopy(obj)

    def _remove(self, kind, key, last):
        del self.objects[kind][key]
        self._publish("DELETED", kind, last)
        return copy.deepcopy(last)

    def delete(self, kind, namespace, name, preconditions=None):
        """Remove, or only mark while finalizers stand; the state after that is returned."""
        obj = self.get(kind, namespace, name)
        meta = obj["metadata"]
        for field in ("uid", "resourceVersion"):
            wanted = (preconditions or {}).get(field)
            if wanted is not None and wanted != meta[field]:
                shown = {"uid": "UID", "resourceVersion": "ResourceVersion"}[field]
                raise StatusError(409, f'Operation cannot be fulfilled on {kind.label} "{name}":'
                                  f" Precondition failed: {shown} in precondition: {wanted},"
                                  f" {shown} in object meta: {meta[field]}",
                                  details={"name": name, "kind": kind.plural})
        if meta.get("finalizers"):
            if not meta.get("deletionTimestamp"):
                meta["deletionTimestamp"] = now()
                meta["deletionGracePeriodSeconds"] = 0
                return self.update(kind, obj), False
            return obj, False
        meta["resourceVersion"] = self._next()
        return self._remove(kind, (namespace, name), obj), True

    def compact(self):
        """Forget the history: every version before now is too old to watch from."""
        self._next()
        self.history.clear()
        self.oldest = self.version

    def watch(self, kind, matches, since):
        """A watcher that first replays what happened after `since` (None: nothing to replay)."""
        if since is not None and since < self.oldest:
            raise StatusError(410, f"too old resource version: {since} ({self.oldest})", "Expired")
        watcher = Watcher(kind, matches)
        if since is not None:
            for version, event, its_kind, obj in self.history:
                if its_kind == kind and version > since:
                    watcher.offer(event, obj, version)
        self.watchers.add(watcher)
        return watcher

    def dump(self):
        """Everything stored, as text, for a failing test's log."""
        return "\n".join(json.dumps(obj) for kind in list(self.objects)
                         for obj in list(self.objects[kind].values()))
