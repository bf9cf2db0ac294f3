"""What fields say of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.tiff.page import decode_page, numbers, text_of


def fields(**changed: Any) -> dict[int, Any]:
    said = {"256": [50], "257": [45], "258": [16], "273": [8, 708, 1408, 2108, 2808], "278": [10], "279": [1000] * 5}
    said.update({key.strip("_"): value for key, value in changed.items()})
    return {int(tag): np.array(value, "u4") for tag, value in said.items() if value is not None}


def test_strips():
    page = decode_page(fields(), ">")
    assert (page.shape, page.chunks, page.axes, page.dtype) == ((45, 50), (10, 50), "YX", np.dtype(">u2"))
    assert page.offsets.tolist() == [8, 708, 1408, 2108, 2808]


def test_planes_and_pixels():
    said = fields(_277=[3], _273=[8] * 15, _279=[9] * 15)
    with pytest.raises(FormatError, match="PlanarConfiguration"):
        decode_page(said | {284: np.array([7])}, "<")
    assert decode_page(said | {284: np.array([2])}, "<").shape == (3, 45, 50)
    assert decode_page(said, "<").shape == (45, 50, 3)


@pytest.mark.parametrize(
    ("changed", "kind", "why"),
    [
        ({"_256": [0]}, FormatError, "extents"),
        ({"_256": None}, FormatError, "256 is missing"),
        ({"_273": [8]}, FormatError, "lists 1 of its 5"),
        ({"_279": [8]}, FormatError, "sizes"),
        ({"_258": [1]}, Unsupported, "BitsPerSample 1"),
        ({"_258": [8, 16]}, Unsupported, "different sizes"),
        ({"_339": [5]}, Unsupported, "SampleFormat 5"),
        ({"_259": [4], "_258": [1]}, Unsupported, "CCITT Group 4"),
        ({"_259": [6]}, Unsupported, "old kind"),
        ({"_322": [0], "_323": [16]}, FormatError, "strips or tiles"),
        ({"_256": [1 << 31], "_257": [1 << 31], "_278": [1]}, FormatError, "lists 5 of its 2147483648"),
    ],
)
def test_what_is_no_page(changed, kind, why):
    with pytest.raises(kind, match=why):
        decode_page(fields(**changed), "<")


def test_numbers_and_text():
    assert numbers({}, 256, 7) == [7]
    with pytest.raises(RefmakerError):
        numbers({256: b"text"}, 256)
    assert text_of({270: b"a\xe9\0b"}, 270) == "aé"
    assert text_of({270: np.array([1])}, 270) == ""
