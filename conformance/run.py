"""Run readers over all cases and print how they did.

python run.py --reader fsspec --reader refmaker
python run.py --reader zarrita --node-modules /tmp/z/node_modules
python run.py --reader fsspec --case 'templates*' --each
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from asking import Reader, command_of
from judging import VERDICTS, judge
from laying import lay_out, load_cases

HERE = Path(__file__).resolve().parent
SCRIPTS = {path.stem.removesuffix("_reader"): path for path in sorted((HERE / "readers").glob("*_reader.*"))}
KINDS = ("valid", "invalid", "unreachable")


def request_of(case: dict[str, Any], manifest: Path) -> dict[str, Any]:
    """Return what a reader is asked: only paths and keys, nothing of what is expected."""
    arrays = sorted({*case.get("arrays", {}), *filter(None, [case.get("broken")])})
    parquet = case["suffix"] == ".parq"
    return {"manifest": str(manifest), "parquet": parquet, "arrays": arrays, "keys": sorted(case.get("keys", {}))}


def run_reader(reader: Reader, cases: list[dict[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Return a row for each case: name, group, kind, verdict, why."""
    rows = []
    for case in cases:
        suffix = ".parq" if case["suffix"] == ".parq" else ".json"
        answer = reader.ask(request_of(case, folder / case["name"] / f"manifest{suffix}"))
        verdict, why = judge(case, answer)
        rows.append(
            {**{key: case[key] for key in ("name", "group", "property", "kind")}, "verdict": verdict, "why": why}
        )
    reader.stop()
    return rows


def table(found: dict[str, list[dict[str, str]]], by: str) -> str:
    """Return counts of right / refused / wrong / crash as a table in Markdown; `by` is what a line stands for."""
    readers = list(found)
    lines = [f"| {by} | cases | " + " | ".join(readers) + " |", "|---" * (len(readers) + 2) + "|"]
    first = found[readers[0]]
    for line in [*dict.fromkeys(row[by] for row in first), "all"]:
        cells = []
        for name in readers:
            counts = Counter(row["verdict"] for row in found[name] if line in (row[by], "all"))
            cells.append(" / ".join(str(counts[verdict]) for verdict in VERDICTS))
        number = sum(line in (row[by], "all") for row in first)
        lines.append(f"| {line} | {number} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def each(found: dict[str, list[dict[str, str]]]) -> str:
    """Return a line for each case that not every reader gets right."""
    lines = []
    for rows in zip(*found.values(), strict=True):
        if any(row["verdict"] != "right" for row in rows):
            told = "; ".join(f"{name}: {row['verdict']}" for name, row in zip(found, rows, strict=True))
            lines.append(f"{rows[0]['kind']:12}{rows[0]['group']}: {rows[0]['property']}: {told}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reader", action="append", choices=sorted(SCRIPTS), help="which to run; all where none is named"
    )
    parser.add_argument("--case", default="*", help="names of cases to run, as a pattern")
    parser.add_argument("--python", default=sys.executable, help="Python that has the readers installed")
    parser.add_argument("--node-modules", type=Path, help="folder where npm has installed zarrita")
    parser.add_argument("--each", action="store_true", help="list the cases that not every reader gets right")
    parser.add_argument("--saved", type=Path, action="append", help="add the verdicts of a file written by --json")
    parser.add_argument("--json", type=Path, help="write all verdicts, with reasons, to this file")
    return parser.parse_args()


def run(asked: argparse.Namespace) -> dict[str, list[dict[str, str]]]:
    """Run the readers that are asked for and can be started."""
    cases = [case for case in load_cases() if fnmatch(case["name"], asked.case)]
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for case in cases:
            lay_out(case, folder)
        for name in asked.reader or ([] if asked.saved else sorted(SCRIPTS)):
            try:
                reader = Reader(command_of(SCRIPTS[name], asked.python, asked.node_modules), folder / f"{name}.log")
            except FileNotFoundError as error:
                print(f"{name}: left out: {error}", file=sys.stderr)
                continue
            if not (versions := reader.start()):
                last = (folder / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()[-1:]
                print(f"{name}: left out: {''.join(last)}", file=sys.stderr)
                continue
            print(f"{name}: {versions}")
            found[name] = run_reader(reader, cases, folder)
    return found


def main() -> int:
    """Run, print; the exit status is 1 where a reader was wrong or crashed."""
    asked = arguments()
    found: dict[str, list[dict[str, str]]] = {}
    for path in asked.saved or []:
        found |= json.loads(path.read_text("utf-8"))
    found |= run(asked)
    if not found:
        return 1
    print(f"\n{' / '.join(VERDICTS)}\n\n{table(found, 'kind')}\n\n{table(found, 'group')}")
    if asked.each:
        print("\n" + each(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return int(any(row["verdict"] in ("wrong", "crash") for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
