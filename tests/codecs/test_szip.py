"""Every prefix of a chunk either gives the values or is refused, whatever memory held before."""

from __future__ import annotations

import numpy as np
import pytest

from refmaker.codecs import szip
from refmaker.codecs.decode import decode_chunk
from refmaker.codecs.szip import check_complete, is_padded
from refmaker.errors import FormatError, Unsupported
from refmaker.model import Filter

from .stored import Stored, store

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


def test_beneath_another_filter() -> None:
    _, stored = stored_values((5, 37), "<u1", 8)
    filters = (*stored.filters, Filter(2, "shuffle", False, (1,)))
    with pytest.raises(Unsupported, match="beneath another filter"):
        decode_chunk(stored.chunk()[1], stored.datatype, (5, 37), filters, 0, "<u1")


def test_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(szip, "exported", lambda name: None)
    szip._decoder.cache_clear()
    _, stored = stored_values((5, 37), "<u1", 8)
    client_data = stored.filters[-1].client_data
    assert is_padded(client_data)
    try:
        with pytest.raises(Unsupported, match="libaec"):
            check_complete(memoryview(stored.chunk()[1]), client_data)
        check_complete(memoryview(stored.chunk()[1]), (client_data[0], 8, 8, 32))
    finally:
        szip._decoder.cache_clear()
