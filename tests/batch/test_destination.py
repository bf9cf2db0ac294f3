"""Output directories, local and in stores."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

import refmaker
from refmaker.batch.destination import Destination, destination
from refmaker.errors import OutputError
from refmaker.manifest.manifest import Manifest, Target
from tests.servers import S3Server, s3_server

from .archives import write_file

__all__ = ["s3_server"]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return refmaker.scan(str(write_file(tmp_path / "a.nc")))


def targets(place: Destination, name: str, *urls: str) -> list[str]:
    manifest = Manifest(2, {"": {}}, {}, tuple(map(Target, urls)))
    return [target.url for target in place.relative(manifest, name).targets]


def test_a_local_directory(manifest: Manifest, tmp_path: Path) -> None:
    place = destination(str(tmp_path / "out"))
    size = place.write(manifest, "x/y/a.json")
    assert (tmp_path / "out/x/y/a.json").stat().st_size == size
    assert place.sizes(["x/y/a.json", "none.json"]) == {"x/y/a.json": size}
    place.remove("x/y/a.json")
    place.remove("x/y/a.json")
    assert place.sizes(["x/y/a.json"]) == {}


def test_a_set_of_files(manifest: Manifest, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    place = destination(str(tmp_path / "out"))
    size = place.write(manifest, "a.parq")
    assert (tmp_path / "out/a.parq/.zmetadata").stat().st_size == size
    assert place.sizes(["a.parq"]) == {"a.parq": size}
    place.remove("a.parq")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_directory_that_cannot_be_made(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(OutputError, match="cannot write"):
        destination(str(tmp_path)).write(manifest, "x/a.json")


def test_removing_follows_no_link_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "kept").touch()
    (tmp_path / "out/x.json").symlink_to(tmp_path / "kept")
    with pytest.raises(OutputError, match="leads out"):
        destination(str(tmp_path / "out")).remove("x.json")
    assert (tmp_path / "kept").exists()


def test_relative_targets() -> None:
    local = destination("/out/dir")
    assert targets(local, "x/a.json", "/in/a.nc", "s3://b/a.nc") == ["../../../in/a.nc", "s3://b/a.nc"]
    remote = destination("s3://b/out")
    urls = ["s3://b/in/a.nc", "s3://other/a.nc", "/in/a.nc", "zip://a::s3://b/z.zip", "s3://b/out/x/b.nc"]
    assert targets(remote, "x/a.json", *urls) == ["../../in/a.nc", *urls[1:4], "b.nc"]


@pytest.mark.parametrize("form", [".json", ".json.gz", ".parq"])
def test_a_bucket(manifest: Manifest, s3_server: S3Server, form: str) -> None:
    if form == ".parq":
        pytest.importorskip("pyarrow")
    place = destination("s3://bucket/destination", s3_server.options)
    name = f"x/a.nc{form}"
    size = place.write(manifest, name)
    assert place.sizes([name, f"none{form}"]) == {name: size}
    opened = refmaker.open_manifest(place.place(name), storage_options=s3_server.options)
    assert opened.arrays["x"].references.offset.tolist() == manifest.arrays["x"].references.offset.tolist()
    place.remove(name)
    place.remove(name)
    assert place.sizes([name]) == {}


def test_another_filesystem(manifest: Manifest) -> None:
    place = destination("memory://destination")
    place.write(manifest, "x/a.json")
    assert fsspec.filesystem("memory").exists("/destination/x/a.json")


def test_a_store_that_does_not_take_it(manifest: Manifest, s3_server: S3Server) -> None:
    with pytest.raises(OutputError, match=r"cannot write 's3://nobucket/x/a\.json'"):
        destination("s3://nobucket/x", s3_server.options).write(manifest, "a.json")


def test_left_over_files_are_known_by_name_and_time(tmp_path: Path) -> None:
    names = [".refmaker-0123456789abcdef.tmp", ".refmaker-0123456789abcdef.old", ".refmaker-x.tmp", "a.tmp"]
    (tmp_path / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "sub"):
        for name in names:
            (folder / name).touch()
            os.utime(folder / name, (100, 100))
    place = destination(str(tmp_path))
    assert place.clean(before=100) == 0
    assert place.clean(before=101) == 4
    assert sorted(os.listdir(tmp_path)) == [".refmaker-x.tmp", "a.tmp", "sub"]
