"""Acknowledged writes survive: 20 processes write while backups are killed in turn; then everything is killed."""

import itertools
import json
import re
import threading
import unittest

from cluster import ClusterTest, wait_until

WRITERS = 20


class Writes(ClusterTest):
    def write_from(self, cluster, writer, stop, acknowledged, results):
        """One process after the other, each with a session of its own, as a person's scripts would."""
        for i in itertools.count():
            if stop.is_set():
                return
            key = f"w{writer}-{i}"
            if cluster.ctl("exec", "put", key, f"v{i}", timeout=30, check=False).returncode == 0:
                acknowledged[key] = f"v{i}"
            counted = cluster.ctl("exec", "incr", "total", timeout=30, check=False)
            if counted.returncode == 0:
                results.append(int(counted.stdout.strip()))

    def check_everything_is_there(self, cluster, acknowledged, results):
        self.assertEqual(len(results), len(set(results)), "an increment took effect twice, or two had one result")
        total = int(cluster.ctl("query", "get", "total").stdout.strip())
        self.assertGreaterEqual(total, len(results))
        asked = "".join(f"get {key}\n" for key in acknowledged)
        found = cluster.ctl("exec", "--stdin", input=asked).stdout.split("\n")
        for (key, value), got in zip(acknowledged.items(), found):
            self.assertEqual(got, value, f"acknowledged, but not there: {key}")
        return total

    def test_writers_while_backups_die_in_turn_and_then_all_at_once(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--checkpoint-interval", "16", "--window", "64",
                               "--requests", "signed")
        cluster.start().await_up()
        stop, acknowledged, results = threading.Event(), {}, []
        threads = [threading.Thread(target=self.write_from, args=(cluster, w, stop, acknowledged, results))
                   for w in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            for backup in cluster.names[1:] * 2:
                before = len(acknowledged)
                cluster.kill(backup)
                wait_until(lambda: len(acknowledged) >= before + 20, f"writes to go on without {backup}", 120)
                cluster.start(backup).await_up(backup)
                before = len(acknowledged)
                wait_until(lambda: len(acknowledged) >= before + 20, f"writes to go on with {backup} again", 120)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertGreater(len(acknowledged), 200)
        total = self.check_everything_is_there(cluster, acknowledged, results)

        # Further writes up to a checkpoint that all four take: the digests are compared there.
        status = cluster.await_equal()
        roots = {json.dumps(s["last_checkpoint"]) for s in status.values()}
        self.assertEqual(len(roots), 1)

        cluster.kill(*cluster.names)
        cluster.start().await_up()
        self.assertEqual(self.check_everything_is_there(cluster, acknowledged, results), total)
        cluster.await_equal()

    def test_ten_windows_go_through_and_the_disk_stays_flat(self):
        window = 16
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--checkpoint-interval", "8", "--window", str(window),
                               "--ledger-keep", "64", "--durability", "os")
        cluster.start().await_up()

        def overwrite(rounds):
            # Sequential, so that every write is a batch of its own: the window really is passed ten times.
            cluster.ctl("bench", "--sequential", str(rounds), "put", "key", "value" * 100)

        def size():
            data = cluster.dir / cluster.names[0]
            return sum(f.stat().st_size for f in data.rglob("*") if f.is_file() and f.name != "node.log")

        overwrite(12 * window)
        status = cluster.await_equal()
        self.assertGreater(min(s["stable"] for s in status.values()), 10 * window)
        overwrite(400)
        first = size()
        overwrite(2000)
        self.assertLess(size(), first + 16 * 1024 * 1024, "the disk grows under overwriting")

    def test_a_backup_that_was_down_for_long_catches_up(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--checkpoint-interval", "8", "--window", "16")
        cluster.start().await_up()
        late = cluster.names[2]
        cluster.kill(late)
        cluster.ctl("bench", "--sequential", "300", "put", "a", "1")
        cluster.start(late).await_up(late)
        status = cluster.await_equal()
        self.assertGreater(status[late]["executed"], 300)

    def test_one_replica_alone_is_a_cluster(self):
        cluster = self.cluster("--n", "1", "--plugin", "kv")
        cluster.start().await_up()
        cluster.ctl("exec", "put", "a", "1")
        cluster.kill(*cluster.names)
        cluster.start().await_up()
        self.assertEqual(cluster.ctl("query", "get", "a").stdout.strip(), "1")

    def test_clients_of_one_process_go_each_to_the_addresses_of_its_own_configuration(self):
        cluster = self.cluster("--n", "1", "--plugin", "kv", "--clients", "2")
        cluster.start().await_up()
        other = cluster.dir / "client-2/client.toml"
        led_away = re.sub(r'client = "tcp://[^"]*"', 'client = "tcp://127.0.0.1:1"', other.read_text())
        self.assertNotEqual(led_away, other.read_text())

        def bench():
            result = cluster.ctl("bench", "--clients", "2", "--duration", "1", "--warm-up", "0", "put", "{key}", "1",
                                 timeout=3, as_json=True, check=False)
            return json.loads(result.stdout)

        self.assertEqual(bench()["timed_out"], 0)
        other.write_text(led_away)
        found = bench()
        self.assertGreater(found["completed"], 0)
        self.assertEqual(found["timed_out"], 1)

    def test_seven_replicas_live_with_two_dead(self):
        cluster = self.cluster("--n", "7", "--plugin", "kv")
        cluster.start().await_up()
        cluster.kill(*cluster.names[5:])
        cluster.ctl("exec", "put", "a", "1")
        self.assertEqual(cluster.ctl("query", "get", "a").stdout.strip(), "1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
