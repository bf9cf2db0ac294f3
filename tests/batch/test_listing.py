"""Urls of listed files: host, account, port and user of the url that was named, as fsspec is asked for them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from refmaker.batch.listing import Entry, Remote, _joined, _outside
from refmaker.file_version import FileVersion
from refmaker.urls import filesystem_of, path_of
from tests.servers import RangeServer, range_server

from .archives import write_file

__all__ = ["range_server"]

NAMED = [
    ("ftp://h:2121/sub", "ftp://h:2121/sub/x.nc"),
    ("ftp://u:p@h/sub/", "ftp://u:p@h/sub/x.nc"),
    ("ftp://h", "ftp://h/x.nc"),
    ("webhdfs://h:50070/user/a", "webhdfs://h:50070/user/a/x.nc"),
    ("github://org:repo@main/data", "github://org:repo@main/data/x.nc"),
    ("github://org:repo@main/", "github://org:repo@main/x.nc"),
    ("http://h:8080/a", "http://h:8080/a/x.nc"),
    ("https://u@h/a", "https://u@h/a/x.nc"),
    ("memory://a/b", "memory://a/b/x.nc"),
    ("s3://bucket/a", "s3://bucket/a/x.nc"),
    ("s3://bucket", "s3://bucket/x.nc"),
]


def stripped(url: str) -> str:
    kind = fsspec.get_filesystem_class(url.partition("://")[0])
    return path_of(kind, url)


@pytest.mark.parametrize(("named", "file"), NAMED)
def test_files_keep_the_server_that_was_named(named: str, file: str) -> None:
    """Truth is fsspec's: the path and the options that it makes of the file's url, were that given by hand."""
    protocol, _, rest = named.partition("://")
    kind = fsspec.get_filesystem_class(protocol)
    path = stripped(named)
    if "://" in path:
        return  # paths of HTTP are urls
    found = f"{protocol}://{_joined(_outside(rest, path), path.rstrip('/') + '/x.nc')}"
    assert found == file
    assert path_of(kind, found) == stripped(file) == (path.rstrip("/") + "/x.nc").lstrip("/" if path[:1] != "/" else "")
    assert kind._get_kwargs_from_urls(found) == kind._get_kwargs_from_urls(named)


@pytest.mark.parametrize(
    ("named", "path", "file", "url"),
    [
        ("cont@acct.dfs.core.windows.net/dir", "cont/dir", "cont/dir/x.nc", "cont@acct.dfs.core.windows.net/dir/x.nc"),
        ("cont@acct.dfs.core.windows.net", "cont", "cont/x.nc", "cont@acct.dfs.core.windows.net/x.nc"),
        ("cont/dir", "cont/dir", "cont/dir/x.nc", "cont/dir/x.nc"),
        ("u@h:2222/a/b", "/a/b", "/a/b/x.nc", "u@h:2222/a/b/x.nc"),
        ("h/", "/", "/x.nc", "h/x.nc"),
        ("u@h:445/share/dir", "/share/dir", "/share/dir/x.nc", "u@h:445/share/dir/x.nc"),
        ("repo:main@", "", "x.nc", "repo:main@x.nc"),
        ("h/a/*.nc", "/a/*.nc", "/a/x.nc", "h/a/x.nc"),
        ("a/a", "/a", "/a/x.nc", "a/a/x.nc"),
    ],
)
def test_servers_of_stores_that_are_not_installed(named: str, path: str, file: str, url: str) -> None:
    """As adlfs (container and account), fsspec's sftp, smb and git make paths of urls."""
    assert _joined(_outside(named, path), file) == url


def test_a_file_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/listing/a/x.nc", b"CDF\x01" + b"\0" * 60)
    found = list(Remote("memory://listing", {}).find("*.nc"))
    assert [(entry.url, entry.name) for entry in found] == [("memory://listing/a/x.nc", "a/x.nc")]
    assert filesystem_of(found[0].url, {}) == (filesystem, "/listing/a/x.nc")


def listing(server: RangeServer, names: list[str]) -> str:
    links = "".join(f'<a href="{name}">{name}</a>' for name in names)
    return server.add("page/", f"<html><body>{links}</body></html>".encode())


def versions(entries: list[Entry]) -> dict[str, tuple[Any, ...]]:
    return {entry.name: (entry.seen.size, entry.seen.etag) for entry in entries}


def test_pages_of_http_servers_are_asked_by_head(range_server: RangeServer, tmp_path: Path) -> None:
    """A page has names only: what tells the versions comes from one HEAD a file, many at a time."""
    names = [f"{i}.nc" for i in range(12)]
    for i, name in enumerate(names):
        range_server.add(f"page/{name}", write_file(tmp_path / name, i).read_bytes())
    url = listing(range_server, names)
    range_server.latency = 0.05
    found = list(Remote(url, {}).find("*.nc"))
    files = range_server.files
    assert versions(found) == {name: (len(files[f"page/{name}"].data), files[f"page/{name}"].etag) for name in names}
    heads = [request for request in range_server.served if request.method == "HEAD" and request.path.endswith(".nc")]
    assert len(heads) == len(names)
    assert range_server.peak > 3
    assert all(entry.seen != FileVersion() for entry in found)
