"""What is measured, and what it is held against: a run of one side gives its figures by name.

    per_second       operations that were completed
    p50_us, p99_us   latency; in an open loop from when an operation was due
    cpu_us           processor time of one replica for one operation, user and kernel
    memory_mib       the most that any of the replicas has had resident
    trouble          operations that were refused, told busy, or not answered in time"""

import concurrent.futures
import contextlib
import os
import pathlib
import tempfile
import time

import bench
from etcd import Etcd

CLOSED = ("--clients", "200", "--pipeline", "1")
DEEP = ("--clients", "16", "--pipeline", "256")
# For many replicas on few cores: what waits for longer than 300 ms is sent to all of them again.
SHALLOW = ("--clients", "16", "--pipeline", "64")
ONE = ("--clients", "1", "--pipeline", "1")
PUT = ("put", "{key}", "{value}")
GET = ("get", "{key}")
BLOCK_CACHE_MIB = 64  # as in a node.toml that says nothing else


def open_loop(rate):
    """Operations at fixed times, so many a second by as many clients as in DEEP."""
    return ("--clients", "16", "--rate", f"{max(rate, 1):.3f}")


def existing(keys, *words):
    """The words on keys that a filled cluster has: nine of ten exist, since {key} has no leading zeros."""
    digits = len(str(keys - 1))
    return [word.replace("{key}", "key" + "0" * (8 - digits) + "{key}") for word in words]


class Sides:
    """Of one measurement: what it starts stays up over its rounds, and is ended and removed with it."""

    def __init__(self, options):
        self.options = options
        self.bin = options.build / "bin"
        self.round = {}  # side -> its figures in this round, so far
        self._stack = contextlib.ExitStack()
        self._up = {}
        self.temporary = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="pbft-bench-", ignore_cleanup_errors=True))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    # ---- the node ----

    def cluster(self, n=4, durability="os", plugin="kv", requests="macs", batch=None, filled=0):
        """`batch`: the most requests in a batch. `filled`: so many keys have values before anything is measured."""
        key = (n, durability, plugin, requests, batch, filled)
        if key not in self._up:
            made = self._stack.enter_context(
                bench.cluster(self.options, "--n", str(n), "--plugin", plugin, "--durability", durability, "--clients",
                              "200", "--requests", requests))
            if batch:
                for name in made.names:
                    file = made.dir / name / "node.toml"
                    file.write_text(f"{file.read_text()}\n[tuning]\nmax_batch_requests = {batch}\n")
            made.start().await_up()
            if filled:
                made.load("--fill", "--keys", str(filled), "--writes", str(filled), "--value-bytes", "256", "--clients",
                          "16", "--lanes", "256", "--timeout", "240").finish(tell=False)
            self._up[key] = made
        return self._up[key]

    def node(self, *words, load=CLOSED, size=256, keys=None, seconds=None, **cluster):
        """One run of pbftctl bench."""
        made = self.cluster(**cluster)
        pids = [process.pid for process in made.processes.values()]
        executed, cpu = self._executed(made), bench.cpu_seconds(pids)
        found = bench.run_json(self._bench_command(made, words, load, size, keys, seconds), accepted=(0, 1, 3, 4))
        executed, cpu = self._executed(made) - executed, bench.cpu_seconds(pids) - cpu
        figures = {"per_second": found["per_second"], "p50_us": found["latency"]["p50_us"],
                   "p99_us": found["latency"]["p99_us"], "memory_mib": bench.peak_mib(pids)}
        if executed > found["completed"]:  # unordered reads are not counted
            figures["cpu_us"] = 1e6 * cpu / executed
        trouble = found["refused"] + found["timed_out"] + found["busy"] + found.get("unknown", 0)
        if trouble:
            figures["trouble"] = trouble
        if not found["latency"]["p99_us"]:  # what was due has come to nothing; an overloaded open loop completes it later
            raise RuntimeError(f"nothing was completed: {found}")
        return figures

    def _bench_command(self, made, words, load, size, keys, seconds):
        return [self.bin / "pbftctl", "--dir", made.dir, "--json", "--timeout", "60", "bench", *load, "--keys",
                keys or self.options.keys, "--size", size, "--duration", seconds or self.options.seconds, "--warm-up",
                self.options.warm_up, *words]

    @staticmethod
    def _executed(made):
        """Requests that were executed so far, over all replicas."""
        return sum(status["counters"].get("executed_requests", 0) for status in made.peek().values())

    def curve(self, durability):
        """Latency at a tenth of the maximum throughput, two tenths, and so on."""
        maximum = self.node(*PUT, load=DEEP, durability=durability)["per_second"]
        points = []
        for share in range(10, 101, 10):
            offered = maximum * share / 100
            points.append({"share": share, "offered": offered,
                           **self.node(*PUT, load=open_loop(offered), durability=durability)})
        return {"maximum": maximum, "points": points}

    def over_time(self, *words, load=DEEP):
        """Throughput second by second, as a replica counts what it executes; and by period: a minute, or a fifth of the
        time where that is less."""
        made, seconds = self.cluster(), self.options.seconds
        primary = made.primary()
        samples = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(bench.run_json, self._bench_command(made, words, load, 256, None, seconds),
                                  (0, 1, 3, 4))
            step = min(1, seconds / 20)
            while not concurrent.futures.wait([running], timeout=step).done:
                status = made.peek(primary).get(primary)
                if status:
                    samples.append((time.monotonic(), status["counters"].get("executed_requests", 0)))
            running.result()
        idle = samples[0][1]
        begun = next((at for at, executed in samples if executed > idle), samples[-1][0]) + self.options.warm_up
        samples = [(at - begun, executed) for at, executed in samples if begun <= at <= begun + seconds - step]
        if len(samples) < 3:
            raise RuntimeError(f"too short to be measured: {seconds} s")
        series = [(at, (executed - before) / (at - earlier))
                  for (earlier, before), (at, executed) in zip(samples, samples[1:])]
        period = min(60, seconds / 5)
        periods = {}
        for at, value in series:
            periods.setdefault(int(at / period), []).append(value)
        means = [sum(values) / len(values) for _, values in sorted(periods.items()) if len(values) > 1]
        ordered = sorted(value for _, value in series)
        return {"per_second": sum(means) / len(means), "second_period": means[min(1, len(means) - 1)],
                "last_period": means[-1], "lowest": ordered[0], "percentile_1": ordered[len(ordered) // 100],
                "typical": ordered[len(ordered) // 2], "period_s": period, "periods": means, "series": series}

    # ---- what it is held against ----

    def _timed(self):
        return ["--seconds", self.options.seconds, "--warm-up", self.options.warm_up, "--json"]

    def message_floor(self, clients=1, pipeline=1, n=4):
        return bench.run_json([self.bin / "message_floor", "--n", n, "--clients", clients, "--pipeline", pipeline,
                               *self._timed()])

    def storage_floor(self, size, durability="os"):
        return bench.run_json([self.bin / "storage_floor", "--bytes", size, "--keys", self.options.keys, "--clients", 16,
                               "--batch", 400, "--durability", durability, "--tmp", self.temporary, *self._timed()])

    def etcd(self, durability, clients=200, channels=16):
        key = ("etcd", durability)
        if key not in self._up:
            self._up[key] = self._stack.enter_context(contextlib.closing(Etcd(durability)))
        return bench.run_json([self.bin / "etcd_load", "--endpoint", self._up[key].leader, "--clients", clients,
                               "--channels", channels, "--keys", self.options.keys, *self._timed()])

    def verification(self):
        """Of one Ed25519 signature, with the key that made it."""
        done = bench.run_json([self.bin / "micro_bench", "--benchmark_filter=^ed25519_verify$",
                                        "--benchmark_format=json"])
        return {"verify_us": done["benchmarks"][0]["real_time"] / 1000, "cores": len(os.sched_getaffinity(0))}

    def transfer(self):
        keys = self.options.keys
        return bench.run_json([pathlib.Path(__file__).parent / "transfer", "--build", self.options.build, "--wipe",
                               "--idle", "--json", "--keys", keys, "--writes", 0, "--touched", keys, "--value-bytes", 256,
                               "--seconds", self.options.seconds])
