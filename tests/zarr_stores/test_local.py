"""Stores in folders of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refmaker.errors import TargetChanged
from refmaker.zarr_stores.local import LocalStore, is_local_store
from refmaker.zarr_stores.store import Range


def made(folder: Path) -> Path:
    (folder / "a" / "c" / "0").mkdir(parents=True)
    (folder / "zarr.json").write_text("{}")
    (folder / "a" / "c" / "0" / "1").write_bytes(b"abcdef")
    return folder


def test_listing(tmp_path: Path) -> None:
    store = LocalStore.open(str(made(tmp_path)))
    assert list(store.entries) == ["zarr.json", "a/c/0/1"]
    assert store.read([Range("a/c/0/1", 2, 3), Range("zarr.json", 0, 100)]) == [b"cde", b"{}"]
    assert [target.size for target in store.targets] == [2, 6]


def test_what_was_read_is_looked_at_again(tmp_path: Path) -> None:
    store = LocalStore.open(str(made(tmp_path)))
    os.utime(tmp_path / "zarr.json", (1, 1))
    store.check_unchanged()
    store.read([Range("zarr.json", 0, 2)])
    with pytest.raises(TargetChanged):
        store.check_unchanged()


def test_links_are_followed(tmp_path: Path) -> None:
    """As zarr-python follows them: chunks behind them would seem to be missing."""
    made(tmp_path / "s")
    (tmp_path / "s" / "a" / "c" / "0").rename(tmp_path / "elsewhere")
    (tmp_path / "s" / "a" / "c" / "0").symlink_to(tmp_path / "elsewhere")
    assert "a/c/0/1" in LocalStore.open(str(tmp_path / "s")).entries


def test_is_local_store(tmp_path: Path) -> None:
    assert not is_local_store(str(tmp_path))
    assert is_local_store(str(made(tmp_path)))
    assert is_local_store(f"file://{tmp_path}")
