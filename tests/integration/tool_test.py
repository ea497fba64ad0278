"""What people and programs see of pbftctl while it talks to a cluster."""

import selectors
import subprocess
import unittest

from cluster import BIN, ClusterTest


class Tool(ClusterTest):
    def one_replica(self, plugin):
        cluster = self.cluster("--n", "1", "--plugin", plugin)
        cluster.start().await_up()
        return cluster

    def test_a_program_gets_each_result_before_it_writes_the_next_line(self):
        cluster = self.one_replica("kv")
        for options, expected in (((), ["1\n", "2\n", "3\n"]), (("--json",), ['"result":"4"', '"result":"5"'])):
            program = subprocess.Popen([str(BIN / "pbftctl"), "--dir", str(cluster.dir), *options, "exec", "--stdin"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.addCleanup(program.stdout.close)
            self.addCleanup(program.wait)
            self.addCleanup(program.kill)
            with selectors.DefaultSelector() as selector:
                selector.register(program.stdout, selectors.EVENT_READ)
                for result in expected:
                    program.stdin.write("incr total\n")
                    program.stdin.flush()
                    self.assertTrue(selector.select(timeout=60), "no result came while the input was open")
                    self.assertIn(result, program.stdout.readline())
            program.stdin.close()
            self.assertEqual(program.wait(timeout=60), 0)

    def test_results_and_errors_come_in_the_order_of_the_lines(self):
        cluster = self.one_replica("kv")
        lines = "".join("incr total\n" if i % 10 else "nonsense\n" for i in range(5000))
        answer = cluster.ctl("exec", "--stdin", input=lines, as_json=True, check=False)
        self.assertEqual(answer.returncode, 2)
        rows = answer.stdout.splitlines()
        self.assertEqual(len(rows), 5000)
        for i, row in enumerate(rows):
            self.assertIn(f'"line":{i + 1},', row)
            self.assertIn('"result":' if i % 10 else '"not_sent"', row)

    def test_results_that_cannot_be_written_are_no_success(self):
        cluster = self.one_replica("generals")
        for line in (["exec", "warTime", "88"], ["--json", "query", "get"], ["status"], ["exec", "--stdin"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([str(BIN / "pbftctl"), "--dir", str(cluster.dir), *line], stdout=full,
                                      stderr=subprocess.PIPE, text=True, input="warTime 89\n" * 10, timeout=60)
            self.assertEqual(done.returncode, 5, (line, done.stderr))
            self.assertIn("the results cannot be written: No space left on device", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
