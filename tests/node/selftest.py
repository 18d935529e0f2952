#!/usr/bin/python3
"""The stand-in tested by itself: its API server, its allocator and its kubelet."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import allocator_selftest  # noqa: E402
import apiserver_claim_selftest  # noqa: E402
import apiserver_selftest  # noqa: E402
import cluster_fixtures  # noqa: E402
import kubelet_selftest  # noqa: E402
from cluster_cases import run  # noqa: E402

TESTS = {}
for module in (allocator_selftest, apiserver_claim_selftest, kubelet_selftest, apiserver_selftest):
    TESTS.update({name: value for name, value in vars(module).items()
                  if name.startswith("test_")})

if __name__ == "__main__":
    run({**TESTS, "finish": cluster_fixtures.finish}, "node-selftest")
