"""Plots of what was measured, as SVG, by gnuplot."""

import shutil
import subprocess

from etcd import install_packages
from measurements import SCALE


def draw(directory, results):
    """Writes a plot of each measurement in `results` that has one, and gives their files."""
    if shutil.which("gnuplot") is None:
        install_packages("gnuplot-nox")
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for name, plot in (("curve", _curve), ("scale-n", _scale_in_n), ("scale-time", _over_time)):
        if name in results:
            file = directory / f"{name}.svg"
            _gnuplot(file, *plot(results[name]["runs"]))
            made.append(file)
    return made


def _gnuplot(file, settings, lines):
    """Each line is (title, style, points)."""
    blocks = "".join(f"$line{i} << END\n" + "".join(" ".join(f"{value:.6g}" for value in point) + "\n" for point in points)
                     + "END\n" for i, (_, _, points) in enumerate(lines))
    plots = ", ".join(f'$line{i} using 1:2 with {style} title "{title}"' for i, (title, style, _) in enumerate(lines))
    script = f'set terminal svg size 900,560 background "white"\nset grid\n{settings}\n{blocks}plot {plots}\n'
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True)
    if done.returncode != 0 or not done.stdout.rstrip().endswith("</svg>"):
        raise RuntimeError(f"gnuplot cannot draw {file.name}:\n{done.stderr}")
    file.write_text(done.stdout)


def _curve(runs):
    settings = """set title "Latency against throughput, n = 4, 256-byte puts, open loop"
set xlabel "operations completed per second"
set ylabel "latency (ms)"
set xrange [0:*]
set logscale y
set key left top"""
    lines = []
    for durability, rounds in runs.items():
        points = rounds[-1]["points"]
        for figure, name in (("p50_us", "median"), ("p99_us", "99th percentile")):
            lines.append((f"{durability}, {name}", "linespoints",
                          [(point["per_second"], point[figure] / 1000) for point in points]))
    return settings, lines


def _scale_in_n(runs):
    settings = """set title "Processor time of an operation and replica against n, 256-byte puts"
set xlabel "replicas"
set ylabel "microseconds"
set xrange [3:14]
set yrange [0:*]
set key left top"""
    kinds = sorted({side.rsplit(", n = ", 1)[0] for side in runs})
    middle = {side: sorted(one["cpu_us"] for one in rounds)[len(rounds) // 2] for side, rounds in runs.items()}
    return settings, [(kind, "linespoints", [(n, middle[f"{kind}, n = {n}"]) for n in SCALE]) for kind in kinds]


def _over_time(runs):
    run = runs["node"][-1]
    period = run["period_s"]
    settings = """set title "Throughput over time, n = 4, pipelined 256-byte puts"
set xlabel "seconds"
set ylabel "operations per second"
set yrange [0:*]
set key right bottom"""
    means = [((i + 0.5) * period, mean) for i, mean in enumerate(run["periods"])]
    return settings, [("each second", "lines", run["series"]), (f"mean of {period:g} s", "linespoints", means)]
