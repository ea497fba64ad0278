"""Replicas are given another version of their plugin one after the other."""

import pathlib
import re
import unittest

from cluster import ClusterTest

INTERVAL = 8


class PluginVersions(ClusterTest):
    def test_two_versions_side_by_side_order_requests_and_take_checkpoints(self):
        cluster = self.cluster("--n", "4", "--plugin", "counter", "--checkpoint-interval", str(INTERVAL))
        config = (cluster.dir / cluster.names[0] / "node.toml").read_text()
        plugin = pathlib.Path(re.search(r'(?m)^plugin = "(.*?)"', config).group(1)).read_bytes()
        self.assertEqual(plugin.count(b"\0001.0.0\0"), 1)
        updated = cluster.dir / "counter-updated.so"
        updated.write_bytes(plugin.replace(b"\0001.0.0\0", b"\0001.0.1\0"))
        for name in cluster.names[2:]:
            cluster.configure(name, plugin=str(updated))
        cluster.start().await_up()
        self.assertEqual({s["plugin_version"] for s in cluster.peek().values()}, {"1.0.0", "1.0.1"})
        # More than a window, of which each slot has one operation.
        cluster.ctl("bench", "--sequential", str(6 * INTERVAL), "add", "1", timeout=60)
        for name in cluster.names:
            cluster.await_status(name, lambda s: s["stable"] >= 4 * INTERVAL, "to have a stable checkpoint")
        self.assertFalse(any(s["diverged"] for s in cluster.await_equal().values()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
