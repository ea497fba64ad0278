"""A replica whose peers no longer have the batches that it missed fetches the state, also one that lost everything."""

import shutil
import unittest

from cluster import ClusterTest, wait_until

LEDGER_KEEP = 64


class Transfer(ClusterTest):
    def test_a_replica_that_is_far_behind_and_then_one_that_lost_its_store(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--clients", "4", "--checkpoint-interval", "8", "--window",
                               "32", "--ledger-keep", str(LEDGER_KEEP), "--transfer-above", "64", "--durability", "os")
        cluster.start().await_up()
        cluster.write(2000, "--keys", "2000")
        late = cluster.names[2]
        cluster.leave_behind(late, LEDGER_KEEP)

        load = cluster.load("--clients", "4")
        load.await_more(50, f"without {late}")
        cluster.start(late)
        cluster.await_status(late, lambda s: s["counters"].get("transfers_finished", 0) > 0, "to fetch the state")
        cluster.await_in_step(late)
        self.check(load)
        cluster.await_equal()
        self.assertIn("state transfer to checkpoint", cluster.log(late))

        cluster.kill(late)
        data = cluster.dir / late / "data"
        shutil.rmtree(data)
        # Wherever the making of the new store is cut off, it begins anew.
        for step in ("unfinished", "CURRENT", "synced-mark"):
            cluster.start(late, options=["--rejoin"])
            wait_until((data / step).exists, f"{step} to be there")
            cluster.kill(late)
        load = cluster.load("--clients", "4")
        cluster.start(late, options=["--rejoin"])
        cluster.await_status(late, lambda s: s["rejoining"], "to say that it is rejoining")
        rows = cluster.ctl("status", check=False).stdout.splitlines()
        said = [row for row in rows if f"\t{late}\t" in row][0]
        if cluster.peek(late)[late]["rejoining"]:
            self.assertIn("rejoining", said)
        cluster.await_status(late, lambda s: not s["rejoining"], "to take part again", 240)
        cluster.await_in_step(late)
        self.assertIn("takes part again", cluster.log(late))

        # Now it is one that the others need.
        other = next(name for name in cluster.names if name not in (late, cluster.primary()))
        cluster.kill(other)
        load.await_more(100, f"with {late} for {other}", 120)
        self.check(load)
        cluster.await_equal()


if __name__ == "__main__":
    unittest.main(verbosity=2)
