"""No cell of the matrix of faults and readers is silent, in either view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import refmaker.errors
from tests.replay.fault_matrix import CASES, EXPECTED, outcome, sound
from tests.replay.readers import READERS
from tests.servers import RangeServer

ROWS = [
    (case, reader, view)
    for case in CASES
    for reader in READERS
    for view in ("transparent", "decoded")
    if (reader, view) != ("filesystem", "decoded")  # it spells the keys of chunks as they were
]


@pytest.mark.parametrize(("case", "reader", "view"), ROWS)
def test_faults(case: str, reader: str, view: Any, range_server: RangeServer, tmp_path: Path) -> None:
    options = CASES[case](tmp_path, range_server) | {"view": view, "chunk_target": 1}
    found = outcome(READERS[reader], options)
    assert isinstance(found, str), "values, though there was a fault"
    ours = hasattr(refmaker.errors, found)
    # Without the array, who asks xarray or a filesystem for it by name is told that it is not there.
    assert ours or case == "array refused by the scan"


@pytest.mark.parametrize("reader", sorted(READERS))
def test_without_a_fault(reader: str, range_server: RangeServer, tmp_path: Path) -> None:
    assert (outcome(READERS[reader], sound(tmp_path, range_server)) == EXPECTED).all()
