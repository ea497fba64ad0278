"""A cluster whose network, disks and clocks can be broken, and which notices replicas that end by themselves."""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

from cluster import BIN, Cluster, Load, wait_until  # noqa: E402
from network import Network  # noqa: E402
from replica_control import ReplicaControl  # noqa: E402

CLIENTS = 3
TIMEOUT = 3  # seconds for one operation; shorter than some faults, so that the outcome of some is not known
# Small, so that checkpoints, state transfers and full windows come about within minutes.
INIT = ("--plugin", "kv", "--clients", str(CLIENTS), "--checkpoint-interval", "16", "--window", "64", "--ledger-keep",
        "256", "--transfer-above", "64", "--scrub-period", "2", "--view-timeout-max-ticks", "400")


class ChaosCluster(Cluster):
    def __init__(self, n, seed):
        super().__init__("--n", str(n), "--requests", "signed" if seed % 2 == 0 else "macs", *INIT)
        self.faults = (n - 1) // 3
        self.controls = {name: ReplicaControl(self.base / f"{name}.control") for name in self.names}
        self.network = Network(BIN / "chaos_proxy", seed)
        self.clients = ["client"] + [f"client-{i + 2}" for i in range(CLIENTS - 1)]
        for name in self.names:
            self.network.lead_through(self.dir / name / "node.toml", name)
        for client in self.clients:
            self.network.lead_through(self.dir / client / "client.toml", client)
        self.damaged = set()  # replicas whose files were changed behind their back
        self.lost = set()  # replicas that lost their disk
        self.ends = []  # (name, reason) of replicas that ended by themselves for a reason that a fault explains
        self.unexplained = []  # what nothing explains
        self._at_start = {}  # name -> (length of the log, failures of the disk) when it was started

    # ---- processes ----

    def start(self, *names, options=()):
        library = BIN.parent / "lib" / "libchaos_shim.so"
        for name in names or self.names:
            home = self.dir / name
            environment = {**os.environ, **self.controls[name].environment(library, home / "data")}
            with open(home / "node.log", "a") as log:
                self._at_start[name] = (log.tell(), self.controls[name].disk_counts())
                self.processes[name] = subprocess.Popen([str(BIN / "pbft-node"), str(home / "node.toml"), *options],
                                                        stderr=log, stdout=log, env=environment)
        return self

    def stop(self, *names, how=signal.SIGTERM):
        self.notice_ends()
        names = [name for name in names or list(self.processes) if name in self.processes]
        self.paused -= set(names)
        if names:
            super().stop(*names, how=how)

    def start_missing(self):
        """Starts what does not run, and returns it."""
        self.notice_ends()
        missing = [name for name in self.names if name not in self.processes]
        if missing:
            self.start(*missing)
        return missing

    def notice_ends(self):
        for name, process in list(self.processes.items()):
            if process.poll() is None:
                continue
            del self.processes[name]
            self.paused.discard(name)
            reason = self._reason(name, process.returncode)
            if reason:
                self.ends.append((name, reason))
                print(f"          {name} has stopped: {reason}", flush=True)
            else:
                self._unexplained_end(name, process.returncode)

    def _last_log(self, name):
        with open(self.dir / name / "node.log", "rb") as log:
            log.seek(self._at_start[name][0])
            return log.read().decode(errors="replace")

    def _reason(self, name, code):
        """Why a replica ended, where a fault explains it: a disk that failed, or that had changed what was written."""
        said = [line for line in self._last_log(name).splitlines() if " critical " in line]
        stopped = code == 1 and said and ("storage failed" in said[-1] or "cannot start" in said[-1])
        failed = self.controls[name].disk_counts() > self._at_start[name][1]
        if stopped and (failed or name in self.damaged):
            return said[-1].split(": ", 1)[-1][:160]
        return None

    def _unexplained_end(self, name, code):
        tail = "\n".join(self._last_log(name).splitlines()[-5:])
        self.unexplained.append(f"{name} ended with {code}, which no fault explains:\n{tail}")

    # ---- what all faults end with ----

    def heal(self):
        """The network, the disks and the clocks are as they should be, and every replica runs."""
        self.network.heal()
        for control in self.controls.values():
            control.heal()
        self.notice_ends()
        for name in list(self.paused):
            self.resume(name)
        return self.start_missing()

    def await_status(self, name, condition, what, seconds=120):
        """As for any cluster, but a replica that stops for a reason that a fault explains is started again."""
        status = None

        def met():
            nonlocal status
            self.start_missing()
            status = self.peek(name).get(name)
            return status and condition(status)

        try:
            wait_until(met, f"{name} {what}", seconds)
        except AssertionError as failure:
            raise AssertionError(f"{failure}; its status: {status}") from None
        return status

    def await_in_step(self, name, timeout=120):
        """As for any cluster; but a replica that left a view alone counts as well. It learns what the others decide, and
        takes part again with their next view change."""

        def in_step(s):
            idle = not (s["catching_up"] or s["transfer"]["active"] or s["rejoining"] or s["diverged"])
            view = self.view() or 0
            return idle and (s["view_active"] and s["view"] >= view or s["view"] > view) and s["lag"] <= 32

        return self.await_status(name, in_step, "to be in step with the others", timeout)

    def await_repaired(self, name):
        """Waits until a damaged replica has been through its whole store twice and nothing is wrong with it any more: it
        has found the damage by itself, and has fetched what is right from the others."""
        self.await_status(name, lambda s: s["scrub"]["passes"] >= 2 and not s["diverged"], "to repair its state", 240)
        self.await_in_step(name)

    def peek(self, *names):
        self.notice_ends()
        return super().peek(*names)

    def close(self):
        super().close()
        self.network.close()
        for control in self.controls.values():
            control.close()


class RecordedLoad(Load):
    """Clients that read and write, and write down what they saw."""

    def __init__(self, cluster, history, seed):
        cluster.loads.append(self)
        line = [str(BIN / "cluster_load"), "--dir", str(cluster.dir), "--clients", str(CLIENTS), "--lanes", "3",
                "--timeout", str(TIMEOUT), "--history", str(history), "--seed", str(seed)]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def acknowledged(self):
        return self.report()["acknowledged"]


def check_history(file):
    """What the checkers say of a history."""
    result = subprocess.run([str(BIN / "check_history"), str(file), "--json"], capture_output=True, text=True,
                            timeout=600)
    if result.returncode not in (0, 1):
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)
