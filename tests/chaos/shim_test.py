"""The preloaded library lets one disk and one clock fail, as its control file says, and counts what it did."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from replica_control import ReplicaControl

BIN = pathlib.Path(os.environ["PBFT_BIN"])
LIBRARY = BIN.parent / "lib" / "libchaos_shim.so"

# Does one thing after the other, and prints for each the error or 0.
CHILD = """
import os, sys
data, elsewhere, old = sys.argv[1], sys.argv[2], int(sys.argv[3])

def say(name, action):
    try:
        action()
        print(name, 0)
    except OSError as error:
        print(name, error.errno)

say("write", lambda: os.write(old, b"x"))
say("pwrite", lambda: os.pwrite(old, b"x", 0))
say("sync", lambda: os.fsync(old))
say("datasync", lambda: os.fdatasync(old))
say("create", lambda: os.open(data + "/new", os.O_WRONLY | os.O_CREAT))
say("open", lambda: os.open(data + "/old", os.O_WRONLY))
say("read", lambda: os.pread(old, 1, 0))
say("truncate", lambda: os.ftruncate(old, 0))
say("rename", lambda: os.rename(data + "/old", data + "/renamed"))
say("unlink", lambda: os.unlink(data + "/other"))
say("mkdir", lambda: os.mkdir(data + "/directory"))
outside = os.open(elsewhere + "/file", os.O_WRONLY | os.O_CREAT)
say("elsewhere", lambda: (os.write(outside, b"x"), os.fsync(outside)))
"""


class Shim(unittest.TestCase):
    def setUp(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="pbft-shim-"))
        self.addCleanup(shutil.rmtree, self.base)
        self.data = self.base / "data"
        self.data.mkdir()
        for name in ("old", "other"):
            (self.data / name).write_text("something")
        (self.base / "elsewhere").mkdir()
        self.control = ReplicaControl(self.base / "control")
        self.addCleanup(self.control.close)

    def run_child(self, code, *arguments, open_files=()):
        environment = {**os.environ, **self.control.environment(LIBRARY, self.data), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120,
                              env=environment, pass_fds=open_files, check=True)
        self.assertNotIn("LD_PRELOAD", done.stderr)
        return done.stdout

    def errors(self):
        with open(self.data / "old", "r+b") as old:  # opened before anything fails
            output = self.run_child(CHILD, str(self.data), str(self.base / "elsewhere"), str(old.fileno()),
                                    open_files=[old.fileno()])
        found = {line.split()[0]: int(line.split()[1]) for line in output.splitlines()}
        self.assertEqual(len(found), 12)
        return {name: error for name, error in found.items() if error}

    def test_without_a_fault_nothing_fails(self):
        self.assertEqual(self.errors(), {})
        self.assertEqual(self.control.disk_counts(), 0)

    def test_a_full_disk_fails_what_needs_space(self):
        self.control.values.write_error = errno.ENOSPC
        self.assertEqual(self.errors(), dict.fromkeys(("write", "pwrite", "create", "mkdir"), errno.ENOSPC))
        self.assertEqual(self.control.values.failed_writes, 4)

    def test_a_read_only_disk_fails_what_changes_it(self):
        self.control.values.write_error = errno.EROFS
        changes = ("write", "pwrite", "create", "open", "truncate", "rename", "unlink", "mkdir")
        self.assertEqual(self.errors(), dict.fromkeys(changes, errno.EROFS))

    def test_a_failed_sync(self):
        self.control.values.sync_error = errno.EIO
        self.assertEqual(self.errors(), {"sync": errno.EIO, "datasync": errno.EIO})
        self.assertEqual(self.control.values.failed_syncs, 2)

    def test_a_slow_sync(self):
        self.control.values.sync_delay_ms = 100
        start = time.monotonic()
        self.assertEqual(self.errors(), {})
        self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual(self.control.values.slow_syncs, 2)

    def test_a_wrong_clock(self):
        code = "import time; print(time.time(), time.monotonic())"
        self.control.values.clock_offset_ns = -3600 * 10**9
        before = time.time(), time.monotonic()
        wall, monotonic = map(float, self.run_child(code).split())
        after = time.time(), time.monotonic()
        self.assertTrue(before[0] <= wall + 3600 <= after[0], (before, wall, after))
        self.assertTrue(before[1] <= monotonic <= after[1])
        self.assertGreater(self.control.values.wrong_times, 0)
        self.control.heal()
        wall = float(self.run_child(code).split()[0])
        self.assertGreaterEqual(wall, after[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
