"""Everything goes dark at once, or a replica misses what the others did meanwhile: they find together again."""

import unittest

from cluster import ClusterTest

LEDGER_KEEP = 64


class Blackout(ClusterTest):
    def test_three_come_back_one_far_behind_and_the_fourth_never(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--clients", "4", "--checkpoint-interval", "8", "--window",
                               "32", "--ledger-keep", str(LEDGER_KEEP), "--transfer-above", "64", "--durability", "os")
        cluster.start().await_up()
        cluster.write(1000, "--keys", "500")
        late, gone = cluster.names[3], cluster.names[1]
        cluster.leave_behind(late, LEDGER_KEEP)
        load = cluster.load("--clients", "4", "--timeout", "240")
        load.await_more(100, f"without {late}")
        cluster.kill(*cluster.processes)

        # The clients go on asking, and what they were told before the blackout counts after it.
        rest = [name for name in cluster.names if name != gone]
        cluster.start(*rest)
        load.await_more(100, "after the blackout", 180)
        cluster.await_in_step(late)
        self.check(load)
        cluster.await_equal(*rest)
        self.assertGreater(cluster.peek(late)[late]["counters"].get("transfers_finished", 0), 0)

    def test_a_replica_that_stands_still_during_three_view_changes(self):
        cluster = self.cluster("--n", "7", "--plugin", "kv", "--clients", "4", "--checkpoint-interval", "16", "--window",
                               "64", "--durability", "os")
        cluster.start().await_up()
        load = cluster.load("--clients", "4")
        load.await_more(50, "at first")
        away = cluster.names[6]
        cluster.pause(away)
        before = cluster.view()
        for _ in range(3):
            primary = cluster.primary()
            cluster.kill(primary)
            load.await_more(50, f"without {primary} and {away}", 120)
            cluster.start(primary).await_in_step(primary)
        self.assertGreaterEqual(cluster.view(), before + 3)
        cluster.resume(away)
        cluster.await_in_step(away)
        load.await_more(50, f"with {away} again")
        self.check(load)
        cluster.await_equal()


if __name__ == "__main__":
    unittest.main(verbosity=2)
