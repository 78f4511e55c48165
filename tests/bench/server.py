#!/usr/bin/env python3
"""Starts servers, has `load` ask them, and prints Markdown tables of what they did.

The rule: servers are compared only within one round, in which they take turns on the same disk; what is printed is the least,
the median and the most of the rounds, and nothing is printed that `load` has not checked answer by answer.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import ssl

HERE = os.path.dirname(os.path.abspath(__file__))
JOBS = ("gets", "appends", "packs", "uploads", "backup")
PASSPHRASE = "correct horse battery staple"

# One client asks for all: the limits on what one address and one device may ask for would answer it, not the server.
LIMITS = {
    "VAULT_SERVER_LIMITS_ADDRESS_RATE": "1000000",
    "VAULT_SERVER_LIMITS_DEVICE_RATE": "1000000",
    "VAULT_SERVER_LIMITS_DEVICE_REQUESTS": "1024",
    "VAULT_SERVER_LIMITS_DEVICE_UPLOADS": "1024",
}

NGINX = """
daemon off;
pid {work}/pid;
error_log {work}/error.log;
worker_processes auto;
events {{ worker_connections 1024; }}
http {{
    access_log {work}/access.log;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/unused;
    fastcgi_temp_path {work}/unused;
    uwsgi_temp_path {work}/unused;
    scgi_temp_path {work}/unused;
    client_max_body_size 0;
    client_body_buffer_size 512k;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{ root {work}/files; dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    """Until something listens there."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit(f"server.py: {process.args[0]} does not serve")


class Bench:
    def __init__(self, arguments, stack):
        self.work, self.arguments, self.stack = arguments.work, arguments, stack
        self.found = []
        self.peers = {}

    def path(self, *names):
        return os.path.join(self.work, *names)

    def start(self, command, port, **options):
        """A server that ends with this program."""
        log = self.stack.enter_context(open(self.path(os.path.basename(command[0]) + ".log"), "w"))
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        wait_for(port, process)
        return process

    def load(self, *words):
        """What a job of `load` found, one line for each thing it measured, and what the machine gave for it."""
        before = self.spent()
        done = subprocess.run([self.path("load"), *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"server.py: load {' '.join(map(str, words))}:\n{done.stderr}")
        server, stolen, whole = (after - first for after, first in zip(self.spent(), before))
        found = [json.loads(line) for line in done.stdout.splitlines()]
        for line in found:
            line["stolen"] = 100 * stolen / max(whole, 1)
            if "requests" in line:
                line["server_us"] = 1e6 * server / os.sysconf("SC_CLK_TCK") / line["requests"]
        self.found += found

    def spent(self):
        """Ticks of the processors: those that the server used, those that the host took, and all."""
        with open(f"/proc/{self.server.pid}/stat") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        with open("/proc/stat") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return int(user) + int(system), ticks[7], sum(ticks)

    # The servers

    def start_vault_server(self):
        self.port = free_port()
        self.environment = dict(
            os.environ,
            **LIMITS,
            VAULT_SERVER_DATA=self.path("data"),
            VAULT_SERVER_LISTEN=f"127.0.0.1:{self.port}",
        )
        command = [self.path("vault-server"), "serve"]
        self.server = self.start(command, self.port, env=self.environment, cwd=self.work)
        self.wait_ready()
        self.load("join", self.invite(), self.path("state"), "vaults=64")

    def wait_ready(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"https://127.0.0.1:{self.port}/readyz", context=context)
                return
            time.sleep(0.05)
        sys.exit("server.py: the server is not ready")

    def invite(self):
        command = [self.path("vault-server"), "invite", "--json"]
        done = subprocess.run(command, env=self.environment, cwd=self.work, capture_output=True, check=True)
        return json.loads(done.stdout)["invite"]

    def program(self, name):
        beside = self.arguments.peers and os.path.join(self.arguments.peers, name)
        return beside if beside and os.access(beside, os.X_OK) else shutil.which(name)

    def start_peers(self):
        """Other servers with the same certificate and key, on the same disk."""
        certificate, key = self.path("data", "tls.certificate.pem"), self.path("data", "tls.key.pem")
        if nginx := self.program("nginx"):
            work, port = self.path("nginx"), free_port()
            # Its workers are another user if it is started by root.
            for name in ("", "files", "body"):
                os.makedirs(os.path.join(work, name), exist_ok=True)
            text = NGINX.format(work=work, port=port, certificate=certificate, key=key)
            with open(os.path.join(work, "conf"), "w") as file:
                file.write(("user root;\n" if os.getuid() == 0 else "") + text)
            self.start([nginx, "-p", work, "-c", os.path.join(work, "conf"), "-e", os.path.join(work, "start.log")], port)
            self.peers["nginx"] = ("dav", port)
        if rest := self.program("rest-server") or self.program("restic-rest-server"):
            port = free_port()
            command = [rest, "--no-auth", "--listen", f"127.0.0.1:{port}", "--path", self.path("rest")]
            self.start([*command, "--tls", "--tls-cert", certificate, "--tls-key", key], port)
            self.peers["rest-server"] = ("rest", port)
        for name in ("nginx", "rest-server"):
            if name not in self.peers:
                print(f"server.py: no {name} here, left out", file=sys.stderr)

    # The jobs

    def gets(self, turn):
        for what in ("head", "object"):
            self.load("gets", self.path("state"), f"what={what}", "connections=64", "seconds=5")

    def appends(self, turn):
        self.load("appends", self.path("state"), "vaults=64", "seconds=5")

    def packs(self, turn):
        if turn == 0:
            self.start_peers()
        servers = ["vault-server", *self.peers]
        servers = servers[turn % len(servers) :] + servers[: turn % len(servers)]
        for mib in (16, 32):
            for server in servers:
                os.sync()
                options = (f"mib={mib}", f"count={192 // mib}")
                if server == "vault-server":
                    self.load("packs", self.path("state"), *options)
                else:
                    kind, port = self.peers[server]
                    self.load("peer-packs", kind, f"127.0.0.1:{port}", *options)

    def uploads(self, turn):
        os.sync()
        pid = self.server.pid
        # From here on the peak counts.
        with open(f"/proc/{pid}/clear_refs", "w") as file:
            file.write("5")
        self.load("uploads", self.path("state"), "connections=64", "mib=16", f"pid={pid}")

    def backup(self, turn):
        tree = self.path("tree")
        if turn == 0:
            command = [sys.executable, os.path.join(HERE, "trees.py"), "make", "src", tree, self.arguments.tree]
            subprocess.run(command, check=True)
            self.client("join", self.invite())
        ways = [("local", self.path(f"local{turn}")), ("loopback", f"loopback{turn}")]
        for way, vault in ways if turn % 2 == 0 else ways[::-1]:
            # The tree is in the page cache for both.
            subprocess.run(["tar", "-cf", "/dev/null", "-C", tree, "."], check=True)
            os.sync()
            begun = time.monotonic()
            self.client("backup", "--init", "--vault", vault, tree)
            self.found.append({"job": "backup", "way": way, "seconds": time.monotonic() - begun})

    def client(self, *words):
        home = self.path("home")
        variables = {f"XDG_{name}_HOME": os.path.join(home, name) for name in ("CONFIG", "STATE", "CACHE")}
        environment = {"PATH": os.environ["PATH"], "HOME": home, "VAULT_PASSPHRASE": PASSPHRASE, **variables}
        os.makedirs(home, exist_ok=True)
        done = subprocess.run([self.path("vault"), *words], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"server.py: vault {words[0]}:\n{done.stderr}")

    def run(self, jobs):
        self.start_vault_server()
        for turn in range(self.arguments.rounds):
            for job in jobs:
                getattr(self, job)(turn)

    # The tables

    def values(self, field, **wanted):
        found = [line for line in self.found if all(line.get(name) == value for name, value in wanted.items())]
        values = [line[field] for line in found]
        # Times of single requests count as one each.
        return [value for each in values for value in (each if isinstance(each, list) else [each])]

    def tables(self, jobs):
        rows = []
        for what in ("head", "object"):
            rows.append((f"signed GET of a {what}, 64 connections, /s", self.values("per_second", job="gets", what=what)))
            rows.append(("… p99, ms", self.values("p99_ms", job="gets", what=what)))
            rows.append(("… processor time of the server, µs each", self.values("server_us", job="gets", what=what)))
            rows.append(("… of the processors the host took, %", self.values("stolen", job="gets", what=what)))
        rows.append(("appends to 64 vaults, /s", self.values("per_second", job="appends")))
        rows.append(("… p99, ms", self.values("p99_ms", job="appends")))
        rows.append(("… processor time of the server, µs each", self.values("server_us", job="appends")))
        rows.append(("… of the processors the host took, %", self.values("stolen", job="appends")))
        rows.append(("64 uploads of 16 MiB at once, MiB/s", self.values("mib_per_second", job="uploads")))
        rows.append(("… peak memory of the server, MiB", self.values("peak_mib", job="uploads")))
        for way in ("local", "loopback"):
            rows.append((f"first backup, {way}, s", self.values("seconds", job="backup", way=way)))
        pairs = zip(self.values("seconds", job="backup", way="loopback"), self.values("seconds", job="backup", way="local"))
        rows.append(("… loopback ÷ local", [loopback / local for loopback, local in pairs]))
        print("\n| | least | median | most |\n|---|---|---|---|")
        for name, values in rows:
            if values:
                print(f"| {name} | {spread(values)} |")
        if "packs" in jobs:
            self.table_of_packs()

    def table_of_packs(self):
        print("\n| one pack, ms | server | least | median | most | its median ÷ ours |\n|---|---|---|---|---|---|")
        for way in ("put", "get"):
            for mib in (16, 32):
                ours = None
                for server in ("vault-server", *self.peers):
                    seconds = self.values("seconds", job="packs", way=way, mib=mib, server=server)
                    ours = ours or statistics.median(seconds)
                    ratio = statistics.median(seconds) / ours
                    print(f"| {way} {mib} MiB | {server} | {spread([value * 1000 for value in seconds])} | {ratio:.2f} |")


def spread(values):
    shown = (min(values), statistics.median(values), max(values))
    return " | ".join(f"{value:.0f}" if value >= 1000 else f"{value:.2f}" for value in shown)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--tree", choices=("small", "full"), default="full")
    parser.add_argument("--peers", default="")
    parser.add_argument("--raw")
    arguments = parser.parse_args()
    jobs = arguments.jobs.split(",")
    if unknown := set(jobs) - set(JOBS):
        sys.exit(f"server.py: no such job: {', '.join(unknown)}")
    load = os.getloadavg()
    with contextlib.ExitStack() as stack:
        bench = Bench(arguments, stack)
        bench.run(jobs)
        print(f"{arguments.rounds} rounds; load before the start {load[0]:.1f}")
        bench.tables(jobs)
        if arguments.raw:
            with open(arguments.raw, "w") as file:
                json.dump(bench.found, file)


if __name__ == "__main__":
    main()
