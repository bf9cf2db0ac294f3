"""Manifests of every kind, made by hand and by hypothesis, and a plain writer to compare with."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
from hypothesis import strategies as st

from refmaker.manifest import Manifest, ManifestArray, References, Target
from refmaker.zarr.keys import ancestors
from refmaker.zarr.metadata import ArrayMetadata


def strict_json(text):
    """Parse JSON that holds no NaN and no key twice."""

    def members(pairs):
        keys = [key for key, _ in pairs]
        assert len(set(keys)) == len(keys)
        return dict(pairs)

    def constant(name):
        raise AssertionError(f"{name} in JSON")

    return json.loads(text, parse_constant=constant, object_pairs_hook=members)


def metadata(grid, zarr_format=2, *, chunk=1, separator=None, encoding="default", dtype="<i4", compressor=None):
    shape = [extent * chunk for extent in grid]
    if zarr_format == 2:
        document = {"zarr_format": 2, "shape": shape, "chunks": [chunk] * len(grid), "dtype": dtype, "order": "C"}
        document |= {"compressor": compressor, "filters": None, "fill_value": -1}
        return document | ({"dimension_separator": separator} if separator else {})
    configuration = {"configuration": {"separator": separator}} if separator else {}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "int32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk] * len(grid)}},
        "chunk_key_encoding": {"name": encoding, **configuration},
        "fill_value": -1,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }


def array(grid, references=None, *, attributes=None, **options):
    return ManifestArray(
        ArrayMetadata.from_json(metadata(grid, **options)),
        attributes or {},
        tuple(grid),
        references or References.empty(),
    )


def rows(cell, offset, size, target=None):
    target = np.broadcast_to(np.uint8(0), len(cell)) if target is None else np.array(target, "u4")
    return References(np.array(cell, "i8"), target, np.array(offset, "u8"), np.array(size, "u8"))


# A writer that builds a dict, chunk by chunk.


def chunk_name(document, grid, cell):
    index = []
    for extent in reversed(grid):
        cell, i = divmod(cell, extent)
        index.insert(0, str(i))
    if document["zarr_format"] == 2:
        return document.get("dimension_separator", ".").join(index or ["0"])
    encoding = document["chunk_key_encoding"]
    if encoding["name"] == "v2":
        return encoding.get("configuration", {}).get("separator", ".").join(index or ["0"])
    return encoding.get("configuration", {}).get("separator", "/").join(["c", *index])


def plain_refs(manifest):
    refs = {}
    for path, attributes in manifest.groups.items():
        prefix = path + "/" if path else ""
        if manifest.zarr_format == 2:
            refs |= {prefix + ".zgroup": {"zarr_format": 2}, prefix + ".zattrs": attributes}
        else:
            refs[prefix + "zarr.json"] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    for path, a in manifest.arrays.items():
        prefix = path + "/" if path else ""
        if manifest.zarr_format == 2:
            refs |= {prefix + ".zarray": a.metadata.to_json(), prefix + ".zattrs": a.attributes}
        else:
            refs[prefix + "zarr.json"] = a.metadata.to_json() | {"attributes": a.attributes}
        r = a.references
        name = lambda cell: prefix + chunk_name(a.metadata.document, a.grid, cell)  # noqa: B023,E731
        urls = [t.url for t in manifest.targets]
        columns = (r.cell.tolist(), r.target.tolist(), r.offset.tolist(), r.size.tolist())
        refs |= {name(cell): [urls[target], offset, size] for cell, target, offset, size in zip(*columns, strict=True)}
        refs |= {name(cell): [urls[target]] for cell, target in r.whole.items()}
        refs |= {name(cell): "base64:" + base64.b64encode(data).decode() for cell, data in r.inline.items()}
    return refs | {key: "base64:" + base64.b64encode(data).decode() for key, data in manifest.extra.items()}


def parsed_refs(text):
    refs = strict_json(text)["refs"]
    consolidated = refs.pop(".zmetadata", None)
    leaves = (".zgroup", ".zattrs", ".zarray", "zarr.json")
    for key in refs:
        if key.rpartition("/")[2] in leaves:
            assert type(refs[key]) is str
            refs[key] = strict_json(refs[key])
    nested = any("/" in key and key.endswith("/.zgroup") for key in refs)
    assert (consolidated is not None) == nested
    if consolidated is not None:
        documents = {key: value for key, value in sorted(refs.items()) if key.rpartition("/")[2] in leaves}
        assert list(strict_json(consolidated)["metadata"].items()) == list(documents.items())
    return refs


# Any manifest.

strange = st.text(
    st.sampled_from("abcz019.-+ %#?:*~&=\\\"'{}[]<>|\n\t\0\x01\x1f\x7fé世😀\u2028"), min_size=1, max_size=6
)
components = st.one_of(
    strange, st.sampled_from(["c", "0", "0.0", ".zarray", ".zgroup", "zarr.json", "base64:", "refs"])
)
paths = st.lists(components.filter(lambda c: c not in (".", "..")), min_size=1, max_size=3).map("/".join)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strange
jsons = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strange, inner, max_size=3), max_leaves=6
)
attributes = st.dictionaries(strange, jsons, max_size=3)
targets = st.builds(
    Target,
    strange,
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | strange,
    st.none() | st.floats(-(2.0**62), 2.0**62),
)
extents = st.integers(1, 4) | st.integers(1, 120) | st.sampled_from([10**4, 10**4 + 1, 2**33])


@st.composite
def references(draw, cells, count):
    few = st.sets(st.integers(0, cells - 1), max_size=8)
    taken = draw(few)
    if draw(st.booleans()):
        first = draw(st.integers(0, cells - 1))
        taken |= set(range(first, min(first + draw(st.integers(30, 90)), cells)))
    inline = draw(st.dictionaries(st.sampled_from(sorted(taken)), st.binary(max_size=9), max_size=3)) if taken else {}
    rest = sorted(taken - inline.keys())
    if not count:
        return _only_inline(inline)
    whole = draw(st.dictionaries(st.sampled_from(rest), st.integers(0, count - 1), max_size=2)) if rest else {}
    rest = [cell for cell in rest if cell not in whole]
    random = np.random.default_rng(draw(st.integers(0, 99)))
    bits = random.integers(1, 64, len(rest), dtype="u8")
    offset = random.integers(0, 2**63, len(rest), dtype="u8") >> bits
    size = random.integers(0, 2**63, len(rest), dtype="u8") >> bits[::-1]
    top = draw(st.booleans())
    if rest and top:
        offset[0], size[0] = 2**64 - 2, 1
    target = (
        random.integers(0, count, len(rest)).astype("u2")
        if draw(st.booleans())
        else np.broadcast_to(np.uint8(count - 1), len(rest))
    )
    return References(np.array(rest, "i8"), target, offset, size, inline, whole)


def _only_inline(inline):
    found = References.empty()
    found.inline = inline
    return found


@st.composite
def manifests(draw, *, zarr_formats=(2, 3), extents=extents, most=2**63):
    zarr_format = draw(st.sampled_from(zarr_formats))
    table = draw(st.lists(targets, max_size=4, unique_by=lambda target: target.url))
    arrays, groups = {}, {"": draw(attributes)}
    for path in draw(st.lists(paths, max_size=4, unique=True)):
        if any(above in arrays for above in ancestors(path)) or any(
            p.startswith(path + "/") for p in (*arrays, *groups)
        ):
            continue
        for above in ancestors(path):
            groups.setdefault(above, draw(attributes))
        grid = draw(st.lists(extents, max_size=4).filter(lambda grid: math.prod(grid) < most))
        if path in groups:
            continue
        arrays[path] = ManifestArray(
            ArrayMetadata.from_json(
                metadata(
                    grid,
                    zarr_format,
                    chunk=draw(st.integers(1, 3)),
                    separator=draw(st.sampled_from([None, ".", "/"])),
                    encoding=draw(st.sampled_from(["default", "v2"])),
                )
            ),
            draw(attributes),
            tuple(grid),
            draw(references(math.prod(grid), len(table))),
        )
    return Manifest(
        zarr_format,
        groups,
        arrays,
        tuple(table),
        refusals=draw(st.dictionaries(strange, strange, max_size=2)),
        history=draw(st.lists(strange, max_size=2)),
        extra=draw(st.dictionaries(strange.map("extra-{}".format), st.binary(max_size=4), max_size=2)),
    )


def comparable(manifest):
    """Return everything in a manifest in a form that `==` compares exactly."""
    arrays = {}
    for path, a in manifest.arrays.items():
        r = a.references
        assert (r.cell.dtype, r.offset.dtype, r.size.dtype) == (np.dtype("i8"), np.dtype("u8"), np.dtype("u8"))
        columns = [column.tolist() for column in (r.cell, r.target, r.offset, r.size)]
        arrays[path] = (a.metadata, a.attributes, a.grid, columns, r.inline, r.whole)
    parts = (manifest.refusals, manifest.history, manifest.extra)
    return repr((manifest.zarr_format, list(manifest.targets))), manifest.groups, arrays, parts
