"""What each replica takes over time: resident memory, descriptors, disk."""

import os
import statistics
import threading

MIB = 1024 * 1024
# The median of the last third of the samples may be so much above that of the middle third. What a replica takes is
# bounded by its configuration, and it takes a while to get there; a leak goes on.
MARGIN = {"resident": 64 * MIB, "descriptors": 64, "disk": 64 * MIB}


def resident(process):
    with open(f"/proc/{process.pid}/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def disk(directory):
    size = 0
    for entry in os.scandir(directory):
        try:
            size += entry.stat().st_size if entry.is_file() else 0
        except FileNotFoundError:
            pass  # compacted away meanwhile
    return size


def describe(samples, margin):
    """First, median, last and largest, and whether it is flat."""
    found = {"first": samples[0], "median": statistics.median_low(samples), "last": samples[-1],
             "largest": max(samples)}
    third = len(samples) // 3
    if third < 10:
        return {**found, "flat": None}  # too few to tell
    growth = statistics.median_low(samples[-third:]) - statistics.median_low(samples[third:-third])
    return {**found, "growth": growth, "flat": growth <= margin}


class Sampler:
    """A thread that looks every second."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.samples = {name: {what: [] for what in MARGIN} for name in cluster.names}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopped.wait(1):
            for name in self.cluster.names:
                process = self.cluster.processes.get(name)
                if process is not None:
                    self._sample(name, process)

    def _sample(self, name, process):
        try:
            # All or none, so that the samples belong together; a replica that ends meanwhile has none.
            found = {"resident": resident(process), "descriptors": descriptors(process),
                     "disk": disk(self.cluster.dir / name / "data")}
        except (OSError, IndexError):
            return
        if found["resident"] == 0:
            return  # it has just ended
        for what, value in found.items():
            self.samples[name][what].append(value)

    def stop(self):
        self._stopped.set()
        self._thread.join()
        return {name: {what: describe(values, MARGIN[what]) for what, values in kinds.items() if values}
                for name, kinds in self.samples.items()}
