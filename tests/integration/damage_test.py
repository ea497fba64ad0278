"""A disk that changed what was written: found without being asked for, named, and repaired from the others."""

import subprocess
import unittest
import urllib.error
import urllib.request

from cluster import BIN, ClusterTest, wait_until

KEYS = 500


class Damage(ClusterTest):
    def with_data(self, *options):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--clients", "4", "--checkpoint-interval", "8", "--window",
                               "32", "--durability", "os", "--scrub-period", "2", *options)
        cluster.start().await_up()
        cluster.write(KEYS, "--keys", str(KEYS))
        cluster.await_equal()
        return cluster

    def damage(self, cluster, name, *what, before_start=lambda: None):
        """The replica is stopped, its store is changed behind its back, and it starts again while the others serve."""
        cluster.stop(name)
        subprocess.run([str(BIN / "cluster_damage"), str(cluster.dir / name / "data"), *what], check=True)
        load = cluster.load("--clients", "4")
        load.await_more(20, f"without {name}")
        before_start()
        cluster.start(name)
        return load

    def await_found(self, cluster, name):
        found = cluster.await_status(name, lambda s: s["scrub"]["damage"], "to find the damage")["scrub"]["damage"]
        self.assertIn("application state", found)
        self.assertIn("DAMAGED", cluster.log(name))
        self.assertIn(found, cluster.log(name))
        return found

    def check_repaired(self, cluster, name, load):
        cluster.await_status(name, lambda s: s["counters"].get("transfers_finished", 0) > 0, "to repair its state")
        cluster.await_in_step(name)
        load.await_more(50, f"with {name} again")
        self.check(load)
        status = cluster.await_equal()
        self.assertEqual(len({s["last_checkpoint"]["root"] for s in status.values()}), 1)
        # A whole pass later there is nothing to be found any more.
        passes = status[name]["scrub"]["passes"]
        found = cluster.log(name).count("DAMAGED")
        cluster.await_status(name, lambda s: s["scrub"]["passes"] >= passes + 2, "to look through its store again")
        self.assertEqual(cluster.log(name).count("DAMAGED"), found, cluster.log(name))

    def test_a_value_that_was_changed_is_found_and_repaired(self):
        cluster = self.with_data()
        name, key = cluster.names[2], "key00000042"
        load = self.damage(cluster, name, "value", key, "something else")
        self.assertIn(key, self.await_found(cluster, name))
        self.check_repaired(cluster, name, load)

    def test_a_bad_block_is_found_and_repaired(self):
        cluster = self.with_data()
        name = cluster.names[3]
        load = self.damage(cluster, name, "block")
        self.assertIn("key0", self.await_found(cluster, name))
        self.check_repaired(cluster, name, load)

    def test_a_replica_that_is_told_to_stop_waits_for_its_operator(self):
        cluster = self.with_data("--on-divergence", "stop")
        name, key = cluster.names[1], "key00000123"
        load = self.damage(cluster, name, "value", key, "something else")
        found = self.await_found(cluster, name)
        self.assertIn(f'from "{key}" to "{key}"', found)
        stopped = cluster.await_status(name, lambda s: s["diverged"], "to say that it has stopped")
        self.assertIn("--repair", stopped["waiting_for"])

        def health():
            try:
                with urllib.request.urlopen(cluster.http(name) + "/healthz", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        code, body = health()
        self.assertEqual(code, 503)
        self.assertIn("diverged", body)
        load.await_more(100, f"while {name} is stopped")
        still = cluster.peek(name)[name]
        self.assertEqual(still["executed"], stopped["executed"])
        # Which key it is was known without any repair.
        self.assertTrue(still["diverged"])
        self.assertEqual(still["scrub"]["damage"], found)
        self.assertEqual(still["counters"].get("transfers_started", 0), 0)
        self.assertIn("DIVERGED", cluster.ctl("status", check=False).stdout)

        # Another start changes nothing by itself.
        cluster.stop(name)
        cluster.start(name)
        again = cluster.await_status(name, lambda s: s["diverged"], "to know that it has stopped")
        # What it executed since its last checkpoint is in its ledger, and is executed again once it may.
        self.assertLessEqual(again["executed"], stopped["executed"])
        self.assertEqual(again["counters"].get("transfers_started", 0), 0)
        cluster.stop(name)
        cluster.start(name, options=["--repair"])
        self.check_repaired(cluster, name, load)
        wait_until(lambda: health()[0] == 200, f"{name} to be healthy")

    def test_what_a_stopped_replica_differs_in_is_looked_for(self):
        cluster = self.with_data("--on-divergence", "stop")
        name, key = cluster.names[1], "key00000200"  # in one of the last buckets that a pass comes to
        cluster.configure(name, scrub_period_s=30)
        # Written again before the scrub comes by, the old value misleads the digest.
        load = self.damage(cluster, name, "value", key, "something else", before_start=lambda: cluster.ctl(
            "exec", "put", key, "new"))
        cluster.await_status(name, lambda s: s["counters"].get("diverged", 0) > 0, "to see that it differs")
        self.assertIn("bucket", self.await_found(cluster, name))
        self.assertEqual(cluster.peek(name)[name]["counters"].get("transfers_started", 0), 0)
        self.check(load)


if __name__ == "__main__":
    unittest.main(verbosity=2)
