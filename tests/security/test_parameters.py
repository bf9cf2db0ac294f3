"""Parameters of HTTP urls, whatever their name: in no manifest, message, cause, log or text of an object."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import ManifestError, RefmakerError
from refmaker.replay.targets import Access
from tests.cli.conftest import Run, run
from tests.servers import RangeServer, range_server

__all__ = ["range_server", "run"]

SECRET = "5ec2e7x9"
SPELLINGS = [f"?api-key={SECRET}", f"?subscription-key={SECRET}", f"?hdnts={SECRET}", f"?ticket={SECRET}", f"?{SECRET}",
             f"?x%2Dany={SECRET}", f"?%73ig={SECRET}", f"#{SECRET}", f"?format=nc;anything={SECRET}"]  # fmt: skip


@pytest.fixture
def plain(tmp_path: Path, range_server: RangeServer) -> str:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["v"] = np.arange(10)
    data = (tmp_path / "x.h5").read_bytes()
    return range_server.add("x.h5", data)


def chain(error: BaseException) -> str:
    texts, todo = ["".join(traceback.format_exception(error))], [error]
    while todo:
        one = todo.pop()
        texts.append(f"{one!r} {one} {vars(one)}")
        todo += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(texts)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_output_has_them(
    plain: str, spelling: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    manifest = refmaker.scan(plain + spelling)
    assert SECRET not in repr(manifest)
    out = tmp_path / "out"
    out.mkdir()
    manifest.to_json(out / "m.json")
    manifest.to_parquet(out / "m.parq")
    assert len(refmaker.FileSystem(manifest).cat("v/0")) == 80  # where it was given, it goes on to work
    result = run("scan", plain + spelling, "-o", out / "c.json", "--report", out / "r.json")
    assert SECRET not in result.output
    for path in out.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    assert SECRET not in caplog.text


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_manifests_that_cannot_be_fetched(
    range_server: RangeServer, spelling: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    base = range_server.add("there", b"x").rpartition("/")[0]
    for name in ("none.json", "none.parq", "none.h5"):
        url = f"{base}/{name}{spelling}"
        for ask in (lambda url: refmaker.FileSystem(url, skip_instance_cache=True, attempts=1).ls(""),
                    refmaker.open_manifest, refmaker.scan, lambda url: refmaker.combine([url]),
                    lambda url: refmaker.open_manifest(f"simplecache::{url}")):  # fmt: skip
            with pytest.raises(RefmakerError) as caught:
                ask(url)
            assert SECRET not in chain(caught.value)
    assert SECRET not in caplog.text


def test_targets_that_cannot_be_read(range_server: RangeServer) -> None:
    """Those of a manifest that somebody else made."""
    base = range_server.add("there", b"x").rpartition("/")[0]
    array = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|u1", "fill_value": None, "order": "C",
             "filters": None, "compressor": None}  # fmt: skip
    for spelling in SPELLINGS:
        refs = {"v/.zarray": array, "v/0": [f"{base}/none.bin{spelling}", 0, 2]}
        fs = refmaker.FileSystem({"version": 1, "refs": refs}, attempts=1, skip_instance_cache=True)
        with pytest.raises(RefmakerError) as caught:
            fs.cat("v/0")
        assert SECRET not in chain(caught.value)
        for error in (fs.cat("v/0", on_error="return"), fs.cat_ranges(["v/0"], 0, 1)[0]):
            assert SECRET not in chain(error)


def test_texts_of_objects() -> None:
    options = {"client_kwargs": {"headers": {"Authorization": f"Bearer {SECRET}", "X-Any": SECRET}}}
    fs = refmaker.FileSystem({}, remote_options=options, target_options=options, skip_instance_cache=True)
    texts = [repr(fs), str(fs), repr(fs.access), repr(Access(remote_options=options)), repr(fs.reading)]
    texts.append(json.dumps(fs.to_dict(include_password=False)))
    texts.append(fs.to_json(include_password=False))
    assert SECRET not in "".join(texts)
    assert SECRET in fs.to_json()  # as documented: it could not be made again otherwise
    again: Any = refmaker.FileSystem.from_json(fs.to_json())
    assert again.access.remote_options == options


def test_parameters_that_tell_files_apart(
    plain: str, range_server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parameter that may be a secret and is none: two files never become one, and the option keeps it."""
    data = (tmp_path / "x.h5").read_bytes()
    first, second = (f"{range_server.add('get', data)}?granule={number}" for number in (1, 2))
    scanned = [refmaker.scan(url) for url in (first, second)]
    for manifest, name in zip(scanned, ("a", "b"), strict=True):
        manifest.arrays[name] = manifest.arrays.pop("v")
    both = refmaker.Manifest(2, {"": {}}, {**scanned[0].arrays, **scanned[1].arrays}, ())
    both.targets = (*scanned[0].targets, *scanned[1].targets)
    with pytest.raises(ManifestError, match="REFMAKER_KEEP_QUERY"):
        both.to_json(tmp_path / "m.json")
    scanned[0].to_json(tmp_path / "one.json")
    assert "'granule'" in refmaker.open_manifest(tmp_path / "one.json").history[-1]
    monkeypatch.setenv("REFMAKER_KEEP_QUERY", "other, Granule")
    both.to_json(tmp_path / "m.json")
    assert [target.url for target in refmaker.open_manifest(tmp_path / "m.json").targets] == [first, second]
