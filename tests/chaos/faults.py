"""The kinds of faults. Each is drawn from the storm's random numbers, strikes with begin(), may go on in tick(), and is
over after end(); what it broke is whole again then, but for what a replica has to do itself."""

import errno
import itertools
import shutil
import signal
import subprocess
from random import Random

from chaos_cluster import BIN


class Fault:
    kind = ""
    # Writes must go on meanwhile: at most f replicas do not take part, and the others and some client are connected.
    bearable = True
    # How long it lasts, in seconds.
    duration = (1, 4)
    # Replicas that do not count as correct before they have told so themselves; awaited before anything else strikes.
    heavy = False

    def __init__(self, cluster, random):
        self.cluster, self.random = cluster, random
        # How often tick() comes is no part of the seed, so it draws from numbers of its own.
        self.tick_random = Random(random.random())
        self.victims = []
        self.effects = None  # how often it made a difference, where that can be told; otherwise it always does
        self.setup()

    def setup(self):
        self.victims = self.some_replicas()

    def begin(self):
        """Strikes; returns what it does, for people."""
        raise NotImplementedError

    def tick(self):
        pass

    def end(self):
        self.cluster.heal()

    def settle(self):
        """Waits for what takes time after the end."""

    # ---- drawing ----

    def some_replicas(self, most=None):
        """One to f replicas, the primary among them half of the time."""
        count = self.random.randint(1, most or self.cluster.faults)
        chosen = self.random.sample(self.cluster.names, count)
        want_primary = self.random.random() < 0.5
        primary = self.cluster.names[(self.cluster.view() or 0) % len(self.cluster.names)]
        if want_primary and primary not in chosen:
            chosen[0] = primary
        return chosen

    def others(self, name):
        return [other for other in self.cluster.names if other != name]


# ---- processes ------------------------------------------------------------------------------------------------


class Kill(Fault):
    kind = "kill"

    def begin(self):
        self.cluster.kill(*self.victims)
        return f"kill -9 {' '.join(self.victims)}"

    def end(self):
        self.cluster.heal()
        if self.random.random() < 0.3:  # once more, while it starts or catches up
            self.cluster.kill(*self.victims)
            self.cluster.heal()


class KillAll(Fault):
    kind = "kill all"
    bearable = False
    duration = (0, 2)

    def setup(self):
        self.victims = list(self.cluster.names)

    def begin(self):
        self.cluster.kill(*self.victims)
        return "kill -9 of all"

    def end(self):
        for name in self.random.sample(self.victims, len(self.victims)):
            self.cluster.start(name)
        self.cluster.heal()


class Pause(Fault):
    kind = "pause"

    def begin(self):
        for name in self.victims:
            self.cluster.pause(name)
        return f"{' '.join(self.victims)} stand still"


class LongPause(Pause):
    """At times longer than TCP waits for an acknowledgement, so that connections end."""
    kind = "long pause"
    duration = (6, 22)


# ---- the network ----------------------------------------------------------------------------------------------


class NetworkFault(Fault):
    counter = "held"  # of the proxy: what shows that it made a difference

    def hold(self, source, target):
        self.cluster.network.rule(source, target, held=True)

    def begin(self):
        self._before = self.cluster.network.counts()
        return self.strike()

    def strike(self):
        raise NotImplementedError

    def end(self):
        self.cluster.heal()
        self.effects = self.cluster.network.counts()[self.counter] - self._before[self.counter]


class Cut(NetworkFault):
    """One replica is cut off from the others, or two from each other; at times from clients as well."""
    kind = "cut"

    def strike(self):
        name = self.random.choice(self.victims)
        others = self.others(name)
        if self.random.random() < 0.5:
            others = [self.random.choice(others)]
        elif self.random.random() < 0.5:
            others += self.cluster.clients
        for other in others:
            self.hold(name, other)
            self.hold(other, name)
        return f"nothing passes between {name} and {' '.join(others)}"


class LongCut(Cut):
    kind = "long cut"
    duration = (6, 22)


class CutOneWay(NetworkFault):
    kind = "cut one way"

    def strike(self):
        name = self.random.choice(self.victims)
        out = self.random.random() < 0.5
        for other in self.others(name):
            self.hold(name, other) if out else self.hold(other, name)
        return f"nothing passes {'from' if out else 'to'} {name}"


class Partition(NetworkFault):
    kind = "partition"
    bearable = False

    def setup(self):
        count = self.random.randint(1, len(self.cluster.names) - 1)
        self.victims = self.random.sample(self.cluster.names, count)

    def strike(self):
        rest = [name for name in self.cluster.names if name not in self.victims]
        for one, other in itertools.product(self.victims, rest):
            self.hold(one, other)
            self.hold(other, one)
        return f"{' '.join(self.victims)} are parted from {' '.join(rest)}"


class Delay(NetworkFault):
    kind = "delay"
    bearable = False
    counter = "delayed"

    def strike(self):
        if self.random.random() < 0.5:
            delay, jitter, slow = self.random.randint(5, 80), self.random.randint(0, 80), self.cluster.names
        else:
            delay, jitter, slow = self.random.randint(100, 900), self.random.randint(0, 300), self.victims
        for name in slow:
            for other in self.others(name) + self.cluster.clients:
                self.cluster.network.rule(name, other, delay_ms=delay, jitter_ms=jitter)
        return f"what {' '.join(slow)} send takes {delay} to {delay + jitter} ms"


class LostConnections(NetworkFault):
    kind = "lost connections"
    bearable = False
    counter = "reset"

    def strike(self):
        return "connections between replicas are reset again and again"

    def tick(self):
        self.cluster.network.drop(*self.tick_random.sample(self.cluster.names, 2))


class LostBytes(NetworkFault):
    """Connections end in the middle of a message."""
    kind = "lost bytes"
    bearable = False
    counter = "torn"

    def strike(self):
        chance = self.random.randint(2, 20)
        parties = self.cluster.names + self.cluster.clients
        for one, other in itertools.permutations(parties, 2):
            self.cluster.network.rule(one, other, tear_per_mille=chance)
        return f"connections end in the middle of {chance} of 1000 pieces"


class ClientCut(NetworkFault):
    kind = "client cut off"

    def setup(self):
        # One client at least stays connected, so writes have to go on.
        self.victims = self.random.sample(self.cluster.clients, self.random.randint(1, len(self.cluster.clients) - 1))

    def strike(self):
        replicas = self.random.sample(self.cluster.names, self.random.randint(1, len(self.cluster.names)))
        refuse = self.random.random() < 0.5
        for client, name in itertools.product(self.victims, replicas):
            if refuse:
                self.cluster.network.refuse(client, name)
            else:
                self.hold(client, name)
                self.hold(name, client)
        self.counter = "reset" if refuse else "held"
        return f"{' '.join(self.victims)} have no connection to {' '.join(replicas)}"


# ---- disks ----------------------------------------------------------------------------------------------------


class DiskFault(Fault):
    duration = (1, 3)

    def begin(self):
        self._before = self._count()
        for name in self.victims:
            self.strike(self.cluster.controls[name].values)
        return self.text()

    def _count(self):
        return sum(self.cluster.controls[name].disk_counts() for name in self.victims)

    def strike(self, values):
        raise NotImplementedError

    def text(self):
        return f"the disks of {' '.join(self.victims)}: {self.kind}"

    def end(self):
        self.effects = self._count() - self._before
        self.cluster.heal()


class DiskFull(DiskFault):
    kind = "disk full"

    def strike(self, values):
        values.write_error = errno.ENOSPC


class DiskReadOnly(DiskFault):
    kind = "disk read-only"

    def strike(self, values):
        values.write_error = errno.EROFS


class SyncError(DiskFault):
    kind = "sync error"

    def strike(self, values):
        values.sync_error = errno.EIO


class SlowDisk(DiskFault):
    kind = "slow disk"
    bearable = False

    def setup(self):
        self.victims = self.some_replicas(len(self.cluster.names))
        self.delay_ms = self.random.randint(20, 200)

    def strike(self, values):
        values.sync_delay_ms = self.delay_ms

    def _count(self):
        return sum(self.cluster.controls[name].values.slow_syncs for name in self.victims)

    def text(self):
        return f"a sync takes {self.delay_ms} ms at {' '.join(self.victims)}"


class Corrupt(Fault):
    """The files of a stopped replica change behind its back."""
    kind = "corrupted file"
    heavy = True

    def setup(self):
        self.victims = self.some_replicas(1)

    def begin(self):
        name = self.victims[0]
        # A key that is used all the time, and one that nobody but the scrub ever looks at.
        self.how = self.random.choice((["block"], ["value", "counter0", "something else"],
                                       ["value", "key00000042", "something else"]))
        self.cluster.stop(name, how=self.random.choice((signal.SIGTERM, signal.SIGKILL)))
        data = self.cluster.dir / name / "data"
        done = subprocess.run([str(BIN / "cluster_damage"), str(data), *self.how], capture_output=True, text=True)
        self.effects = int(done.returncode == 0)
        if self.effects:
            self.cluster.damaged.add(name)
        self.cluster.start(name)
        return f"the store of {name} is damaged: {' '.join(self.how)}; {done.stderr.strip()}"

    def settle(self):
        self.cluster.await_repaired(self.victims[0])


class LostDisk(Fault):
    kind = "lost disk"
    heavy = True

    def setup(self):
        self.victims = self.some_replicas(1)

    def begin(self):
        name = self.victims[0]
        self.cluster.kill(name)
        shutil.rmtree(self.cluster.dir / name / "data")
        self.cluster.lost.add(name)
        self.cluster.start(name, options=["--rejoin"])
        return f"{name} lost its store and rejoins"

    def settle(self):
        name = self.victims[0]
        self.cluster.await_status(name, lambda s: not s["rejoining"], "to take part again after it lost its store", 240)
        self.cluster.await_in_step(name)


# ---- clocks ---------------------------------------------------------------------------------------------------


class WrongClock(Fault):
    kind = "wall clock steps"

    def begin(self):
        if self.random.random() < 0.3:
            self.victims = list(self.cluster.names)
            steps = {name: self.random.uniform(-1, 1) for name in self.victims}  # seconds; within what is allowed
        else:
            steps = {name: self.random.choice((-1, 1)) * self.random.choice((3, 60, 3600)) for name in self.victims}
        self._before = self._count()
        for name, seconds in steps.items():
            self.cluster.controls[name].values.clock_offset_ns = int(seconds * 1e9)
        return "the clocks step: " + ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in steps.items())

    def _count(self):
        return sum(self.cluster.controls[name].values.wrong_times for name in self.victims)

    def end(self):
        self.effects = self._count() - self._before
        self.cluster.heal()


KINDS = (Kill, KillAll, Pause, LongPause, Cut, LongCut, CutOneWay, Partition, Delay, LostConnections, LostBytes,
         ClientCut, DiskFull, DiskReadOnly, SyncError, SlowDisk, Corrupt, LostDisk, WrongClock)
# What may happen on top of another fault without making it worse than can be borne.
NOISE = (Delay, LostConnections, SlowDisk)
