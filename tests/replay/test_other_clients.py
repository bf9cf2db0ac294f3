"""Manifests in readers that are not written in Python: the same values. Skipped where these are not there.

`REFMAKER_GDAL_PYTHON` names an interpreter with a rasterio that brings GDAL 3.11 or newer (`pip install rasterio`),
`REFMAKER_NODE_MODULES` a folder in which `npm install zarrita @zarrita/storage` was run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from refmaker.manifest.manifest import Manifest
from tests.servers import RangeServer

GDAL = os.environ.get("REFMAKER_GDAL_PYTHON")
NODE = os.environ.get("REFMAKER_NODE_MODULES")

WITH_GDAL = """
import json, sys, rasterio
for name in sys.argv[2:]:
    with rasterio.open(f'ZARR:"/vsikerchunk_json_ref/{{{sys.argv[1]}}}":/{name}') as found:
        print(json.dumps(found.read(1).tolist()))
"""
WITH_ZARRITA = """
import * as zarr from "zarrita";
import Ref from "@zarrita/storage/ref";
const [url, ...names] = process.argv.slice(2);
const store = await Ref.fromSpec(await (await fetch(url)).json());
for (const name of names) {
  const found = await zarr.get(await zarr.open.v2(zarr.root(store).resolve("/" + name), { kind: "array" }));
  console.log(JSON.stringify(Array.from(found.data)));
}
"""


@pytest.fixture
def scanned(tmp_path: Path) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Scan a file of HDF5 in the folder of the test: compressed, of either byte order, some in the manifest."""
    h5py = pytest.importorskip("h5py")
    import refmaker

    values = np.round(np.random.default_rng(0).normal(size=(30, 40)).cumsum(axis=1) * 64).astype("f4")
    expected = {"packed": values, "big": values.astype("i4"), "partly": values.copy(), "group/small": values[:3, :4]}
    expected["partly"][14:] = 5
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options = {"chunks": (7, 11), "compression": "gzip", "shuffle": True}
        file.create_dataset("packed", data=values, **options)
        file.create_dataset("big", data=values.astype(">i4"), chunks=(7, 11))
        file.create_dataset("partly", (30, 40), "f4", fillvalue=5, **options)[:14] = values[:14]
        file.create_dataset("group/small", data=values[:3, :4])
    return refmaker.scan(str(tmp_path / "a.h5")), expected


def output(command: list[str], script: str = "", folder: str | None = None) -> list[object]:
    """Run a reader; return what it printed, a JSON value a line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=script, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(GDAL is None, reason="REFMAKER_GDAL_PYTHON is not set")
def test_gdal(scanned: tuple[Manifest, dict[str, np.ndarray]], tmp_path: Path) -> None:
    held, expected = scanned
    held.to_json(tmp_path / "m.json")
    found = output([str(GDAL), "-c", WITH_GDAL, str(tmp_path / "m.json"), *expected])
    for values, want in zip(found, expected.values(), strict=True):
        np.testing.assert_array_equal(values, want)


@pytest.mark.skipif(NODE is None or shutil.which("node") is None, reason="REFMAKER_NODE_MODULES is not set")
def test_zarrita(scanned: tuple[Manifest, dict[str, np.ndarray]], range_server: RangeServer, tmp_path: Path) -> None:
    held, expected = scanned
    held.to_json(tmp_path / "m.json")
    target = range_server.add("a.h5", (tmp_path / "a.h5").read_bytes())
    text = (tmp_path / "m.json").read_text().replace(str(tmp_path / "a.h5"), target)
    url = range_server.add("m.json", text.encode())
    found = output(["node", "--input-type=module", "-", url, *expected], WITH_ZARRITA, NODE)
    for values, want in zip(found, expected.values(), strict=True):
        np.testing.assert_array_equal(np.reshape(values, want.shape), want)
