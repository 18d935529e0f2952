#!/usr/bin/python3
"""The admission policy against the driver's own parser: both must say the same of every document
of the unit tests and of documents made of their pieces at random. The expressions are evaluated by
a CEL that is not ours (policy/evaluate.mjs)."""

import glob
import json
import os
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import HERE, binary  # noqa: E402
from cluster_cases import Skip, expect, run, same  # noqa: E402
from npm_modules import modules  # noqa: E402

CLIENT = os.path.join(HERE, "policy")
COMMITTED = os.path.join(HERE, "..", "..", "packaging", "admission-policy.yaml")
SLICES = os.path.join(HERE, "..", "..", "packaging", "slice-policy.yaml")
DRIVER = "dra.net"
RANDOM_DOCUMENTS = 3000
SEED = 20
# The API server cuts nothing: a longer message, or one of several lines, is not shown at all.
MESSAGE_MAX = 5 * 1024
# What CEL, or Kubernetes' functions in it, cannot tell, by what the parser says of it. The driver
# refuses these when the claim is prepared.
LAX = (
    ("letters beyond ASCII in names", re.compile(r'contains a character that is no letter')),
    ("the same next hop in two spellings", re.compile(r"is that of nextHops\[\d+\] already")),
    ("details of IPv4-mapped IPv6 addresses", re.compile(r'"[0:]+ffff:[^"]*" is not ', re.I)),
    ("of an IPv4-mapped address, what it stands for",
     re.compile(r'"[0:]+ffff:[^"]*" is not an address that an interface can have', re.I)),
)
JUNK = (None, True, False, 0, 1, -1, 2 ** 31, 2 ** 32, 2 ** 53, 1.5, 1500.0, "", "x", "0x10", "0",
        "a" * 70, "ä" * 8, [], {}, [None], [1], ["x"], [{}], {"x": 1}, "::ffff:1.2.3.4",
        "::ffff:1.2.3.4/120", "fe80::1%eth0", "1.2.3.4/033", "01.2.3.4", "ff02::1/64", "::1/128")


# ---- documents ----------------------------------------------------------------------------------

LITERAL = re.compile(r"""'(?:[^'\\\n]|\\.)'|"((?:[^"\\\n]|\\.)*)\"""")
ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b'"': b'"', b"\\": b"\\", b"'": b"'"}


def c_strings(source):
    """String literals of a C file as bytes, adjacent ones joined."""
    source, joined, end = re.sub(r"/\*.*?\*/", "", source, flags=re.S), [], None
    for found in LITERAL.finditer(source):
        if found[1] is None:  # a character
            continue
        text = re.sub(rb"\\(x[0-9a-fA-F]{2}|.)",
                      lambda match: bytes([int(match[1][1:], 16)]) if len(match[1]) > 1
                      else ESCAPES.get(match[1], match[1]), found[1].encode())
        if end is not None and not source[end:found.start()].strip():
            joined[-1] += text
        else:
            joined.append(text)
        end = found.end()
    return joined


def texts_of_unit_tests():
    """Everything in the unit tests of the configuration that looks like a document."""
    found = []
    for path in sorted(glob.glob(os.path.join(HERE, "..", "unit", "*config*.[ch]"))):
        with open(path, encoding="utf-8") as file:
            for text in c_strings(file.read()):
                if text[:1] in (b"{", b"[") or text == b"null":
                    found.append(text)
    return found


def verdicts(texts):
    """What the parser says: (error or None, document as JSON text) for each text."""
    program = os.path.join(os.path.dirname(os.path.abspath(binary())), "node", "policy_verdict")
    done = subprocess.run([program], input=b"".join(text + b"\0" for text in texts), check=True,
                          stdout=subprocess.PIPE)
    lines = done.stdout.split(b"\n")[:-1]
    same(len(lines), len(texts), "verdicts")
    found = []
    for line in lines:
        error, document = re.fullmatch(rb'\{"error":(.*?),"document":(.*)\}', line).groups()
        found.append((json.loads(error.decode("utf-8", "replace")), document))
    return found


def is_plain(document):
    """JSON that can be asked about: UTF-8, and no key twice (the API server refuses those)."""
    def once(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)
    try:
        json.loads(document.decode(), object_pairs_hook=once)
    except ValueError:
        return False
    return True


# ---- the policy -----------------------------------------------------------------------------------

def policy(*flags):
    return subprocess.run([binary(), "--print-admission-policy", *flags], check=True,
                          capture_output=True, text=True).stdout


def node():
    program = shutil.which("node")
    expect(program, "no node, run packaging/install-deps.sh")
    version = subprocess.run([program, "--version"], check=True, capture_output=True,
                             text=True).stdout
    if int(version[1:].split(".")[0]) < 20:
        raise Skip(f"the CEL for Node wants version 20, this is {version.strip()}")
    return program


def answers(requests, file=COMMITTED):
    """The policy's answers to requests (JSON texts), as dictionaries."""
    done = subprocess.run([node(), os.path.join(CLIENT, "evaluate.mjs"), modules(CLIENT), file],
                          input="\n".join(requests) + "\n", capture_output=True, text=True,
                          check=False)
    expect(done.returncode == 0, done.stderr[-2000:])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    same(len(lines), len(requests) + 1, "answers")
    return lines[1:]


def claim(parameters, driver=DRIVER):
    """A request to create a claim with these parameters, which are JSON text."""
    return ('{"object": {"kind": "ResourceClaim", "spec": {"devices": {"config": [{"opaque":'
            f' {{"driver": "{driver}", "parameters": {parameters}}}}}]}}}}}}}}')


def compare(texts):
    """Both on each text; how many were good, and how many the policy let through by which leave."""
    judged = [(error, document) for error, document in verdicts(texts) if is_plain(document)]
    told = answers([claim(document.decode()) for _, document in judged])
    good, lax, wrong = 0, {}, []
    for (error, document), answer in zip(judged, told):
        good += error is None
        if "error" in answer:
            wrong.append((document, "cannot be evaluated", answer["error"]))
        elif error is None and not answer["allowed"]:
            wrong.append((document, "is good, refused", answer["message"]))
        elif error is not None and answer["allowed"]:
            leave = [name for name, pattern in LAX if pattern.search(error)]
            if leave:
                lax[leave[0]] = lax.get(leave[0], 0) + 1
            else:
                wrong.append((document, "is wrong, let through", error))
        elif error is not None:
            message = answer["message"]
            expect(message.startswith("spec.devices.config[0].opaque.parameters: "), message)
            expect("\n" not in message and len(message.encode()) <= MESSAGE_MAX, message)
    for document, what, why in wrong[:10]:
        print(f"  {document.decode()[:300]} {what}: {why}")
    expect(not wrong, f"{len(wrong)} of {len(judged)} documents")
    return len(judged), good, lax


# ---- tests ------------------------------------------------------------------------------------------

def test_the_committed_file_is_the_output():
    with open(COMMITTED, encoding="utf-8") as file:
        same(file.read(), policy())


def test_a_driver_writes_the_slices_of_its_node():
    account, node = "system:serviceaccount:kube-system:dranetd", "authentication.kubernetes.io/node-name"
    here, there, all_nodes = ({"spec": spec} for spec in ({"nodeName": "a"}, {"nodeName": "b"}, {"allNodes": True}))

    def asked(what, old=None, extra=None, user=account, operation="CREATE"):
        return json.dumps({"object": what, "oldObject": old, "request": {
            "operation": operation, "userInfo": {"username": user, "extra": {node: ["a"]} if extra is None else extra}}})
    rows = (
        (True, asked(here)), (False, asked(there)), (False, asked(all_nodes)),
        (True, asked(here, here, operation="UPDATE")), (False, asked(there, there, operation="UPDATE")),
        (True, asked(None, here, operation="DELETE")), (False, asked(None, there, operation="DELETE")),
        (False, asked(here, extra={})), (False, asked(here, extra={node: []})), (False, asked({"spec": {"nodeName": ""}}, extra={})),
        (True, asked(there, user="system:node:b")),
    )
    told = answers([request for _, request in rows], SLICES)
    same([answer.get("allowed", answer) for answer in told], [allowed for allowed, _ in rows])
    same(told[1]["message"], "a driver on node a may not write slices of node b")
    same(told[7]["message"], "a driver on node (none) may not write slices of node a")


def test_documents_of_the_unit_tests():
    total, good, lax = compare(texts_of_unit_tests())
    print(f"note {total} documents, {good} of them valid; let through: {lax or 'none'}")
    expect(total > 200 and good > 40, f"only {total} documents, {good} of them valid")


class Pieces:
    """What stands where in the documents of the unit tests, to make others of it."""

    def __init__(self, documents):
        self.keys, self.values, self.random = {}, {}, random.Random(SEED)
        for document in documents:
            self.take((), document)

    def take(self, place, value):
        if isinstance(value, dict):
            for key, item in value.items():
                if len(key) < 40 and not set(key) & set("\"'\\"):
                    self.keys.setdefault(place, {})[key] = True
                    self.take((*place, key), item)
        elif isinstance(value, list):
            for item in value[:8]:
                self.take((*place, 0), item)
        elif not isinstance(value, str) or (len(value) < 80 and not set(value) & set("\"'\\\t\n")):
            values = self.values.setdefault(place, [])
            if not any(item is value or (type(item) is type(value) and item == value)
                       for item in values):
                values.append(value)

    def make(self, place=()):
        pick = self.random
        if pick.random() < 0.01:
            return pick.choice(JUNK)
        if (*place, 0) in self.values or (*place, 0) in self.keys:
            return [self.make((*place, 0)) for _ in range(pick.choice((0, 1, 1, 2, 2, 3)))]
        if place in self.keys:
            keys = list(self.keys[place])
            return {key: self.make((*place, key))
                    for key in pick.sample(keys, min(len(keys), pick.choice((1, 1, 2, 3))))}
        return pick.choice(self.values.get(place) or JUNK)


def test_random_documents():
    judged = [(error, json.loads(document)) for error, document in verdicts(texts_of_unit_tests())
              if is_plain(document)]
    anything = Pieces(document for _, document in judged)
    valid = Pieces(document for error, document in judged if error is None)
    texts = [json.dumps((anything if i % 3 == 0 else valid).make(), ensure_ascii=False).encode()
             for i in range(RANDOM_DOCUMENTS)]
    total, good, lax = compare(texts)
    print(f"note {total} documents, {good} of them valid; let through: {lax or 'none'}")
    expect(good > RANDOM_DOCUMENTS // 5, f"only {good} of {total} are valid")


def places(value, place=()):
    """Every place in a document, and its value."""
    yield place, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:2]):
            yield from places(item, (*place, index))


def replaced(value, place, new):
    """The document with another value at a place."""
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = replaced(value[place[0]], place[1:], new)
    return copy


def test_each_value():
    """In valid documents, at every place that the unit tests know, each unlikely value by itself."""
    texts, seen = [], set()
    for error, document in verdicts(texts_of_unit_tests()):
        if error is not None or not is_plain(document):
            continue
        document = json.loads(document)
        for place, value in places(document):
            kind = tuple(0 if isinstance(part, int) else part for part in place)
            if kind in seen or value in ([], {}) or '"' in repr(document) or "\\" in repr(document):
                continue
            seen.add(kind)
            more = [value * 257] if isinstance(value, list) else []
            if isinstance(value, dict):
                more.append({f"name{i}": True for i in range(257)})
            texts += [json.dumps(replaced(document, place, new), ensure_ascii=False).encode()
                      for new in (*JUNK, *more)]
    total, good, lax = compare(texts)
    print(f"note {total} documents, {good} of them valid; let through: {lax or 'none'}")
    expect(len(seen) > 80 and good > 200, f"only {len(seen)} places, {good} of {total} are valid")


def test_where_parameters_stand():
    wrong = [{"opaque": {"driver": "other.example", "parameters": {"interface": 1}}},
             {"requests": ["a"], "opaque": {"driver": DRIVER, "parameters": {"profil": "x"}}},
             {"opaque": {"driver": DRIVER, "parameters": {"interface": {"mtu": 1500}}}},
             {"opaque": {"driver": DRIVER, "parameters": {"interface": {"mtu": "big"}}}}]
    text = "{0}[1].opaque.parameters: profil: unknown field; " \
           "{0}[3].opaque.parameters: interface.mtu: expected an integer"
    rows = (
        ({"spec": {"devices": {"config": wrong}}}, text.format("spec.devices.config")),
        ({"spec": {"spec": {"devices": {"config": wrong}}}},
         text.format("spec.spec.devices.config")),
        ({"spec": {"config": wrong}}, text.format("spec.config")),
        ({"spec": {"devices": {"config": wrong[:1]}}}, None),
        ({"spec": {"devices": {"requests": []}}}, None),
        ({"spec": {"devices": {}}}, None),
        ({"spec": {}}, None),
        ({"spec": {"spec": {}}}, None),
        ({"spec": {"config": [{"opaque": {"driver": DRIVER, "parameters": None}}]}}, None),
        ({"spec": {"config": [{"opaque": {"driver": DRIVER}}]}}, None),
        ({"spec": {"config": [{}]}}, None),
    )
    told = answers([json.dumps({"object": item}) for item, _ in rows])
    for (item, message), answer in zip(rows, told):
        same(answer, {"matches": True, "allowed": message is None,
                      **({} if message is None else {"message": message})}, json.dumps(item))


def test_what_did_not_change_is_not_looked_at():
    spec = {"config": [{"opaque": {"driver": DRIVER, "parameters": {"interface": 1}}}]}
    old = {"metadata": {"finalizers": ["x"]}, "spec": spec}
    rows = ((old, {**old, "metadata": {}}, False), ({**old, "spec": {"config": []}}, old, True))
    told = answers([json.dumps({"oldObject": before, "object": after}) for before, after, _ in rows])
    for (_, _, matches), answer in zip(rows, told):
        same((answer["matches"], answer["allowed"]), (matches, not matches))


def test_long_messages():
    long = {"x" * 60 + str(i) + "\r\n": 1 for i in range(200)}
    answer, = answers([claim(json.dumps({"interface": long}))])
    same(answer["allowed"], False)
    expect("\n" not in answer["message"] and "\r" not in answer["message"], "several lines")
    expect(1000 < len(answer["message"]) <= MESSAGE_MAX, f"{len(answer['message'])} characters")


def test_another_driver():
    text = policy("--driver-name=net.example")
    expect("opaque.driver" not in text.replace("c.opaque.driver", ""), "")
    same(text.replace("net.example", DRIVER), policy())


if __name__ == "__main__":
    run(globals(), "node/knobs_policy")
