"""Make the cases: `python make.py` writes `cases/*.json`, `python make.py --check` compares them with what it makes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from building import Case
from families import arrays, documents, extensions, parquet, values, zarr3

CASES = Path(__file__).resolve().parent / "cases"


def all_cases() -> Iterator[Case]:
    """Yield all cases, in the order of the specification."""
    for family in (documents, values, arrays, zarr3, parquet, extensions):
        yield from family.cases()


def main() -> int:
    """Write the cases, or compare them; return the exit status."""
    made = {}
    for case in all_cases():
        if case.name in made:
            raise ValueError(f"two cases are named {case.name}")
        made[case.name] = case.text()
    there = {path.stem: path.read_text("utf-8") for path in CASES.glob("*.json")}
    if "--check" in sys.argv[1:]:
        different = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
        print(f"{len(made)} cases, {len(different)} different{': ' if different else ''}{', '.join(different)}")
        return 1 if different else 0
    for name in there.keys() - made.keys():
        (CASES / f"{name}.json").unlink()
    CASES.mkdir(exist_ok=True)
    for name, text in made.items():
        (CASES / f"{name}.json").write_text(text, "utf-8")
    print(f"{len(made)} cases, {sum(map(len, made.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
