"""OME-XML gives plans; what is damaged, elsewhere or hostile gives none."""

from __future__ import annotations

import pytest

from refmaker.tiff.ome import read_ome

PIXELS = (
    '<OME xmlns="o"><Image><Pixels DimensionOrder="XYCZT" SizeC="{c}" SizeZ="2" SizeT="1">{data}</Pixels></Image></OME>'
)


def test_planes_in_order():
    (plan,) = read_ome(PIXELS.format(c=2, data="<TiffData/>")) or []
    assert (plan.lead, plan.axes, plan.pages) == ((1, 2, 2), "TZC", [0, 1, 2, 3])


def test_planes_one_by_one():
    data = "".join(f'<TiffData IFD="{3 - n}" FirstC="{n % 2}" FirstZ="{n // 2}" PlaneCount="1"/>' for n in range(4))
    (plan,) = read_ome(PIXELS.format(c=2, data=data)) or []
    assert plan.pages == [3, 2, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "<OME",
        "<!DOCTYPE a><OME/>",
        '<OME xmlns="o"/>',
        PIXELS.format(c=2, data=""),
        PIXELS.format(c=2, data='<TiffData PlaneCount="99999999999"/>'),
        PIXELS.format(c=2, data='<TiffData FirstC="7"/>'),
        PIXELS.format(c=2, data="<TiffData/><TiffData/>"),
        PIXELS.format(c=0, data="<TiffData/>"),
        PIXELS.format(c=1 << 60, data="<TiffData/>"),
    ],
)
def test_none(text):
    assert read_ome(text) is None
