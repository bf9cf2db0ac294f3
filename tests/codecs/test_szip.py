"""Every prefix of a chunk either gives the values or is refused, whatever memory held before."""

from __future__ import annotations

import numpy as np
import pytest
from h5py import h5t

from refmaker.codecs import szip
from refmaker.codecs.decode import decode_chunk
from refmaker.codecs.szip import is_padded, pixel_bytes
from refmaker.errors import FormatError, Unsupported

from .stored import DEFLATE, FLETCHER32, LZF, SHUFFLE, SZIP, Stored, store, store_as

SHAPES = [(5, 37), (3, 100), (1, 33), (7, 45), (40,), (61,), (2, 3, 11)]


def stored_values(shape: tuple[int, ...], dtype: str, in_block: int) -> tuple[np.ndarray, Stored]:
    values = (np.random.default_rng(1).integers(0, 3, shape)).astype(dtype)
    return values, store(values, compression="szip", compression_opts=("nn", in_block))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["<u1", "<i2", ">i4", "<f4", "<f8"])
@pytest.mark.parametrize("in_block", [8, 32])
def test_chunks_cut_short(shape: tuple[int, ...], dtype: str, in_block: int) -> None:
    values, stored = stored_values(shape, dtype, in_block)
    mask, raw = stored.chunk()
    assert mask == 0
    sizes = sorted({*range(1, min(len(raw), 40)), *range(len(raw) - 20, len(raw) + 1)} - {0})
    outcomes = {True: 0, False: 0}
    for size in (size for size in sizes if size > 0):
        try:
            got = decode_chunk(raw[:size], stored.datatype, shape, stored.filters, 0, dtype)
        except FormatError:
            outcomes[False] += 1
            continue
        assert got == values.tobytes()
        outcomes[True] += 1
    assert outcomes[True] >= 1
    assert outcomes[False] >= 5


def test_padded_rows_are_those_that_are_no_multiple_of_a_block() -> None:
    assert is_padded((141, 8, 8, 37))
    assert not is_padded((141, 8, 8, 32))
    assert not is_padded((141, 0, 8, 32))
    assert not is_padded(())


OUTER = {
    "shuffle": [SHUFFLE],
    "shuffle and fletcher32": [SHUFFLE, FLETCHER32],
    "deflate": [DEFLATE],
    "shuffle, deflate, fletcher32": [SHUFFLE, DEFLATE, FLETCHER32],
    "LZF": [LZF],
}


@pytest.mark.parametrize("name", OUTER)
@pytest.mark.parametrize("dtype", ["<u1", "<i4"])
def test_beneath_other_filters(name: str, dtype: str) -> None:
    """Whole chunks decode, and szip's part of them that is cut short does not."""
    values = np.random.default_rng(1).integers(0, 3, (5, 37)).astype(dtype)
    stored = store_as(h5t.py_create(values.dtype), values, [SZIP, *OUTER[name]])
    mask, raw = stored.chunk()
    assert mask == 0
    assert is_padded(stored.filters[0].client_data)
    assert decode_chunk(raw, stored.datatype, (5, 37), stored.filters, 0, dtype) == values.tobytes()
    alone = store_as(h5t.py_create(values.dtype), values, [SZIP])
    inner = alone.chunk()[1]
    for size in range(5, len(inner) - 1, 3):
        with pytest.raises(FormatError):
            decode_chunk(inner[:size], alone.datatype, (5, 37), alone.filters, 0, dtype)


def test_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the chunk is refused, rather than memory handed on."""
    monkeypatch.setattr(szip, "exported", lambda name: None)
    szip._decoder.cache_clear()
    values, stored = stored_values((5, 37), "<u1", 8)
    raw = stored.chunk()[1]
    assert is_padded(stored.filters[-1].client_data)
    try:
        with pytest.raises(Unsupported, match="libaec"):
            pixel_bytes(raw, stored.filters[-1].client_data)
        with pytest.raises(FormatError):
            decode_chunk(raw, stored.datatype, (5, 37), stored.filters, 0, "<u1")
    finally:
        monkeypatch.undo()
        szip._decoder.cache_clear()
    assert decode_chunk(raw, stored.datatype, (5, 37), stored.filters, 0, "<u1") == values.tobytes()
