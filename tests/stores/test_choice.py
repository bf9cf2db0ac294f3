"""Which class asks for ranges."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest
from fsspec.implementations.http import HTTPFileSystem

from refmaker.stores.choice import file_in
from refmaker.stores.fsspec import FsspecFile
from refmaker.stores.http import HttpFile
from refmaker.stores.s3 import S3File


class Mine(HTTPFileSystem):  # type: ignore[misc]
    async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        return b""


class Yours(HTTPFileSystem):  # type: ignore[misc]
    pass


def test_by_what_a_filesystem_is() -> None:
    pytest.importorskip("s3fs")
    found = [fsspec.filesystem(name) for name in ("memory", "http", "https", "s3")]
    assert [type(file_in(one, "a")) for one in found] == [FsspecFile, HttpFile, HttpFile, S3File]


def test_one_that_reads_in_a_way_of_its_own_is_asked_as_it_wishes() -> None:
    assert [type(file_in(kind(asynchronous=True), "a")) for kind in (Mine, Yours)] == [FsspecFile, HttpFile]
