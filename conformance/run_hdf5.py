"""Run scanners of HDF5 over one-feature files and print how they did: `python run_hdf5.py --scanner kerchunk`.

The verdicts are those of `run.py`; every dataset of a file has to be right. `refused` is any error in the scan, or
when the dataset is looked for or read: one that a scanner leaves out is among them, and the reason says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from asking import Reader, command_of
from judging import VERDICTS, judge

SCRIPTS = {
    path.stem.removesuffix("_scanner"): path
    for path in sorted((Path(__file__).resolve().parent / "scanners").glob("*_scanner.py"))
}


def verdicts(reader: Reader, index: list[dict[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Return a row for each file."""
    rows = []
    for case in index:
        request = {"manifest": str(folder / case["file"]), "arrays": sorted(case["arrays"]), "keys": []}
        verdict, why = judge(case, reader.ask(request))
        rows.append({"feature": case["feature"], "verdict": verdict, "why": why})
    reader.stop()
    return rows


def table(found: dict[str, list[dict[str, str]]]) -> str:
    """Return a line for each feature, and the sums."""
    lines = ["| feature | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for rows in zip(*found.values(), strict=True):
        lines.append(f"| {rows[0]['feature']} | " + " | ".join(row["verdict"] for row in rows) + " |")
    counts = [Counter(row["verdict"] for row in rows) for rows in found.values()]
    lines.append(f"| {' / '.join(VERDICTS)} | " + " | ".join(_sum(count) for count in counts) + " |")
    return "\n".join(lines)


def _sum(count: Counter[str]) -> str:
    return " / ".join(str(count[verdict]) for verdict in VERDICTS)


def main() -> int:
    """Make the files, run, print; the exit status is 1 where a scanner was wrong or crashed."""
    from make_hdf5 import main as make

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scanner", action="append", choices=sorted(SCRIPTS), help="which to run; default: all")
    parser.add_argument("--python", default=sys.executable, help="Python that has the scanners installed")
    parser.add_argument("--json", type=Path, help="write all verdicts, with reasons, to this file")
    asked = parser.parse_args()
    found: dict[str, list[dict[str, str]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder)
        index = json.loads((folder / "expected.json").read_text("utf-8"))
        for name in asked.scanner or sorted(SCRIPTS):
            reader = Reader(command_of(SCRIPTS[name], asked.python), folder / f"{name}.log")
            if not (versions := reader.start()):
                print(f"{name}: left out: it does not start", file=sys.stderr)
                continue
            print(f"{name}: {versions}")
            found[name] = verdicts(reader, index, folder)
    print("\n" + table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return int(any(row["verdict"] in ("wrong", "crash") for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
