"""Whatever the bytes are: a Tree whose references lie inside the file, or a RefmakerError."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import RefmakerError
from refmaker.model import Chunked
from refmaker.netcdf3.walk import walk
from tests.netcdf3.classic import STREAMING, Var, build
from tests.windows import MemoryWindow

SPECIAL = (0, 1, 0x7F, 0x80, 0xFF)


def seeds(version: int) -> list[bytes]:
    dims = [("t", 0), ("x", 3), ("y", 2)]
    fixed = [Var("x", [1], "i2", [("units", "S1", b"m")]), Var("s", [], "f8")]
    records = [Var("a", [0, 1], "i1"), Var("b", [0, 2], "f4", [("_FillValue", "f4", [1.0])]), Var("c", [0], "S1")]
    title = [("title", "S1", b"a title"), ("n", "i4", [1, 2])]
    return [
        build(version),
        build(version, dims=dims, attributes=title, variables=fixed),
        build(version, dims=dims, attributes=title, variables=fixed + records, records=5),
        build(version, dims=dims, variables=records[:1], records=7),
        build(version, dims=dims, variables=records, records=STREAMING, tail=4),
    ]


def check(data: bytes) -> bool:
    """Return whether a Tree came out; every reference of it must lie in the file."""
    try:
        tree = walk(MemoryWindow(data), source="fuzz")
    except RefmakerError:
        return False
    for dataset in tree.datasets.values():
        storage = dataset.storage
        if isinstance(storage, Chunked):
            index = storage.index
            assert len(index) == dataset.dataspace.shape[0]
            if len(index):
                assert int(index.offset[-1]) + int(index.size[-1]) <= len(data)
        else:
            assert storage.offset + storage.size <= len(data)
    return True


def mutate(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not out:
            break
        at = rng.randrange(len(out))
        action = rng.randrange(6)
        if action == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            out[at] = rng.choice(SPECIAL)
        elif action == 2:
            at -= at % 4
            out[at : at + 4] = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, len(out))).to_bytes(4, "big")
        elif action == 3:
            del out[at:]
        elif action == 4:
            del out[at : at + rng.randrange(1, 9)]
        else:
            out[at:at] = out[at : at + rng.randrange(1, 9)]
    return bytes(out)


@pytest.mark.parametrize("version", [1, 2, 5])
def test_mutations(version):
    rng = random.Random(version)
    files = seeds(version)
    assert all(check(data) for data in files)
    answers = [check(mutate(rng.choice(files), rng)) for _ in range(2500)]
    assert any(answers)
    assert not all(answers)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([1, 2, 5]), st.binary(max_size=400))
def test_random_bytes(version, body):
    check(b"CDF" + bytes([version]) + body)
