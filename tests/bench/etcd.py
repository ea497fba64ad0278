"""Three members of etcd on loopback: what a crash-only consensus does on the same machine."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

PACKAGES = ["etcd-server", "libgrpc++-dev", "protobuf-compiler-grpc", "libprotobuf-dev", "protobuf-compiler"]


def install():
    """Installs etcd and gRPC where they are missing; says whether anything was."""
    if shutil.which("etcd") and pathlib.Path("/usr/include/grpcpp/grpcpp.h").exists():
        return False
    install_packages(*PACKAGES)
    return True


def install_packages(*packages):
    print("installing " + " ".join(packages), flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*root, "apt-get", "update", "-qq"], stdin=subprocess.DEVNULL, capture_output=True)
    done = subprocess.run([*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode != 0:
        raise RuntimeError(f"apt-get cannot install {' '.join(packages)}:\n{done.stdout}{done.stderr}")


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Etcd:
    """`leader` is the endpoint of the member that clients talk to. Without fsync it is on /dev/shm: it has no switch for
    that."""

    def __init__(self, durability):
        parent = "/dev/shm" if durability == "os" else None
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pbft-bench-etcd-", dir=parent))
        self.processes = []
        try:
            self._start()
            self.leader = self._await_leader()
        except BaseException:
            self.close()
            raise

    def _start(self):
        ports = free_ports(6)
        peers = [f"http://127.0.0.1:{port}" for port in ports[:3]]
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[3:]]
        members = ",".join(f"m{i}={peer}" for i, peer in enumerate(peers))
        for i, (peer, endpoint) in enumerate(zip(peers, self.endpoints)):
            client = f"http://{endpoint}"
            command = ["etcd", "--name", f"m{i}", "--data-dir", str(self.directory / f"m{i}"),
                       "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                       "--listen-client-urls", client, "--advertise-client-urls", client, "--initial-cluster", members,
                       "--initial-cluster-token", self.directory.name, "--log-level", "warn",
                       "--quota-backend-bytes", str(8 << 30)]
            with open(self._log(i), "w") as log:
                self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _log(self, member):
        return self.directory / f"m{member}.log"

    def _await_leader(self, patience=60):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for i, process in enumerate(self.processes):
                if process.poll() is not None:
                    raise RuntimeError(f"etcd has ended:\n{self._log(i).read_text()[-2000:]}")
            for endpoint in self.endpoints:
                with contextlib.suppress(OSError, KeyError, ValueError):
                    request = urllib.request.Request(f"http://{endpoint}/v3/maintenance/status", b"{}")
                    with urllib.request.urlopen(request, timeout=2) as answer:
                        status = json.loads(answer.read())
                    if status["leader"] == status["header"]["member_id"]:
                        return endpoint
            time.sleep(0.05)
        raise RuntimeError(f"etcd has found no leader within {patience} s:\n{self._log(0).read_text()[-2000:]}")

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
