from __future__ import annotations

import pytest

from refmaker.conventions.names import zarr_name_problem


@pytest.mark.parametrize("name", ["a", "a b", "température", "%20", "c", "0.0", ".hidden", "...x", "{{x}}", "x.zarray"])
def test_names_that_are_kept(name: str) -> None:
    assert zarr_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        (".", "full stops"),
        ("..", "full stops"),
        (".zarray", "'.z'"),
        (".zone", "'.z'"),
        ("zarr.json", "'zarr.json'"),
        ("a/b", "slash"),
        ("a\\b", "slash"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "UTF-8"),
    ],
)
def test_names_that_are_refused(name: str, why: str) -> None:
    problem = zarr_name_problem(name)
    assert problem is not None
    assert why in problem
