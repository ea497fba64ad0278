"""What the benchmarks on real clusters share."""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True


def parse(parser):
    """Options of the parser and --build; afterwards cluster.py finds the programs."""
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="default: build/release")
    options = parser.parse_args()
    use_programs(options)
    return options


def use_programs(options):
    """Checks that the programs are there; afterwards cluster.py finds them."""
    programs = options.build / "bin"
    for program in ("pbft-node", "pbftctl", "cluster_load"):
        if not (programs / program).exists():
            sys.exit(f"{programs / program} is not there; build it first: ninja -C {options.build} programs cluster_load")
    os.environ["PBFT_BIN"] = str(programs.resolve())
    sys.path.insert(0, str(ROOT / "tests/integration"))


@contextlib.contextmanager
def cluster(options: argparse.Namespace, *init_arguments):
    """A cluster that is removed at the end, with its processes. After a failure the ends of the logs are shown."""
    from cluster import Cluster

    made = Cluster(*init_arguments)
    try:
        yield made
    except Exception:
        for name in made.names:
            if (made.dir / name / "node.log").exists():
                print(f"---- {name}\n" + "\n".join(made.log(name).splitlines()[-15:]), file=sys.stderr)
        raise
    finally:
        made.close()


def run_json(command, accepted=(0,)):
    """The JSON that a program prints, in one line or in many."""
    line = [str(word) for word in command]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode not in accepted:
        raise RuntimeError(f"{' '.join(line)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def rate(load, seconds):
    """Acknowledged writes of a cluster_load per second, over some time."""
    first = load.report()
    time.sleep(seconds)  # what is measured is a time
    last = load.report()
    return (last["acknowledged"] - first["acknowledged"]) / (last["seconds"] - first["seconds"])


def cpu_seconds(pids):
    """What the processes have used of the processors so far, in user and kernel mode."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def peak_mib(pids):
    """The most memory that any of the processes has had resident, ever."""
    def of(pid):
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    return max(of(pid) for pid in pids) / 1024
