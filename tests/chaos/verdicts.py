"""What is checked when the storm is over."""

import re

FATAL = re.compile(r"Assertion|assertion failed|terminate called|Sanitizer|Segmentation fault|stack smashing")


class Verdicts:
    """What was checked, and what came of it."""

    def __init__(self):
        self.problems = {}

    def check(self, name, look):
        """`look` returns problems, or raises that something was awaited in vain."""
        try:
            self.problems[name] = list(look())
        except AssertionError as failure:
            self.problems[name] = [str(failure)]

    def bad(self):
        return any(self.problems.values())


def look_through_logs(cluster):
    for name in cluster.names:
        for line in cluster.log(name).splitlines():
            if FATAL.search(line):
                yield f"{name}: {line}"
            # Only a store that was damaged may differ from the others', or be found damaged.
            if name not in cluster.damaged and ("DIVERGED" in line or "DAMAGED" in line):
                yield f"{name}, whose store nobody damaged: {line}"
