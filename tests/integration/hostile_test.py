"""Garbage on every port and keys that nobody knows: counted, and nothing else happens."""

import os
import random
import re
import shutil
import socket
import struct
import unittest

from cluster import ClusterTest, wait_until


class Hostile(ClusterTest):
    def ports(self, cluster, name):
        text = (cluster.dir / name / "node.toml").read_text()
        ports = {int(p) for p in re.findall(r"127\.0\.0\.1:(\d+)", text)}
        return sorted(ports)

    def throw(self, port, data):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.settimeout(0.2)
            try:
                connection.sendall(data)
                connection.recv(4096)
            except OSError:
                pass

    def test_random_truncated_and_oversized_bytes_on_every_port(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv")
        cluster.start().await_up()
        cluster.ctl("exec", "put", "a", "1")
        generator = random.Random(7)
        # The greeting of ZMTP 3.1, complete and cut, with the NULL and the CURVE mechanism, and a frame that claims 2^62 bytes.
        greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01"
        null, curve = (greeting + m.ljust(20, b"\0") + b"\0" * 32 for m in (b"NULL", b"CURVE"))
        inputs = [generator.randbytes(n) for n in (1, 10, 64, 4096, 1 << 16)]
        inputs += [null, null[:11], curve, curve[:40], curve + b"\x02" + struct.pack(">Q", 1 << 62) + b"x" * 1000,
                   null + generator.randbytes(1000), b"GET / HTTP/1.1\r\n\r\n"]
        for port in self.ports(cluster, cluster.names[1]):
            for data in inputs:
                self.throw(port, data)
        cluster.ctl("exec", "put", "a", "2")
        status = cluster.await_equal()
        self.assertEqual(len(status), 4)
        self.assertTrue(all(process.poll() is None for process in cluster.processes.values()))
        refused = {k: v for k, v in status[cluster.names[1]]["counters"].items() if "handshake" in k or "zap" in k}
        self.assertGreater(sum(refused.values()), 0, status[cluster.names[1]]["counters"])

    def test_a_client_with_an_unknown_key_gets_nothing(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv")
        other = self.cluster("--n", "4", "--plugin", "kv")
        cluster.start().await_up()
        stranger = other.dir / "client" / "client.key"
        key = cluster.dir / "client" / "client.key"
        shutil.copy(key, cluster.base / "good.key")
        shutil.copy(stranger, key)
        os.chmod(key, 0o600)
        refused = cluster.ctl("exec", "put", "a", "1", check=False)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("this key is none of those", refused.stderr)
        # A stranger who does not look into the genesis.
        genesis = (cluster.dir / "genesis.toml").read_text()
        lie, lies = re.subn(r"(?s)\nopen = false\nkeys = \[.*?\]", "\nopen = true", genesis)
        self.assertEqual(lies, 1, genesis)
        (cluster.base / "open.toml").write_text(lie)
        config = cluster.dir / "client" / "client.toml"
        honest = config.read_text()
        config.write_text(re.sub(r"(?m)^genesis = .*$", 'genesis = "../../open.toml"', honest))
        self.assertEqual(cluster.ctl("exec", "put", "a", "1", timeout=1, check=False).returncode, 3)
        self.assertEqual(cluster.ctl("query", "get", "a", timeout=1, check=False).returncode, 3)
        self.assertEqual(cluster.status(), {})
        config.write_text(honest)
        shutil.copy(cluster.base / "good.key", key)
        os.chmod(key, 0o600)
        self.assertNotEqual(cluster.ctl("query", "get", "a", check=False).stdout.strip(), "1")
        counters = cluster.status()[cluster.names[0]]["counters"]
        self.assertGreater(sum(v for k, v in counters.items() if k.startswith("zap")), 0, counters)

    def test_clear_errors_for_what_is_wrong_at_start(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv")
        first, second = cluster.names[:2]

        def refused(name, *texts):
            cluster.start(name)
            self.assertNotEqual(cluster.processes.pop(name).wait(timeout=60), 0)
            log = cluster.log(name)
            for text in texts:
                self.assertIn(text, log)
            (cluster.dir / name / "node.log").write_text("")

        os.chmod(cluster.dir / first / "replica.key", 0o644)
        refused(first, "replica.key", "chmod 600")
        os.chmod(cluster.dir / first / "replica.key", 0o600)

        # The store of another replica, and none at all.
        data, kept = cluster.dir / first / "data", cluster.base / "data"
        shutil.move(data, kept)
        refused(first, str(data))
        shutil.copytree(cluster.dir / second / "data", data)
        refused(first, "replica")
        shutil.rmtree(data)
        shutil.move(kept, data)

        config = cluster.dir / first / "node.toml"
        text = config.read_text()
        config.write_text(text + "\n[nonsense]\nx = 1\n")
        refused(first, "node.toml", "nonsense")
        config.write_text(text)
        cluster.start(*cluster.names).await_up()


if __name__ == "__main__":
    unittest.main(verbosity=2)
