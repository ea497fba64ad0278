"""The checks of a storm find what they are for, shown on a real cluster and its history."""

import json
import pathlib
import signal
import tempfile
import unittest

import resources
from chaos_cluster import ChaosCluster, RecordedLoad, check_history
from cluster import wait_until
from verdicts import Verdicts, look_through_logs


class Checks(unittest.TestCase):
    def change(self, lines, which, **keys):
        """What the checkers say when one line of the history, the last that meets the condition, is another."""
        index = max(i for i, line in enumerate(lines) if which(line))
        changed = [dict(line) for line in lines]
        changed[index].update(keys)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("".join(json.dumps(line) + "\n" for line in changed))
            file.flush()
            return {finding["invariant"] for finding in check_history(file.name)["findings"]}

    def check_that_wrong_histories_are_found(self, file):
        lines = [json.loads(line) for line in pathlib.Path(file).read_text().splitlines()]
        ok = [line for line in lines if line.get("status") == "ok"]
        sums = [line for line in ok if line["do"] == "incr"]
        self.assertGreater(len(sums), 20)
        both = {"linearizability", "exactly-once"}
        is_last_read = lambda start: lambda line: line["do"] == "get" and line["key"].startswith(start)  # noqa: E731
        # A counter that has counted once too often; a mark that is gone; a register with a value of nobody's.
        total = int([line for line in lines if is_last_read("counter0")(line)][-1]["result"])
        self.assertEqual(self.change(lines, is_last_read("counter0"), result=str(total + 1)), both)
        self.assertEqual(self.change(lines, is_last_read("mark"), status="failed", result=""), both)
        self.assertEqual(self.change(lines, is_last_read("register"), status="ok", result="never"),
                         {"linearizability"})
        # Two increments with one sum.
        self.assertEqual(self.change(lines, lambda line: line["do"] == "incr", result=sums[0]["result"]), both)

    def test_what_goes_wrong_is_found(self):
        cluster = ChaosCluster(4, 1)
        self.addCleanup(cluster.close)
        cluster.start().await_up()
        load = RecordedLoad(cluster, cluster.base / "history", 1)
        load.await_more(300, "at first", 120)

        # A replica that dies of its own is no accident, whatever else happens.
        name = cluster.names[1]
        cluster.processes[name].send_signal(signal.SIGABRT)
        wait_until(lambda: cluster.notice_ends() or cluster.unexplained, f"the end of {name} to be noticed", 120)
        self.assertIn(name, cluster.unexplained[0])
        self.assertEqual(cluster.start_missing(), [name])

        # Nor is a store that is damaged, where no fault has damaged it.
        self.assertEqual(list(look_through_logs(cluster)), [])
        other = cluster.names[2]
        with open(cluster.dir / other / "node.log", "a") as log:
            log.write("critical: the state is DAMAGED\nx.cpp:1: f: Assertion `y' failed.\n")
        self.assertEqual(len(list(look_through_logs(cluster))), 2)
        cluster.damaged.add(other)
        self.assertEqual(len(list(look_through_logs(cluster))), 1)

        self.assertEqual(load.finish()["problems"], [])
        found = check_history(cluster.base / "history")
        self.assertEqual(found["findings"], [])
        self.assertGreaterEqual(found["acknowledged"], 300)
        self.check_that_wrong_histories_are_found(cluster.base / "history")

    def test_what_was_awaited_in_vain_is_a_violation(self):
        verdicts = Verdicts()
        verdicts.check("good", lambda: [])
        self.assertFalse(verdicts.bad())

        def in_vain():
            wait_until(lambda: False, "the impossible", 0)

        verdicts.check("bad", in_vain)
        self.assertTrue(verdicts.bad())
        self.assertIn("the impossible", verdicts.problems["bad"][0])

    def test_growth_is_not_flat(self):
        margin = resources.MARGIN["resident"]
        level = [100] * 20 + [100 + margin] * 40
        self.assertTrue(resources.describe(level, margin)["flat"])
        leak = [100 + i * margin // 10 for i in range(60)]
        self.assertFalse(resources.describe(leak, margin)["flat"])
        self.assertIsNone(resources.describe(level[:9], margin)["flat"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
