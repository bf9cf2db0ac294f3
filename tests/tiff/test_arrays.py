"""A level becomes an array whose references lie in the file."""

from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import Unsupported
from refmaker.tiff.arrays import array_of
from refmaker.tiff.page import decode_page


def page(**changed: list[int]):
    said = {"256": [8], "257": [8], "258": [8], "322": [4], "323": [8], "324": [8, 40], "325": [32, 32], **changed}
    return decode_page({int(tag.strip("_")): np.array(value, "u8") for tag, value in said.items()}, "<")


def nothing(address: int, size: int) -> bytes:
    raise AssertionError


def test_tiles():
    array, notes = array_of([page()], (), ["Y", "X"], nothing, 72)
    assert array.references.offset.tolist() == [8, 40]
    assert array.metadata.chunk_shape == (8, 4)
    assert notes == []


def test_tiles_that_were_never_written():
    array, notes = array_of([page(_325=[32, 0])], (), ["Y", "X"], nothing, 72)
    assert len(array.references) == 1
    assert "1 tiles were never written" in notes[0]


@pytest.mark.parametrize("changed", [{"_324": [8, 41]}, {"_324": [8, (1 << 64) - 8]}, {"_325": [32, 31]}])
def test_tiles_that_are_not_in_the_file(changed):
    with pytest.raises(Unsupported):
        array_of([page(**changed)], (), ["Y", "X"], nothing, 72)
