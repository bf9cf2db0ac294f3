"""The text of references: numpy's way against one row at a time."""

import numpy as np
import pytest

from refmaker.kerchunk import fast_json_writer
from refmaker.manifest.references import References
from refmaker.zarr.chunk_keys import ChunkLayout

LEAD = b',\n"v/'


def plain(layout, references, urls):
    return b"".join(fast_json_writer._plain_rows(LEAD, layout, references, urls))


def fast(layout, references, urls, monkeypatch, **constants):
    monkeypatch.setattr(fast_json_writer, "_FEW", 0)
    monkeypatch.setattr(fast_json_writer, "_plain_rows", None)
    for name, value in constants.items():
        monkeypatch.setattr(fast_json_writer, name, value)
    return b"".join(fast_json_writer.reference_rows(LEAD, layout, references, urls))


def some(cells, grid, *, targets=1, seed=0, limit=2**62):
    random = np.random.default_rng(seed)
    count = min(cells, 3000)
    cell = np.unique(random.integers(0, min(int(np.prod(grid, dtype=object)), 2**63 - 1), count))
    offset = random.integers(0, limit, len(cell), dtype="u8") >> random.integers(0, 62, len(cell), dtype="u8")
    size = random.integers(0, limit, len(cell), dtype="u8") >> random.integers(0, 62, len(cell), dtype="u8")
    return References(cell, random.integers(0, targets, len(cell)).astype("u2"), offset, size)


LAYOUTS = [
    ChunkLayout((), "", ".", "0"),
    ChunkLayout((), "c/", "/", "c"),
    ChunkLayout((1,), "", ".", "0"),
    ChunkLayout((9, 11, 101), "", ".", "0"),
    ChunkLayout((10, 100, 1000, 10000, 10001), "c/", "/", "c"),
    ChunkLayout((10**9, 2**32 + 1), "", "/", "0"),
    ChunkLayout((3, 2**33), "c.", ".", "c"),
    ChunkLayout((2**63 - 1,), "", ".", "0"),
    ChunkLayout((2,) * 40, "", ".", "0"),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "x".join(map(str, layout.grid))[:30])
@pytest.mark.parametrize("targets", [1, 300])
def test_fast_equals_plain(layout, targets, monkeypatch):
    urls = [b'"' + b"u" * (i % 50) + b'\\u0000%d"' % i for i in range(targets)]
    references = some(5000, layout.grid, targets=targets)
    expected = plain(layout, references, urls)
    assert fast(layout, references, urls, monkeypatch, _BLOCK_ROWS=700) == expected


def test_extremes(monkeypatch):
    top = 2**64 - 1
    values = [0, 1, 9, 10, 9999, 10**4, 10**8 - 1, 10**8, 2**32 - 1, 2**32, 10**16, top]
    n = len(values)
    column = np.array(values, "u8")
    references = References(np.arange(n), np.broadcast_to(np.uint8(0), n), column, column[::-1].copy())
    layout = ChunkLayout((n,), "", ".", "0")
    text = fast(layout, references, [b'"u"'], monkeypatch)
    assert text == b"".join(b',\n"v/%d":["u",%d,%d]' % (i, values[i], values[n - 1 - i]) for i in range(n))


def test_one_huge_url_among_many_takes_no_table(monkeypatch):
    urls = [b'"u%d"' % i for i in range(1000)] + [b'"' + b"x" * 10**6 + b'"']
    references = References(np.arange(1001), np.arange(1001), np.zeros(1001, "u8"), np.zeros(1001, "u8"))
    layout = ChunkLayout((1001,), "", ".", "0")
    monkeypatch.setattr(fast_json_writer, "_wide_rows", None)
    blocks = list(fast_json_writer.reference_rows(LEAD, layout, references, urls))
    assert b"".join(blocks) == plain(layout, references, urls)
