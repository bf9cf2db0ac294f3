"""lookup3 in C against ours in Python; where it is not there, or is not what it should be."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from refmaker.hdf5 import checksum, native_checksum
from refmaker.hdf5.native_checksum import native_lookup3, row_sums


def in_python(block: bytes) -> int:
    assert len(block) < checksum._NATIVE
    return checksum.lookup3(block)


def test_blocks() -> None:
    native = native_lookup3()
    assert native is not None
    content = np.random.default_rng(1).integers(0, 256, 300, "u1").tobytes()
    for size in range(300):
        assert native(content[:size], size, 0) == in_python(content[:size])


@pytest.mark.parametrize(
    "cut",
    [np.s_[:, :-4], np.s_[::2, 3:40], np.s_[:, ::2], np.s_[::-1], np.s_[:, ::-1], np.s_[:0], np.s_[:, :0], np.s_[:]],
)
@pytest.mark.parametrize("writable", [False, True])
def test_rows_of_any_strides(cut: object, writable: bool) -> None:
    native = native_lookup3()
    assert native is not None
    rows = np.random.default_rng(2).integers(0, 256, (20, 61), "u1")
    rows.flags.writeable = writable
    part = rows[cut]
    sums = row_sums(native, part)
    assert sums.dtype == np.uint32
    assert sums.tolist() == [in_python(row.tobytes()) for row in part]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(native_checksum, "native_lookup3", native_lookup3.__wrapped__)
    return monkeypatch


def test_without_it(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(native_checksum, "exported", lambda name, holding: None)
    assert native_checksum.native_lookup3() is None


def test_one_that_computes_something_else(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(native_checksum, "_KNOWN", ((b"a", 1),))
    assert native_checksum.native_lookup3() is None


def test_h5py_is_not_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from refmaker.hdf5.native_checksum import native_lookup3; "
        "assert native_lookup3() is not None; print('h5py' in sys.modules)"
    )
    assert importlib.util.find_spec("h5py") is not None
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
