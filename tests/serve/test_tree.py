from __future__ import annotations

from pathlib import Path

import pytest

import refmaker
from refmaker.errors import ManifestError, Unsupported
from refmaker.serve.tree import Tree, TreeFileSystem, TreeKind, converter
from tests.servers import RangeServer


def tree(location: object, kind: TreeKind | None = None, **options: object) -> Tree:
    kind = kind or TreeKind()
    view = "decoded" if kind.view == "decoded" else "transparent"
    fs = TreeFileSystem(location, adapt=converter(kind.zarr_format), view=view, asynchronous=True, **options)
    return Tree(fs, kind, 1)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("~v2-stored", TreeKind(2)),
        ("~v3-decoded", TreeKind(3, "decoded")),
        ("~v4-stored", None),
        ("air.json", None),
        ("~v2", None),
    ],
)
def test_kinds(part: str, expected: TreeKind | None) -> None:
    assert TreeKind.parse(part) == expected


@pytest.mark.asyncio
async def test_entities(air: Path) -> None:
    found = tree(air)
    chunk = await found.entity("t/0.0")
    assert chunk.chunk
    assert chunk.data is None
    assert chunk.size == len(await found.read("t/0.0"))
    assert chunk.etag is not None
    assert (await found.entity("group/one/0")).size == 8
    metadata = await found.entity(".zmetadata")
    assert not metadata.chunk
    assert b'"group/one/.zarray"' in (metadata.data or b"")
    assert b'"one/.zarray"' in ((await found.entity("group/.zmetadata")).data or b"")
    for key in ("nothing", "t/9.9", "t/zarr.json", "zarr.json", "nothing/.zmetadata"):
        with pytest.raises(FileNotFoundError):
            await found.entity(key)
    with pytest.raises(Unsupported, match="no Zarr has this"):
        await found.entity("refused/0")
    with pytest.raises(ManifestError):
        await found.entity("t/0/0")


@pytest.mark.asyncio
async def test_tags_differ_where_bytes_may(air: Path) -> None:
    one, other = tree(air), tree(air, TreeKind(None, "decoded"))
    tags = {(await t.entity(key)).etag for t in (one, other) for key in ("t/0.0", "group/plain/0")}
    assert len(tags) == 4
    assert (await tree(air).entity("t/0.0")).etag == (await one.entity("t/0.0")).etag
    changed = Tree(one.fs, one.kind, 2)
    assert (await changed.entity("t/0.0")).etag != (await one.entity("t/0.0")).etag


@pytest.mark.asyncio
async def test_no_tag_where_nothing_tells_versions(air: Path) -> None:
    document = refmaker.open_manifest(air).to_dict()
    foreign = {"version": 1, "refs": dict(document["refs"])}
    assert (await tree(foreign).entity("t/0.0")).etag is None
    assert (await tree(air, check="size").entity("t/0.0")).etag is None
    assert (await Tree(tree(air).fs, TreeKind(), None).entity("t/0.0")).etag is None


@pytest.mark.asyncio
async def test_another_format_under_the_policy_of_the_manifest(air: Path, range_server: RangeServer) -> None:
    """A manifest from elsewhere that leads to this machine is refused in whatever format it is shown."""
    url = range_server.add("air.json", air.read_bytes().replace(b'"air.h5"', f'"{air.parent}/air.h5"'.encode()))
    for kind in (TreeKind(), TreeKind(3), TreeKind(3, "decoded")):
        found = tree(url, kind)
        key = "t/c/0/0" if kind.zarr_format == 3 else "t/0.0"
        await found.entity(key)
        with pytest.raises(refmaker.SourceError):
            await found.read(key)


@pytest.mark.asyncio
async def test_consolidated_metadata_are_of_the_format_that_is_shown(air: Path) -> None:
    document = refmaker.open_manifest(air).to_dict()
    document["refs"][".zmetadata"] = '{"metadata": {}, "zarr_consolidated_format": 1}'
    found = tree(document, TreeKind(3))
    with pytest.raises(FileNotFoundError):
        await found.entity(".zmetadata")
    assert b'"t"' in ((await found.entity("zarr.json")).data or b"")
    assert b'"t/.zarray"' in ((await tree(document).entity(".zmetadata")).data or b"")
