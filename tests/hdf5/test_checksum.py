"""lookup3 against the values of its author, rows against blocks."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import FormatError
from refmaker.hdf5 import checksum, native_checksum
from refmaker.hdf5.checksum import FEW, lookup3, lookup3_groups, unverified, verified, verify, verify_rows
from refmaker.scanning.scan import scan


@pytest.fixture(params=["numpy", "native"], autouse=True)
def _way(request, monkeypatch):
    """Do everything in Python and numpy, and in C as soon as there is a byte."""
    if request.param == "native":
        assert native_checksum.native_lookup3() is not None
        monkeypatch.setattr(checksum, "_NATIVE", 1)
    else:
        monkeypatch.setattr(checksum, "native_lookup3", lambda: None)


def lookup3_rows(rows):
    return lookup3_groups([rows])[0]


def test_known_values():
    """Bob Jenkins' driver5 prints these for an initial value of 0."""
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


@given(st.integers(0, 70), st.integers(0, 2 * FEW), st.randoms(use_true_random=False))
def test_rows(size, count, random):
    rows = np.frombuffer(random.randbytes(size * count), "u1").reshape(count, size)
    assert lookup3_rows(rows).tolist() == [lookup3(row.tobytes()) for row in rows]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 8)), max_size=12), st.randoms(use_true_random=False))
def test_groups_of_different_sizes(shapes, random):
    groups = [np.frombuffer(random.randbytes(size * n), "u1").reshape(n, size) for size, n in shapes]
    found = [sums.tolist() for sums in lookup3_groups(groups)]
    assert found == [[lookup3(row.tobytes()) for row in rows] for rows in groups]


@pytest.mark.parametrize("longest", [100, 400_000])
def test_groups_too_long_to_be_laid_out_side_by_side(longest):
    groups = [np.arange(20 * size, dtype="u4").astype("u1").reshape(20, size) for size in (7, longest, 30)]
    found = [sums.tolist() for sums in lookup3_groups(groups)]
    assert found == [[lookup3(row.tobytes()) for row in rows] for rows in groups]


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13, 24, 25, 513])
def test_many_rows(size):
    """In numpy and one by one alike."""
    rows = np.arange(3 * FEW * size, dtype="u4").astype("u1").reshape(3 * FEW, size)
    assert lookup3_rows(rows).tolist() == [lookup3(row.tobytes()) for row in rows]


def test_verify():
    block = b"some block"
    good = block + lookup3(block).to_bytes(4, "little")
    verify(good, "thing", 7)
    for i in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[i] ^= 1 << bit
            with pytest.raises(FormatError, match="thing at address 7: checksum"):
                verify(bytes(bad), "thing", 7)


def test_verify_rows_names_the_first_wrong_one():
    block = b"some block"
    rows = np.frombuffer((block + lookup3(block).to_bytes(4, "little")) * 5, "u1").reshape(5, -1).copy()
    addresses = np.arange(5, dtype="u8") * 100
    verify_rows(rows, "thing", addresses)
    rows[3, 2] ^= 4
    with pytest.raises(FormatError, match="thing at address 300"):
        verify_rows(rows, "thing", addresses)


def test_on_trust():
    rows = np.zeros((2, 12), "u1")
    with unverified():
        assert not verified()
        verify(b"block with a wrong sum", "thing", 7)
        verify_rows(rows, "thing", np.arange(2, dtype="u8"))
    assert verified()
    with pytest.raises(FormatError):
        verify_rows(rows, "thing", np.arange(2, dtype="u8"))


def test_of_a_whole_file_on_trust(tmp_path):
    """A name in an attribute is changed, so that nothing but the checksum of the object header tells."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("d", data=np.arange(3)).attrs["marked"] = 1
    content = path.read_bytes()
    assert content.count(b"marked") == 1
    path.write_bytes(content.replace(b"marked", b"barked"))
    assert "checksum" in scan(str(path)).refusals["/d"]
    manifest = scan(str(path), verify_checksums=False)
    assert manifest.refusals == {}
    assert manifest.arrays["d"].attributes["barked"] == 1
