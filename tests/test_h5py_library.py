"""Symbols of the libraries that h5py brings along, and how there may be none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from refmaker import h5py_library
from refmaker.h5py_library import exported


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    h5py_library._extension_module.cache_clear()
    yield monkeypatch
    h5py_library._extension_module.cache_clear()


@pytest.mark.parametrize("name", ["H5open", "H5garbage_collect"])
def test_libhdf5(name: str) -> None:
    assert exported(name) is not None
    assert exported(name, holding=True) is not None


def test_no_such_symbol() -> None:
    assert exported("no_such_function") is None


def test_without_h5py(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(h5py_library, "find_spec", lambda name: None)
    assert exported("H5open") is None


def test_of_a_source_tree(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which has no extension modules."""
    (tmp_path / "_errors.pyx").touch()
    (tmp_path / "h5.py").touch()
    fresh.setattr(h5py_library, "find_spec", lambda name: SimpleNamespace(origin=os.fspath(tmp_path / "__init__.py")))
    assert exported("H5open") is None


def test_in_an_archive(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive = tmp_path / "packages.zip"
    archive.touch()
    origin = os.fspath(archive / "h5py" / "__init__.py")
    fresh.setattr(h5py_library, "find_spec", lambda name: SimpleNamespace(origin=origin))
    assert exported("H5open") is None


def test_what_is_no_library(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "_errors.so").write_bytes(b"no library")
    fresh.setattr(h5py_library, "find_spec", lambda name: SimpleNamespace(origin=os.fspath(tmp_path / "__init__.py")))
    assert exported("H5open") is None
