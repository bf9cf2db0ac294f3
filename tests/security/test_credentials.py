"""Logins and signatures in urls, and storage options: in no manifest, ledger, report, log or text of an error."""

from __future__ import annotations

import json
import logging
import sqlite3
import traceback
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.batch.discovery import Inputs
from refmaker.batch.run import Batch
from refmaker.errors import BatchError, ManifestError, RefmakerError
from refmaker.manifest.rewriting import with_targets_moved
from tests.cli.conftest import Run, run
from tests.servers import RangeServer, range_server

__all__ = ["range_server", "run"]

SECRET = "5ec2e7"
SIGNED = f"X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}&X-Amz-Expires=60"


@pytest.fixture
def url(tmp_path: Path, range_server: RangeServer) -> str:
    """Return the url of a file behind HTTP, with a login and a signature."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["v"] = np.arange(10)
        file.create_dataset("text", (2,), h5py.string_dtype())[...] = ["a", "b"]
        file["link"] = h5py.ExternalLink("other.h5", "/v")
        file["gone"] = h5py.ExternalLink("gone.h5", "/v")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["v"] = np.arange(3)
    range_server.add("other.h5", (tmp_path / "other.h5").read_bytes())
    plain = range_server.add("x.h5", (tmp_path / "x.h5").read_bytes())
    return f"{plain}?{SIGNED}".replace("://", f"://user:{SECRET}@")


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".h5")


@pytest.mark.parametrize("form", ["m.json", "m.json.gz", "m.parq"])
def test_manifests(url: str, form: str, tmp_path: Path) -> None:
    manifest = refmaker.scan(url)
    assert set(manifest.arrays) == {"v", "text", "link"}
    out = tmp_path / "out"
    out.mkdir()
    if form.endswith("parq"):
        manifest.to_parquet(out / form)
    else:
        manifest.to_json(out / form)
    again = refmaker.open_manifest(out / form)
    urls = [target.url for target in again.targets]
    assert all("@" not in url and "?" not in url for url in urls)
    assert [url.rpartition("/")[2] for url in urls] == ["x.h5", "other.h5"]
    assert "logins and signatures left out of the urls of targets: 2" in again.history
    assert SECRET not in repr(again)
    assert SECRET.encode() not in everything(out)
    # In this process, where it was given, the login goes on to work.
    assert len(refmaker.FileSystem(manifest).cat("v/0")) == 80


def test_scan(url: str, run: Run, tmp_path: Path) -> None:
    result = run("scan", url, "-o", tmp_path / "m.json", "--report", tmp_path / "r.json")
    assert result.exit_code == 3
    assert "the login or signature of this url is not in the manifest" in result.output
    assert SECRET not in result.output
    assert SECRET.encode() not in everything(tmp_path)
    assert json.loads((tmp_path / "r.json").read_text())["source"].startswith("http://127.0.0.1:")


def test_failures(url: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that are not there, are no HDF5, or whose server is gone: neither message nor traceback."""
    caplog.set_level(logging.INFO)
    bad = url.replace("x.h5", "none.h5")
    afar = bad.replace("127.0.0.1", "no-such-host.invalid")
    options = {"client_kwargs": {"headers": {"Authorization": "hunter2"}}}
    for one in (bad, afar, f"zip://a.nc::{bad}", f"simplecache::{bad}", f"s3://key:{SECRET}@b/x"):
        with pytest.raises(RefmakerError) as caught:
            refmaker.scan(one, storage_options=None if "s3" in one else options)
        text = "".join(traceback.format_exception(caught.value))
        assert SECRET not in text
        assert "hunter2" not in text
    for arguments in (["scan", bad, url, "-o", tmp_path / "out", "--report", tmp_path / "r.json"],
                      ["info", bad], ["verify", bad], ["combine", bad, url, "-o", tmp_path / "c.json"]):  # fmt: skip
        result = run(*arguments)
        assert result.exit_code == 1
        assert SECRET not in result.output
    assert SECRET.encode() not in everything(tmp_path)
    assert SECRET not in caplog.text


def test_storage_options(url: str, run: Run, tmp_path: Path) -> None:
    """They are for the filesystem, and stand nowhere."""
    plain = url.replace(f"user:{SECRET}@", "").partition("?")[0]
    options = json.dumps({"client_kwargs": {"headers": {"Authorization": f"Bearer {SECRET}"}}})
    result = run("scan", plain, "-o", tmp_path / "m.json", "--storage-options", options)
    assert SECRET not in result.output
    result = run("batch", plain, "-o", tmp_path / "out", "--storage-options", options, "--report", tmp_path / "r.json",
                 "--junit", tmp_path / "j.xml", "--log-json", "--ledger", tmp_path / "l.sqlite")  # fmt: skip
    assert SECRET not in result.output
    assert SECRET.encode() not in everything(tmp_path)
    with sqlite3.connect(tmp_path / "l.sqlite") as ledger:
        assert SECRET not in "".join(ledger.iterdump())


def test_batch(url: str, run: Run, tmp_path: Path) -> None:
    """What a ledger keeps is asked for again by its url: one with secrets is refused before anything is written."""
    ftp = f"ftp://u:{SECRET}@h/out"
    for arguments in ([url, "-o", tmp_path / "out"], [tmp_path, "-o", ftp, "--ledger", tmp_path / "l"],
                      [tmp_path, "-o", tmp_path / "out", "--base", url]):  # fmt: skip
        result = run("batch", *arguments)
        assert result.exit_code == 1
        assert "storage options" in result.output
        assert SECRET not in result.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(BatchError):
        Batch(Inputs((url,)), str(tmp_path / "out")).run(None)  # type: ignore[arg-type]


def test_combining(url: str, run: Run, tmp_path: Path) -> None:
    result = run("combine", url, url, "-o", tmp_path / "c.json", "--report", tmp_path / "r.json")
    assert SECRET not in result.output
    assert SECRET.encode() not in everything(tmp_path)


def test_manifests_of_others(url: str, run: Run, tmp_path: Path) -> None:
    """What is read may hold signatures; what is written has none, and no target is moved to a url that has."""
    array: dict[str, Any] = {"zarr_format": 2, "shape": [10], "chunks": [10], "dtype": "<i8", "fill_value": None,
                             "order": "C", "filters": None, "compressor": None}  # fmt: skip
    refs = {".zgroup": {"zarr_format": 2}, "v/.zarray": array, "v/0": [url, 0, 80]}
    path = tmp_path / "theirs.h5.json"
    path.write_text(json.dumps({"version": 1, "refs": refs}))
    out = tmp_path / "out"
    out.mkdir()
    for name in ("m.json", "m.parq"):
        assert run("convert", path, "-o", out / name).exit_code == 0
    for arguments in (["info", path], ["info", path, "--json"], ["verify", path, "--report", out / "v.json"]):
        assert SECRET not in run(*arguments).output
    result = run(
        "rewrite", "--from", url.rpartition("/")[0], "--to", f"https://u:{SECRET}@h", path, "-o", out / "n.json"
    )
    assert result.exit_code == 1
    assert SECRET not in result.output
    assert SECRET.encode() not in everything(out)
    with pytest.raises(ManifestError, match="login or signature"):
        with_targets_moved(refmaker.open_manifest(path), "a", f"https://h/?sig={SECRET}")


def test_replay(url: str, range_server: RangeServer) -> None:
    """Reading through a manifest, whose errors name the target."""
    array = {"zarr_format": 2, "shape": [10], "chunks": [10], "dtype": "<i8", "fill_value": None, "order": "C",
             "filters": None, "compressor": None}  # fmt: skip
    for place in (url.replace("x.h5", "none.h5"), url):
        refs = {".zgroup": {"zarr_format": 2}, "v/.zarray": array, "v/0": [place, 1 << 40, 80]}
        fs = refmaker.FileSystem({"version": 1, "refs": refs}, attempts=1, skip_instance_cache=True)
        with pytest.raises(RefmakerError) as caught:
            fs.cat("v/0")
        assert SECRET not in "".join(traceback.format_exception(caught.value))
