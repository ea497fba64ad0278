"""Real clusters for the integration tests: pbftctl and pbft-node as people use them, in a temporary directory, on
ports that are free. Processes are ended by the id that the test started them with; nothing is left behind."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["PBFT_BIN"])


def wait_until(condition, what, seconds=60):
    """Awaits a condition; fails with its name. The deadline only bounds a broken run."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        time.sleep(0.02)


class Cluster:
    def __init__(self, *init_arguments):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="pbft-"))
        self.dir = self.base / "cluster"
        self.ctl("init", str(self.dir), "--ports", "pick", *init_arguments)
        self.names = [p.parent.name for p in sorted(self.dir.glob("*/node.toml"))]
        self.names.sort(key=self._replica_id)
        self.processes = {}

    def _replica_id(self, name):
        genesis = (self.dir / "genesis.toml").read_text()
        return genesis.index(f'"{name}"')

    def ctl(self, command, *arguments, check=True, timeout=None, as_json=False, **options):
        """Runs pbftctl; what it is told for all commands stands in front, so that words stay words."""
        line = [str(BIN / "pbftctl")]
        if command not in ("init", "up", "down"):
            line += ["--dir", str(self.dir)]
        if timeout is not None:
            line += ["--timeout", str(timeout)]
        if as_json:
            line += ["--json"]
        line += [command, *arguments]
        result = subprocess.run(line, capture_output=True, text=True, timeout=300, **options)
        if check and result.returncode != 0:
            raise AssertionError(f"{line} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    # ---- processes ----

    def start(self, *names):
        for name in names or self.names:
            log = open(self.dir / name / "node.log", "a")
            self.processes[name] = subprocess.Popen(
                [str(BIN / "pbft-node"), str(self.dir / name / "node.toml")], stderr=log, stdout=log)
            log.close()
        return self

    def stop(self, *names, how=signal.SIGTERM):
        for name in names or list(self.processes):
            process = self.processes.pop(name)
            process.send_signal(how)
            process.wait(timeout=60)

    def kill(self, *names):
        self.stop(*names, how=signal.SIGKILL)

    def log(self, name):
        return (self.dir / name / "node.log").read_text()

    # ---- what it says of itself ----

    def status(self):
        """name -> status of each replica that answers."""
        report = json.loads(self.ctl("status", as_json=True, timeout=3, check=False).stdout)
        return {row["name"]: row["info"] for row in report["replicas"] if row["reachable"]}

    def await_up(self, *names):
        wanted = set(names or self.processes)
        wait_until(lambda: wanted <= set(self.status()), f"{wanted} to answer")
        return self

    def await_equal(self, *names):
        """Waits until the replicas have executed the same, and returns their status."""
        wanted = list(names or self.processes)

        def equal():
            status = self.status()
            if not set(wanted) <= set(status):
                return None
            chosen = {name: status[name] for name in wanted}
            same = len({s["executed"] for s in chosen.values()}) == 1
            same = same and len({json.dumps(s["last_checkpoint"]) for s in chosen.values()}) == 1
            return chosen if same else None

        return wait_until(equal, f"{wanted} to have executed and checkpointed the same", 120)

    def close(self):
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.base, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    def cluster(self, *init_arguments):
        cluster = Cluster(*init_arguments)
        self.addCleanup(cluster.close)
        return cluster
