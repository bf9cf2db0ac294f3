"""The file behind a url, by a registry that needs no package."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from refmaker.bridges.registered_files import registered_file
from refmaker.errors import SourceError


class Store:
    """A store with some files."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def head(self, path: str) -> dict[str, Any]:
        if path == "denied%41":
            raise PermissionError("no")
        if path not in self.names:
            raise FileNotFoundError(path)
        return {"size": 1}


class LocalStore(Store):
    """Called as obstore's."""


class Registry:
    def __init__(self, store: Store) -> None:
        self.store = store

    def resolve(self, url: str) -> tuple[Store, str]:
        return self.store, urlsplit(url).path.lstrip("/")


@pytest.mark.parametrize(
    ("names", "url", "expected"),
    [
        (["a b"], "s3://bucket/a%20b", ("s3://bucket/a b", "a b")),
        (["a%20b", "a b"], "s3://bucket/a%20b", ("s3://bucket/a%20b", "a%20b")),
        ([], "s3://bucket/a%20b", ("s3://bucket/a%20b", "a%20b")),
        ([], "s3://bucket/a b", ("s3://bucket/a b", "a b")),
    ],
)
def test_encoded_names(names: list[str], url: str, expected: tuple[str, str]) -> None:
    found = registered_file(url, Registry(Store(*names)))
    assert (found.url, found.path) == expected
    assert found.local is None


def test_files_of_this_machine_are_read_by_their_path() -> None:
    assert registered_file("file:///data/a%20b.nc", Registry(LocalStore("data/a b.nc"))).local == "/data/a b.nc"
    assert registered_file("s3://bucket/a.nc", Registry(LocalStore("a.nc"))).local is None
    assert registered_file("file:///data/a.nc", Registry(Store("data/a.nc"))).local is None


def test_a_store_that_refuses() -> None:
    with pytest.raises(SourceError, match="no"):
        registered_file("s3://bucket/denied%41", Registry(Store()))
