"""What `pbftctl up` starts and `pbftctl down` ends: the replicas of this very directory, and no others."""

import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import unittest

from cluster import BIN, ClusterTest, wait_until


def runs(pid):
    """Whether it has not ended; who has ended and waits to be reaped by somebody else has."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


class Processes(ClusterTest):
    def setUp(self):
        self.descriptors = []
        self.addCleanup(self.end_all)

    def end_all(self):
        """Ends what `up` started, by descriptors, whatever became of the pid files."""
        for descriptor in self.descriptors:
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(descriptor)

    def generals(self):
        return self.cluster("--names", "Apple,MS,Google,IBM", "--plugin", "generals")

    def up(self, cluster, *names):
        """Starts replicas, and returns their process ids."""
        only = [word for name in names for word in ("--only", name)]
        rows = json.loads(cluster.ctl("up", str(cluster.dir), *only, as_json=True).stdout)
        pids = [row["pid"] for row in rows]
        for pid in pids:
            self.watch(pid)
        return pids

    def watch(self, pid):
        self.descriptors.append(os.pidfd_open(pid))

    def test_a_copy_of_a_cluster_leaves_the_replicas_of_the_original_alone(self):
        cluster = self.generals()
        [pid] = self.up(cluster, "Apple")
        copy = cluster.base / "copy"
        shutil.copytree(cluster.dir, copy)
        self.assertIn("not running", cluster.ctl("down", str(copy), "--only", "Apple").stdout)
        self.assertTrue(runs(pid))
        # The copy starts its own, for which the ports are taken.
        second = cluster.ctl("up", str(copy), "--only", "Apple", check=False)
        self.assertEqual(second.returncode, 1, second.stdout)
        self.assertTrue(runs(pid))
        # A way around through a link, and a move, lead to the same directory.
        (cluster.base / "link").symlink_to(cluster.dir)
        self.assertIn("runs", cluster.ctl("up", str(cluster.base / "link"), "--only", "Apple").stdout)
        cluster.dir.rename(cluster.base / "moved")
        self.assertIn("stopped", cluster.ctl("down", str(cluster.base / "moved"), "--only", "Apple").stdout)
        self.assertFalse(runs(pid))

    def test_down_forgets_no_replica_that_was_started_meanwhile(self):
        cluster = self.generals()
        waited_for, first = self.up(cluster, "MS", "IBM")
        os.kill(waited_for, signal.SIGSTOP)
        down = subprocess.Popen([str(BIN / "pbftctl"), "down", str(cluster.dir), "--only", "MS", "--only", "IBM",
                                 "--timeout", "120"], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: not runs(first), "IBM to end")
        [second] = self.up(cluster, "IBM")
        os.kill(waited_for, signal.SIGCONT)
        output, _ = down.communicate(timeout=120)
        self.assertEqual(output.count("stopped"), 2, output)
        self.assertFalse((cluster.dir / "MS" / "node.pid").exists())
        self.assertEqual(self.up(cluster, "IBM"), [second])
        self.assertIn("stopped", cluster.ctl("down", str(cluster.dir), "--only", "IBM").stdout)
        self.assertFalse(runs(second))

    def test_up_leaves_nothing_of_its_caller_with_a_replica(self):
        cluster = self.generals()
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        # A relative DIR: the replica is given absolute paths all the same.
        rows = json.loads(cluster.ctl("up", cluster.dir.name, "--only", "Apple", as_json=True, cwd=cluster.base,
                                      pass_fds=[writing]).stdout)
        self.watch(rows[0]["pid"])
        os.close(writing)
        self.assertEqual(select.select([reading], [], [], 0)[0], [reading], "the replica has the pipe of its caller")
        self.assertEqual(os.readlink(f"/proc/{rows[0]['pid']}/cwd"), "/")
        self.assertTrue(runs(rows[0]["pid"]))

    def take_port(self, url):
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        taken.listen()

    def test_why_a_replica_cannot_start_is_told_once_whatever_is_logged(self):
        cluster = self.generals()
        self.take_port(cluster.http("MS"))
        config = cluster.dir / "MS" / "node.toml"
        text = config.read_text()
        self.assertIn('level = "info"', text)
        for level in ("info", "critical", "off"):
            config.write_text(text.replace('level = "info"', f'level = "{level}"'))
            ended = subprocess.run([str(BIN / "pbft-node"), str(config)], capture_output=True, text=True, timeout=120)
            self.assertEqual(ended.returncode, 1, level)
            self.assertEqual(ended.stderr.count("cannot start"), 1, (level, ended.stderr))

    def test_what_ended_a_replica_right_away_is_told(self):
        cluster = self.generals()
        self.take_port(cluster.http("MS"))
        told = cluster.ctl("up", str(cluster.dir), "--only", "MS", check=False)
        self.assertEqual(told.returncode, 1)
        self.assertIn("(exit code 1); the end of", told.stderr)
        crashing = BIN.parent / "tests" / "plugins" / "bad" / "open_crashes.so"
        cluster.configure("Apple", plugin=str(crashing))
        told = cluster.ctl("up", str(cluster.dir), "--only", "Apple", check=False)
        self.assertEqual(told.returncode, 1)
        self.assertIn("(killed by signal 11 (Segmentation fault)); it wrote nothing to", told.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
