"""A primary that dies or stops is left behind, and nothing that was acknowledged is lost or happens twice."""

import unittest

from cluster import ClusterTest, wait_until


class ViewChange(ClusterTest):
    def small(self, n, *options):
        return self.cluster("--n", str(n), "--plugin", "kv", "--checkpoint-interval", "16", "--window", "64", *options)

    def test_the_primary_is_killed_and_comes_back_as_a_backup(self):
        cluster = self.small(4)
        cluster.start().await_up()
        cluster.ctl("exec", "put", "a", "1")
        first = cluster.primary()
        cluster.kill(first)
        cluster.ctl("exec", "put", "a", "2", timeout=60)
        self.assertEqual(cluster.ctl("query", "get", "a", timeout=60).stdout.strip(), "2")
        self.assertNotEqual(cluster.primary(), first)
        cluster.start(first).await_in_step(first)
        self.assertNotEqual(cluster.primary(), first)
        cluster.ctl("exec", "put", "a", "3", timeout=60)
        self.assertEqual(cluster.ctl("query", "get", "a", timeout=60).stdout.strip(), "3")
        cluster.await_equal()

    def test_primaries_die_under_load_three_times_in_a_row(self):
        cluster = self.small(4, "--clients", "16")
        cluster.start().await_up()
        load = cluster.load()
        load.await_more(200, "at first")
        died = []
        for _ in range(3):
            primary = cluster.primary()
            died.append(primary)
            cluster.kill(primary)
            load.await_more(200, f"without {primary}", 120)
            cluster.start(primary).await_in_step(primary)
            load.await_more(200, f"with {primary} again", 120)
        self.assertNotEqual(died[0], died[1])
        self.check(load)
        roots = {s["last_checkpoint"]["root"] for s in cluster.await_equal().values()}
        self.assertEqual(len(roots), 1)

    def test_a_primary_that_stops_is_a_backup_when_it_goes_on(self):
        cluster = self.small(4, "--clients", "4")
        cluster.start().await_up()
        load = cluster.load("--clients", "4")
        load.await_more(100, "at first")
        primary = cluster.primary()
        cluster.pause(primary)
        load.await_more(300, f"while {primary} stands still", 120)
        cluster.resume(primary)
        cluster.await_in_step(primary)
        self.assertNotEqual(cluster.primary(), primary)
        load.await_more(100, f"with {primary} again")
        self.check(load)
        cluster.await_equal()

    def lose_the_first(self, n, f, *options):
        cluster = self.small(n, "--clients", "4", *options)
        cluster.start().await_up()
        load = cluster.load("--clients", "4")
        load.await_more(50, "at first")
        # The primaries of the first f views: as many views have to be given up in a row.
        lost = cluster.names[:f]
        cluster.kill(*lost)
        load.await_more(100, f"without {lost}", 180)
        self.check(load)
        cluster.start(*lost)
        wait_until(lambda: len(cluster.peek()) == n, "all to answer", 120)
        cluster.ctl("exec", "put", "a", "1", timeout=60)
        cluster.await_equal()

    def test_seven_lose_two_the_primary_among_them(self):
        self.lose_the_first(7, 2, "--requests", "signed")

    def test_ten_lose_three_the_primary_among_them(self):
        self.lose_the_first(10, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
