"""Clients as users have them, over HTTP: values are those that h5py reads, and a failing file is an error to each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

import refmaker
import refmaker.serve
from tests.serve.conftest import serving

pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs")
TREES = ["~v2-stored", "~v3-stored", "~v2-decoded", "~v3-decoded"]
NAMES = ["zlib", "shuffled", "big", "contiguous", "sparse", "scalar", "lzf"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return the manifest of a file with several codecs and layouts."""
    values = np.arange(60, dtype="f4").reshape(10, 6)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file.create_dataset("zlib", data=values, chunks=(4, 3), compression="gzip")
        file.create_dataset("shuffled", data=values.astype("i4"), chunks=(4, 3), compression="gzip", shuffle=True)
        file.create_dataset("big", data=values.astype(">i2"), chunks=(4, 3))
        file.create_dataset("contiguous", data=values.astype("f8"))
        file.create_dataset("sparse", (40_000,), "f4", chunks=(10_000,), fillvalue=np.nan)[10_000:10_005] = range(5)
        file["scalar"] = np.float64(2.5)
        file.create_dataset("lzf", data=np.zeros((64, 64), "i4") + 7, chunks=(32, 32), compression="lzf")
    refmaker.write_manifest(refmaker.scan(tmp_path / "many.h5", inline_limit=0), tmp_path / "many.json")
    return tmp_path / "many.json"


def truth(many: Path) -> dict[str, Any]:
    with h5py.File(many.parent / "many.h5") as file:
        return {name: file[name][...] for name in NAMES}


@pytest.mark.parametrize("tree", TREES)
def test_zarr_python_and_xarray(many: Path, tree: str) -> None:
    with serving(refmaker.serve.app(str(many))) as url:
        root = zarr.open_group(f"{url}/{tree}/many.json", mode="r")
        assert root.metadata.zarr_format == int(tree[2])
        assert root.metadata.consolidated_metadata is not None
        for name, expected in truth(many).items():
            np.testing.assert_array_equal(root[name][...], expected, err_msg=name)
        with xr.open_zarr(f"{url}/{tree}/many.json") as found:
            np.testing.assert_array_equal(found["zlib"].values, truth(many)["zlib"])
    os.truncate(many.parent / "many.h5", 5000)  # a new server: the decoded view keeps chunks for a while
    with serving(refmaker.serve.app(str(many))) as url:
        root = zarr.open_group(f"{url}/{tree}/many.json", mode="r")
        for name in ("zlib", "contiguous", "lzf", "sparse"):
            with pytest.raises(Exception, match=r"502|409"):
                root[name][...]


@pytest.mark.parametrize("tree", TREES)
def test_tensorstore(many: Path, tree: str) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    read = []
    with serving(refmaker.serve.app(str(many))) as url:
        for name, expected in truth(many).items():
            spec = {
                "driver": "zarr3" if "v3" in tree else "zarr",
                "kvstore": f"{url}/{tree}/many.json/{name}/",
            }
            try:
                found = tensorstore.open(spec, read=True).result()
            except ValueError:  # a codec that it has not, said when the array is opened
                continue
            np.testing.assert_array_equal(found.read().result(), expected, err_msg=name)
            read.append(name)
        assert set(read) >= {"big", "contiguous", "sparse", "scalar"}
        assert "decoded" not in tree or read == NAMES
    os.truncate(many.parent / "many.h5", 3000)
    with serving(refmaker.serve.app(str(many))) as url:
        fresh = tensorstore.open({**spec, "kvstore": f"{url}/{tree}/many.json/contiguous/"}, read=True).result()
        with pytest.raises(Exception, match=r"502|409|HTTP"):
            fresh.read().result(timeout=5)


SCRIPT = """
import * as zarr from "PAGE";
const [url, ...names] = process.argv.slice(2);
const root = zarr.root(new zarr.FetchStore(url));
const out = {};
for (const name of names) {
  try {
    const array = await zarr.open(root.resolve(name), { kind: "array" });
    const read = await zarr.get(array, array.shape.length ? undefined : null);
    out[name] = Array.from(read.data ?? [read], (value) => (Number.isNaN(Number(value)) ? "NaN" : Number(value)));
  } catch (error) { out[name] = `error: ${error.message}`; }
}
console.log(JSON.stringify(out));
"""


@pytest.mark.parametrize("tree", TREES)
def test_zarrita(many: Path, tmp_path: Path, tree: str) -> None:
    """The bundle of the page, in node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    bundle = tmp_path / "zarrita.mjs"
    bundle.write_bytes((Path(refmaker.serve.__file__).parent / "page" / "zarrita.js").read_bytes())
    script = tmp_path / "read.mjs"
    script.write_text(SCRIPT.replace("PAGE", bundle.as_uri()))

    def read(url: str) -> dict[str, Any]:
        command = [node, str(script), f"{url}/{tree}/many.json", *NAMES]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with serving(refmaker.serve.app(str(many))) as url:
        found = read(url)
        for name, expected in truth(many).items():
            if "stored" in tree and name == "lzf":  # it has no LZF, and says so
                assert "error" in found[name]
                continue
            flat = ["NaN" if value != value else value for value in np.ravel(expected).tolist()]
            assert found[name] == flat, name
    os.truncate(many.parent / "many.h5", 3000)
    with serving(refmaker.serve.app(str(many))) as url:
        for name, value in read(url).items():
            assert isinstance(value, str), f"{name}: {value[:5]}"
            assert "error" in value
