"""Clients that ask for far more than the cluster can take are told that it is busy; they cost bounded memory, leave room
for one who behaves, and when they are gone all is as before."""

import unittest

from cluster import ClusterTest, wait_until

PATIENCE = 240  # seconds; bounds a broken run only
MIB = 1 << 20

# Small, so that the flood is far beyond them on any machine: what is ordered at once is far less than what comes in.
QUEUED, QUEUED_PER_CLIENT, WINDOW, CACHE_MB = 100, 30, 64, 8
PIPELINE, BATCH_REQUESTS, BATCH_BYTES = 1, 16, 128 << 10
# The flood: so many clients, and so many operations that each has outstanding, fifteen times what may wait.
SESSIONS, LANES, VALUE_BYTES, BUNDLE_REQUESTS = 8, 192, 1000, 256


def most_memory():
    """What the limits let a replica hold beyond what it holds at rest."""
    operation = VALUE_BYTES + 1024
    queue = QUEUED * operation
    log = 2 * WINDOW * BATCH_BYTES
    store = (4 * 32 + CACHE_MB) * MIB  # write buffers and block cache of RocksDB
    bus = (SESSIONS + 1) * 16 * LANES * operation  # frames that are received and not yet handled, for each connection
    return queue + log + store + bus + 64 * MIB


def resident(process):
    with open(f"/proc/{process.pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Overload(ClusterTest):
    def flooded(self):
        cluster = self.cluster("--n", "4", "--plugin", "kv", "--clients", str(SESSIONS + 1), "--durability", "os",
                               "--checkpoint-interval", "16", "--window", str(WINDOW))
        for name in cluster.names:
            cluster.configure(name, block_cache_mb=CACHE_MB)
            with open(cluster.dir / name / "node.toml", "a") as file:
                file.write(f"\n[tuning]\nmax_queued_requests = {QUEUED}\n"
                           f"max_queued_requests_per_client = {QUEUED_PER_CLIENT}\npipeline = {PIPELINE}\n"
                           f"max_batch_requests = {BATCH_REQUESTS}\nmax_batch_bytes = {BATCH_BYTES}\n")
        cluster.start().await_up()
        return cluster

    def flood(self, cluster):
        return cluster.load("--fill", "--skip", "1", "--clients", str(SESSIONS), "--lanes", str(LANES), "--value-bytes",
                            str(VALUE_BYTES), "--keys", "1000", "--timeout", "4")

    def refused(self, cluster):
        counters = [s["counters"] for s in cluster.peek().values()]
        return sum(c.get("rejected_queue_full", 0) + c.get("rejected_client_queue_full", 0) for c in counters)

    def check_alive(self, cluster):
        for name, process in cluster.processes.items():
            self.assertIsNone(process.poll(), f"{name} ended:\n{cluster.log(name)[-3000:]}")

    def check_bounds(self, cluster, at_rest):
        self.check_alive(cluster)
        # One bundle is taken whatever its size, where nothing waits.
        for name, said in cluster.peek().items():
            self.assertLessEqual(said["queued"], QUEUED + BUNDLE_REQUESTS, name)
            self.assertLessEqual(resident(cluster.processes[name]), at_rest[name] + most_memory(), name)

    def test_a_flood_is_told_so_and_leaves_room_for_who_behaves(self):
        cluster = self.flooded()
        quiet = cluster.load("--clients", "1", "--timeout", str(PATIENCE))
        quiet.await_more(50, "before the flood", PATIENCE)
        at_rest = {name: resident(process) for name, process in cluster.processes.items()}
        flood = self.flood(cluster)

        def goes_on():
            self.check_bounds(cluster, at_rest)
            return self.refused(cluster) > 300 and flood.report()["busy"] > 20

        wait_until(goes_on, "the flood to be refused, and to be told so", PATIENCE)
        quiet.await_more(20, "during the flood", PATIENCE)
        acknowledged = flood.report()["acknowledged"]
        wait_until(lambda: flood.report()["acknowledged"] > acknowledged + 300, "the flood to get on", PATIENCE)
        self.check_bounds(cluster, at_rest)

        self.assertEqual(flood.finish()["refused"], 0)

        self.check_alive(cluster)
        quiet.await_more(100, "after the flood", PATIENCE)
        self.check(quiet)
        self.check_alive(cluster)
        for name in cluster.names:
            cluster.await_in_step(name, PATIENCE)
        for name, said in cluster.await_equal().items():
            self.assertFalse(said["diverged"], name)
        primary = cluster.primary()
        cluster.await_status(primary, lambda s: s["queued"] == 0, "to have worked off what waited", PATIENCE)
        cluster.ctl("exec", "put", "b", "1", timeout=60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
