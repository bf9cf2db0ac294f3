"""Stored bytes that decode to far more than a chunk has: little memory, little time, an error."""

from __future__ import annotations

import bz2
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from refmaker.codecs import child
from refmaker.codecs.config import make_plan
from refmaker.codecs.decode import ChunkDecoder, decode_chunk
from refmaker.codecs.stages import needs_child, split
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.model import Filter

from .stored import store

pytestmark = pytest.mark.alone  # processes are given so much time of a processor, and no more

INTEGERS = b"\x10\x08\0\0\4\0\0\0\0\0\x20\0"
MEMORY = 300 << 20
SECONDS = 5.0

DEFLATE, SHUFFLE, FLETCHER32 = (Filter(n, "", True, v) for n, v in ((1, (4,)), (2, (4,)), (3, ())))
BZIP2 = Filter(307, "bzip2", True, (9,))
LZF = Filter(32000, "lzf", True, (4, 261, 40))
BLOSC = Filter(32001, "blosc", True, (2, 2, 1, 40, 5, 0, 0))
LZ4 = Filter(32004, "lz4", True, (0,))
BITSHUFFLE = Filter(32008, "bitshuffle", True, (0, 5, 4, 0, 2))
ZSTD = Filter(32015, "zstd", True, (3,))
BLOSC2 = Filter(32026, "blosc2", True, (1, 0, 4, 40, 5, 0, 5))
QUANTIZED = Filter(32023, "Granular BitRound", True, (3, 4, 0, 0, 0))


def deflated(count: int) -> bytes:
    stream = zlib.compressobj(9)
    return b"".join(stream.compress(bytes(1 << 24)) for _ in range(count >> 24)) + stream.flush()


def zstd_runs(count: int) -> bytes:
    """A Zstandard frame of runs of zeros, 128 KiB in 4 bytes each."""
    blocks = count >> 17
    run = [(last | 1 << 1 | 1 << 20).to_bytes(3, "little") + b"\0" for last in (0, 1)]
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", count) + run[0] * (blocks - 1) + run[1]


def lzf_runs(count: int) -> bytes:
    """LZF with `count` copies of 264 bytes, each in 3."""
    return b"\0\0" + b"\xe0\xff\0" * count


BOMBS: dict[str, tuple[tuple[Filter, ...], Callable[[], bytes]]] = {
    "deflate": ((DEFLATE,), lambda: deflated(1 << 28)),
    "deflate, then shuffle and a checksum": ((DEFLATE, SHUFFLE), lambda: bytes(40) + deflated(1 << 28)),
    "deflate within lzf": ((LZF, DEFLATE), lambda: deflated(1 << 28)),
    "bzip2": ((BZIP2,), lambda: bz2.compress(bytes(1 << 26))),
    "bzip2 before lzf": ((LZF, BZIP2), lambda: bz2.compress(bytes(1 << 26))),
    "zstd": ((ZSTD,), lambda: zstd_runs(1 << 31)),
    "zstd before deflate": ((DEFLATE, ZSTD), lambda: zstd_runs(1 << 31)),
    "lz4": ((LZ4,), lambda: struct.pack(">QII", 3 << 30, 1 << 20, 100) + bytes(100)),
    "lz4 and a checksum": ((LZ4, FLETCHER32), lambda: struct.pack(">QII", 3 << 30, 1 << 20, 100) + bytes(100)),
    "bitshuffle": ((BITSHUFFLE,), lambda: struct.pack(">QII", 3 << 30, 8192, 10) + bytes(10)),
    "blosc": ((BLOSC,), lambda: struct.pack("<4BIII", 2, 1, 0, 4, (1 << 31) - 1000, 1 << 20, 100) + bytes(84)),
    "lzf": ((LZF,), lambda: lzf_runs(1 << 20)),
    "lzf, few bytes": ((LZF,), lambda: lzf_runs(20_000)),
    "lz4 within deflate": ((DEFLATE, LZ4), lambda: struct.pack(">QII", 3 << 30, 1 << 20, 100) + bytes(100)),
    "blosc2": ((BLOSC2,), lambda: struct.pack("<4BIII", 5, 1, 0, 4, (1 << 31) - 1000, 1 << 20, 100) + bytes(84)),
}


@contextmanager
def bounded() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    begin = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - begin < SECONDS


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    filters, make = BOMBS[name]
    if any(f.id > 256 and f.id != LZF.id for f in filters):
        pytest.importorskip("hdf5plugin")
    stored = make()
    decode_chunk(np.arange(10, dtype="<i4").tobytes(), INTEGERS, (10,), (), 0, "<i4")  # imports what it needs
    with bounded(), pytest.raises(FormatError):
        decode_chunk(stored, INTEGERS, (10,), filters, 0, "<i4")


def test_which_pipelines_are_decoded_apart() -> None:
    for filters in ([], [SHUFFLE], [LZ4], [SHUFFLE, LZ4, FLETCHER32], [ZSTD], [SHUFFLE, BLOSC], [BITSHUFFLE], [LZF]):
        assert not needs_child(filters, 1000)
    for filters in ([BLOSC2], [SHUFFLE, Filter(40000, "", False, ())], [LZ4, LZF], [ZSTD, SHUFFLE], [DEFLATE, LZ4]):
        assert needs_child(filters, 1000)
    assert needs_child([LZF], 1_000_000)


def test_what_is_undone_before_libhdf5() -> None:
    assert split([SHUFFLE, DEFLATE]) == ((SHUFFLE,), (DEFLATE,))
    assert split([LZF, DEFLATE, BZIP2, FLETCHER32]) == ((LZF,), (DEFLATE, BZIP2, FLETCHER32))
    assert split([DEFLATE, SHUFFLE]) == ((), (DEFLATE, SHUFFLE))
    assert split([QUANTIZED, SHUFFLE]) == ((SHUFFLE,), ())
    assert split([DEFLATE, LZF, SHUFFLE]) == ((DEFLATE, LZF, SHUFFLE), ())


def plan_of(name: str, values: np.ndarray, **options: object) -> tuple[ChunkDecoder, bytes]:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    stored = store(values, **getattr(hdf5plugin, name)(**options))
    decoder = ChunkDecoder(make_plan(stored.datatype, stored.chunk_shape, stored.filters, values.dtype))
    return decoder, stored.chunk()[1]


def test_a_process_is_kept_and_one_that_was_lost_is_replaced() -> None:
    values = np.arange(1000, dtype="<i4")
    decoder, raw = plan_of("Blosc2", values)
    assert bytes(decoder.decode(raw)) == values.tobytes()
    first = child._pool.idle[-1].process.pid
    assert bytes(decoder.decode(raw)) == values.tobytes()
    assert child._pool.idle[-1].process.pid == first
    child._pool.idle[-1].process.kill()
    child._pool.idle[-1].process.wait()
    assert bytes(decoder.decode(raw)) == values.tobytes()
    assert child._pool.idle[-1].process.pid != first


def test_a_process_that_dies_over_a_chunk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, raw = plan_of("Blosc2", np.arange(1000, dtype="<i4"))
    decoder.decode(raw)
    os.kill(child._pool.idle[-1].process.pid, signal.SIGSTOP)  # it cannot answer, however fast it is
    monkeypatch.setattr(child, "most_seconds", lambda plan: 0.05)
    with pytest.raises(FormatError, match="too much memory or time"):
        decoder.decode(raw)
    monkeypatch.undo()
    decoder.decode(raw)


def test_errors_of_the_process_are_those_of_this_one() -> None:
    decoder, raw = plan_of("Blosc2", np.arange(1000, dtype="<i4"))
    with pytest.raises(FormatError):
        decoder.decode(raw[: len(raw) // 2])
    unheard = ChunkDecoder(make_plan(INTEGERS, (10,), [Filter(40000, "unheard of", False, ())], "<i4"))
    with pytest.raises(Unsupported, match="40000"):
        unheard.decode(bytes(40))


def test_no_process_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, raw = plan_of("Blosc2", np.arange(1000, dtype="<i4"))
    child._pool.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        for _ in range(2 * child.MOST):  # each place is given back
            with pytest.raises(Unsupported, match="cannot be started"):
                decoder.decode(raw)
    decoder.decode(raw)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_processes_are_not_shared_with_a_fork() -> None:
    values = np.arange(1000, dtype="<i4")
    decoder, raw = plan_of("Blosc2", values)
    decoder.decode(raw)
    before = len(child._pool.idle)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not child._pool.idle else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(child._pool.idle) == before
    assert bytes(decoder.decode(raw)) == values.tobytes()


@pytest.mark.parametrize("name", ["SZ3", "Sperr"])
def test_decoders_that_crash_are_errors(name: str) -> None:
    """They end their process over bytes like these."""
    options = {"absolute": 0.5} if name == "SZ3" else {"peak_signal_to_noise_ratio": 60}
    decoder, _ = plan_of(name, np.zeros((40, 40), "<f4"), **options)
    with pytest.raises(RefmakerError):
        decoder.decode(b"\xff" * 200)
