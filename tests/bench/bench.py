"""What the benchmarks on real clusters share."""

import argparse
import contextlib
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def parse(parser):
    """Options of the parser and --build; afterwards cluster.py finds the programs."""
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="default: build/release")
    options = parser.parse_args()
    programs = options.build / "bin"
    for program in ("pbft-node", "pbftctl", "cluster_load"):
        if not (programs / program).exists():
            sys.exit(f"{programs / program} is not there; build it first: ninja -C {options.build} programs cluster_load")
    os.environ["PBFT_BIN"] = str(programs.resolve())
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT / "tests/integration"))
    return options


@contextlib.contextmanager
def cluster(options: argparse.Namespace, *init_arguments):
    """A cluster that is removed at the end, with its processes. After a failure the ends of the logs are shown."""
    from cluster import Cluster

    made = Cluster(*init_arguments)
    try:
        yield made
    except BaseException:
        for name in made.names:
            if (made.dir / name / "node.log").exists():
                print(f"---- {name}\n" + "\n".join(made.log(name).splitlines()[-15:]), file=sys.stderr)
        raise
    finally:
        made.close()
