"""Records of composite arrays that do not fit each other are refused, each by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refmaker.errors import ManifestError
from refmaker.manifest.composite import HOLE, Composite, PieceForm
from refmaker.manifest.references import References
from refmaker.steps import Step, Template
from refmaker.zarr.metadata import ArrayMetadata


def metadata(shape: list[int], chunks: list[int], dtype: str) -> ArrayMetadata:
    return ArrayMetadata.from_json(
        {
            "zarr_format": 2,
            "shape": shape,
            "chunks": chunks,
            "dtype": dtype,
            "order": "C",
            "fill_value": 0 if dtype != "<f4" else None,
            "compressor": None,
            "filters": None,
        }
    )


def composite(**changes: Any) -> Composite:
    """Return two pieces of 4 and 3 rows, the second with its first row left out, and a hole of one row."""
    one = Composite(
        metadata=metadata([7, 2], [4, 2], "<f4"),
        attributes={},
        axis=0,
        templates=(Template((Step("to", ("<f4",)), Step("mul", ("<f4",)))), Template()),
        forms=(
            PieceForm(metadata([2, 2], [2, 2], "<i2"), 0, (0, 1)),
            PieceForm(metadata([2, 1], [2, 1], "<f4"), 1, (1, 0)),
        ),
        slot_piece=np.array([0, HOLE, 1], "i8"),
        slot_start=np.array([0, 0, 1], "i8"),
        slot_length=np.array([4, 1, 2], "i8"),
        form=np.array([0, 1], "i8"),
        extent=np.array([[4, 2], [2, 3]], "i8"),
        operands=np.array([[int(np.float32(0.5).view("u4"))], [0]], "u8"),
        references=References(
            np.array([0, 1, 2, 4]), np.zeros(4, "u4"), np.arange(4, dtype="u8") * 8, np.full(4, 8, "u8")
        ),
    )
    return replace(one, **changes)


def test_what_fits() -> None:
    one = composite()
    one.check("v")
    assert one.edges.tolist() == [0, 4, 5, 7]
    assert one.base.tolist() == [0, 2, 5]
    assert (one.grid(0), one.grid(1), one.shown_grid) == ((2, 1), (1, 3), (2, 1))
    assert one == composite()
    assert one != composite(axis=1)


WRONG: dict[str, tuple[Callable[[], Composite], str]] = {
    "axis": (lambda: composite(axis=2), "axis"),
    "lengths": (lambda: composite(slot_length=np.array([4, 1, 3], "i8")), "lengths"),
    "rows": (lambda: composite(slot_start=np.array([1, 0, 1], "i8")), "rows of their pieces"),
    "negative rows": (lambda: composite(slot_start=np.array([-1, 0, 1], "i8")), "rows of their pieces"),
    "piece": (lambda: composite(slot_piece=np.array([0, HOLE, 2], "i8")), "slots"),
    "columns": (lambda: composite(slot_start=np.zeros(2, "i8")), "columns of one length"),
    "extent": (lambda: composite(extent=np.array([[4, 3], [2, 3]], "i8")), "extents of pieces"),
    "huge extent": (lambda: composite(extent=np.array([[1 << 62, 2], [2, 3]], "i8")), "extents"),
    "form": (lambda: composite(form=np.array([0, 2], "i8")), "forms of pieces"),
    "operands": (lambda: composite(operands=np.zeros((2, 0), "u8")), "operands"),
    "cells": (
        lambda: composite(references=References(np.array([5]), np.zeros(1, "u4"), np.zeros(1, "u8"), np.ones(1, "u8"))),
        "cells",
    ),
    "order": (
        lambda: composite(forms=(PieceForm(metadata([2, 2], [2, 2], "<i2"), 0, (0, 0)), composite().forms[1])),
        "order of axes",
    ),
    "template": (
        lambda: composite(forms=(PieceForm(metadata([2, 2], [2, 2], "<i2"), 9, (0, 1)), composite().forms[1])),
        "template",
    ),
    "float to integer": (lambda: composite(metadata=metadata([7, 2], [4, 2], "<i4")), "data type"),
    "chunk": (lambda: composite(metadata=metadata([7, 2], [1 << 40, 2], "<f4")), "chunk"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit(name: str) -> None:
    make, message = WRONG[name]
    with pytest.raises(ManifestError, match=message):
        make().check("v")
