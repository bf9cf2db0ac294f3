from __future__ import annotations

from pathlib import Path

import pytest

import refmaker
from refmaker.errors import SourceError
from refmaker.serve import names
from refmaker.serve.names import Names, parse_source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("air.json", (None, "air.json")),
        ("air=x/air.json", ("air", "x/air.json")),
        ("=air.json", (None, "=air.json")),
        ("s3://b/y=2020/a.json", (None, "s3://b/y=2020/a.json")),
    ],
)
def test_given_names(text: str, expected: tuple[str | None, str]) -> None:
    assert parse_source(text) == expected


def test_a_file_that_is_named_so_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.json").write_text("{}")
    assert parse_source("a=b.json") == (None, "a=b.json")


def test_a_directory(air: Path) -> None:
    folder = air.parent
    manifest = refmaker.open_manifest(air)
    (folder / "below").mkdir()
    refmaker.write_manifest(manifest, folder / "below" / "air.json.gz")
    refmaker.write_manifest(manifest, folder / "set.parq")
    (folder / "no.json").write_text("[1, 2]")
    (folder / ".hidden.json").write_text("{}")
    (folder / "healthz").write_text("{}")
    found = Names([str(folder)]).find()
    assert sorted(found) == ["air.json", "below/air.json.gz", "set.parq"]
    (folder / "no.json").write_text('{"version": 1, "refs": {}}')
    assert "no.json" in Names([str(folder)]).find()
    assert sorted(Names([f"x={folder}"]).find())[0] == "x/air.json"


def test_a_store(air: Path) -> None:
    found = Names([f"file://{air.parent}/"]).find()
    assert list(found) == ["air.json"]


def test_a_remote_directory(air: Path) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    for key in (
        "/dir/a.json",
        "/dir/x/b.parq/.zmetadata",
        "/dir/x/b.parq/t/refs.0.parq",
        "/dir/.h/c.json",
        "/dir/d.nc",
    ):
        fs.pipe_file(key, air.read_bytes())
    try:
        found = Names(["memory://dir/"]).find()
    finally:
        fs.rm("/dir", recursive=True)
    assert found == {"a.json": "memory://dir/a.json", "x/b.parq": "memory://dir/x/b.parq"}


def test_what_is_no_manifest_is_said_at_once(air: Path) -> None:
    with pytest.raises(SourceError, match="no manifest here"):
        Names([str(air.parent / "air.h5")]).find()
    with pytest.raises(SourceError):
        Names([str(air.parent / "absent.json")]).find()
    with pytest.raises(SourceError, match="cannot be served as"):
        Names([f"metrics={air}"]).find()


def test_two_of_one_name(air: Path) -> None:
    (air.parent / "b").mkdir()
    (air.parent / "b" / "air.json").write_bytes(air.read_bytes())
    with pytest.raises(SourceError, match="two manifests"):
        Names([str(air), str(air.parent / "b" / "air.json")]).find()
    assert sorted(Names([str(air), f"b={air.parent / 'b' / 'air.json'}"]).find()) == ["air.json", "b"]


def test_too_many(air: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_MANIFESTS", 0)
    with pytest.raises(SourceError, match="too many"):
        Names([str(air.parent)]).find()
