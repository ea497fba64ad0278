"""One replica of four lies, under load, in each of the simulator's ways in turn: every acknowledged write is there, none
took effect twice, and the honest replicas end with the same state."""

import json
import re
import shutil
import subprocess
import unittest

from cluster import BIN, ClusterTest, wait_until

PATIENCE = 240  # seconds; bounds a broken run only
MACS = ("--requests", "macs")
SIGNED = ("--requests", "signed")


class Liar:
    """pbft-byzantine in the place of one of the cluster's replicas."""

    def __init__(self, cluster, name, lie, seed):
        self.cluster, self.name, self.lie = cluster, name, lie
        self.output = cluster.base / f"{name}-lies.json"
        clients = [argument for file in sorted(cluster.dir.glob("client*/client.toml")) for argument in
                   ("--client", str(file))]
        with open(self.output, "w") as output, open(cluster.dir / name / "node.log", "a") as log:
            self.process = subprocess.Popen(
                [str(BIN / "pbft-byzantine"), str(cluster.dir / name / "node.toml"), "--lie", lie, "--seed", str(seed),
                 *clients], stdout=output, stderr=log)
        cluster.processes[name] = self.process

    def told(self):
        """How often it has lied so far."""
        lines = self.output.read_text().split("\n")[:-1]
        return json.loads(lines[-1])[self.lie] if lines else 0

    def finish(self):
        self.cluster.stop(self.name)
        return self.told()


class Byzantine(ClusterTest):
    def small(self, *options):
        return self.cluster("--n", "4", "--plugin", "kv", "--clients", "2", "--checkpoint-interval", "8", "--window",
                            "32", "--durability", "os", *options)

    def start(self, lie, liars, seed, *options):
        self.cl = self.small(*options)
        self.honest = [name for i, name in enumerate(self.cl.names) if i not in liars]
        self.cl.start(*self.honest)
        self.liar, *_ = [Liar(self.cl, self.cl.names[i], lie, seed) for i in liars]
        self.await_all()
        self.load = self.cl.load("--clients", "2", "--timeout", str(PATIENCE))

    def await_all(self):
        wait_until(lambda: set(self.cl.peek()) == set(self.cl.names), "all to answer", PATIENCE)

    def until_told(self, least, stir=lambda: None):
        """Stirs until the lie was told so many times."""

        def told():
            enough = self.liar.told() >= least
            if not enough:
                stir()
            return enough

        wait_until(told, f"{self.liar.lie} to be told {least} times", PATIENCE)

    def pass_the_view_on(self):
        """The primary of the day stands still until the others have left its view."""
        view = wait_until(lambda: (self.cl.view() or 0) + 1, "enough replicas to answer", PATIENCE) - 1
        primary = self.cl.names[view % 4]
        self.cl.pause(primary)
        try:
            wait_until(lambda: (self.cl.view() or 0) > view, f"view {view} of {primary} to be left", PATIENCE)
        finally:
            self.cl.resume(primary)

    def make_it_primary(self):
        """Passes the view on while it is not the liar's."""
        if self.cl.primary() != self.liar.name:
            self.pass_the_view_on()

    def leave_one_behind(self):
        """One of the honest misses so much that it has to fetch the state, and does."""
        late = self.honest[-1]
        self.cl.leave_behind(late, 64)
        self.cl.start(late)
        self.cl.await_status(late, lambda s: s["counters"].get("transfers_finished", 0) > 0, "to fetch the state",
                             PATIENCE)

    def end(self, least):
        """What has to hold when all is over."""
        self.load.await_more(200, f"with a liar: {self.liar.lie}", PATIENCE)
        self.check(self.load)
        self.check_the_honest(self.honest)
        self.assertGreaterEqual(self.liar.finish(), least)
        self.assertEqual(self.liar.process.returncode, 0, self.cl.log(self.liar.name)[-2000:])

    def check_the_honest(self, honest):
        status = self.cl.await_equal(*honest)
        self.assertEqual(len({s["last_checkpoint"]["root"] for s in status.values()}), 1)
        for name, said in status.items():
            self.assertFalse(said["diverged"], (name, said))
            self.assertEqual(said["counters"].get("diverged", 0), 0, (name, said))
            self.assertIsNone(self.cl.processes[name].poll(), self.cl.log(name)[-2000:])

    def lies(self, lie, least, liar=0, seed=1, options=(), stir=lambda self: None):
        self.start(lie, [liar], seed, *options)
        self.load.await_more(20, "at first", PATIENCE)
        self.until_told(least, lambda: stir(self))
        self.end(least)

    # ---- as primary: replica 0 is that of the first view ----

    def test_equivocating_primary(self):
        self.lies("equivocating-primary", 2, options=SIGNED, stir=Byzantine.make_it_primary)

    def test_wrong_batch(self):
        # With MACs there are proofs that hold at some replicas and not at others.
        self.lies("wrong-batch", 5, options=MACS, stir=Byzantine.make_it_primary)

    def test_starved_client(self):
        self.lies("starved-client", 10)

    def test_starved_replicas(self):
        self.lies("starved-replicas", 200)

    def test_silence(self):
        self.lies("silence", 200)

    def test_slow_on_purpose(self):
        self.lies("slow-on-purpose", 20)

    # ---- as a backup, or in both parts ----

    def test_double_vote(self):
        self.lies("double-vote", 100, liar=1)

    def test_wrong_checkpoint(self):
        self.lies("wrong-checkpoint", 20)

    def test_wrong_reply(self):
        self.lies("wrong-reply", 50)

    def test_replay(self):
        self.lies("replay", 100, liar=1, options=SIGNED)

    def test_malformed_bytes(self):
        self.lies("malformed-bytes", 100, liar=1, options=SIGNED)

    def test_false_report(self):
        self.lies("false-report", 10, liar=1, options=MACS)

    # ---- where the view changes ----

    def test_far_view(self):
        self.lies("far-view", 50, liar=1)

    def test_forged_view_change(self):
        self.lies("forged-view-change", 2, liar=1, stir=Byzantine.pass_the_view_on)

    def test_stale_view_change(self):
        self.lies("stale-view-change", 2, liar=1, stir=Byzantine.pass_the_view_on)

    def test_bad_new_view(self):
        self.lies("bad-new-view", 1, liar=1, stir=Byzantine.pass_the_view_on)

    # ---- where somebody needs the state ----

    def test_wrong_transfer(self):
        options = ("--ledger-keep", "64", "--transfer-above", "64")
        self.lies("wrong-transfer", 1, liar=1, options=options, stir=Byzantine.leave_one_behind)

    # ---- more than there may be ----

    def test_two_liars_are_one_too_many_and_that_is_noticed(self):
        """The checks have teeth: f+1 liars who agree are believed, and what they said is found to be wrong."""
        self.start("wrong-reply", [0, 1], 9)  # with this seed both always lie

        def answered():
            counts = self.load.report()
            return counts["acknowledged"] + counts["refused"] > 300

        wait_until(answered, "answers", PATIENCE)
        with self.assertRaises(AssertionError):
            self.check(self.load)

    # ---- where a disk is set back ----

    def resumed(self, name):
        """The slot up to which a replica had executed when it was last started."""
        return int(re.findall(r"resumes at view \d+, executed (\d+)", self.cl.log(name))[-1])

    def test_amnesia(self):
        """The primary comes back with the disk of some seconds ago, and without knowing it: it votes and proposes again
        where it has voted and proposed before."""
        cluster = self.cl = self.small()
        liar, *honest = cluster.names
        cluster.start()
        self.await_all()
        load = cluster.load("--clients", "2", "--timeout", str(PATIENCE))
        load.await_more(20, "at first", PATIENCE)
        data, old = cluster.dir / liar / "data", cluster.base / "old"
        for _ in range(2):
            cluster.stop(liar)
            shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(data, old)
            cluster.start(liar)
            self.await_all()
            load.await_more(100, "with all", PATIENCE)
            kept = self.resumed(liar)
            known = cluster.await_status(liar, lambda s, kept=kept: s["executed"] > kept, "to execute what it will forget")
            cluster.kill(liar)
            shutil.rmtree(data)
            shutil.copytree(old, data)
            cluster.start(liar)
            self.await_all()
            self.assertLess(self.resumed(liar), known["executed"], "it has forgotten nothing")
            load.await_more(100, f"after {liar} has forgotten", PATIENCE)
        self.check(load)
        self.check_the_honest(honest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
