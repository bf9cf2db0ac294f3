"""A reference that leads nowhere has no path, whatever links of the file lead nowhere too."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array


@pytest.mark.parametrize("nowhere", [False, True], ids=["sound", "a link leads nowhere"])
def test_a_null_reference_is_the_empty_path(tmp_path: Path, nowhere: bool) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        lost = file.create_group("lost")
        file["x"] = np.zeros(2)
        references = file.create_dataset("r", (2,), h5py.ref_dtype)
        references[0] = file["x"].ref
        where = h5py.h5o.get_info(lost.id).addr
    if nowhere:
        path.write_bytes(_lead_nowhere(path.read_bytes(), where))
    manifest = scan(str(path))
    assert open_array(manifest, tmp_path, "r")[...].tolist() == ["/x", ""]
    if nowhere:
        assert set(manifest.refusals) == {"/lost"}


def _lead_nowhere(data: bytes, address: int) -> bytes:
    """Put the undefined address in the place of a hard link's, in the symbol table node, which has no checksum."""
    found = data.index(address.to_bytes(8, "little"), data.index(b"SNOD"))
    return data[:found] + b"\xff" * 8 + data[found + 8 :]
