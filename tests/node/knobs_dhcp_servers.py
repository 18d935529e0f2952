"""DHCP servers for tests: dnsmasq and ISC's dhcpd, at the other end of a NIC.

Both run in the fabric's namespace (cluster_net). dnsmasq speaks both families but gives no lease of
less than two minutes; dhcpd gives leases of seconds.
"""

import os
import shutil
import subprocess

from cluster import FABRIC


class Server:
    """A process with a log; ends with its block."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.directory = os.path.join(cluster.directory, name)
        shutil.rmtree(self.directory, True)  # of the test before
        os.makedirs(self.directory)
        self.log_path, self.leases_path = self.file("log"), self.file("leases")
        self.process = None

    def file(self, name):
        return os.path.join(self.directory, name)

    def command(self):
        raise NotImplementedError

    def ready(self):
        """The log says that it serves."""
        raise NotImplementedError

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = self.cluster.corner.popen(["ip", "netns", "exec", FABRIC, *self.command()],
                                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.cluster.wait(lambda: self.ready() or self.process.poll() is not None, 10, f"{self.name} to serve")
        except TimeoutError:
            raise AssertionError(f"{self.name} does not serve:\n{self.log()}") from None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}:\n{self.log()}")
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(9)
            self.process.wait(timeout=10)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is not None:
            print(f"---- {self.name} ----", *self.log().splitlines()[-80:], sep="\n", flush=True)
        self.stop()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def count(self, text):
        return self.log().count(text)

    def wait_for(self, text, times=1, deadline=20):
        self.cluster.wait(lambda: self.count(text) >= times, deadline, f"{text} {times} times in {self.name}'s log")


class Dnsmasq(Server):
    """Serves one interface of the fabric."""

    def __init__(self, cluster, interface, *options):
        super().__init__(cluster, f"dnsmasq-{interface}")
        self.interface, self.options = interface, options

    def command(self):
        return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--no-ping",
                "--log-dhcp", "--log-facility=-", "--dhcp-authoritative", f"--interface={self.interface}",
                "--pid-file=" + self.file("pid"), "--dhcp-leasefile=" + self.leases_path, *self.options]

    def ready(self):
        return self.count("started, version") > 0

    def leased(self):
        """Addresses by its lease file."""
        if not os.path.exists(self.leases_path):
            return set()
        with open(self.leases_path, encoding="utf-8") as file:
            return {words[2] for words in map(str.split, file) if len(words) >= 4}


class Dhcpd(Server):
    """IPv4 leases of `seconds` from the range given; keeps its lease file from start to start."""

    def __init__(self, cluster, interface, seconds, first, last, more=""):
        super().__init__(cluster, f"dhcpd-{interface}")
        self.interface, self.started = interface, 0
        self.configure(seconds, first, last, more)
        with open(self.leases_path, "w", encoding="utf-8"):
            pass

    def configure(self, seconds, first, last, more=""):
        """For its next start."""
        with open(self.file("conf"), "w", encoding="utf-8") as file:
            file.write(f"authoritative; ping-check false; one-lease-per-client true; default-lease-time {seconds};"
                       f"min-lease-time {seconds}; max-lease-time {seconds}; {more}\n"
                       f"subnet 192.0.2.0 netmask 255.255.255.0 {{ range {first} {last}; option routers 192.0.2.1; }}\n")

    def command(self):
        self.started += 1
        return ["dhcpd", "-4", "-f", "-d", "--no-pid", "-user", "root", "-group", "root", "-cf", self.file("conf"), "-lf",
                self.leases_path, self.interface]

    def ready(self):
        return self.count("Server starting service.") >= self.started
