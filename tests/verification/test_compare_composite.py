"""Verification of composite arrays: right ones are the same, and whatever is changed is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import refmaker
from refmaker.verification.compare_composite import chosen_slots
from refmaker.verification.verify import verify
from tests.combining.test_composing import CASES, files
from tests.manifest.test_composite import composite


@pytest.mark.parametrize("sample", [None, 2])
@pytest.mark.parametrize(
    "case", ["scale f4 | other f4", "i8 other codec", "absent chunks", "months, packed", "i2 | u2 | f4"]
)
def test_right_ones(tmp_path: Path, case: str, sample: int | None) -> None:
    refmaker.combine(files(tmp_path, *CASES[case])).to_json(tmp_path / "all.json")
    report = verify(tmp_path / "all.json", sample=sample)
    assert [(one.path, one.status, one.reason) for one in report.arrays if one.status != "same"] == []
    assert "/v" in {one.path for one in report.arrays}
    assert (report.differences, report.skipped) == (0, 0)


def test_other_operands_are_found(tmp_path: Path) -> None:
    manifest = refmaker.combine(files(tmp_path, *CASES["scale f4 | other f4"]))
    one = manifest.composites["v"]
    operands = one.operands.copy()
    operands[1, 0] += 1  # the last bit of a scale
    manifest.composites["v"] = replace(one, operands=operands)
    (found,) = [each for each in verify(manifest).arrays if each.path == "/v"]
    assert found.status == "differs"
    assert found.first_difference is not None
    assert found.first_difference.index[0] >= 4
    assert "1.nc" in str(found.reason)


def test_other_rows_are_found(tmp_path: Path) -> None:
    manifest = refmaker.combine(files(tmp_path, *CASES["i2 | i4"]))
    one = manifest.composites["v"]
    manifest.composites["v"] = replace(one, slot_piece=one.slot_piece[::-1].copy())
    assert [each.status for each in verify(manifest).arrays if each.path == "/v"] == ["differs"]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    refmaker.combine(files(tmp_path, *CASES["i2 | i4"])).to_json(tmp_path / "all.json")
    (tmp_path / "1.nc").unlink()
    report = verify(tmp_path / "all.json")
    assert report.failed
    assert [each.status for each in report.arrays if each.path == "/v"] == ["unreadable"]


def test_every_form_is_chosen() -> None:
    count = 1000
    forms = np.zeros(count, "i8")
    forms[500] = 1
    one = replace(
        composite(),
        slot_piece=np.arange(count),
        slot_start=np.zeros(count, "i8"),
        slot_length=np.ones(count, "i8"),
        form=forms,
    )
    chosen = chosen_slots(one, 8)
    assert {0, 500, 999} <= set(chosen)
    assert len(chosen) <= 8
    assert chosen_slots(one, None) == list(range(count))
