"""Edge chunks that are stored without what reaches beyond the dataset: what h5py reads is what zarr reads."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from refmaker.mapping.edges import EdgeAllowance, Edges
from refmaker.scanning.scan import scan
from refmaker.window import MissingBytes
from tests.mapping.stock import open_array

COMPOUND = np.dtype([("a", "S1"), ("b", "<f4")])
PADDED = np.dtype([("a", "i1"), ("b", "<f4")], align=True)


def shuffled(data: bytes, size: int) -> bytes:
    return np.frombuffer(data, "u1").reshape(-1, size).T.tobytes()


def write(path: Path, values: npt.NDArray[Any], chunks: tuple[int, ...], **options: Any) -> None:
    """Write all chunks by hand, each with the rows only that lie within the dataset."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", values.shape, values.dtype, chunks=chunks, **options)
        for start in np.ndindex(*(-(-n // c) for n, c in zip(values.shape, chunks, strict=True))):
            origin = tuple(s * c for s, c in zip(start, chunks, strict=True))
            whole = np.zeros(chunks, values.dtype)
            part = values[tuple(slice(o, o + c) for o, c in zip(origin, chunks, strict=True))]
            whole[tuple(map(slice, part.shape))] = part
            data = whole[: part.shape[0]].tobytes()
            if options.get("shuffle"):
                data = shuffled(data, values.dtype.itemsize)
            dataset.id.write_direct_chunk(origin, zlib.compress(data) if options.get("compression") else data)


def ramp(dtype: Any, *shape: int) -> npt.NDArray[Any]:
    values = np.zeros(shape, dtype)
    for name in values.dtype.names or (None,):
        part = values if name is None else values[name]
        part[...] = (np.arange(part.size) % 100).reshape(part.shape).astype(part.dtype)
    return values


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize(
    ("dtype", "shape", "chunks"),
    [
        ("<i4", (20,), (12,)),
        (">f8", (7, 5), (3, 2)),
        ("<u2", (4, 9), (3, 9)),
        (COMPOUND, (20,), (12,)),
        (PADDED, (20,), (12,)),
        ([("a", ">i2"), ("b", ">f4")], (5,), (4,)),
        ([("a", "<i2"), ("v", "<f4", (3,))], (5,), (4,)),
        ("S3", (5,), (4,)),
    ],
)
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning", "ignore::zarr.errors.UnstableSpecificationWarning")
def test_padded(
    tmp_path: Path,
    dtype: Any,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    options: dict[str, Any],
    zarr_format: int,
) -> None:
    path, values = tmp_path / "a.h5", ramp(dtype, *shape)
    write(path, values, chunks, **options)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["d"][...], values)
    manifest = scan(str(path), zarr_format=zarr_format)
    assert manifest.refusals == {}
    for member in [""] if "d" in manifest.arrays else values.dtype.names or ():
        got = open_array(manifest, tmp_path, f"d/{member}".rstrip("/"))[...]
        np.testing.assert_array_equal(got, values[member] if member else values)


def test_only_short_chunks_leave_the_file(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", ramp("<i4", 20)
    write(path, values, (12,), compression="gzip")
    references = scan(str(path)).arrays["d"].references
    assert (references.cell.tolist(), list(references.inline)) == ([0], [1])
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, chunks=(12,), compression="gzip")
    assert scan(str(path)).arrays["d"].references.cell.tolist() == [0, 1]


def test_what_libhdf5_would_make_up_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, options in (("plain", {}), ("gzip", {"compression": "gzip"})):
            dataset = file.create_dataset(name, (20,), "<i4", chunks=(12,), **options)
            for start, data in ((0, bytes(48)), (12, bytes(28))):  # 7 rows where 8 are in the dataset
                dataset.id.write_direct_chunk((start,), zlib.compress(data) if options else data)
    assert scan(str(path)).refusals.keys() == {"/plain", "/gzip"}


def test_filters_of_libhdf5_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        whole = file.create_dataset("whole", data=np.zeros(8, "<i4"), chunks=(8,), compression="lzf")
        lzf = whole.id.read_direct_chunk((0,))[1]
        short = file.create_dataset("short", (20,), "<i4", chunks=(12,), compression="lzf")
        short.id.write_direct_chunk((12,), lzf)
    manifest = scan(str(path))
    assert list(manifest.refusals) == ["/short"]
    assert "stored without" in manifest.refusals["/short"]


def test_bytes_behind_a_chunk_are_left_out(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", ramp("<i4", 20)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", (20,), "<i4", chunks=(12,))
        for start in (0, 12):
            dataset.id.write_direct_chunk((start,), values[start : start + 12].tobytes().ljust(48, b"\0") + b"more")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["d"][...], values)
    np.testing.assert_array_equal(open_array(scan(str(path)), tmp_path, "d")[...], values)


def test_needed_bytes() -> None:
    edges = Edges((7, 5), (3, 2), 8)
    want = [[48, 48, 40], [48, 48, 40], [16, 16, 8]]  # up to the last element within, in C order
    assert edges.needed(np.arange(9)).tolist() == np.ravel(want).tolist()
    assert edges.sample(np.arange(9)) == 8
    assert edges.sample(np.array([0, 1])) is None
    assert not Edges((6, 4), (3, 2), 8).any


def test_nothing_is_asked_for_over_a_network() -> None:
    def read(offset: int, size: int) -> bytes:
        raise MissingBytes(np.array([offset]), np.array([size]))

    columns = np.array([1]), np.array([0], "u8"), np.array([9], "u8")
    decoder: Any = None
    assert not Edges((5,), (4,), 8).has_short(decoder, columns, 0, read, EdgeAllowance())


def test_the_allowance_ends() -> None:
    allowance = EdgeAllowance(1 << 20)
    assert allowance.covers(1 << 20)
    allowance.take(1 << 20)
    assert not allowance.covers(1 << 15)
    assert allowance.covers(1 << 10)
