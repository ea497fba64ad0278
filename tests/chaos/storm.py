"""The storm: one fault after the other, until the time is up and each kind has made a difference once."""

import collections
import time

from cluster import wait_until
from faults import KINDS, NOISE

PATIENCE = 120  # seconds; bounds a broken run only
FEW = 10  # acknowledged operations that show that the cluster moves
ATTEMPTS = 5  # at a kind that has not made a difference yet, when the time is up


class Storm:
    def __init__(self, cluster, load, random, seconds, kinds=KINDS):
        self.cluster, self.load, self.random, self.seconds = cluster, load, random, seconds
        self.kinds = kinds
        self.struck = collections.Counter()  # by kind
        self.effective = collections.Counter()  # of these, how many made a difference
        self.started = time.monotonic()
        self._deck = []

    def say(self, what):
        print(f"{time.monotonic() - self.started:8.1f}  {what}", flush=True)

    def _lacking(self):
        return [kind for kind in self.kinds if not self.effective[kind.kind] and self.struck[kind.kind] < ATTEMPTS]

    def without_effect(self):
        """Of the kinds that were chosen. What only comes on top of others may have struck once, beside a kill of all."""
        return [kind.kind for kind in self.kinds if self.struck[kind.kind] and not self.effective[kind.kind]]

    def _over(self):
        return time.monotonic() - self.started >= self.seconds and not self._lacking()

    def _draw(self):
        if time.monotonic() - self.started >= self.seconds:
            return self.random.choice(self._lacking())
        if not self._deck:
            self._deck = list(self.kinds)
            self.random.shuffle(self._deck)
        return self._deck.pop()

    def run(self):
        self.await_more("before the storm")
        while not self._over() and not self.cluster.unexplained:
            self._strike(self._draw())
        self.say("the storm is over")

    def await_more(self, what):
        before = self.load.acknowledged()
        wait_until(lambda: self.load.acknowledged() >= before + FEW or self.cluster.unexplained,
                   f"operations to be acknowledged {what}", PATIENCE)

    def _strike(self, kind):
        self.cluster.start_missing()
        faults = [kind(self.cluster, self.random)]
        if self.random.random() < 0.25:
            faults.append(self.random.choice([noise for noise in NOISE if noise is not kind])(
                self.cluster, self.random))
        main = faults[0]
        for fault in faults:
            self.say(f"{fault.kind}: {fault.begin()}")
        self._hold(main, faults)
        for fault in faults:
            fault.end()
            self.struck[fault.kind] += 1
            self.effective[fault.kind] += fault.effects is None or fault.effects > 0
        self.await_more(f"after: {main.kind}")
        main.settle()
        patient = self.random.random() < 0.5
        if main.heavy or patient:
            for name in main.victims:
                if name in self.cluster.names:
                    self.cluster.await_in_step(name)

    def _hold(self, main, faults):
        """As long as was drawn; and where it can be borne, until something was acknowledged in spite of it."""
        end = time.monotonic() + self.random.uniform(*main.duration)
        must_move = main.bearable and len(faults) == 1
        before = self.load.acknowledged()

        def done():
            self.cluster.notice_ends()
            for fault in faults:
                fault.tick()
            moved = not must_move or self.load.acknowledged() >= before + FEW
            return self.cluster.unexplained or (moved and time.monotonic() >= end)

        wait_until(done, f"operations to be acknowledged during: {main.kind} of {' '.join(main.victims)}", PATIENCE)
