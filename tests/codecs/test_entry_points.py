from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    ("group", "name", "attribute"),
    [
        ("numcodecs.codecs", "refmaker_hdf5", "codec_id"),
        ("numcodecs.codecs", "refmaker_sequences", "codec_id"),
        ("zarr.codecs", "refmaker.hdf5", "name"),
    ],
)
def test_codecs_are_found_under_their_name(group: str, name: str, attribute: str) -> None:
    pytest.importorskip("zarr", minversion="3")
    value = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"][group][name]
    assert getattr(EntryPoint(name, value, group).load(), attribute) == name


def test_codecs_of_imagecodecs_are_found_under_their_name() -> None:
    pytest.importorskip("imagecodecs")
    points = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]["numcodecs.codecs"]
    others = {name: value for name, value in points.items() if name.startswith("imagecodecs_")}
    assert len(others) > 10
    for name, value in others.items():
        assert EntryPoint(name, value, "numcodecs.codecs").load().codec_id == name
