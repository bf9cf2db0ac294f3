"""What names lead to: files, directories, patterns; under which names; with what tells their versions."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from refmaker.batch.discovery import Inputs, covered, find_sources, listed_roots
from refmaker.errors import BatchError, SourceError
from tests.servers import RangeServer, S3Server, range_server, s3_server

from .archives import write_archive, write_file

__all__ = ["range_server", "s3_server"]


def names(*roots: object, out: str | None = None, **options: object) -> list[str]:
    return [entry.name for entry in find_sources(Inputs(tuple(map(str, roots)), **options), out=out)]  # type: ignore[arg-type]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive")


def test_a_directory(archive: Path) -> None:
    assert names(archive) == ["a.nc", "damaged.nc", "deep/refused.h5", "deep/er/b.h5"]
    (entry,) = find_sources(Inputs((f"{archive}/a.nc",)))
    status = (archive / "a.nc").stat()
    assert (entry.url, entry.name) == (f"{archive}/a.nc", "a.nc")
    assert (entry.seen.size, entry.seen.etag, entry.seen.modified) == (status.st_size, None, status.st_mtime)


def test_content_tells_what_is_a_source(tmp_path: Path) -> None:
    sound = write_file(tmp_path / "in/none").read_bytes()
    (tmp_path / "in/behind_a_user_block").write_bytes(bytes(2048) + sound)
    (tmp_path / "in/classic").write_bytes(b"CDF\x01")
    (tmp_path / "in/text").write_bytes(b"CDF is a format")
    (tmp_path / "in/empty").touch()
    (tmp_path / "in/empty.nc").touch()
    (tmp_path / "in/UPPER.HDF5").touch()
    os.mkfifo(tmp_path / "in/pipe.nc")
    assert names(tmp_path / "in") == ["UPPER.HDF5", "behind_a_user_block", "classic", "empty.nc", "none"]


def test_a_pattern_instead(archive: Path) -> None:
    assert names(archive, pattern="*.txt") == ["README.txt"]
    assert names(archive, pattern="deep/*.h5") == ["deep/refused.h5", "deep/er/b.h5"]


def test_hidden_files_and_links(archive: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "elsewhere/c.h5")
    (archive / ".a.nc.part").write_bytes((archive / "a.nc").read_bytes())
    (archive / ".cache").mkdir()
    write_file(archive / ".cache/a.nc")
    (archive / "linked").symlink_to(tmp_path / "elsewhere")
    (archive / "linked.h5").symlink_to(tmp_path / "elsewhere/c.h5")
    (archive / "nowhere.nc").symlink_to(tmp_path / "nowhere")
    (archive / "nowhere").symlink_to(tmp_path / "nowhere")
    assert names(archive) == ["a.nc", "damaged.nc", "linked.h5", "nowhere.nc", "deep/refused.h5", "deep/er/b.h5"]


def test_patterns(archive: Path) -> None:
    assert names(f"{archive}/**/*.h5") == ["deep/er/b.h5", "deep/refused.h5"]
    assert names(f"{archive}/d*/*.h5") == ["deep/refused.h5"]
    assert names(f"{archive}/*.txt") == ["README.txt"], "a pattern says itself what a source is"
    assert names(f"{archive}/deep/er/[ab].h5") == ["b.h5"]


def test_a_file_whose_name_is_a_pattern(tmp_path: Path) -> None:
    write_file(tmp_path / "x[1].nc")
    assert names(tmp_path / "x[1].nc") == ["x[1].nc"]


def test_a_source_is_listed_once(archive: Path) -> None:
    assert names(archive / "deep", archive) == ["refused.h5", "er/b.h5", "a.nc", "damaged.nc"]


def test_a_base(archive: Path, tmp_path: Path) -> None:
    assert names(archive / "deep/refused.h5", base=str(tmp_path)) == ["archive/deep/refused.h5"]
    assert names(f"{archive}/deep/er/*", base=str(archive)) == ["deep/er/b.h5"]
    with pytest.raises(BatchError, match="base"):
        names(archive, base=str(archive / "deep"))


def test_relative_paths_and_file_urls(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive)
    assert [entry.url for entry in find_sources(Inputs(("deep/er", f"file://{archive}/a.nc")))] == [
        f"{archive}/deep/er/b.h5",
        f"{archive}/a.nc",
    ]


def test_what_is_not_there_is_left_to_the_scan(tmp_path: Path) -> None:
    (entry,) = find_sources(Inputs((f"{tmp_path}/none.nc",)))
    assert (entry.seen.size, entry.seen.modified) == (None, None)


@pytest.fixture
def bucket(archive: Path, s3_server: S3Server) -> S3Server:
    for path in archive.rglob("*"):
        if path.is_file():
            s3_server.add(f"finding/{path.relative_to(archive)}", path.read_bytes())
    return s3_server


def test_a_bucket(bucket: S3Server) -> None:
    root = "s3://bucket/finding"
    options = {"storage_options": bucket.options}
    assert names(root, **options) == ["a.nc", "damaged.nc", "deep/er/b.h5", "deep/refused.h5"]
    assert names(f"{root}/", pattern="*.txt", **options) == ["README.txt"]
    assert names(f"{root}/**/*.h5", **options) == ["deep/er/b.h5", "deep/refused.h5"]
    assert names(root, out=f"{root}/deep", **options) == ["a.nc", "damaged.nc"]
    assert names(f"{root}/deep/er/b.h5", base=root, **options) == ["deep/er/b.h5"]
    with pytest.raises(BatchError, match="found no source here"):
        names(f"{root}/nothing/", **options)


def test_content_tells_what_is_a_source_in_a_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    """As in a local directory; what lies in the output directory is not even looked at."""
    sound = write_file(tmp_path / "in/none").read_bytes()
    (tmp_path / "in/behind_a_user_block").write_bytes(bytes(2048) + sound)
    (tmp_path / "in/classic").write_bytes(b"CDF\x01")
    (tmp_path / "in/text").write_bytes(b"CDF is a format")
    (tmp_path / "in/empty").touch()
    (tmp_path / "in/empty.nc").touch()
    (tmp_path / "in/.hidden").write_bytes(sound)
    for path in (tmp_path / "in").iterdir():
        s3_server.add(f"content/{path.name}", path.read_bytes())
    s3_server.add("content/out/none", sound)
    found = names("s3://bucket/content", out="s3://bucket/content/out", storage_options=s3_server.options)
    assert found == names(tmp_path / "in") == ["behind_a_user_block", "classic", "empty.nc", "none"]


def test_first_bytes_are_read_together_and_not_more(range_server: RangeServer, archive: Path) -> None:
    sound = (archive / "a.nc").read_bytes() + bytes(1 << 20)
    links = []
    for number in range(20):
        range_server.add(f"x/{number:02d}", sound if number % 2 else bytes(1 << 20))
        links.append(f'<a href="{number:02d}">')
    range_server.add("x/named.nc", sound)
    range_server.add("x/", "".join([*links, '<a href="named.nc">', '<a href="gone">']).encode())
    range_server.latency = 0.02
    found = names(f"{range_server.url}/x/")
    assert found == [*(f"{number:02d}" for number in range(1, 20, 2)), "named.nc"]
    read = [request for request in range_server.gets() if request.path != "x/" and request.status != 404]
    assert [(request.first, request.last) for request in read] == 20 * [(0, 4103)]
    assert range_server.peak > 4


def test_what_may_not_be_read_might_be_a_source(range_server: RangeServer, archive: Path) -> None:
    range_server.add("x/a", (archive / "a.nc").read_bytes())
    range_server.add("x/", b'<a href="a">')
    range_server.faults["x/a"] = "403"
    (entry,) = find_sources(Inputs((f"{range_server.url}/x/",)))
    # HEAD is answered: that is the version, and reading it is what fails, for this file alone.
    assert (entry.name, entry.seen.size) == ("a", (archive / "a.nc").stat().st_size)


def test_versions_of_remote_files(bucket: S3Server) -> None:
    url = "s3://bucket/finding/a.nc"
    listed = find_sources(Inputs(("s3://bucket/finding/",), None, None, bucket.options))
    (asked,) = find_sources(Inputs((url,), None, None, bucket.options))
    entry = next(entry for entry in listed if entry.url == url)
    assert entry.seen.etag == asked.seen.etag is not None
    assert entry.seen.size == asked.seen.size == bucket.filesystem().info(url)["size"]


def test_over_http(range_server: RangeServer, archive: Path) -> None:
    url = range_server.add("x/a.nc", (archive / "a.nc").read_bytes())
    (entry,) = find_sources(Inputs((f"{url}?token=1",)))
    assert (entry.url, entry.name) == (f"{url}?token=1", "a.nc")
    assert entry.seen.size == (archive / "a.nc").stat().st_size
    assert entry.seen.etag == range_server.files["x/a.nc"].etag
    (gone,) = find_sources(Inputs((f"{range_server.url}/none.nc",)))
    assert gone.seen.size is None


def test_other_filesystems(archive: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/finding/sub/m.nc", (archive / "a.nc").read_bytes())
    for root in ("memory://finding", "memory://finding/**/*.nc"):
        (entry,) = find_sources(Inputs((root,)))
        assert (entry.url, entry.name) == ("memory://finding/sub/m.nc", "sub/m.nc")


def test_chained_urls(archive: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.write(archive / "a.nc", "in/a.nc")
    (entry,) = find_sources(Inputs((f"zip://**/*.nc::file://{tmp_path}/z.zip",)))
    assert (entry.url, entry.name) == (f"zip://in/a.nc::file://{tmp_path}/z.zip", "in/a.nc")


def test_a_store_that_is_not_reached() -> None:
    with pytest.raises(SourceError):
        names("nosuchprotocol://x/*.nc")
    options = {"endpoint_url": "http://127.0.0.1:9", "anon": True, "config_kwargs": {"retries": {"max_attempts": 0}}}
    with pytest.raises(SourceError, match="cannot be listed"):
        names("s3://bucket/x/*.nc", storage_options=options)


def test_what_a_listing_would_have_shown() -> None:
    assert covered(["/a"], "/a/b/c.nc")
    assert covered(["/a/*/c.nc"], "/a/b/c.nc")
    assert covered(["s3://b/x/**/*.nc"], "s3://b/x/y.nc")
    assert covered(["/a/b.nc"], "/a/b.nc")
    assert not covered(["/a"], "/ab/c.nc")
    assert not covered(["/a/b*.nc"], "/c/b.nc")


def test_roots_that_may_have_new_sources(archive: Path) -> None:
    assert listed_roots([str(archive), f"{archive}/a.nc", "s3://b/*.nc"]) == [str(archive), "s3://b/*.nc"]
