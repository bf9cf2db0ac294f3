"""Windows over memory, over pages, and the one that remembers: the same bytes, the same errors."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import TruncatedError
from refmaker.sources.memory import MemoryWindow
from refmaker.sources.pages import PagesWindow
from refmaker.sources.recording import RecordingWindow
from refmaker.window import MissingBytes, ShiftedWindow, Window

DATA = bytes(i * 7 % 251 for i in range(1000))
HUGE = (1 << 64) - 1


def filled(page_bits: int, data: bytes = DATA) -> PagesWindow:
    window = PagesWindow(len(data), page_bits=page_bits)
    window.store(0, data)
    return window


WINDOWS: list[Window] = [
    MemoryWindow(DATA),
    MemoryWindow(memoryview(DATA)),
    filled(4),
    filled(7),
    filled(16),
    RecordingWindow(MemoryWindow(DATA)),
    ShiftedWindow(MemoryWindow(bytes(512) + DATA), 512),
    ShiftedWindow(filled(5, bytes(512) + DATA), 512),
]


@pytest.fixture(params=WINDOWS, ids=lambda w: type(w).__name__)
def window(request) -> Window:
    return request.param


def test_bytes(window):
    assert window.size == 1000
    for address, size in ((0, 0), (0, 1), (0, 1000), (15, 1), (15, 2), (16, 16), (127, 300), (999, 1), (1000, 0)):
        if address == 1000 and not isinstance(window, MemoryWindow | RecordingWindow):
            continue
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
    if isinstance(window, PagesWindow):
        assert window._wanted == set()


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


def test_missing_pages_are_asked_for_with_all_that_was_announced():
    window = PagesWindow(1000, page_bits=8)
    window.want([300, 990], 20)
    assert missing(lambda: window.at(0, 5)) == [(0, 256), (256, 256), (768, 232)]
    # Asked for once, it is not asked for again.
    assert missing(lambda: window.at(0, 5)) == [(0, 256)]
    window.store(0, DATA[:256])
    assert bytes(window.at(0, 5)[0][:5]) == DATA[:5]
    assert missing(lambda: window.at(250, 10)) == [(256, 256)]
    assert missing(lambda: window.rows(np.array([0, 600, 990], "u8"), 10)) == [(512, 256), (768, 232)]
    window.store(256, DATA[256:])
    assert window.rows(np.array([0, 600, 990], "u8"), 10)[1].tobytes() == DATA[600:610]
    assert (window.stored_size, window.fetches) == (1000, 2)
    window.want([0], 1000)
    window.at(0, 1000)


def test_announced_ranges_end_with_the_file():
    window = PagesWindow(1000, page_bits=8)
    window.want([500], HUGE)
    assert missing(lambda: window.at(0, 1)) == [(0, 256), (256, 256), (512, 256), (768, 232)]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), min_size=1, max_size=8), st.integers(3, 11))
def test_reads_in_rounds(reads, page_bits):
    """Whatever is read and missed, the bytes are those of the file."""
    window = PagesWindow(len(DATA), page_bits=page_bits)
    for address, size in reads:
        if address >= 1000 or address + size > 1000:
            continue
        for _ in range(2):
            try:
                buf, pos = window.at(address, size)
            except MissingBytes as caught:
                for start, length in zip(caught.addresses.tolist(), caught.sizes.tolist(), strict=True):
                    assert start % (1 << page_bits) == 0
                    window.store(start, DATA[start : start + length])
            else:
                assert bytes(buf[pos : pos + size]) == DATA[address : address + size]
                break
        else:
            pytest.fail("a read that misses what was fetched for it")


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
