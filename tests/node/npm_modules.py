"""Packages of npm for a test, as a lock file pins them, kept outside the tree."""

import hashlib
import os
import shutil
import subprocess
import tempfile

MANIFEST = ("package.json", "package-lock.json", ".npmrc")


def modules(directory):
    """The path of node_modules for the manifest in `directory`, installed on first use."""
    digest = hashlib.sha256()
    for name in MANIFEST:
        with open(os.path.join(directory, name), "rb") as file:
            digest.update(file.read())
    cache = os.path.join(os.environ.get("DRANETD_CACHE") or "/var/cache/dranetd-test",
                         os.path.basename(directory))
    wanted = os.path.join(cache, digest.hexdigest()[:16])
    if not os.path.isdir(wanted):
        os.makedirs(cache, exist_ok=True)
        work = tempfile.mkdtemp(prefix="install.", dir=cache)
        try:
            for name in MANIFEST:
                shutil.copy(os.path.join(directory, name), work)
            done = subprocess.run(["npm", "ci", "--cache", os.path.join(work, "npm")], cwd=work,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
            if done.returncode != 0:
                raise AssertionError(f"npm ci: status {done.returncode}: {done.stdout}")
            shutil.rmtree(os.path.join(work, "npm"))
            try:
                os.rename(work, wanted)
            except OSError:
                if not os.path.isdir(wanted):  # else a run beside this one was faster
                    raise
        finally:
            shutil.rmtree(work, True)
    return os.path.join(wanted, "node_modules")
