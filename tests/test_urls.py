"""What names mean: one table for all that takes a path or a url, then every entrance with names that are odd."""

from __future__ import annotations

import ntpath
import os
import posixpath
import zipfile
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest

import refmaker
from refmaker import urls
from refmaker.batch.discovery import Inputs, find_sources
from refmaker.errors import ManifestError
from refmaker.sources import open
from refmaker.urls import (
    filesystem_of,
    first_link,
    is_local,
    links,
    local_path,
    locate,
    protocol_of,
    resolve,
    text_of,
)

TABLE = [
    # name, protocol, links
    ("a.nc", None, ["a.nc"]),
    ("../a b.nc", None, ["../a b.nc"]),
    ("/data/a b.nc", None, ["/data/a b.nc"]),
    ("run::1.h5", None, ["run::1.h5"]),
    ("/data/run::1.h5", None, ["/data/run::1.h5"]),
    ("::a.nc", None, ["::a.nc"]),
    ("a.nc::", None, ["a.nc::"]),
    ("file::x.nc", None, ["file::x.nc"]),
    ("local::x.nc", None, ["local::x.nc"]),
    ("http::x.nc", None, ["http::x.nc"]),
    ("s3::memory://x", None, ["s3::memory://x"]),
    ("/data/s3://x", None, ["/data/s3://x"]),
    ("/data/1:00::2:00/a.nc", None, ["/data/1:00::2:00/a.nc"]),
    ("data:x.nc", None, ["data:x.nc"]),
    ("://a", None, ["://a"]),
    ("file:///d/a.nc", "file", ["file:///d/a.nc"]),
    ("file:///d/run::1.h5", "file", ["file:///d/run::1.h5"]),
    ("local:///d/zip::1.h5", "local", ["local:///d/zip::1.h5"]),
    ("file:///d/a::s3://b/c", "file", ["file:///d/a::s3://b/c"]),
    ("s3://b/a.nc", "s3", ["s3://b/a.nc"]),
    ("s3://b/run::1.nc", "s3", ["s3://b/run::1.nc"]),
    ("https://h/a::b.nc?x=1", "https", ["https://h/a::b.nc?x=1"]),
    ("memory://d/zip://x::y", "memory", ["memory://d/zip://x::y"]),
    ("zip://a.nc::s3://b/x.zip", "zip", ["zip://a.nc", "s3://b/x.zip"]),
    ("zip://a.nc::/d/x.zip", "zip", ["zip://a.nc", "/d/x.zip"]),
    ("zip::/d/x.zip", "zip", ["zip", "/d/x.zip"]),
    ("zip://a.nc::/d/run::1.zip", "zip", ["zip://a.nc", "/d/run::1.zip"]),
    ("simplecache::https://h/a.nc", "simplecache", ["simplecache", "https://h/a.nc"]),
    ("zip://a.nc::simplecache::s3://b/x.zip", "zip", ["zip://a.nc", "simplecache", "s3://b/x.zip"]),
    ("simplecache::s3://b/run::1.nc", "simplecache", ["simplecache", "s3://b/run::1.nc"]),
    ("unheardof::s3://b/a.nc", "unheardof", ["unheardof", "s3://b/a.nc"]),
    ("un-heard::s3://b/a.nc", None, ["un-heard::s3://b/a.nc"]),
]


@pytest.mark.parametrize(("name", "protocol", "parts"), TABLE)
def test_what_a_name_means(name: str, protocol: str | None, parts: list[str]) -> None:
    assert protocol_of(name) == protocol
    assert is_local(name) == (protocol in (None, "file", "local"))
    assert links(name) == parts
    assert first_link(name) == parts[0]
    assert "::".join(links(name)) == name


def test_there_is_one_answer() -> None:
    assert open.is_local is urls.is_local is is_local
    assert urls.protocol_of is protocol_of


def test_local_path() -> None:
    assert local_path("file:///d/run::1.nc") == "/d/run::1.nc"
    assert local_path("local:///d/a.nc") == "/d/a.nc"
    assert local_path("/d/s3://a") == "/d/s3://a"


def test_text_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert text_of(Path("/d/a.nc")) == text_of("/d/a.nc") == "/d/a.nc"
    assert text_of("~/a.nc") == text_of(Path("~/a.nc")) == "/home/x/a.nc"
    assert text_of("file://~/a.nc") == "file:///home/x/a.nc"
    assert text_of("s3://b/~/a.nc") == "s3://b/~/a.nc"
    assert text_of("a~b.nc") == "a~b.nc"


def test_locate(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("m.json") == os.path.join(tmp_path, "m.json")
    assert locate("file:///d/m.json") == "/d/m.json"
    assert locate("/d/m.json", "file") == "/d/m.json"
    assert locate("s3://b/m.json") == "s3://b/m.json"
    assert locate("b/m.json", "s3") == "s3://b/m.json"
    assert locate("https://h/m.json", "https") == "https://h/m.json"
    assert locate("~/m.json") == os.path.expanduser("~/m.json")


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("/d/m.json", "a.nc", "/d/a.nc"),
        ("/d/m.json", "sub/a.nc", "/d/sub/a.nc"),
        ("/d/m.json", "../a.nc", "/d/../a.nc"),
        ("/d/m.json", "file://a.nc", "/d/a.nc"),
        ("/d/m.json", "/e/a.nc", "/e/a.nc"),
        ("/d/m.json", "file:///e/a.nc", "/e/a.nc"),
        ("/d/m.json", "s3://b/a.nc", "s3://b/a.nc"),
        ("s3://b/d/m.json", "a.nc", "s3://b/d/a.nc"),
        ("s3://b/d/m.json", "./x//a.nc", "s3://b/d/x/a.nc"),
        ("s3://b/d/m.json", "../a.nc", "s3://b/a.nc"),
        ("s3://b/m.json", "a.nc", "s3://b/a.nc"),
        ("s3://b/d/m.json", "https://h/a.nc", "https://h/a.nc"),
        ("https://h:80/d/m.json?token=a/b#c", "a.nc", "https://h:80/d/a.nc"),
        ("https://h/d/m.json", "/e/a.nc", "/e/a.nc"),
        ("memory://m.json", "a.nc", "memory://a.nc"),
        ("memory:///d/m.json", "../a.nc", "memory:///a.nc"),
        ("simplecache::https://h/d/m.json", "a.nc", "simplecache::https://h/d/a.nc"),
        ("zip://d/m.json::s3://b/x.zip", "a.nc", "zip://d/a.nc::s3://b/x.zip"),
    ],
)
def test_resolve(base: str, url: str, expected: str) -> None:
    assert resolve(url, base) == expected


def test_resolve_without_a_manifest_file(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("a.nc", None) == os.path.join(tmp_path, "a.nc")


@pytest.mark.parametrize("base", ["s3://b/m.json", "https://h/d/m.json", "https://h/m.json?x=1/2/3"])
def test_never_above_the_root(base: str) -> None:
    with pytest.raises(ManifestError, match="above the root"):
        resolve("../../x/a.nc", base)


def test_an_object_whose_name_has_colons_is_not_another() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/urls/run", b"another")
    memory.pipe("/urls/run::1.h5", b"this one")
    try:
        filesystem, path = filesystem_of("memory://urls/run::1.h5", {})
        assert filesystem.cat_file(path) == b"this one"
    finally:
        memory.rm("/urls", recursive=True)


def write(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.full(40, value), chunks=(10,))
    return path


@pytest.mark.parametrize(
    "name",
    ["run::1.h5", "::a.h5", "file::a.h5", "zip::a.h5", "s3:__x::y.h5", "a::b::c.h5", "1:00::2:00/a.h5", "s3:/b::c"],
)
@pytest.mark.parametrize("form", ["json", "parq"])
@pytest.mark.parametrize("lead", ["", "file://"])
def test_local_names_with_colons(tmp_path: Path, name: str, form: str, lead: str) -> None:
    path = write(tmp_path / "data" / name, 7)
    manifest = refmaker.scan(f"{lead}{path}")
    assert [target.url for target in manifest.targets] == [str(path)]
    out = tmp_path / f"out::{os.path.basename(name)}.{form}"
    (manifest.to_json if form == "json" else manifest.to_parquet)(out)
    assert refmaker.open_manifest(out).chunks == refmaker.open_manifest(f"file://{out}").chunks == 4
    data = refmaker.FileSystem(out).cat("x/3")
    assert (np.frombuffer(data, "<i8") == 7).all()
    assert [entry.url for entry in find_sources(Inputs((str(tmp_path / "data"),)))] == [str(path)]
    assert refmaker.combine([out]).chunks == 4


def test_members_and_containers_with_colons(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", 3)
    container = tmp_path / "box::1.zip"
    with zipfile.ZipFile(container, "w") as box:
        box.write(path, "in/run::1.h5")
        box.write(path, "plain.h5")
    for member in ("in/run::1.h5", "plain.h5"):
        manifest = refmaker.scan(f"zip://{member}::{container}")
        assert [target.url for target in manifest.targets] == [str(container)]


def test_an_object_with_colons_is_scanned_and_read(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/urls/run", write(tmp_path / "a.h5", 1).read_bytes())
    memory.pipe("/urls/run::1.h5", write(tmp_path / "b.h5", 2).read_bytes())
    try:
        manifest = refmaker.scan("memory://urls/run::1.h5")
        assert [target.url for target in manifest.targets] == ["memory://urls/run::1.h5"]
        assert (np.frombuffer(refmaker.FileSystem(manifest).cat("x/0"), "<i8") == 2).all()
        assert [entry.url for entry in find_sources(Inputs(("memory://urls",), pattern="*"))] == [
            "memory://urls/run",
            "memory://urls/run::1.h5",
        ]
    finally:
        memory.rm("/urls", recursive=True)


def test_paths_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings, path objects, `~`: everywhere."""
    path = write(tmp_path / "a.h5", 1)
    monkeypatch.setenv("HOME", str(tmp_path))
    for one in (str(path), path, "~/a.h5", Path("~/a.h5"), "file://~/a.h5"):
        manifest = refmaker.scan(one, allow=[tmp_path, "~"])
        assert [target.url for target in manifest.targets] == [str(path)]
        assert refmaker.scan_file(one).manifest.chunks == 4
        for given in (one, [one]):
            ((name, found),) = refmaker.scan_many(given)
            assert isinstance(found, refmaker.Manifest)
            assert isinstance(name, str)
            assert refmaker.combine(given).chunks == 4
    for out in ("m.json", "m.parq"):
        for one in (tmp_path / out, f"~/{out}", Path(f"~/{out}")):
            (manifest.to_parquet if out.endswith("parq") else manifest.to_json)(one)
            assert (tmp_path / out).exists()
            assert refmaker.open_manifest(one).chunks == 4
            assert refmaker.FileSystem(one, allow=[tmp_path]).cat("x/0")
            assert refmaker.combine_with_report(one).manifest.chunks == 4
            (tmp_path / out).rename(tmp_path / "gone") if out == "m.json" else None
            (tmp_path / "gone").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("path", "folder", "below"),
    [
        (r"C:\a\b.nc", r"C:\a", True),
        (r"c:\A\b.nc", r"C:\a", True),
        (r"C:\a", r"C:\a", True),
        (r"C:\ab\c", r"C:\a", False),
        (r"D:\a\b", r"C:\a", False),
        (r"C:\x", "C:\\", True),
        (r"\\server\share\a", r"\\server\share", True),
    ],
)
def test_below_a_folder_of_windows(path: str, folder: str, below: bool) -> None:
    assert urls.is_below(path, folder, system=ntpath) is below


@pytest.mark.parametrize(
    ("folder", "below"), [("/a", True), ("/", True), ("/a/b.nc", True), ("/A", False), ("/a/b", False)]
)
def test_below_a_folder(folder: str, below: bool) -> None:
    assert urls.is_below("/a/b.nc", folder) is below


def test_names_have_slashes() -> None:
    assert urls.slashed(r"a\b.nc", system=ntpath) == "a/b.nc"
    assert urls.slashed(r"a\b.nc", system=posixpath) == r"a\b.nc"


@pytest.mark.parametrize(
    ("path", "own"), [("/C:/x.nc", "C:/x.nc"), ("C:/x.nc", "C:/x.nc"), ("/x.nc", "/x.nc"), ("//h/s/x.nc", "//h/s/x.nc")]
)
def test_drives_in_urls_of_files(path: str, own: str) -> None:
    """RFC 8089, appendix E.2."""
    assert urls._of_drive(path, ntpath) == own
    assert urls._of_drive(path, posixpath) == path


@pytest.mark.parametrize("target", [r"C:\data\x.nc", "C:/data/x.nc", r"\\server\share\x.nc", "file://D:/x.nc"])
def test_absolute_paths_of_windows_are_not_taken_for_relative_ones(target: str, tmp_path: Path) -> None:
    for base in (None, str(tmp_path / "m.json"), "s3://bucket/m.json"):
        with pytest.raises(ManifestError, match="another operating system"):
            urls.resolve(target, base)


def test_paths_without_a_drive_are_foreign_to_windows() -> None:
    assert urls._is_foreign("/data/x.nc", ntpath)
    assert not urls._is_foreign("//server/share/x.nc", ntpath)
    assert not urls._is_foreign(r"C:\x.nc", ntpath)
    assert not urls._is_foreign("x.nc", ntpath)
