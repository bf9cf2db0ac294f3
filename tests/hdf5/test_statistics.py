"""Counts in the headers of chunk indexes, changed under a right checksum: libhdf5's values, or a refusal."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from refmaker.errors import RefmakerError
from refmaker.model import Chunked
from tests.hdf5.assembling import signed
from tests.hdf5.making import made, opened
from tests.hdf5.walking import tree_of

HEADERS = {b"EAHD": 68, b"FAHD": 24, b"BTHD": 34}
"""Bytes before the checksum."""


def patched(data: bytes, signature: bytes, offset: int, width: int, value: int) -> bytes:
    at, size = data.index(signature), HEADERS[signature]
    head = bytearray(data[at : at + size])
    head[offset : offset + width] = value.to_bytes(width, "little")
    return data[:at] + signed(bytes(head)) + data[at + size + 4 :]


def chunks_found(data: bytes, shape: tuple[int, ...], chunks: tuple[int, ...]) -> list[bool] | None:
    """Say of each chunk of the grid whether the index has it; None where the dataset is refused."""
    try:
        dataset = tree_of(data).datasets.get("/d")
    except RefmakerError:
        return None
    if dataset is None:
        return None
    assert isinstance(dataset.storage, Chunked)
    found = np.zeros(int(np.prod([-(-n // c) for n, c in zip(shape, chunks, strict=True)])), bool)
    found[dataset.storage.index.cell] = True
    return found.tolist()


CASES = [
    (b"EAHD", 44, (40, 100), (4,), (None,)),  # max index set
    (b"EAHD", 12, (40, 100), (4,), (None,)),  # super blocks
    (b"EAHD", 28, (40, 100), (4,), (None,)),  # data blocks
    (b"EAHD", 52, (40, 100), (4,), (None,)),  # elements realized
    (b"FAHD", 8, (40, 100), (4,), None),  # elements
    (b"BTHD", 26, (40, 100), (4, 10), (None, None)),  # records in all
]


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("value", [0, 1, 3, 9, 10, 11, 37, 1 << 40])
@pytest.mark.parametrize(("signature", "offset", "shape", "chunks", "most"), CASES)
def test_counts_of_chunk_indexes(signature, offset, shape, chunks, most, value, compression):
    shape = shape[: len(chunks)] if len(chunks) > 1 else (400,)
    values = np.arange(1, np.prod(shape) + 1, dtype="<i4").reshape(shape)
    data = made(
        lambda file: file.create_dataset("d", data=values, chunks=chunks, maxshape=most, compression=compression),
        libver="latest",
    )
    width = 8
    data = patched(data, signature, offset, width, value)
    found = chunks_found(data, shape, chunks)
    if found is None or signature != b"EAHD":  # libhdf5 may crash over other counts that are wrong
        assert found is None or all(found)
        return
    with opened(data) as file:
        read = h5py.Dataset(file["d"].id)[...]
    firsts = read[tuple(slice(None, None, c) for c in chunks)].ravel() != 0
    assert found == firsts.tolist()
