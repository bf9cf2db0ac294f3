"""Parquet sets in the readers of others, as these are when nobody sets anything: fsspec with fastparquet, kerchunk."""

from __future__ import annotations

import gc
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import ManifestError
from refmaker.kerchunk.parquet_shard_codec import decode_shard, encode_shard
from refmaker.kerchunk.parquet_writer import load_parquet, write_parquet
from refmaker.manifest import Manifest, References, Target
from tests.kerchunk.making import array, rows

pytest.importorskip("pyarrow")
pytest.importorskip("fastparquet")
pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")
zarr = pytest.importorskip("zarr", minversion="3")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fastparquet:Warning"),  # pandas will do without some day
    # fsspec leaves sessions and event loops to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

VALUES = np.arange(100, 140, dtype="<i4")


@pytest.fixture(autouse=True)
def _sessions_of_stock() -> Iterator[None]:
    """Collect what stock fsspec leaves open, sessions of HTTP, before another test hears of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def references(targets: int = 1) -> References:
    """Make ten chunks of four values: 2 is absent, 3 inlined, 4 empty and inlined as what reads as base64, 5 whole."""
    cells = [0, 1, 6, 7, 8, 9]
    held = rows(cells, [16 * cell for cell in cells], [16] * 6, [cell % targets for cell in cells])
    held.inline = {3: VALUES[12:16].tobytes()}
    held.whole = {5: targets}
    return held


def expected() -> np.ndarray[Any, Any]:
    found = VALUES.copy()
    found[8:12] = found[16:20] = -1  # as the fill value says
    return found


def data_at(folder: Path, lead: str) -> tuple[Target, ...]:
    """Put the values and their chunk 5 into files; give these as targets."""
    (folder / "a.bin").write_bytes(VALUES.tobytes())
    (folder / "b b+é.bin").write_bytes(VALUES.tobytes())
    (folder / "whole.bin").write_bytes(VALUES[20:24].tobytes())
    return tuple(Target(lead + name) for name in ("a.bin", "b b+é.bin", "whole.bin"))


def a_set(folder: Path, lead: str, *, record_size: int = 100_000, names: tuple[str, ...] = ("x", "g/h/x")) -> Path:
    node = array((10,), references(2), chunk=4, attributes={"_ARRAY_DIMENSIONS": ["n"]})
    node.metadata.document["fill_value"] = -1
    groups: dict[str, dict[str, Any]] = {"": {"title": "é"}}
    groups |= {"g": {"of": "g"}, "g/h": {}} if names != ("x",) else {}
    write_parquet(
        Manifest(2, groups, dict.fromkeys(names, node), data_at(folder, lead)),
        folder / "m.parq",
        record_size=record_size,
    )
    return folder / "m.parq"


def stock(location: str, protocol: str, **options: Any) -> Any:
    """Open a set as users do who know the documentation of fsspec."""
    remote = {"asynchronous": True, "skip_instance_cache": True}
    storage = {"fo": location, "remote_protocol": protocol, "remote_options": remote}
    return xr.open_dataset("reference://", engine="zarr", mask_and_scale=False, storage_options=storage, **options)


def served(server: Any, folder: Path) -> str:
    """Serve the files of a folder under the paths that aiohttp asks for."""
    yarl = pytest.importorskip("yarl")
    for file in folder.rglob("*"):
        if file.is_file():
            path = yarl.URL(f"http://host/{file.relative_to(folder).as_posix()}").raw_path
            server.add(path[1:], file.read_bytes())
    return f"{server.url}/m.parq"


@pytest.mark.parametrize("record_size", [1, 3, 7, 100_000])
@pytest.mark.parametrize(
    "options",
    [{}, {"consolidated": True}, {"consolidated": False}, {"group": "g/h"}, {"consolidated": True, "group": "g/h"}],
)
def test_xarray_on_the_disk(tmp_path: Path, record_size: int, options: dict[str, Any]) -> None:
    with stock(str(a_set(tmp_path, f"{tmp_path}/", record_size=record_size)), "file", **options) as data:
        assert data.x.values.tolist() == expected().tolist()
        if "group" not in options:
            assert data.attrs == {"title": "é"}


@pytest.mark.parametrize("consolidated", [None, True])
def test_xarray_over_http(tmp_path: Path, range_server: Any, consolidated: bool | None) -> None:
    pytest.importorskip("aiohttp")
    location = served(range_server, a_set(tmp_path, f"{range_server.url}/data/", record_size=3).parent)
    for name in ("a.bin", "b%20b+%C3%A9.bin", "whole.bin"):
        range_server.files[f"data/{name}"] = range_server.files[name]
    with stock(location, "http", consolidated=consolidated) as data:
        assert data.x.values.tolist() == expected().tolist()


@pytest.mark.parametrize("record_size", [3, 100_000])
def test_kerchunk(tmp_path: Path, record_size: int) -> None:
    pytest.importorskip("kerchunk")
    path = a_set(tmp_path, f"{tmp_path}/", record_size=record_size, names=("x",))
    with xr.open_dataset(str(path), engine="kerchunk", mask_and_scale=False) as data:
        assert data.x.values.tolist() == expected().tolist()


def test_one_by_one(tmp_path: Path) -> None:
    """`cat`, `exists` and listing, of what is there and of what is not."""
    path = a_set(tmp_path, f"{tmp_path}/", record_size=4)
    found = fsspec.filesystem("reference", fo=str(path), remote_protocol="file", skip_instance_cache=True)
    raw = VALUES.tobytes()
    for cell in (0, 1, 3, 5, 6, 9):
        assert found.cat_file(f"x/{cell}") == raw[16 * cell : 16 * cell + 16]
        assert found.exists(f"g/h/x/{cell}")
    assert not found.exists("x/2")
    with pytest.raises(FileNotFoundError):
        found.cat_file("x/2")
    assert {type(part) for part in found.references["x/0"][1:]} == {np.int64}


def test_inlined_data_that_look_like_base64(tmp_path: Path) -> None:
    for data in (b"base64:", b"base64:AAAA", b"base64:\xff\0", b"base64", b"BASE64:AAAA", b""):
        made = Manifest(2, {"": {}}, {"x": array((1,), References.empty())}, ())
        made.arrays["x"].references.inline = {0: data}
        write_parquet(made, tmp_path / "m.parq")
        found = fsspec.filesystem(
            "reference", fo=str(tmp_path / "m.parq"), remote_protocol="file", skip_instance_cache=True
        )
        assert found.cat_file("x/0") == data
        assert load_parquet(tmp_path / "m.parq").arrays["x"].references.at(0) == data


def test_base64_in_a_shard_of_others_has_to_be_some() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for data in (b"base64:A", b"base64:@@@@"):
        sink = io.BytesIO()
        pq.write_table(pa.table({"raw": pa.array([data])}), sink)
        with pytest.raises(ManifestError, match="inlined data"):
            decode_shard(sink.getvalue(), 0, 1, lambda url: 0, structure="s", source="m")


ODD = [
    "a b",
    "a%b",
    "a:b",
    "a{b}",
    "{}",
    "é",
    "a&b",
    "'",
    '"',
    "a*b",
    "a[0]",
    "~",
    "0",
    "1.5",
    ".hidden",
    "x.z",
    "::",
]
MISLEADING = ["a%20b", "%2e", "a#b", "a?b", "a+b", "a\nb", "a\tb", "a\x7fb", ".zfoo", "g/.z", ".zs/x"]


@pytest.mark.parametrize("afar", [False, True])
def test_names(tmp_path: Path, range_server: Any, afar: bool) -> None:
    """Whatever an array is called, stock has its values, or has no such array: never fill values."""
    path = a_set(tmp_path, f"{tmp_path}/", record_size=3, names=(*ODD, *MISLEADING))
    location = served(range_server, tmp_path) if afar else str(path)
    options = {"remote_protocol": "file", "remote_options": {"asynchronous": True}}
    found = fsspec.filesystem("reference", fo=location, asynchronous=True, skip_instance_cache=True, **options)
    group = zarr.open_group(zarr.storage.FsspecStore(found, read_only=True), mode="r", zarr_format=2)
    for name in ODD:
        assert group[name][:].tolist() == expected().tolist(), name
    for name in MISLEADING:
        with pytest.raises(KeyError):
            group[name]
    ours = load_parquet(path)
    assert {*ours.arrays} == {*ODD, *MISLEADING}
    assert all(ours.arrays[name].references.at(3) == VALUES[12:16].tobytes() for name in ours.arrays)


def columns(data: bytes) -> dict[str, list[Any]]:
    """Read a shard as fsspec does."""
    frame = pd.read_parquet(io.BytesIO(data), engine="fastparquet")
    found = {name: frame[name].to_numpy(copy=True) for name in frame.columns}
    assert found["offset"].dtype == found["size"].dtype == np.int64
    return {name: column.tolist() for name, column in found.items()}


@settings(deadline=None, max_examples=30)
@given(
    count=st.sampled_from([1, 2, 7, 8, 9, 64, 257, 1000, 12_000]),
    urls=st.sampled_from([1, 2, 129, 300, 5000]),
    mode=st.sampled_from(["mixed", "sorted", "references", "absent", "inlined", "whole"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_fastparquet_reads_every_shard(count: int, urls: int, mode: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    if mode in ("mixed", "sorted"):
        kind = random.integers(0, 4, count)
        kind = np.sort(kind) if mode == "sorted" else kind
    else:
        kind = np.full(count, ["references", "absent", "inlined", "whole"].index(mode))
    table = [f"s3://b/{'ü' * (number % 3)}{number}{'x' * (number % 50)}" for number in range(urls)]
    cell = np.flatnonzero(kind == 0)
    target = random.integers(0, urls, len(cell))
    offset = random.integers(1, 2**62, len(cell), dtype="u8")
    size = random.integers(0, 2**62, len(cell), dtype="u8")
    inline = {int(row): random.bytes(int(random.integers(0, 20))) for row in np.flatnonzero(kind == 2)}
    whole = {int(row): int(random.integers(0, urls)) for row in np.flatnonzero(kind == 3)}
    data = encode_shard(References(cell, target, offset, size, inline, whole), 0, count, table)
    path: list[Any] = [None] * count
    for row, code in (*zip(cell.tolist(), target.tolist(), strict=True), *whole.items()):
        path[row] = table[code]
    first, length = np.zeros((2, count), "i8")
    first[cell], length[cell] = offset, size
    raw = [inline.get(row) for row in range(count)]
    assert columns(data) == {"path": path, "offset": first.tolist(), "size": length.tolist(), "raw": raw}


def test_more_urls_than_a_dictionary_page_has_room_for() -> None:
    """pyarrow would write text behind two mebibytes of urls, of which fastparquet makes NaN where there is none."""
    count = 20_000
    table = [f"s3://bucket/{number:0200}" for number in range(count)]
    cell = np.arange(0, count, 2)
    ones = np.ones(len(cell), "u8")
    data = encode_shard(References(cell, cell, ones, ones), 0, count, table)
    found = columns(data)["path"]
    assert found[::2] == table[::2]
    assert found[1::2] == [None] * (count // 2)
