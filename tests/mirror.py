"""Which modules have no test file of their own: `python -m tests.mirror`.

`refmaker/hdf5/walk.py` is tested by `tests/hdf5/test_walk.py`, `cli/scan.py` by `tests/cli/test_scan.py`. Modules that
are tested only through others stand in `tests/without_tests.txt`, which may lose lines and gets none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ALLOWED", "ROOT", "mirrored", "modules", "without_tests"]

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = ROOT / "tests" / "without_tests.txt"


def modules() -> Iterator[str]:
    """Yield the modules of both packages, as paths relative to the project; packages themselves only export."""
    for package in ("refmaker", "cli"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name not in ("__init__.py", "__main__.py"):
                yield path.relative_to(ROOT).as_posix()


def mirrored(module: str) -> Path:
    """Return where the tests of a module stand."""
    path = Path(module.removeprefix("refmaker/"))
    return ROOT / "tests" / path.parent / f"test_{path.name.lstrip('_')}"


def without_tests() -> list[str]:
    """Return the modules that have no test file."""
    return [module for module in modules() if not mirrored(module).exists()]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{module}\n" for module in without_tests()))
