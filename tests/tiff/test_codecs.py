"""Compressions without a codec are refused by name; the others' values are compared in tests/formats/test_tiff.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refmaker.errors import Unsupported
from refmaker.tiff.codecs import codecs_of_page
from refmaker.tiff.page import Page, decode_page

SAID = {256: 8, 257: 8, 258: 16, 273: 8, 279: 128}
PAGE = decode_page({tag: np.array([value], "u4") for tag, value in SAID.items()}, "<")


def changed(tag: int = 0, value: int = 0, **members: object) -> Page:
    return replace(PAGE, values={**PAGE.values, tag: np.array([value], "u4")}, **members)


def test_codecs_in_the_order_of_encoding():
    found = codecs_of_page(replace(PAGE, compression=5, predictor=2), (8, 8))
    assert [codec["id"] for codec in found] == ["imagecodecs_delta", "imagecodecs_lzw"]
    assert found[0] == {"id": "imagecodecs_delta", "axis": -1, "dist": 1, "shape": [8, 8], "dtype": "<u2"}
    assert codecs_of_page(PAGE, (8, 8)) == []


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (changed(266, 2), "FillOrder 2"),
        (changed(compression=12345), "compression 12345"),
        (changed(predictor=2), "predictor without compression"),
        (changed(compression=8, predictor=9), "predictor 9"),
        (changed(compression=8, predictor=3), "predictor 3 of uint16"),
        (changed(compression=7, predictor=2), "predictor 2 with compression 7"),
        (changed(530, 2, photometric=6), "subsampling"),
        (changed(compression=7, photometric=8), "PhotometricInterpretation 8"),
    ],
)
def test_what_has_no_codec(page, why):
    with pytest.raises(Unsupported, match=why):
        codecs_of_page(page, (8, 8))
