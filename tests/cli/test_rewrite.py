"""`refmaker rewrite`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmaker
from refmaker.errors import ManifestError
from refmaker.manifest import Manifest, ManifestArray, References, Target
from refmaker.manifest.rewriting import moved_url, with_targets_moved
from refmaker.zarr.metadata import ArrayMetadata

from .conftest import Run
from .test_convert import values


def held(*urls: str) -> Manifest:
    count = len(urls)
    columns = (
        np.arange(count),
        np.arange(count, dtype="u4"),
        np.arange(1, count + 1, dtype="u8"),
        np.full(count, 5, "u8"),
    )
    metadata = {"zarr_format": 2, "shape": [count], "chunks": [1], "dtype": "|u1", "compressor": None}
    array = ManifestArray(ArrayMetadata.from_json(metadata), {}, (count,), References(*columns))
    return Manifest(2, {"": {}}, {"x": array}, tuple(Target(url, 100, "etag", 1.5) for url in urls))


@pytest.mark.parametrize(
    ("url", "old", "new", "moved"),
    [
        ("s3://b/a/x.nc", "s3://b/a", "s3://c", "s3://c/x.nc"),
        ("s3://b/a/x.nc", "s3://b/a/", "s3://c/", "s3://c/x.nc"),
        ("s3://b/a/x.nc", "s3://b/a/", "s3://c", "s3://c/x.nc"),
        ("s3://b/a/x.nc", "s3://b/a", "s3://c/", "s3://c/x.nc"),
        ("s3://b/ab/x.nc", "s3://b/a", "s3://c", None),
        ("s3://b/a/x.nc", "s3://b/a/x", "s3://c", None),
        ("s3://b/a/x.nc", "s3://b/a/x.nc", "/data/y.nc", "/data/y.nc"),
        ("/data/x.nc", "/", "s3://b", "s3://b/data/x.nc"),
        ("/data/x.nc", "/data", "", "x.nc"),
        ("data/x.nc", "data", "../mirror", "../mirror/x.nc"),
        ("x.nc", "", "s3://b", None),
        ("https://h/p?a=1", "https://h/p", "s3://b", None),
    ],
)
def test_prefixes_end_with_a_segment(url: str, old: str, new: str, moved: str | None) -> None:
    assert moved_url(url, old, new) == moved


@given(st.text("ab/:", max_size=8), st.text("ab/:", min_size=1, max_size=4), st.text("cd/", max_size=4))
def test_what_moves_keeps_its_rest(url: str, old: str, new: str) -> None:
    moved = moved_url(url, old, new)
    stem = old.rstrip("/") + "/"
    if moved is None:
        assert url != old
        assert not url.startswith(stem if not old.endswith("//") else old)
    elif url != old:
        assert moved.endswith(url[len(old if old.endswith("/") else stem) :])


def test_targets() -> None:
    made = held("/data/a.nc", "file:///data/b.nc", "/database/c.nc", "s3://x/data/d.nc")
    moved, count = with_targets_moved(made, "/data", "s3://b/data")
    assert count == 2
    assert list(moved.targets) == [
        Target("s3://b/data/a.nc", 100),
        Target("s3://b/data/b.nc", 100),
        Target("/database/c.nc", 100, "etag", 1.5),
        Target("s3://x/data/d.nc", 100, "etag", 1.5),
    ]
    assert moved.history == ["targets below /data moved to s3://b/data: 2"]
    assert made.targets[0].url == "/data/a.nc"
    with pytest.raises(ManifestError, match="one url"):
        with_targets_moved(held("/a/x.nc", "/b/x.nc"), "/a", "/b")


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst", ".parq"])
def test_moves(run: Run, source: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parq":
        pytest.importorskip("pyarrow")
    manifest, there = tmp_path / f"m{suffix}", tmp_path / "there"
    assert run("scan", source, "-o", manifest).exit_code == 0
    want = values(manifest, "chunked")
    there.mkdir()
    source = shutil.move(source, there / source.name)
    result = run("rewrite", "--from", tmp_path, "--to", there, manifest)
    assert (result.exit_code, result.stderr) == (0, f"{manifest}: 1 of 1 target moved\n")
    assert refmaker.open_manifest(manifest).targets[0].url == str(source)
    np.testing.assert_array_equal(values(manifest, "chunked"), want)


def test_outputs(run: Run, tmp_path: Path) -> None:
    made = held("/a/x.nc", "/b/y.nc")
    for name in ("m.json", "n.json"):
        made.to_json(tmp_path / name)
    result = run("rewrite", "--from", "/a", "--to", "s3://b", tmp_path / "m.json", "-o", tmp_path / "o.json.gz")
    assert result.stderr == f"{tmp_path}/m.json -> {tmp_path}/o.json.gz: 1 of 2 targets moved\n"
    assert [t.url for t in refmaker.open_manifest(tmp_path / "o.json.gz").targets] == ["s3://b/x.nc", "/b/y.nc"]
    assert [t.url for t in refmaker.open_manifest(tmp_path / "m.json").targets] == ["/a/x.nc", "/b/y.nc"]
    both = [tmp_path / "m.json", tmp_path / "n.json"]
    assert run("rewrite", "--from", "/a", "--to", "s3://b", *both, "-o", tmp_path / "none").exit_code == 2
    (tmp_path / "out").mkdir()
    assert run("rewrite", "--from", "/a", "--to", "s3://b", *both, "-o", tmp_path / "out", "-q").stderr == ""
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["m.json", "n.json"]
    assert run("rewrite", "--from", "/a", "--to", "/c", "memory://none/m.json").exit_code == 1


def test_none_matched(run: Run, tmp_path: Path) -> None:
    held("/data/x.nc").to_json(tmp_path / "m.json")
    before = (tmp_path / "m.json").read_bytes()
    result = run("rewrite", "--from", "/dat", "--to", "/a", tmp_path / "m.json", "-o", tmp_path / "o.json")
    assert result.exit_code == 3
    assert "no target starts with /dat" in result.stderr
    assert not (tmp_path / "o.json").exists()
    assert (tmp_path / "m.json").read_bytes() == before


def test_one_that_fails_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    held("/data/x.nc").to_json(tmp_path / "m.json")
    (tmp_path / "bad.json").write_text("{")
    result = run("rewrite", "--from", "/data", "--to", "/a", tmp_path / "bad.json", tmp_path / "m.json")
    assert result.exit_code == 1
    assert "bad.json" in result.stderr
    assert refmaker.open_manifest(tmp_path / "m.json").targets[0].url == "/a/x.nc"
