"""Urls of targets in the spelling of each library."""

from __future__ import annotations

import os

import pytest

from refmaker.bridges.locations import absolute, icechunk_location, plain, virtualizarr_location
from refmaker.errors import Unsupported


@pytest.mark.parametrize(
    ("url", "virtualizarr", "icechunk"),
    [
        ("/data/a b.nc", "file:///data/a b.nc", "file:///data/a b.nc"),
        ("file:///data/a+é.nc", "file:///data/a+é.nc", "file:///data/a+é.nc"),
        ("/data/100%.nc", "file:///data/100%.nc", "file:///data/100%25.nc"),
        ("s3://bucket/a%20b.nc", "s3://bucket/a%20b.nc", "s3://bucket/a%2520b.nc"),
        ("https://host/a%20b.nc", "https://host/a%20b.nc", "https://host/a%20b.nc"),
    ],
)
def test_of_both_libraries(url: str, virtualizarr: str, icechunk: str) -> None:
    assert virtualizarr_location(url) == virtualizarr
    assert icechunk_location(url) == icechunk


def test_a_relative_path_is_that_of_the_working_directory() -> None:
    assert absolute("a.nc") == f"file://{os.getcwd()}/a.nc"


@pytest.mark.parametrize("url", ["/data/a#b.nc", "/data/a?b.nc", "/data/a?", "s3://bucket/a#b", "https://host/a?key=1"])
def test_paths_that_virtualizarr_would_cut(url: str) -> None:
    with pytest.raises(Unsupported, match="'\\?' or '#'"):
        virtualizarr_location(url)


def test_marks_that_icechunk_would_cut_at() -> None:
    assert icechunk_location("/data/a#b?c.nc") == "file:///data/a%23b%3Fc.nc"


def test_a_file_in_a_container_has_no_url() -> None:
    with pytest.raises(Unsupported, match="container"):
        absolute("zip://a.nc::/data/a.zip")


def test_a_path_is_decoded_and_nothing_else() -> None:
    assert plain("file:///a%20b+c%25.nc") == "file:///a b+c%.nc"
