"""The pictures of docs/benchmarks.md, as SVG with its text as text: the same bytes for the same results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_scan import median
from tests.benchmarks.runs import MEASURED
from tests.benchmarks.tools import TOOLS

COLOURS = {
    "refmaker": "#c1272d",
    "refmaker-json": "#c1272d",
    "libhdf5": "#888888",
    "hidefix": "#b8860b",
    "async-hdf5": "#0072b2",
    "pyfive": "#009e73",
    "virtualizarr": "#8a5fb0",
    "kerchunk": "#d98200",
}


@contextmanager
def _figure(path: Path, *shape: Any, **options: Any) -> Iterator[Any]:
    """Give the axes of a picture, which is written in the end."""
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


def _measured(entry: dict[str, Any], names: list[str]) -> dict[str, dict[str, Any]]:
    return {name: entry["tools"][name] for name in names if entry["tools"].get(name, {}).get("state") in MEASURED}


def scan(results: dict[str, Any], path: Path) -> None:
    """Draw CPU time and peak memory, a row of bars for each file."""
    names = [name for name in TOOLS if not name.endswith("-json")]
    files = results["scan"]["files"]
    with _figure(path, len(files), 2, figsize=(9, 1.35 * len(files)), squeeze=False, sharex="col") as axes:
        for row, (file, entry) in zip(axes, files.items(), strict=True):
            found = _measured(entry, names)
            for axis, figure, scale in zip(row, ("cpu", "peak"), (1, 1e6), strict=True):
                values = [median(result, figure) / scale for result in found.values()]
                axis.barh(list(found), values, color=[COLOURS[name] for name in found], height=0.75)
                axis.set_xscale("log")
                axis.invert_yaxis()
                axis.grid(axis="x", alpha=0.3)
                axis.set_axisbelow(True)
            row[0].set_ylabel(file, rotation=0, labelpad=22, fontweight="bold")
            row[1].set_yticklabels([])
        axes[0][0].set_title("CPU, s")
        axes[0][1].set_title("peak memory, MB")


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
        found = [(int(n), _measured(series["points"][n], [name])) for n in sizes]
        points = [(n, value(entry[name])) for n, entry in found if entry]
        if points:
            style = {"linewidth": 2, "zorder": 3} if name == "refmaker" else {"linewidth": 1}
            axis.plot(*zip(*points, strict=True), "o-", label=name, color=COLOURS[name], markersize=3, **style)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.grid(alpha=0.3)
    axis.set_ylabel(label)


def startup(results: dict[str, Any], path: Path) -> None:
    """Draw the medians of whole processes."""
    runs = results["startup"]["runs"]
    with _figure(path, figsize=(7, 1.8)) as axis:
        colours = ["#c1272d" if name.startswith("refmaker") else "#888888" for name in runs]
        axis.barh(list(runs), [statistics.median(values) for values in runs.values()], color=colours, height=0.7)
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
