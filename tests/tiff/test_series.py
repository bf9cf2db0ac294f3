"""Pages are sorted into images as tifffile sorts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tifffile")

import tifffile

from refmaker.tiff.series import images_of
from refmaker.tiff.walk import TiffWalk
from tests.formats.reading import counting
from tests.tiff.made import run
from tests.windows import MemoryWindow

WRITTEN = {
    "stack": ((6, 40, 50), {"metadata": None}),
    "cut short": ((6, 40, 50), {"truncate": True}),
    "shaped": ((3, 2, 40, 50), {"metadata": {"axes": "TCYX"}}),
    "ImageJ": ((2, 3, 40, 50), {"imagej": True, "metadata": {"axes": "TZYX"}}),
    "OME": ((2, 3, 4, 40, 50), {"ome": True, "metadata": {"axes": "TCZYX"}}),
    "OME, colors": ((2, 40, 50, 3), {"ome": True, "photometric": "rgb", "metadata": {"axes": "ZYXS"}}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_shapes(tmp_path: Path, name: str) -> None:
    shape, options = WRITTEN[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, counting("u1", *shape), **options)
    walk = TiffWalk(MemoryWindow(path.read_bytes()))
    run([walk.start])
    (image,) = images_of(walk.directories)
    with tifffile.TiffFile(path) as file:
        (series,) = file.series
        assert (*image.lead, *image.levels[0][0].shape) == series.shape
        if name != "cut short":
            assert image.axes + image.levels[0][0].axes == series.axes


def test_levels_of_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = counting("u2", 4, 64, 64)
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(data, subifds=1, metadata={"axes": "ZYX"}, photometric="minisblack", tile=(32, 32))
        file.write(data[:, ::2, ::2], subfiletype=1, photometric="minisblack", tile=(32, 32))
    walk = TiffWalk(MemoryWindow(path.read_bytes()))
    run([walk.start])
    (image,) = images_of(walk.directories)
    assert [(len(level), level[0].shape) for level in image.levels] == [(4, (64, 64)), (4, (32, 32))]


def test_a_description_that_lies_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((40, 50), "u1"), description='{"shape": [9, 40, 50]}', metadata=None, compression="zlib"
    )
    walk = TiffWalk(MemoryWindow(path.read_bytes()))
    run([walk.start])
    assert [image.lead for image in images_of(walk.directories)] == [()]
