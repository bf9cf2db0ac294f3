"""Write the tables and pictures of docs/benchmarks.md from docs/benchmarks/results.json, and nothing else.

    python -m tests.benchmarks.report [--check] [--no-plots]

The document says where a table goes (`<!-- begin NAME -->` to `<!-- end NAME -->`); the prose around it is written by
hand and has no figures. `--check` writes nothing and fails where a table is not what the results say. Pictures need
matplotlib.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_scan import median, ratio
from tests.benchmarks.runs import MEASURED, RESULTS
from tests.benchmarks.tools import TOOLS

DOCUMENT = RESULTS.parent.parent / "benchmarks.md"
MARKED = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)

Results = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, numbers_from: int = 1) -> str:
    """Make a table of Markdown; columns from `numbers_from` on are set to the right."""
    head = list(head)
    rule = ["---" if i < numbers_from else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def number(value: float, digits: int = 2) -> str:
    """Write a number with so many significant digits or, in front of the point, all."""
    if not value:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, places):,.{places}f}"


def _files(results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from results["scan"]["files"].items()


def _tools(results: Results) -> list[str]:
    used = {tool for _, entry in _files(results) for tool in entry["tools"]}
    return [tool for tool in TOOLS if tool in used]


def files(results: Results) -> str:
    """Return what was scanned."""
    rows = []
    for name, entry in _files(results):
        counts = [f"{entry['arrays']:,}", f"{entry['chunks']:,}", f"{entry['bytes'] / 1e6:,.0f}"]
        rows.append([name, entry["description"], *counts, entry["checked with"]])
    return table(["", "what it is", "arrays", "chunks", "MB", "checked with"], rows, numbers_from=2)


def _scans(results: Results, cell: Callable[[dict[str, Any]], str], names: Iterable[str]) -> str:
    names = [name for name in names if name in _tools(results)]
    rows = []
    for file, entry in _files(results):
        cells = [entry["tools"].get(name, {"state": "not run"}) for name in names]
        rows.append([file, *(cell(result) if result["state"] in MEASURED else result["state"] for result in cells)])
    return table(["", *names], rows)


def _cpu(result: dict[str, Any]) -> str:
    seconds = f"{number(median(result, 'cpu'))} s"
    return f"{seconds} ({number(ratio(result))}×)" if "ours" in result["runs"][0] else seconds


def scan_cpu(results: Results) -> str:
    """Return how long tools take to have the chunk list in memory."""
    return _scans(results, _cpu, [name for name in TOOLS if not name.endswith("-json")])


def scan_json(results: Results) -> str:
    """Return how long tools take to have written a JSON file."""
    return _scans(results, _cpu, [name for name in TOOLS if name.endswith("-json")])


def scan_wall(results: Results) -> str:
    """Return how long a scan takes on the clock."""
    return _scans(results, lambda result: f"{number(median(result, 'wall'))} s", TOOLS)


def scan_memory(results: Results) -> str:
    """Return what memory a scanning process takes at its peak."""
    return _scans(results, lambda result: f"{median(result, 'peak') / 1e6:,.0f} MB", TOOLS)


def failures(results: Results) -> str:
    """Return why there is no figure."""
    lines = []
    for file, entry in _files(results):
        for tool, result in entry["tools"].items():
            if result.get("reason"):
                lines.append(f"- {file}, {tool}: {result['state']}: {result['reason']}")
            elif result["state"] == "unchecked":
                lines.append(f"- {file}, {tool}: not compared, as it does not tell where chunks are")
    return "\n".join(lines) + "\n" if lines else "None.\n"


@dataclass(frozen=True)
class Target:
    """What the project set out to reach: a ratio of CPU seconds to be at least `wanted`, on a file, to a tool."""

    file: str
    tool: str
    wanted: float


TARGETS = (
    Target("W1", "kerchunk", 70),
    Target("W1", "libhdf5", 5),
    Target("W1", "kerchunk-json", 25),
    Target("W2a", "kerchunk", 50),
    Target("W2b", "kerchunk", 50),
    Target("W2c", "kerchunk", 50),
    Target("W3e", "kerchunk", 80),
    Target("W3e", "async-hdf5", 1),
    Target("W4", "kerchunk", 12),
    Target("W6c2", "kerchunk", 30),
)
MEMORY_TARGETS = {"W1": 250}
STARTUP_TARGETS = {"refmaker --help": 0.2, "refmaker scan": 0.35}


def targets(results: Results) -> str:
    """Return what was set out for and what is reached."""
    rows = [*_ratio_targets(results), *_memory_targets(results), *_remote_targets(results)]
    for name, wanted in STARTUP_TARGETS.items():
        if name in results.get("startup", {}).get("runs", {}):
            taken = statistics.median(run["wall"] for run in results["startup"]["runs"][name])
            what = "wall seconds of the whole process"
            rows.append([f"`{name}`", what, f"{wanted}", f"{taken:.2f}", _yes(taken <= wanted)])
    return table(["", "what", "wanted", "measured", "reached"], rows, numbers_from=2)


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


def _ratio_targets(results: Results) -> Iterator[list[str]]:
    entries = dict(_files(results))
    for target in TARGETS:
        result = entries.get(target.file, {"tools": {}})["tools"].get(target.tool)
        if result is None:
            continue
        what = f"CPU, {target.tool} / {TOOLS[target.tool].rival}"
        wanted = f"{target.wanted:g}×" if target.wanted > 1 else "> 1×"
        if result["state"] in MEASURED:
            reached = ratio(result)
            yield [target.file, what, wanted, f"{number(reached)}×", _yes(reached >= target.wanted)]
        else:
            yield [target.file, what, wanted, f"{target.tool} {result['state']}", "-"]


def _memory_targets(results: Results) -> Iterator[list[str]]:
    entries = dict(_files(results))
    for file, wanted in MEMORY_TARGETS.items():
        result = entries.get(file, {"tools": {}})["tools"].get("refmaker")
        if result is not None:
            peak = median(result, "peak") / 1e6
            yield [file, "peak memory of the process, MB", f"{wanted}", f"{peak:,.0f}", _yes(peak <= wanted)]


def growth(results: Results) -> str:
    """Return what a scan costs at each size."""
    rows = []
    for series in results["growth"]["series"].values():
        for size, point in sorted(series["points"].items(), key=lambda item: int(item[0])):
            ours, n = point["tools"]["refmaker"], int(size)
            cpu, peak = median(ours, "cpu"), median(ours, "peak")
            held = statistics.median(pair["run"]["peak"] - pair["run"]["before"] for pair in ours["runs"])
            row = [series["title"], f"{n:,} {series['unit']}", f"{number(cpu)} s", number(cpu / n * 1e6)]
            rows.append([*row, f"{peak / 1e6:,.0f} MB", number(max(held, 0) / n)])
    head = ["", "size", "CPU", "µs each", "peak memory", "bytes each, beyond what was held before"]
    longest = _span({series["longest"] for series in results["growth"]["series"].values()})
    end = f"Where a peer's line ends, it would have taken longer than {longest} s for the next file, or was not right."
    return "\n".join([table(head, rows), *_exponents(results), "", end, ""])


def _exponents(results: Results) -> Iterator[str]:
    """Return how the time grows over the upper half of the sizes: 1 is linear."""
    for series in results["growth"]["series"].values():
        sizes = sorted(map(int, series["points"]))
        upper = sizes[len(sizes) // 2 - 1 :] if len(sizes) > 2 else sizes
        if len(upper) < 2:
            continue
        times = [median(series["points"][str(size)]["tools"]["refmaker"], "cpu") for size in upper]
        slope = statistics.linear_regression([math.log(n) for n in upper], [math.log(t) for t in times]).slope
        yield (
            f"- {series['title']}: from {upper[0]:,} to {upper[-1]:,} {series['unit']} the time grows with the "
            f"size to the power of {slope:.2f}."
        )


def startup(results: Results) -> str:
    """Return how long commands take."""
    found = results["startup"]
    rows = []
    for name, runs in found["runs"].items():
        wall, cpu = ([run[figure] for run in runs] for figure in ("wall", "cpu"))
        seconds = (statistics.median(wall), min(wall), statistics.median(cpu))
        rows.append([name, *(f"{value:.3f} s" for value in seconds), str(len(runs))])
    head = ["", "wall, median", "wall, least", "CPU, median", "runs"]
    return f"The file has {found['bytes'] / 1e3:,.0f} kB.\n\n" + table(head, rows)


REMOTE_TARGETS = {
    "W4.nc": (3.0, 10e6, 12),
    "W1r.h5": (2.0, 6e6, None),
    "W3e.h5": (1.2, None, None),
    "W5": (6.0, None, None),
}
"""Seconds on the clock, bytes, rounds, at most, for the first scan over HTTP in a fresh process."""


def remote(results: Results) -> str:
    """Return what scans over a network take."""
    parts = []
    for one in results["remote"]["tables"]:
        rows = []
        for row in one["rows"]:
            rounds = str(row["rounds"]) if row["files"] == 1 else f"{row['rounds']:,} in all"
            seconds = [f"{row[part]:.2f} s" for part in ("first", "wall", "cpu")]
            rows.append([row["name"], *seconds, rounds, f"{row['requests']:,}", f"{row['bytes'] / 1e6:.2f}"])
        head = ["", "first, wall", "later, wall", "later, CPU", "rounds", "requests", "MB"]
        parts.append(f"{one['title']}:\n\n{table(head, rows)}")
    return "\n".join(parts)


def _remote_targets(results: Results) -> Iterator[list[str]]:
    """Compare the first table, HTTP without a cap."""
    tables = results.get("remote", {}).get("tables", [])
    for row in tables[0]["rows"] if tables else []:
        for (unit, part, scale), wanted in zip(
            (("s on the clock", "first", 1), ("MB", "bytes", 1e6), ("rounds", "rounds", 1)),
            REMOTE_TARGETS.get(row["name"], ()),
            strict=False,
        ):
            if wanted is not None:
                what = f"{tables[0]['title']}: {unit}"
                measured = str(row[part]) if part == "rounds" else number(row[part] / scale)
                yield [row["name"], what, f"{wanted / scale:g}", measured, _yes(row[part] <= wanted)]


def conditions(results: Results) -> str:
    """Say on what, when and with which versions was measured."""
    scan = results["scan"]
    here, growth, startup = scan["environment"], results.get("growth"), results.get("startup")
    far = results.get("remote")
    done = [result for _, entry in _files(results) for result in entry["tools"].values()]
    pairs = {len(result["runs"]) for result in done if result["state"] in MEASURED}
    found: dict[str, set[str]] = {}
    for result in done:
        for package, version in result.get("versions", {}).items():
            found.setdefault(package, set()).add(version)
    parts = [("scanning", done), ("growth", list(growth["series"].values()) if growth else [])]
    parts += [("start-up", [startup] if startup else []), ("over a network", [far] if far else [])]
    lines = [
        f"- {here['cpu']}, {here['cores']} cores, {here['system']}, Python {here['python']}",
        *(f"- {name}: {_when(measured)}" for name, measured in parts if measured),
        f"- pairs of runs of scanning: {_span(pairs)}",
        "- " + ", ".join(f"{package} {'/'.join(sorted(found[package]))}" for package in sorted(found)),
    ]
    return "\n".join(lines) + "\n"


def _when(measured: list[Any]) -> str:
    dates, loads = ({one[field] for one in measured} for field in ("date", "load"))
    commits = ", ".join(sorted({one["commit"] for one in measured}))
    return f"measured {_span(dates)}, at commit {commits}, load of the machine (one minute) {_span(loads)}"


def _span(values: set[Any]) -> str:
    ends = sorted({min(values), max(values)})
    return " to ".join(map(str, ends))


PARTS: dict[str, tuple[str, Callable[[Results], str]]] = {
    "files": ("scan", files),
    "targets": ("scan", targets),
    "scan-cpu": ("scan", scan_cpu),
    "scan-json": ("scan", scan_json),
    "scan-wall": ("scan", scan_wall),
    "scan-memory": ("scan", scan_memory),
    "failures": ("scan", failures),
    "growth": ("growth", growth),
    "startup": ("startup", startup),
    "remote": ("remote", remote),
    "conditions": ("scan", conditions),
}
"""Name in the document -> the part of the results that it needs, and what writes it."""


def fill(document: str, results: Results) -> str:
    """Put the tables into the document."""

    def replace(match: re.Match[str]) -> str:
        part, write = PARTS[match[2]]
        return match[1] + (write(results) if part in results else "Not measured yet.\n") + match[3]

    return MARKED.sub(replace, document)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--no-plots", action="store_true")
    parser.add_argument("--results", default=str(RESULTS), metavar="FILE")
    parser.add_argument("--document", default=str(DOCUMENT), metavar="FILE")
    options = parser.parse_args()
    results, document = json.loads(Path(options.results).read_text()), Path(options.document)
    before = document.read_text()
    after = fill(before, results)
    if options.check:
        sys.exit(0 if after == before else f"{document.name} does not say what {Path(options.results).name} says")
    document.write_text(after)
    if not options.no_plots:
        from tests.benchmarks.plots import draw

        draw(results, document.parent / "benchmarks")


if __name__ == "__main__":
    main()
