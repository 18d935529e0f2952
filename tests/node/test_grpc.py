#!/usr/bin/python3
"""grpcio against dranetd: every method, 200 calls at once, deadlines and cancels."""

import os
import random
import sys
import time

import grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER, ROOT  # noqa: E402
from cluster_cases import Lane, expect, same  # noqa: E402
from kubelet_rpc import DRAClient, Registration, encoded_path, messages  # noqa: E402

LANE = Lane(seed=3)
CALLS = 200
PATH = f"{ROOT}/plugins/{DRIVER}/dra.sock"


def client(version="v1", authority="localhost"):
    return DRAClient(LANE.cluster.corner.path(PATH), version, authority)


def claims(count, devices=True):
    """Allocated claims on `count` NICs, each reserved for a pod of its own, as triples."""
    cluster, found = LANE.cluster, []
    for i in range(count):
        name = f"grpc{i}"
        if not cluster.net.exists(name):
            cluster.net.add_nic(name, "ifb")
    cluster.wait_published(*[f"grpc{i}" for i in range(count)])
    for i in range(count):
        name = f"grpc{i}"
        if not [item for item in cluster.api.objects("resourceclaims")
                if item["metadata"]["name"] == name]:
            cluster.claim_for(name, name, {"interface": {"name": "net1"}})
            pod = cluster.kubelet.create_pod(cluster.pod_manifest(f"pod-{name}", name))
            cluster.kubelet.allocator.schedule(pod.obj)
        claim = cluster.api.claim("default", name)
        found.append(("default", name, claim["metadata"]["uid"]))
    return found


def prepared(answer, wanted):
    """Every claim is answered without an error, and with the id its containers wait for."""
    same(set(answer.claims), {uid for _, _, uid in wanted})
    for uid, result in answer.claims.items():
        same(result.error, "", uid)
        expect(any(device.cdi_device_ids for device in result.devices), "no CDI id")


def alive():
    expect(LANE.cluster.process.poll() is None, "dranetd has ended")


def test_every_method_in_every_version():
    wanted = claims(2)
    for version in ("v1", "v1beta1"):
        for authority in ("localhost", encoded_path(PATH), "anything.example"):
            dra = client(version, authority)
            prepared(dra.prepare(wanted), wanted)
            same(dra.prepare([]).claims, {})
            answer = dra.unprepare(wanted)
            same({uid: item.error for uid, item in answer.claims.items()},
                 {uid: "" for _, _, uid in wanted})
            answer = dra.unprepare([("default", "never-heard-of", "no-such-uid")])
            same(answer.claims["no-such-uid"].error, "")
            dra.close()
    for version in ("v1", "v1alpha1"):
        dra = client()
        stream = dra.health_stream(version)
        listed = {item.device.device_name for item in next(stream).devices}
        expect({"grpc0", "grpc1"} <= listed, f"not in the list: {listed}")
        stream.cancel()
        dra.close()
    path = LANE.cluster.corner.path(f"{ROOT}/plugins_registry/{DRIVER}-reg.sock")
    for authority in (None, "localhost"):
        with Registration(path, authority) as dialled:
            info = dialled.get_info()
            same((info.type, info.name, info.endpoint), ("DRAPlugin", DRIVER, PATH))
            known = [item for item in info.supported_versions if item.endswith(".DRAPlugin")]
            same(known, ["v1.DRAPlugin", "v1beta1.DRAPlugin"], "v1 comes first")
            dialled.notify(True)


def test_errors_of_claims_are_not_errors_of_the_call():
    dra = client()
    answer = dra.prepare([("default", "absent", "uid-1")])
    expect("absent" in answer.claims["uid-1"].error, answer)
    (namespace, name, _), = claims(1)
    answer = dra.prepare([(namespace, name, "another-uid")])
    expect(answer.claims["another-uid"].error, "a replaced claim was prepared")
    dra.close()


def test_unknown_methods_and_bad_messages():
    dra = client()
    for path in ("/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NoSuchMethod", "/no.Such/Service",
                 "/grpc.health.v1.Health/Check"):
        call = dra.channel.unary_unary(path, lambda data: data, lambda data: data)
        error = call.future(b"", timeout=10).exception()
        same(error.code(), grpc.StatusCode.UNIMPLEMENTED, path)
    raw = dra.channel.unary_unary(
        "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources",
        lambda data: data, lambda data: data)
    error = raw.future(b"\x0a\xff\xff", timeout=10).exception()
    expect(error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT), error)
    error = raw.future(bytes(4 * 1024 * 1024 + 1), timeout=10).exception()
    same(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    same(dra.prepare([]).claims, {}, "the connection still works")
    dra.close()


def test_many_calls_at_once():
    wanted = claims(4)
    clients = [client("v1"), client("v1beta1")]
    futures = []
    for i in range(CALLS):
        dra, triple = clients[i % 2], wanted[i % len(wanted)]
        request = dra.types.NodePrepareResourcesRequest(claims=dra.claims([triple]))
        futures.append((triple, dra.prepare_call.future(request, timeout=45)))
    for triple, future in futures:
        prepared(future.result(), [triple])
    futures = []
    for i in range(CALLS):
        dra, triple = clients[i % 2], wanted[i % len(wanted)]
        request = dra.types.NodeUnprepareResourcesRequest(claims=dra.claims([triple]))
        futures.append((triple[2], dra.unprepare_call.future(request, timeout=45)))
    for uid, future in futures:
        same(future.result().claims[uid].error, "")
    alive()
    for dra in clients:
        dra.close()


def test_one_call_with_many_claims():
    dra = client()
    many = [("default", f"absent-{i}", f"uid-{i}") for i in range(300)]
    answer = dra.prepare(many)
    same(len(answer.claims), 300, "one answer for each claim")
    same(len(dra.unprepare(many).claims), 300)
    dra.close()


def test_deadlines():
    wanted = claims(4)
    api, dra = LANE.cluster.api, client()
    api.inject("delay", verb="get", resource="resourceclaims", seconds=1.5, n=50)
    futures = []
    for i in range(50):
        request = dra.types.NodePrepareResourcesRequest(claims=dra.claims([wanted[i % 4]]))
        futures.append(dra.prepare_call.future(request, timeout=0.2))
    for i, future in enumerate(futures):
        error = future.exception()  # ours comes shortly before the deadline, where it can
        if error:
            same(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        else:
            expect(future.result().claims[wanted[i % 4][2]].error, "success without the claim")
    api.clear_faults()
    prepared(dra.prepare(wanted), wanted)
    dra.unprepare(wanted)
    alive()
    dra.close()


def test_cancels():
    wanted = claims(4)
    rng, api, dra = random.Random(3), LANE.cluster.api, client()
    api.inject("delay", verb="get", resource="resourceclaims", seconds=0.05, n=CALLS)
    futures = []
    for i in range(CALLS):
        request = dra.types.NodePrepareResourcesRequest(claims=dra.claims([wanted[i % 4]]))
        futures.append(dra.prepare_call.future(request, timeout=45))
        if rng.random() < 0.5:
            rng.choice(futures).cancel()
    for future in futures:
        if rng.random() < 0.5:
            future.cancel()
    done = [future for future in futures if not future.cancelled()]
    for future in done:
        same(future.exception(), None)
    api.clear_faults()
    prepared(dra.prepare(wanted), wanted)
    dra.unprepare(wanted)
    alive()
    dra.close()


def test_health_streams_beside_each_other():
    claims(1)
    dra = client()
    streams = [dra.health_stream(version) for version in ("v1", "v1alpha1") * 10]
    healthy = messages().health_v1.HEALTHY
    for stream in streams:
        states = {item.device.device_name: item.health for item in next(stream).devices}
        same(states.get("grpc0"), healthy)
    LANE.cluster.net.add_nic("grpcnew", "ifb")
    for stream in streams[:4]:
        end = time.monotonic() + 30
        while "grpcnew" not in {item.device.device_name for item in next(stream).devices}:
            expect(time.monotonic() < end, "a new device does not reach the stream")
    for stream in streams:
        stream.cancel()
    same(dra.prepare([]).claims, {})
    alive()
    dra.close()


def test_connections_come_and_go():
    for _ in range(100):
        dra = client()
        same(dra.prepare([]).claims, {})
        dra.close()
    alive()


if __name__ == "__main__":
    LANE.run(globals(), "node-grpc")
