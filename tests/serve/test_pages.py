"""The page: its files, the JSON that it shows, and what a browser makes of it (where there is Chromium)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
import refmaker.serve
from refmaker.serve.pages import FILES
from tests.serve.conftest import serving

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "refmaker" / "serve" / "page"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=20000",
    "--window-size=1100,1300",
]


def test_files_of_the_page(air: Path, clients: Any) -> None:
    client = clients(air)
    for name, kind in FILES.items():
        found = client.get(f"/~page/{name}")
        assert (found.status, found.headers["content-type"], found.body) == (200, kind, (PAGE / name).read_bytes())
        assert client.get(f"/~page/{name}", if_none_match=found.headers["etag"]).status == 304
    assert client.get("/").body == (PAGE / "index.html").read_bytes()
    assert "default-src 'none'" in client.get("/").headers["content-security-policy"]
    for name in ("../pages.py", "zarrita.LICENSE.txt", "x.js", ""):
        assert client.get(f"/~page/{name}").status == 404


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name in set(FILES) - {"zarrita.js"}:
        text = (PAGE / name).read_text()
        assert not re.search(r"(src|href)=\"https?:|import .*https?:|url\(https?:|innerHTML", text), name
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "serve/page/*" in package["refmaker"]


def test_json(air: Path, clients: Any) -> None:
    client = clients(air.parent)
    assert json.loads(client.get("/~api/manifests").body) == {"total": 1, "manifests": ["air.json"]}
    assert json.loads(client.get("/~api/manifests?q=nothing").body)["total"] == 0
    found = json.loads(client.get("/~api/manifest?name=air.json").body)
    rows = {row["path"]: row for row in found["variables"]}
    assert sorted(rows) == ["group/one", "group/plain", "refused", "sparse", "t"]
    assert rows["refused"]["refused"] == "no Zarr has this"
    assert (rows["t"]["shape"], rows["t"]["cells"], rows["t"]["present"]) == ([7, 5], 4, 4)
    with h5py.File(air.parent / "air.h5") as file:
        assert rows["t"]["stored"] == file["t"].id.get_storage_size()
    assert found["attributes"] == {"title": "air"}
    part = json.loads(client.get("/~api/manifest?name=air.json&offset=1&limit=2").body)
    assert [row["path"] for row in part["variables"]] == ["group/plain", "refused"]
    one = json.loads(client.get("/~api/variable?name=air.json&path=sparse").body)
    assert len(one["map"]["present"]) == 3
    for path in ("/~api/variable?name=air.json&path=no", "/~api/manifest?name=no", "/~api/no", "/~api/manifest"):
        assert client.get(path).status == 404


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """Return the manifest of a file with times, coordinates, missing values and hostile names."""
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        for name, values, units in (
            ("time", np.arange(4) * 6.0, "hours since 2020-01-01"),
            ("lat", np.linspace(-60, 60, 60), "degrees_north"),
            ("lon", np.linspace(0, 357, 120), "degrees_east"),
        ):
            file[name] = values
            file[name].attrs["units"] = units
            file[name].make_scale(name)
        lat, lon = np.meshgrid(file["lat"][:], file["lon"][:], indexing="ij")
        values = np.stack(
            [250 + 40 * np.cos(np.radians(lat)) + 5 * np.sin(np.radians(3 * lon + 90 * i)) for i in range(4)]
        )
        values[:, 20:30, 30:50] = -999
        made = file.create_dataset("t2m", data=values.astype("f4"), chunks=(1, 30, 40), compression="gzip")
        made.attrs["_FillValue"] = np.float32(-999)
        made.attrs["units"] = "K"
        made.attrs["note"] = "<img src=x onerror=document.title='owned'>"
        for axis, name in enumerate(("time", "lat", "lon")):
            made.dims[axis].attach_scale(file[name])
        file["station"] = np.sin(np.arange(500) / 30)
        file["names"] = np.array(["a", "<b>bold</b>"], dtype=h5py.string_dtype())
    refmaker.write_manifest(refmaker.scan(tmp_path / "cube.h5"), tmp_path / "cube.json")
    return tmp_path / "cube.json"


def browse(url: str, *flags: str, profile: Path) -> str:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, url], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_in_a_browser(cube: Path, tmp_path: Path, zarr_format: int) -> None:
    if zarr_format == 3:
        refmaker.write_manifest(refmaker.scan(tmp_path / "cube.h5", zarr_format=3), cube)
    with serving(refmaker.serve.app(str(cube))) as url:
        listed = browse(f"{url}/", "--dump-dom", profile=tmp_path / "p")
        assert "t2m" in listed
        assert "time, lat, lon" in listed
        image = browse(f"{url}/#m=cube.json&v=t2m", "--dump-dom", profile=tmp_path / "p")
        assert 'data-drawn="1"' in image, image
        assert "60 by 120 values" in image
        assert "0: 2020-01-01 00:00" in image
        assert "<title>t2m</title>" in image
        assert "&lt;img src=x" in image
        line = browse(f"{url}/#m=cube.json&v=station", "--dump-dom", profile=tmp_path / "p")
        assert 'data-drawn="1"' in line
        names = browse(f"{url}/#m=cube.json&v=names", "--dump-dom", profile=tmp_path / "p")
        assert "&lt;b&gt;bold" in names


def test_a_failing_target_is_said(cube: Path, tmp_path: Path) -> None:
    (tmp_path / "cube.h5").unlink()
    with serving(refmaker.serve.app(str(cube))) as url:
        image = browse(f"{url}/#m=cube.json&v=t2m", "--dump-dom", profile=tmp_path / "p")
        assert "Cannot be drawn" in image
        assert "data-drawn" not in image
