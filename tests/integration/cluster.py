"""Real clusters for the integration tests: pbftctl and pbft-node as people use them, in a temporary directory, on
ports that are free. Processes are ended by the id that the test started them with; nothing is left behind."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

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


class PortBlock:
    """Ports that no other test on this machine gets for as long as this one holds them, also while its replicas are
    down. Below those that the system gives to outgoing connections."""

    SIZE = 160  # sixteen replicas

    def __init__(self):
        for self.base in random.sample(range(12_000, 32_000, self.SIZE), 125):
            self._lease = socket.socket(socket.AF_UNIX)
            try:
                self._lease.bind(f"\0pbft-ports-{self.base}")  # abstract: it is gone with the process that holds it
                self._check_free()
                return
            except OSError:
                self._lease.close()
        raise AssertionError("no block of free ports is left")

    def _check_free(self):
        for port in range(self.base, self.base + self.SIZE):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))

    def close(self):
        self._lease.close()


class Cluster:
    def __init__(self, *init_arguments):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="pbft-"))
        self.dir = self.base / "cluster"
        self.ports = PortBlock()
        self.ctl("init", str(self.dir), "--base-port", str(self.ports.base), *init_arguments)
        self.names = [p.parent.name for p in sorted(self.dir.glob("*/node.toml"))]
        self.names.sort(key=self._replica_id)
        self.processes = {}
        self.paused = set()
        self.loads = []

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

    def start(self, *names, options=(), environment=None):
        for name in names or self.names:
            log = open(self.dir / name / "node.log", "a")
            self.processes[name] = subprocess.Popen(
                [str(BIN / "pbft-node"), str(self.dir / name / "node.toml"), *options], stderr=log, stdout=log,
                env=environment)
            log.close()
        return self

    def pause(self, name):
        self.paused.add(name)
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name):
        self.processes[name].send_signal(signal.SIGCONT)
        self.paused.remove(name)

    def stop(self, *names, how=signal.SIGTERM):
        for name in names or list(self.processes):
            process = self.processes.pop(name)
            process.send_signal(how)
            process.wait(timeout=60)

    def kill(self, *names):
        self.stop(*names, how=signal.SIGKILL)

    def configure(self, name, **keys):
        """Sets top-level keys of a replica's node.toml."""
        file = self.dir / name / "node.toml"
        text = file.read_text()
        for key, value in keys.items():
            text = re.sub(rf"(?m)^{key} = .*\n", "", text)
            text = f"{key} = {json.dumps(value)}\n" + text
        file.write_text(text)

    def log(self, name):
        return (self.dir / name / "node.log").read_text()

    # ---- what it says of itself ----

    def status(self):
        """name -> status of each replica that answers."""
        report = json.loads(self.ctl("status", as_json=True, timeout=3, check=False).stdout)
        return {row["name"]: row["info"] for row in report["replicas"] if row["reachable"]}

    def http(self, name):
        """Where the replica serves HTTP."""
        for line in (self.dir / name / "node.toml").read_text().split("[http]")[1].splitlines():
            if line.split("=")[0].strip() == "port":
                return f"http://127.0.0.1:{int(line.split('=')[1].split('#')[0])}"
        raise AssertionError("no HTTP port in node.toml")

    def peek(self, *names):
        """The same as status(), asked of each replica that runs; it does not wait for those that do not."""
        found = {}
        for name in names or [n for n in self.processes if n not in self.paused]:
            try:
                with urllib.request.urlopen(self.http(name) + "/status", timeout=5) as answer:
                    found[name] = json.loads(answer.read())
            except OSError:
                pass
        return found

    def await_status(self, name, condition, what, seconds=120):
        """Waits until the replica's status meets the condition, and returns it."""
        seen = {}

        def met():
            seen.update(self.peek(name))
            return name in seen and condition(seen[name])

        try:
            wait_until(met, f"{name} {what}", seconds)
        except AssertionError as failure:
            raise AssertionError(f"{failure}; its status: {seen.get(name)}") from None
        return seen[name]

    def view(self):
        """The view that a weak quorum of the replicas that answer is in, or beyond."""
        views = sorted((s["view"] for s in self.peek().values()), reverse=True)
        faults = (len(self.names) - 1) // 3
        return views[faults] if len(views) > faults else None

    def primary(self):
        """The name of the primary of the day."""
        view = wait_until(lambda: (self.view() or 0) + 1, "enough replicas to answer") - 1
        return self.names[view % len(self.names)]

    def await_in_step(self, name, timeout=120):
        """Waits until a replica takes part like the others."""

        def in_step(s):
            idle = not (s["catching_up"] or s["transfer"]["active"] or s["rejoining"] or s["diverged"])
            return idle and s["view_active"] and s["view"] >= (self.view() or 0) and s["lag"] <= 32

        return self.await_status(name, in_step, "to be in step with the others", timeout)

    def await_up(self, *names):
        wanted = set(names or self.processes)
        answer = set()

        def up():
            answer.clear()
            answer.update(self.status())
            return wanted <= answer

        try:
            wait_until(up, f"{sorted(wanted)} to answer", 120)
        except AssertionError as failure:
            logs = [f"---- {name}\n" + "\n".join(self.log(name).splitlines()[-8:]) for name in sorted(wanted - answer)]
            raise AssertionError("\n".join([str(failure), *logs])) from None
        return self

    def await_equal(self, *names):
        """Waits until the replicas have executed the same, and returns their status."""
        wanted = list(names or self.processes)

        def equal():
            status = self.peek(*wanted)
            if not set(wanted) <= set(status):
                return None
            chosen = {name: status[name] for name in wanted}
            same = len({s["executed"] for s in chosen.values()}) == 1
            same = same and len({json.dumps(s["last_checkpoint"]) for s in chosen.values()}) == 1
            return chosen if same else None

        return wait_until(equal, f"{wanted} to have executed and checkpointed the same", 120)

    def leave_behind(self, name, keep):
        """Kills a replica and writes until the others, which keep so many batches, have dropped what it lacks."""
        executed = self.peek(name)[name]["executed"]
        self.kill(name)

        def gone():
            self.ctl("bench", "--sequential", "50", "put", "later{i}", "value", timeout=60)
            return min(s["stable"] for s in self.peek().values()) > executed + 2 * keep

        wait_until(gone, f"the others to drop what {name} lacks", 120)

    # ---- load ----

    def load(self, *options):
        return Load(self, *options)

    def write(self, count, *options):
        """So many puts of random values, by some clients at once; returns when all are acknowledged."""
        load = Load(self, "--fill", "--writes", str(count), "--clients", "2", "--lanes", "16", *options)
        counts = load.finish(tell=False)
        if counts["acknowledged"] != count:
            raise AssertionError(f"not all of {count} writes were acknowledged: {counts}")

    def close(self):
        for load in self.loads:
            load.close()
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.base, ignore_errors=True)
        self.ports.close()


class Load:
    """Clients that write until they are told to stop, and then check what they were told (cluster_load)."""

    def __init__(self, cluster, *options):
        cluster.loads.append(self)
        self.process = subprocess.Popen([str(BIN / "cluster_load"), "--dir", str(cluster.dir), *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def report(self):
        return self.ask("report")

    def reset(self):
        return self.ask("reset")

    def await_more(self, count, what, seconds=60):
        """Waits until so many further writes are acknowledged."""
        before = self.report()["acknowledged"]
        wait_until(lambda: self.report()["acknowledged"] >= before + count, f"writes to go on: {what}", seconds)

    def finish(self, tell=True):
        """Ends it, and returns its counts; what the cluster did wrong is in "problems"."""
        if tell:
            try:
                self.process.stdin.write("stop\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass  # it has ended by itself
        # The input stays open: its end would stop a load that has not written everything yet.
        output = self.process.stdout.read()
        self.process.wait(timeout=300)
        return json.loads(output.strip().split("\n")[-1])

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class ClusterTest(unittest.TestCase):
    def cluster(self, *init_arguments):
        cluster = Cluster(*init_arguments)
        self.addCleanup(cluster.close)
        return cluster

    def check(self, load):
        """Every acknowledged write is there, and none took effect twice."""
        counts = load.finish()
        self.assertEqual(counts["problems"], [], counts)
        self.assertEqual((counts["unknown"], counts["busy"], counts["refused"]), (0, 0, 0), counts)
        return counts
