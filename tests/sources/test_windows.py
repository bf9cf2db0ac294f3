"""Windows over memory, over what was fetched, and the one that remembers: the same bytes, the same errors."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import TruncatedError
from refmaker.ranges import split
from refmaker.sources.memory import MemoryWindow
from refmaker.sources.recording import RecordingWindow
from refmaker.sources.sparse import SparseWindow
from refmaker.window import MissingBytes, ShiftedWindow, Window

DATA = bytes(i * 7 % 251 for i in range(1000))
HUGE = (1 << 64) - 1


def filled(page: int, data: bytes = DATA) -> SparseWindow:
    """Return a window filled in two rounds, one piece in two a round."""
    window = SparseWindow(len(data))
    for first in (page, 0):
        starts = list(range(first, len(data), 2 * page))
        window.store(starts, [data[start : start + page] for start in starts])
    return window


WINDOWS: list[Window] = [
    MemoryWindow(DATA),
    MemoryWindow(memoryview(DATA)),
    filled(7),
    filled(128),
    filled(1000),
    RecordingWindow(MemoryWindow(DATA)),
    ShiftedWindow(MemoryWindow(bytes(512) + DATA), 512),
    ShiftedWindow(filled(32, bytes(512) + DATA), 512),
]


@pytest.fixture(params=WINDOWS, ids=lambda w: type(w).__name__)
def window(request) -> Window:
    return request.param


def test_bytes(window):
    assert window.size == 1000
    for address, size in ((0, 0), (0, 1), (0, 1000), (15, 1), (15, 2), (16, 16), (127, 300), (999, 1), (1000, 0)):
        buf, pos = window.at(address, size)
        assert bytes(buf[pos : pos + size]) == DATA[address : address + size]


def test_rows(window):
    addresses = np.array([3, 990, 0, 500, 3], "u8")
    rows = window.rows(addresses, 10)
    assert rows.dtype == np.uint8
    assert rows.tolist() == [list(DATA[a : a + 10]) for a in addresses.tolist()]
    assert rows.flags.c_contiguous
    assert window.rows(np.empty(0, "u8"), 10).shape == (0, 10)
    assert window.rows(np.array([0], "u8"), 1000).tobytes() == DATA


@pytest.mark.parametrize(
    ("address", "size"), [(1000, 1), (0, 1001), (999, 2), (1 << 40, 1), (HUGE, 1), (HUGE - 5, 10), (0, HUGE)]
)
def test_beyond_the_end(window, address, size):
    with pytest.raises(TruncatedError, match="beyond the end"):
        window.at(address, size)
    if size < 1 << 40:
        with pytest.raises(TruncatedError, match="beyond the end"):
            window.rows(np.array([0, address], "u8"), size)


def test_announcing_never_fails(window):
    for addresses in ([], [0], [999, 1000, 1 << 40, HUGE], np.array([5, HUGE], "u8")):
        for size in (0, 1, 5000, 1 << 62, HUGE):
            window.want(addresses, size)
    if isinstance(window, SparseWindow):
        for starts, size in window._wanted:
            assert [len(x) for x in window.lacking(starts, np.minimum(starts + size, 1000))] == [0, 0]


def test_map_of_a_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(DATA)
    with open(path, "rb") as file:
        window = MemoryWindow(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    buf, pos = window.at(100, 10)
    assert buf[pos : pos + 10] == DATA[100:110]
    assert window.rows(np.array([100], "u8"), 10).tobytes() == DATA[100:110]


def missing(call) -> list[tuple[int, int]]:
    with pytest.raises(MissingBytes) as caught:
        call()
    return list(zip(caught.value.addresses.tolist(), caught.value.sizes.tolist(), strict=True))


def test_what_is_missing_is_asked_for_with_all_that_was_announced():
    window = SparseWindow(1000)
    window.want([300, 990], 20)
    assert missing(lambda: window.at(0, 5)) == [(300, 20), (990, 10), (0, 5)]
    # Asked for once, it is not asked for again.
    assert missing(lambda: window.at(0, 5)) == [(0, 5)]
    window.store([0], [DATA[:256]])
    assert bytes(window.at(0, 5)[0][:5]) == DATA[:5]
    window.want([10], 20)
    window.want([10, 200], 20)
    assert missing(lambda: window.at(250, 10)) == [(250, 10)]
    assert missing(lambda: window.rows(np.array([0, 600, 990], "u8"), 10)) == [(600, 10), (990, 10)]
    window.store([600, 990], [DATA[600:610], DATA[990:]])
    assert window.rows(np.array([0, 600, 990], "u8"), 10)[1].tobytes() == DATA[600:610]
    assert [x.tolist() for x in window.extents] == [[0, 600, 990], [256, 610, 1000]]
    lacking = window.lacking(np.array([200, 605, 100]), np.array([300, 700, 110]))
    assert [x.tolist() for x in lacking] == [[256, 610], [300, 700]]


def test_announced_ranges_end_with_the_file():
    window = SparseWindow(1000)
    window.want([500], HUGE)
    assert missing(lambda: window.at(0, 1)) == [(500, 500), (0, 1)]


def test_bytes_that_came_twice():
    """A later piece may lie in an earlier one, reach over its ends, or over several."""
    window = SparseWindow(1000)
    for start, stop in ((100, 200), (120, 130), (150, 250), (50, 120), (300, 310), (320, 330), (290, 340), (0, 0)):
        window.store([start], [DATA[start:stop]])
        for first, last in zip(*window.extents, strict=True):
            buf, pos = window.at(int(first), int(last - first))
            assert bytes(buf[pos : pos + int(last - first)]) == DATA[first:last]
    assert [x.tolist() for x in window.lacking(np.array([0]), np.array([1000]))] == [[0, 250, 340], [50, 290, 1000]]
    assert bytes(window.at(60, 190)[0]) == DATA[60:250]
    assert window.rows(np.array([60, 230, 295], "u8"), 20).tobytes() == DATA[60:80] + DATA[230:250] + DATA[295:315]


def test_pieces_side_by_side_become_one():
    """A file that came in several requests is read as one buffer."""
    window = SparseWindow(1000)
    window.store([0, 300, 700], [DATA[:300], DATA[300:700], DATA[700:]])
    assert [x.tolist() for x in window.extents] == [[0], [1000]]
    buf, pos = window.at(299, 600)
    assert pos == 299
    assert buf is window.at(0, 1000)[0]


READS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), min_size=1, max_size=8)


def fetched(window: SparseWindow, missed: MissingBytes, block: int, more: int) -> None:
    """Fetch what was missed, and `more` behind it, in pieces of `block` bytes."""
    stops = np.minimum(missed.addresses + missed.sizes + more, len(DATA))
    starts, stops = split(*window.lacking(missed.addresses, stops), block)
    assert len(starts)
    window.store(starts.tolist(), [DATA[a:b] for a, b in zip(starts, stops, strict=True)])


def in_rounds(window: SparseWindow, call, block: int, more: int):
    for _ in range(2):
        try:
            return call()
        except MissingBytes as missed:
            fetched(window, missed, block, more)
    return pytest.fail("a read that misses what was fetched for it")


@settings(deadline=None, max_examples=80)
@given(READS, st.integers(1, 400), st.integers(0, 50))
def test_reads_in_rounds(reads, block, more):
    """Whatever is read, missed and fetched, in whatever pieces: the bytes are those of the file."""
    window = SparseWindow(len(DATA))
    for address, size in reads:
        if address + size > len(DATA):
            continue
        window.want([address // 2, 0], 5)
        buf, pos = in_rounds(window, lambda a=address, n=size: window.at(a, n), block, more)
        assert bytes(buf[pos : pos + size]) == DATA[address : address + size]
        places = np.array([address, 0, address], "u8")
        rows = in_rounds(window, lambda p=places, n=size: window.rows(p, n), block, more)
        assert rows.tobytes() == b"".join(DATA[a : a + size] for a in places.tolist())


def test_recording():
    window = RecordingWindow(MemoryWindow(DATA))
    assert window.extent() == (0, 0)
    window.at(0, 10)
    window.at(5, 10)
    window.at(15, 5)
    window.rows(np.array([100, 200], "u8"), 10)
    window.at(300, 0)
    assert window.extent() == (40, 3)


def test_addresses_that_wrap_around():
    """All ones and a user block: the sum must not come round to the file's beginning."""
    window = ShiftedWindow(MemoryWindow(bytes(512) + DATA), 512)
    for address in (HUGE, HUGE - 511, HUGE - 512, 1 << 63):
        with pytest.raises(TruncatedError):
            window.rows(np.array([address], "u8"), 8)
