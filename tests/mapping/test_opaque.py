"""Opaque data with the tags of h5py: what h5py shows is what zarr shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker.scanning.scan import scan
from refmaker.verification.verify import verify
from tests.mapping.stock import open_array

UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s")
TAGGED: dict[str, Any] = {
    **{f"M8_{unit}": np.array([1, -5], "<i8").view(f"<M8[{unit}]") for unit in UNITS},
    **{f"m8_{unit}": np.array([1, -5], "<i8").view(f"<m8[{unit}]") for unit in UNITS},
    "M8_big": np.array([1, -5], ">i8").view(">M8[s]"),
    "S": np.array([b"one", b"a\0b"], "S5"),
    "U": np.array(["ab", "é\U0001f600"], "<U3"),
    "U_big": np.array(["ab", "cd"], ">U3"),
    "V": np.array([b"ab", b"c\0"], "V2"),
    "bool": np.array([True, False]),
    "i2_big": np.array([1, -2], ">i2"),
    "u8": np.array([1, 2**63], "<u8"),
    "f2": np.array([1.5, np.nan], "<f2"),
    "f8": np.array([1.5, -np.inf], ">f8"),
    "c8": np.array([1 + 2j, np.nan], "<c8"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning", "ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("options", [{}, {"chunks": (1,), "compression": "lzf"}, {"chunks": (2,), "maxshape": (4,)}])
def test_as_h5py(tmp_path: Path, options: dict[str, Any], zarr_format: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, values in TAGGED.items():
            tagged = h5py.opaque_dtype(values.dtype)
            file.create_dataset(name, data=values.astype(tagged), dtype=tagged, **options)
            if "maxshape" in options:
                file[name].resize((4,))  # the rest is missing
        shown = {name: file[name][...] for name in TAGGED}
    manifest = scan(str(path), zarr_format=zarr_format)
    assert manifest.refusals == {}
    for name, want in shown.items():
        got = open_array(manifest, tmp_path, name)[...]
        assert got.dtype.newbyteorder("=") == want.dtype.newbyteorder("=")  # Zarr 3 has no byte order
        assert got.astype(want.dtype).tobytes() == want.tobytes()
    manifest.to_json(str(tmp_path / "m.json"))
    report = verify(str(tmp_path / "m.json"), sample=None)
    assert (report.differences, report.skipped) == (0, 0)


@pytest.mark.parametrize(
    ("tag", "size"),
    [(b"<f16", 16), (b"<c32", 32), (b"nonsense", 4), (b"|O8", 8), (b"<i4", 8), (b"i4,f4", 8), (b"", 3), (b"\xb0", 3)],
)
def test_others_are_refused(tmp_path: Path, tag: bytes, size: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = h5py.h5t.create(h5py.h5t.OPAQUE, size)
        made.set_tag(b"NUMPY:" + tag)
        h5py.h5d.create(file.id, b"d", made, h5py.h5s.create_simple((2,)))
    assert "with the tag" in scan(str(path)).refusals["/d"]


def test_members(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    time, number = h5py.opaque_dtype(np.dtype("<M8[s]")), h5py.opaque_dtype(np.dtype("<f4"))
    values = np.zeros(3, [("n", ">i4"), ("t", "<M8[s]"), ("f", "<f4")])
    values["n"], values["f"] = [1, 2, 3], [0.5, 1.5, 2.5]
    values["t"] = np.array([5, 6, 7], "<M8[s]")
    with h5py.File(path, "w") as file:
        dtype = np.dtype([("n", ">i4"), ("t", time), ("f", number)])
        file.create_dataset("d", (3,), dtype, chunks=(2,), compression="lzf")[...] = values.astype(dtype)
    got = open_array(scan(str(path)), tmp_path, "d")[...]
    for name in values.dtype.names or ():
        np.testing.assert_array_equal(got[name], values[name])
