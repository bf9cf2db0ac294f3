"""Urls and options of fsspec as Icechunk has them."""

from __future__ import annotations

from typing import Any

import pytest

from refmaker.bridges import icechunk_places as places
from refmaker.errors import Unsupported


@pytest.mark.parametrize(
    ("locations", "expected"),
    [
        (["file:///data/a/1.nc", "file:///data/a/2.nc"], ["file:///data/a/"]),
        (["file:///data/a/1.nc", "file:///data/b/c/2.nc"], ["file:///data/"]),
        (["file:///data/a b/1.nc"], ["file:///data/"]),
        (["file:///data/a%25b/1.nc"], ["file:///data/"]),
        (["s3://b/1", "s3://b/2/3", "s3://c/1", "gs://b/1"], ["gs://b/", "s3://b/", "s3://c/"]),
        (["https://host:8000/a/b.nc"], ["https://host:8000/"]),
        ([], []),
    ],
)
def test_containers_of_targets(locations: list[str], expected: list[str]) -> None:
    assert places.prefixes(locations) == expected


@pytest.mark.parametrize("locations", [["file:///a/1.nc", "file:///b/1.nc"], ["file:///é/1.nc"], ["memory://a"]])
def test_what_has_no_container(locations: list[str]) -> None:
    with pytest.raises(Unsupported):
        places.prefixes(locations)


@pytest.fixture
def icechunk() -> Any:
    return pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("/data/repo", {}),
        ("s3://bucket/a/repo", {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:1"}),
        ("s3://bucket", {"anon": True, "client_kwargs": {"region_name": "eu-west-1"}}),
        ("gs://bucket/a", {"token": "anon"}),
    ],
)
def test_storages(icechunk: Any, url: str, options: dict[str, Any]) -> None:
    assert isinstance(places.storage(url, options), icechunk.Storage)


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("/data/repo", {"anon": True}, "'anon'"),
        ("s3://bucket/a", {"profile": "me"}, "'profile'"),
        ("s3://bucket/a", {"client_kwargs": {"verify": False}}, "'verify'"),
        ("gs://bucket/a", {"project": "p"}, "'project'"),
        ("https://host/repo", {}, "https"),
    ],
)
def test_what_has_no_counterpart(icechunk: Any, url: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        places.storage(url, options)


@pytest.mark.parametrize("prefix", ["file:///data/", "s3://bucket/", "gs://bucket/", "https://host/"])
def test_containers_and_their_credentials(icechunk: Any, prefix: str) -> None:
    assert places.container(prefix).url_prefix == prefix
    repository = icechunk.Repository.create(
        icechunk.in_memory_storage(), authorize_virtual_chunk_access=places.access([prefix], {})
    )
    assert set(repository.authorized_virtual_container_prefixes) == {prefix}


@pytest.mark.parametrize(
    ("prefix", "options"),
    [("s3://b/", {"anon": True}), ("s3://b/", {"key": "k", "secret": "s"}), ("gs://b/", {"token": "anon"})],
)
def test_credentials_of_options(icechunk: Any, prefix: str, options: dict[str, Any]) -> None:
    icechunk.Repository.create(
        icechunk.in_memory_storage(), authorize_virtual_chunk_access=places.access([prefix], options)
    )


def test_no_credentials_are_kept_in_a_repository(icechunk: Any) -> None:
    shown = repr(places.container("s3://bucket/", {"key": "AKIA1", "secret": "hidden", "endpoint_url": "http://h"}))
    assert "hidden" not in shown
    assert "AKIA1" not in shown
