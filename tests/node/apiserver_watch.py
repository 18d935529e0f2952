"""The lines of a watch: initial objects, events, bookmarks, and the ways it can end."""

import asyncio
import json
import time

from apiserver_faults import Disconnect
from apiserver_kinds import GROUP, from_v1


async def events(server, target, watcher, first, seconds, bookmarks, initial):
    """Lines of a watch, until its timeout, its appointed end or the store's order."""
    def line(event, obj):
        return json.dumps({"type": event, "object": obj}).encode() + b"\n"

    def bookmark(annotations=None):
        meta = {"resourceVersion": str(server.store.version), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        shown = from_v1(target.kind, {"metadata": meta}, target.version) \
            if target.kind.kind != "ResourceSlice" else \
            {"kind": target.kind.kind, "apiVersion": f"{GROUP}/{target.version}",
             "metadata": meta, "spec": {"driver": "", "pool": {"name": "", "generation": 0,
                                                              "resourceSliceCount": 0}}}
        return line("BOOKMARK", shown)
    try:
        for obj in first:
            yield line("ADDED", server.present(target, obj))
        if initial:
            yield bookmark({"k8s.io/initial-events-end": "true"})
        start = time.monotonic()
        end, cut = start + seconds, None
        if server.settings.watch_life:
            cut = start + server.random.uniform(*server.settings.watch_life)
        next_mark = start + server.settings.bookmark_seconds
        while True:
            clock = time.monotonic()
            if cut is not None and clock >= cut:
                raise Disconnect()
            if clock >= end:
                return
            if bookmarks and clock >= next_mark:
                next_mark = clock + server.settings.bookmark_seconds
                yield bookmark()
            until = min([end] + ([next_mark] if bookmarks else []) + ([cut] if cut else []))
            try:
                event, obj, _ = await asyncio.wait_for(watcher.queue.get(),
                                                       max(0.001, until - clock))
            except asyncio.TimeoutError:
                continue
            if event == "drop":
                raise Disconnect()
            if event == "bookmark":
                if bookmarks:
                    yield bookmark()
            elif event == "end":
                return
            elif event == "error":
                yield line("ERROR", obj.body())
                return
            else:
                yield line(event, server.present(target, obj))
    finally:
        server.store.watchers.discard(watcher)


async def one_error(error):
    yield json.dumps({"type": "ERROR", "object": error.body()}).encode() + b"\n"
