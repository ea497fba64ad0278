"""The network between the parties of a test (chaos_proxy), and the configuration files that lead everybody into it."""

import json
import re
import subprocess


class Network:
    """A party is a replica, by its name, or a client, by the name of its directory."""

    def __init__(self, program, seed):
        self.process = subprocess.Popen([str(program), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def _ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise AssertionError(f"the proxy has ended, asked for {words}")
        return answer

    def link(self, source, target, port):
        return int(self._ask("link", source, target, port).split()[1])

    def rule(self, source, target, delay_ms=0, jitter_ms=0, held=False, tear_per_mille=0):
        """For what `source` sends to `target`."""
        self._ask("rule", source, target, delay_ms, jitter_ms, int(held), tear_per_mille)

    def drop(self, one, other):
        self._ask("drop", one, other)

    def refuse(self, one, other):
        self._ask("refuse", one, other)

    def heal(self):
        self._ask("heal")

    def counts(self):
        return json.loads(self._ask("counts"))

    def lead_through(self, file, party):
        """Rewrites the addresses of the others in a node.toml or client.toml."""
        blocks = file.read_text().split("[[replica]]")
        for i, block in enumerate(blocks[1:], 1):
            other = re.search(r'(?m)^name = "(.*)"', block).group(1)
            if other == party:
                continue

            def through(match):
                return f"{match.group(1)}{self.link(party, other, int(match.group(2)))}"

            blocks[i] = re.sub(r'(?m)^((?:publish|peer|client) = "tcp://[^"]*:)(\d+)', through, block)
        file.write_text("[[replica]]".join(blocks))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
