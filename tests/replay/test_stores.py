"""What answers of servers are checked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from fsspec.implementations.http import HTTPFileSystem

from refmaker.errors import SourceError
from refmaker.manifest.manifest import Target
from refmaker.replay.connections import Pool, pool
from refmaker.replay.read_errors import IncompleteRead, VersionMismatch
from refmaker.replay.stores import LookedUpStore, RangedStore, store_of
from refmaker.stores.http import HttpFile, head_of
from refmaker.stores.s3 import S3File
from tests.replay.scenes import DATA
from tests.servers import RangeServer, S3Server


def store(check: Any = "strict", **recorded: Any) -> RangedStore:
    return RangedStore(HttpFile(None, "a"), Target("a", **recorded), check)


def admit(held: RangedStore, answer: Any, wanted: tuple[int, int] | None) -> None:
    held.admit(*(wanted or (0, None)), head_of(answer))


def reply(status: int, length: int | None = 4, **headers: str) -> Any:
    def fine() -> None:
        assert status < 400

    return SimpleNamespace(
        status=status,
        reason="",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        content_length=length,
        content_type="text/plain",
        raise_for_status=fine,
    )


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (None, reply(200)),
        ((2, 6), reply(206, Content_Range="bytes 2-5/10")),
        ((2, 6), reply(206, Content_Range="bytes 2-5/*", Content_Encoding="identity")),
        ((0, 4), reply(200)),  # the whole file was asked for
    ],
)
def test_answers_that_are_right(wanted: Any, answer: Any) -> None:
    admit(store(), answer, wanted)


@pytest.mark.parametrize(
    ("wanted", "answer", "message"),
    [
        ((2, 6), reply(200), "ignored the range"),
        ((0, 4), reply(200, 10), "ignored the range"),
        ((0, 4), reply(200, None), "ignored the range"),
        ((2, 6), reply(206), "another range"),
        ((2, 6), reply(206, Content_Range="bytes 2-50/100"), "another range"),
        ((2, 6), reply(206, Content_Range="bytes 12-5/100"), "another range"),
        ((2, 6), reply(206, Content_Range="bytes 3-5/100"), "another range"),
        ((2, 6), reply(206, Content_Range="bytes 2-4/5"), "another length"),
        ((2, 6), reply(206, Content_Range="bytes 2-4/100"), "another length"),
        ((2, 6), reply(206, Content_Range="bytes 2-5/10", Content_Encoding="gzip"), "compressed"),
        ((2, 6), reply(204, None), "no file"),
        (None, reply(206), "no file"),
        (None, reply(302), "no file"),
    ],
)
def test_answers_that_are_not(wanted: Any, answer: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        admit(store(), answer, wanted)


def test_a_range_that_could_be_longer_is_asked_for_again() -> None:
    with pytest.raises(IncompleteRead):
        admit(store(), reply(206, Content_Range="bytes 2-4/100"), (2, 6))
    with pytest.raises(SourceError) as error:
        admit(store(), reply(206, Content_Range="bytes 2-4/5"), (2, 6))
    assert type(error.value) is SourceError


RIGHT = {"Content_Range": "bytes 2-5/10", "ETag": '"e"', "Last_Modified": "Thu, 01 Jan 1970 00:00:09 GMT"}


@pytest.mark.parametrize(
    ("recorded", "check", "differs"),
    [
        ({"size": 10, "etag": "e"}, "strict", False),
        ({"size": 11}, "strict", True),
        ({"size": 11}, "size", True),
        ({"size": 11}, "off", False),
        ({"etag": "f"}, "strict", True),
        ({"etag": "f"}, "size", False),
        ({"mtime": 9.0}, "strict", False),
    ],
)
def test_versions(recorded: dict[str, Any], check: Any, differs: bool) -> None:
    held = store(check=check, **recorded)
    if not differs:
        admit(held, reply(206, **RIGHT), (2, 6))
        return
    with pytest.raises(VersionMismatch):
        admit(held, reply(206, **RIGHT), (2, 6))


def test_times_where_there_is_no_etag() -> None:
    headers = {name: value for name, value in RIGHT.items() if name != "ETag"}
    for mtime in (9.0, 9.75):  # HTTP knows whole seconds
        admit(store(mtime=mtime), reply(206, **headers), (2, 6))
    for mtime in (8.75, 10.0):
        with pytest.raises(VersionMismatch, match="modified"):
            admit(store(mtime=mtime), reply(206, **headers), (2, 6))


@pytest.mark.parametrize(
    ("etag", "check", "sent"),
    [
        ('"a"', "strict", '"a"'),
        ("a", "strict", '"a"'),
        ('W/"a"', "strict", None),
        ("a", "size", None),
        (None, "strict", None),
    ],
)
def test_if_match(etag: str | None, check: Any, sent: str | None) -> None:
    assert store(check=check, etag=etag).match == sent


def test_the_file_is_replaced_between_two_reads(range_server: RangeServer) -> None:
    url = range_server.add("a", DATA)
    etag = range_server.files["a"].etag

    async def read() -> None:
        fs, path = (await pool()).connect(url, {})
        held = store_of(fs, path, Target(url, len(DATA), etag), "strict", await pool())
        assert isinstance(held, RangedStore)
        assert isinstance(held.file, HttpFile)
        assert await held.read(2, 9) == DATA[2:9]
        range_server.add("a", DATA[::-1])  # of the same length, with the same time
        with pytest.raises(VersionMismatch, match="ETag"):
            await held.read(2, 9)
        assert range_server.served[-1].status == 412

    asyncio.run(read())


def test_s3(s3_server: S3Server) -> None:
    url = s3_server.add("stores/a", DATA)
    etag = s3_server.filesystem().info(url)["ETag"]

    async def read() -> None:
        fs, path = (await pool()).connect(url, s3_server.options)
        for record in (Target(url), Target(url, len(DATA), etag)):
            held = store_of(fs, path, record, "strict", await pool())
            assert isinstance(held, RangedStore)
            assert isinstance(held.file, S3File)
            assert await held.read(2, 9) == DATA[2:9]
            assert await held.read(0, None) == DATA
        for record in (Target(url, 5), Target(url, None, '"other"')):
            with pytest.raises(VersionMismatch):
                await store_of(fs, path, record, "strict", await pool()).read(2, 9)
        with pytest.raises(FileNotFoundError):
            await store_of(fs, path + "x", Target(url), "strict", await pool()).read(2, 9)

    asyncio.run(read())


def test_filesystems_that_read_in_a_way_of_their_own() -> None:
    class Mine(HTTPFileSystem):  # type: ignore[misc]
        async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
            return DATA[start:end]

    class Yours(HTTPFileSystem):  # type: ignore[misc]
        pass

    async def kinds() -> list[Any]:
        found = [Mine(asynchronous=True), Yours(asynchronous=True), fsspec.filesystem("memory")]
        return [type(store_of(fs, "a", Target("a"), "strict", Pool())) for fs in found]

    assert asyncio.run(kinds()) == [LookedUpStore, RangedStore, LookedUpStore]
