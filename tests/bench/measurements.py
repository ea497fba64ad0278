"""The table of goals, row by row: what is measured in turn, and what must come out."""

import dataclasses
import statistics
from typing import Any, Callable, Optional

from sides import BLOCK_CACHE_MIB, CLOSED, DEEP, GET, ONE, PUT, SHALLOW, Sides, existing, open_loop

# Enough in flight for full batches; more would be a queue, and a median that no throughput could bring down.
FULL = ("--clients", "16", "--pipeline", "128")
BUNDLES_OF_16 = ("--clients", "64", "--pipeline", "16")
SCALE = (4, 7, 10, 13)
FIXED_BATCH = 64
STATE_KEYS = (1_000, 1_000_000)


@dataclasses.dataclass
class Goal:
    """A figure that must be at least (or at most) something. `value` is computed from the medians of all sides."""
    what: str
    value: Callable[[dict], float]
    must: Optional[float] = None
    aim: Optional[float] = None
    at_least: bool = True

    def judge(self, medians):
        try:
            value = self.value(medians)
        except ZeroDivisionError:  # a side that stood still: nothing can be said beside it, and no goal is met
            value = None
        met = {name: value is not None and (value >= limit if self.at_least else value <= limit)
               for name, limit in (("must", self.must), ("aim", self.aim)) if limit is not None}
        return {"what": self.what, "value": value, "must": self.must, "aim": self.aim, "at_least": self.at_least, "met": met}


@dataclasses.dataclass
class Measurement:
    row: Optional[int]  # of the table of goals
    what: str
    sides: dict[str, Callable[[Sides], dict]]  # each takes its turn in every round
    goals: list[Goal]
    needs: tuple = ()
    rounds: Optional[int] = None  # None: as asked for
    by_default: bool = True

    def run(self, options, tell: Callable[[str, dict], None]):
        """side -> the figures of each round."""
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in self.sides}
        with Sides(options) as s:
            for _ in range(min(options.rounds, self.rounds or options.rounds)):
                s.round = {}
                for side, run in self.sides.items():
                    s.round[side] = run(s)
                    tell(side, s.round[side])
                    runs[side].append(s.round[side])
        return runs


def medians_of(runs):
    """side -> figure -> its median over the rounds that have it."""
    found = {}
    for side, figures in runs.items():
        names = {name for one in figures for name, value in one.items() if isinstance(value, (int, float))}
        found[side] = {name: statistics.median(one[name] for one in figures if name in one) for name in sorted(names)}
    return found


def at_most(what, value, must=None, aim=None):
    return Goal(what, value, must, aim, at_least=False)


def ratio(figure, over, under):
    return lambda m: m[over][figure] / m[under][figure]


def growth(prefix, linear):
    """The largest CPU time of an operation and replica beside that of n = 4; `linear`: and beside growth with n."""
    def largest(m):
        smallest = m[f"{prefix}, n = {SCALE[0]}"]["cpu_us"]
        return max(m[f"{prefix}, n = {n}"]["cpu_us"] / smallest / (n / SCALE[0] if linear else 1) for n in SCALE[1:])

    return largest


def scale_in_n():
    sides = {f"batches of {FIXED_BATCH}, n = {n}": lambda s, n=n: s.node(*PUT, load=SHALLOW, n=n, batch=FIXED_BATCH)
             for n in SCALE}
    return sides | {f"full batches, n = {n}": lambda s, n=n: s.node(*PUT, load=SHALLOW, n=n) for n in SCALE}


def scale_in_state(sizes):
    sides = {f"{keys:,} keys": lambda s, keys=keys: s.node(*existing(keys, *PUT), load=DEEP, keys=keys, filled=keys)
             for keys in sizes}
    few = f"{min(sizes):,} keys"
    goals = []
    for keys, must, aim in ((1_000_000, 0.7, 0.9), (10_000_000, 0.5, 0.7)):
        if keys in sizes and keys != min(sizes):
            goals.append(Goal(f"writes at {keys:,} keys, beside {few}", ratio("per_second", f"{keys:,} keys", few), must, aim))
    if not goals and len(sizes) > 1:
        many = f"{max(sizes):,} keys"
        goals.append(Goal(f"writes at {many}, beside {few}", ratio("per_second", many, few)))
    return Measurement(12, "pipelined 256-byte puts over few keys and over many", sides, goals)


def reads():
    """Over keys that exist."""
    def run(words, load):
        def side(s):
            keys = min(100_000, s.options.keys)
            return s.node(*existing(keys, *words), load=load, keys=keys, filled=keys)

        return side

    return {"reads, 200 clients": run(GET, CLOSED), "writes, 200 clients": run(PUT, CLOSED),
            "one read": run(GET, ONE), "one write": run(PUT, ONE)}


def of_verification(m):
    """Signed requests a second, beside what the processors could verify if they did nothing else."""
    bound = m["verification"]["cores"] / (4 * m["verification"]["verify_us"] * 1e-6)
    return m["signed, one a bundle"]["per_second"] / bound


def other_connections(durability):
    """The node with as many connections as etcd has in the first place, and the other way round."""
    return {"node, 16 connections": lambda s: s.node(*PUT, load=(*CLOSED, "--connections", "16"), durability=durability),
            "etcd, 200 connections": lambda s: s.etcd(durability, channels=200)}


def with_as_many_connections(etcd):
    return (Goal("the same with a connection for each of etcd's clients too",
                 ratio("per_second", "node", "etcd, 200 connections")),
            Goal("the same with 16 connections for the node's clients too", ratio("per_second", "node, 16 connections", etcd)))


MEASUREMENTS = {
    "closed-os": Measurement(
        1, "200 clients, 256-byte puts, durability os",
        {"node": lambda s: s.node(*PUT), "etcd without fsync": lambda s: s.etcd("os")} | other_connections("os"),
        [Goal("writes beside etcd's", ratio("per_second", "node", "etcd without fsync"), 1, 2),
         *with_as_many_connections("etcd without fsync")],
        needs=("etcd",)),
    "closed-fsync": Measurement(
        2, "200 clients, 256-byte puts, durability fsync",
        {"node": lambda s: s.node(*PUT, durability="fsync"), "etcd with fsync": lambda s: s.etcd("fsync"),
         "durability os": lambda s: s.node(*PUT)} | other_connections("fsync"),
        [Goal("writes beside etcd's", ratio("per_second", "node", "etcd with fsync"), 1, 2), *with_as_many_connections("etcd with fsync"),
         at_most("price of fsync: share of the writes that it costs",
                 lambda m: 1 - m["node"]["per_second"] / m["durability os"]["per_second"], 1 / 3)], needs=("etcd",)),
    "deep-256": Measurement(
        3, "pipelined 256-byte puts, durability os",
        {"node": lambda s: s.node(*PUT, load=DEEP), "storage floor": lambda s: s.storage_floor(256)},
        [Goal("writes per second", lambda m: m["node"]["per_second"], 25_000),
         Goal("writes beside the storage floor", ratio("per_second", "node", "storage floor"), 0.5, 0.8)]),
    "deep-1024": Measurement(
        4, "pipelined 1 KiB puts, durability os",
        {"node": lambda s: s.node(*PUT, load=DEEP, size=1024), "storage floor": lambda s: s.storage_floor(1024)},
        [Goal("writes per second", lambda m: m["node"]["per_second"], 10_000, 36_000),
         Goal("writes beside the storage floor", ratio("per_second", "node", "storage floor"), 0.5)]),
    "empty": Measurement(
        5, "pipelined empty operations on counter",
        {"node": lambda s: s.node("add", plugin="counter", load=FULL), "message floor": lambda s: s.message_floor(16, 128)},
        [Goal("operations per second", lambda m: m["node"]["per_second"], 54_000, 110_000),
         at_most("median in ms", lambda m: m["node"]["p50_us"] / 1000, 50, 25)]),
    "one-client": Measurement(
        6, "one client, 256-byte puts, durability os",
        {"node": lambda s: s.node(*PUT, load=ONE), "message floor": lambda s: s.message_floor(),
         "etcd without fsync": lambda s: s.etcd("os", 1)},
        [at_most("median beside the message floor's", ratio("p50_us", "node", "message floor"), 1.5),
         at_most("99th percentile beside the median", lambda m: m["node"]["p99_us"] / m["node"]["p50_us"], 4),
         at_most("median beside etcd's", ratio("p50_us", "node", "etcd without fsync"), aim=1)], needs=("etcd",)),
    "half-load": Measurement(
        7, "half of the maximum load, open loop, durability os",
        # Of operations that come one by one, as they do in an open loop.
        {"maximum": lambda s: s.node(*PUT, load=CLOSED),
         "half": lambda s: s.node(*PUT, load=open_loop(s.round["maximum"]["per_second"] / 2)),
         "idle": lambda s: s.node(*PUT, load=ONE)},
        [at_most("median at half load beside the idle one", ratio("p50_us", "half", "idle"), 3, 2)]),
    "agreement": Measurement(
        8, "processor time of an operation and replica, pipelined 256-byte puts",
        {"n = 4": lambda s: s.node(*PUT, load=DEEP), "n = 1": lambda s: s.node(*PUT, n=1, load=DEEP)},
        [at_most("CPU beside the unreplicated node's", ratio("cpu_us", "n = 4", "n = 1"), 2, 1.3)]),
    "signed": Measurement(
        9, "signed requests: 200 clients with one a bundle, 64 clients with bundles of 16",
        {"signed, one a bundle": lambda s: s.node(*PUT, requests="signed"),
         "verification": lambda s: s.verification(),
         "signed, bundles of 16": lambda s: s.node(*PUT, requests="signed", load=BUNDLES_OF_16),
         "MACs, bundles of 16": lambda s: s.node(*PUT, load=BUNDLES_OF_16)},
        [Goal("one a bundle, beside cores / (n x verification time)", of_verification, 0.6, 0.8),
         Goal("bundles of 16, beside the same with MACs",
              ratio("per_second", "signed, bundles of 16", "MACs, bundles of 16"), aim=0.5)]),
    "reads": Measurement(
        10, "reads of 256-byte values, and writes, durability os", reads(),
        [at_most("median of a single read beside a write's", ratio("p50_us", "one read", "one write"), 0.6),
         Goal("reads beside writes", ratio("per_second", "reads, 200 clients", "writes, 200 clients"), 1.5, 3)]),
    "scale-n": Measurement(
        11, "processor time of an operation and replica against n", scale_in_n(),
        [at_most(f"batches of {FIXED_BATCH}: largest growth from n = 4, beside that of n",
                 growth(f"batches of {FIXED_BATCH}", linear=True), 1),
         at_most("full batches: largest growth from n = 4", growth("full batches", linear=False), aim=1.25)]),
    "scale-state": scale_in_state(STATE_KEYS),
    "scale-time": Measurement(
        13, "pipelined 256-byte puts for --seconds (1800 where it is not given)",
        {"node": lambda s: s.over_time(*PUT)},
        [Goal("last minute beside the second", lambda m: m["node"]["last_period"] / m["node"]["second_period"], 0.9),
         Goal("slowest second beside the median one", lambda m: m["node"]["lowest"] / m["node"]["typical"], 0.8)],
        rounds=1, by_default=False),
    "transfer": Measurement(
        14, "a replica that lost its disk gets the whole state", {"transfer": lambda s: s.transfer()},
        [Goal("idle: bytes per second beside what RocksDB writes there",
              lambda m: m["transfer"]["idle_bytes_per_second"] / m["transfer"]["rocksdb_bytes_per_second"], 0.5),
         Goal("under load: writes meanwhile beside those before",
              lambda m: m["transfer"]["meanwhile_per_second"] / m["transfer"]["before_per_second"], 0.7)], rounds=1),
    "memory": Measurement(
        15, "resident memory at full load with all keys there, beside the block cache",
        {"node": lambda s: s.node(*existing(s.options.keys, *PUT), load=DEEP, filled=s.options.keys)},
        [at_most(f"MiB resident at most, less the {BLOCK_CACHE_MIB} of the block cache",
                 lambda m: m["node"]["memory_mib"] - BLOCK_CACHE_MIB, 512, 256)]),
    "curve": Measurement(
        None, "latency against offered load, open loop, 10 % to 100 % of the maximum",
        {durability: lambda s, durability=durability: s.curve(durability) for durability in ("os", "fsync")}, [],
        rounds=1, by_default=False),
}
QUICK = ["closed-os", "deep-256", "one-client", "agreement"]
PLOTTED = ["curve", "scale-n", "scale-time"]
