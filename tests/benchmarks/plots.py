"""The pictures of docs/benchmarks.md, as SVG with its text as text: the same bytes for the same results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_scan import median
from tests.benchmarks.report import number
from tests.benchmarks.runs import MEASURED
from tests.benchmarks.tools import TOOLS

COLOURS = {
    "refmaker": "#c1272d",
    "refmaker-json": "#c1272d",
    "libhdf5": "#888888",
    "hidefix": "#17a2b8",
    "async-hdf5": "#0072b2",
    "pyfive": "#009e73",
    "virtualizarr": "#8a5fb0",
    "kerchunk": "#d98200",
}


@contextmanager
def _figure(path: Path, *shape: Any, **options: Any) -> Iterator[Any]:
    """Yield the axes of a picture, which is written in the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": "refmaker", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(*shape, layout="constrained", **options)
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
        plt.close(figure)


def scan(results: dict[str, Any], path: Path) -> None:
    """Draw CPU time and peak memory, a row of bars for each file."""
    files = results["scan"]["files"]
    with _figure(path, len(files), 2, figsize=(9, 1.4 * len(files)), squeeze=False, sharex="col") as axes:
        for row, (file, entry) in zip(axes, files.items(), strict=True):
            found = {name: entry["tools"][name] for name in TOOLS if name in entry["tools"] and name[-5:] != "-json"}
            found = {name: result for name, result in found.items() if result["state"] != "other format"}
            _bars(row[0], found, "cpu", 1)
            _bars(row[1], found, "peak", 1e6)
            row[0].set_ylabel(file, rotation=0, labelpad=22, fontweight="bold")
            row[1].set_yticklabels([])
        axes[0][0].set_title("CPU, s")
        axes[0][1].set_title("peak memory, MB")


def _bars(axis: Any, found: dict[str, dict[str, Any]], figure: str, scale: float) -> None:
    """Draw a bar for each tool, or the word that says why there is none."""
    values = [median(result, figure) / scale if result["state"] in MEASURED else 0 for result in found.values()]
    labels = [
        number(value) if result["state"] in MEASURED else result["state"]
        for value, result in zip(values, found.values(), strict=True)
    ]
    axis.set_xscale("log")
    bars = axis.barh(list(found), values, color=[COLOURS[name] for name in found], height=0.75)
    for bar, value, label in zip(bars, values, labels, strict=True):
        middle, of = bar.get_y() + bar.get_height() / 2, "data" if value else "axes fraction"
        style = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 7}
        axis.annotate(label, (value, middle), xycoords=(of, "data"), **style)
    axis.minorticks_off()
    axis.margins(x=0.15)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)


def growth(results: dict[str, Any], path: Path) -> None:
    """Draw time and memory against size, both axes logarithmic: linear growth is a slope of 45 degrees."""
    series = results["growth"]["series"]
    with _figure(path, 2, len(series), figsize=(3.4 * len(series), 6), squeeze=False) as axes:
        for column, one in enumerate(series.values()):
            _grow(axes[0][column], one, "CPU, s", lambda result: median(result, "cpu"))
            _grow(axes[1][column], one, "peak memory, MB", lambda result: median(result, "peak") / 1e6)
            axes[0][column].set_title(one["title"])
            axes[1][column].set_xlabel(one["unit"])
        axes[0][0].legend(fontsize=7)


def _grow(axis: Any, series: dict[str, Any], label: str, value: Callable[[dict[str, Any]], float]) -> None:
    sizes = sorted(series["points"], key=int)
    for name in TOOLS:
        found = [(int(n), series["points"][n]["tools"].get(name, {"state": "not run"})) for n in sizes]
        points = [(n, value(result)) for n, result in found if result["state"] in MEASURED]
        if points:
            style = {"linewidth": 2, "zorder": 3} if name == "refmaker" else {"linewidth": 1}
            axis.plot(*zip(*points, strict=True), "o-", label=name, color=COLOURS[name], markersize=3, **style)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.set_ylabel(label)


def startup(results: dict[str, Any], path: Path) -> None:
    """Draw the medians of whole processes."""
    runs = results["startup"]["runs"]
    with _figure(path, figsize=(7, 1.8)) as axis:
        colours = ["#c1272d" if name.startswith("refmaker") else "#888888" for name in runs]
        medians = [statistics.median(run["wall"] for run in values) for values in runs.values()]
        axis.barh(list(runs), medians, color=colours, height=0.7)
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
        axis.set_xlabel("wall, s")


PICTURES = {"scan": scan, "growth": growth, "startup": startup}


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what there are results of; give the files."""
    paths = []
    for part, picture in PICTURES.items():
        if part in results:
            paths.append(folder / f"{part}.svg")
            picture(results, paths[-1])
    return paths
