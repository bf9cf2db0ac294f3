from __future__ import annotations

import os

import pytest

from refmaker.errors import ManifestError
from refmaker.urls import is_local, local_path, locate, protocol_of, resolve


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("a.nc", None),
        ("/data/a.nc", None),
        ("../a b.nc", None),
        ("a::b.nc", None),
        ("s3://b/a.nc", "s3"),
        ("file:///a.nc", "file"),
        ("simplecache::https://h/a.nc", "simplecache"),
        ("zip://a.nc::s3://b/x.zip", "zip"),
        ("/data/1:00::2:00/a.nc", None),
        ("://a", None),
    ],
)
def test_protocol(url: str, protocol: str | None) -> None:
    assert protocol_of(url) == protocol
    assert is_local(url) == (protocol in (None, "file"))


def test_local_path() -> None:
    assert local_path("file:///d/a.nc") == "/d/a.nc"
    assert local_path("local:///d/a.nc") == "/d/a.nc"
    assert local_path("/d/a.nc") == "/d/a.nc"


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
