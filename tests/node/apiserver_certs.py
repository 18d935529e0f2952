"""A throw-away certificate authority and the kubeconfig files that go with it."""

import base64
import os
import subprocess

import yaml


def _openssl(directory, *arguments):
    subprocess.run(("openssl",) + arguments, cwd=directory, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Authority:
    """Keys and certificates in one directory; P-256 because RSA keys take seconds to make."""

    def __init__(self, directory, name="stand-in CA"):
        self.directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.ca = os.path.join(directory, "ca.crt")
        _openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.crt",
                 "-days", "2", "-subj", f"/CN={name}", "-addext",
                 "basicConstraints=critical,CA:TRUE", "-addext",
                 "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, subject, server=False):
        """(certificate path, key path) for a subject such as /O=system:masters/CN=admin."""
        usage = "serverAuth" if server else "clientAuth"
        lines = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}",
                 "keyUsage=digitalSignature"]
        if server:
            lines.append("subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:kubernetes,"
                         "DNS:kubernetes.default.svc")
        with open(os.path.join(self.directory, name + ".ext"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        _openssl(self.directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject)
        _openssl(self.directory, "x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey",
                 "ca.key", "-CAcreateserial", "-days", "2", "-out", name + ".crt", "-extfile",
                 name + ".ext")
        base = os.path.join(self.directory, name)
        return base + ".crt", base + ".key"


def _data(path):
    with open(path, "rb") as file:
        return base64.b64encode(file.read()).decode()


def write_kubeconfig(path, server, user, ca=None, inline=True):
    """A kubeconfig of one context; `user` is the user entry, `ca` a PEM path or None."""
    cluster = {"server": server}
    if ca and inline:
        cluster["certificate-authority-data"] = _data(ca)
    elif ca:
        cluster["certificate-authority"] = os.path.relpath(ca, os.path.dirname(path))
    config = {"apiVersion": "v1", "kind": "Config", "preferences": {},
              "current-context": "stand-in",
              "clusters": [{"name": "stand-in", "cluster": cluster}],
              "users": [{"name": "driver", "user": user}],
              "contexts": [{"name": "stand-in",
                            "context": {"cluster": "stand-in", "user": "driver"}}]}
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    os.chmod(path, 0o600)
    return path


def certificate_user(certificate, key, inline=True, beside=None):
    if inline:
        return {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}
    start = os.path.dirname(beside) if beside else "/"
    return {"client-certificate": os.path.relpath(certificate, start),
            "client-key": os.path.relpath(key, start)}
