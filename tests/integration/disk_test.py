"""A full disk and a disk that fails: the replica stops with the reason in clear words, loses nothing, and goes on when
there is room again."""

import os
import unittest

from cluster import BIN, ClusterTest, wait_until

EXIT_FAILED = 1


class Disk(ClusterTest):
    def setUp(self):
        self.shim = BIN.parent / "lib" / "disk_shim.so"

    def environment(self, cluster):
        self.control = cluster.base / "disk"
        return {**os.environ, "LD_PRELOAD": str(self.shim), "DISK_SHIM": str(self.control)}

    def fail(self, line):
        new = self.control.with_suffix(".new")
        new.write_text(line)
        os.replace(new, self.control)

    def heal(self):
        self.control.unlink()

    def await_stopped(self, cluster, name, *texts):
        """It ends by itself, with the exit code of a failed store, and the log says why."""
        process = cluster.processes.pop(name)
        wait_until(lambda: process.poll() is not None, f"{name} to stop", 240)
        log = cluster.log(name)
        self.assertEqual(process.returncode, EXIT_FAILED, log)
        for text in (*texts, str(cluster.dir / name / "data"), "start"):
            self.assertIn(text, log)
        self.assertNotIn("ssertion", log)
        (cluster.dir / name / "node.log").write_text("")

    def test_a_replica_whose_disk_is_full_stops_and_comes_back(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--clients", "4")
        environment = self.environment(cluster)
        victim = cluster.names[1]
        cluster.start(*(n for n in cluster.names if n != victim))
        cluster.start(victim, environment=environment)
        cluster.await_up()
        load = cluster.load("--clients", "4")
        load.await_more(50, "with all four", 120)
        for line, texts in (
            ("ENOSPC write,open,sync /data/", ("the disk is full", "No space left on device", "make room")),
            ("EIO sync .log", ("the disk failed", "Input/output error", ".log")),
            ("EROFS write,open /data/", ("cannot be written", "Read-only file system")),
        ):
            self.fail(line)
            self.await_stopped(cluster, victim, "storage failed", *texts)
            load.await_more(50, f"without {victim}", 120)
            # It is no better yet.
            cluster.start(victim, environment=environment)
            self.await_stopped(cluster, victim, texts[0])
            self.heal()
            cluster.start(victim, environment=environment)
            cluster.await_in_step(victim)
            load.await_more(50, f"with {victim} again", 120)
        self.check(load)
        cluster.await_equal()

    def test_a_table_that_cannot_be_written_stops_the_replica_and_nothing_is_lost(self):
        """One replica alone, so that what it acknowledged is in its store or nowhere. Only tables fail: RocksDB writes
        them behind the replica's back."""
        cluster = self.cluster("--n", "1", "--plugin", "kv", "--clients", "2")
        environment = self.environment(cluster)
        name = cluster.names[0]
        cluster.start(environment=environment).await_up()
        # Operations that wait for an answer all the time that the replica is down.
        checked = cluster.load("--clients", "2", "--lanes", "2", "--timeout", "1200")
        for error, text in (("ENOSPC", "the disk is full"), ("EIO", "the disk failed")):
            checked.await_more(50, "before the disk fails", 120)
            self.fail(f"{error} write,open,sync .sst")
            load = cluster.load("--fill", "--writes", "3000", "--keys", "3000", "--value-bytes", "50000", "--clients",
                                "2", "--lanes", "16", "--timeout", "1200")
            self.await_stopped(cluster, name, "storage failed", ".sst", text)
            cluster.start(environment=environment)
            self.await_stopped(cluster, name, "cannot start", ".sst", text)
            load.close()
            self.heal()
            cluster.start(environment=environment).await_up()
        checked.await_more(50, "in the end", 120)
        self.check(checked)


if __name__ == "__main__":
    unittest.main(verbosity=2)
