"""Kill a writer before each of its system calls, one child for each: `python killed.py FOLDER exchange|two-steps`.

Writes for every number of calls, and a last time in full, a set over another one in FOLDER/<number>.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from refmaker.kerchunk import replacing
from refmaker.kerchunk.parquet_writer import write_parquet
from refmaker.manifest import Manifest, Target
from tests.kerchunk.making import array, rows

CALLS = ("mkdir", "open", "fsync", "rename", "unlink", "rmdir", "close", "chmod")


def a_set(count: int, seed: int) -> Manifest:
    """Make a manifest of two arrays; all of its references say which one it is."""
    node = array((count,), rows(range(count), [1000 * seed + cell for cell in range(count)], [seed] * count))
    return Manifest(2, {"": {"seed": seed}, "g": {}}, {"x": node, "g/y": node}, (Target("u"),))


def main(folder: Path, how: str) -> None:
    for number in range(1000):
        place = folder / str(number)
        place.mkdir()
        write_parquet(a_set(4, 1), place / "m.parq", record_size=2)
        child = os.fork()
        if not child:
            die_at(number, how)
            write_parquet(a_set(6, 2), place / "m.parq", record_size=2)
            os._exit(0)
        if not os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            return


def die_at(number: int, how: str) -> None:
    left = number

    def counted(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            if not left:
                os._exit(9)
            left -= 1
            return function(*args, **options)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    exchanged = replacing._exchanged if how == "exchange" else lambda one, other: False
    replacing._exchanged = counted(exchanged)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
