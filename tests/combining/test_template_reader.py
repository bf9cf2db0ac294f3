"""The quick reader against the ordinary one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import refmaker
from refmaker.combining.collection import Collection
from refmaker.combining.loading import collect
from refmaker.combining.template_reader import QuickReader
from refmaker.errors import ManifestError, RefmakerError
from refmaker.kerchunk.json_writer import iter_json, read_json
from refmaker.manifest.manifest import Manifest

from .making import write


def text_of(manifest: Manifest) -> bytes:
    return b"".join(iter_json(manifest))


@pytest.fixture
def texts(tmp_path: Path) -> list[bytes]:
    return [text_of(refmaker.scan(str(write(tmp_path / f"{n}.nc", 4 * n)))) for n in range(3)]


def held(collection: Collection) -> dict[str, Any]:
    """Return all that a collection says, in plain terms."""
    return {
        path: [
            (
                series.inputs[entry], collection.form(series, entry).metadata, series.shapes[entry],
                references.cell.tolist(), [collection.targets[t].url for t in references.target.tolist()],
                references.offset.tolist(), references.size.tolist(), references.inline, references.whole,
            )
            for entry, references in enumerate(series.each())
        ]
        for path, series in collection.series.items()
    }  # fmt: skip


def read_quickly(texts: list[bytes]) -> tuple[Collection, list[bool]]:
    collection = Collection()
    reader = QuickReader(collection)
    return collection, [reader.add(f"{n}", text, "/x/m.json") for n, text in enumerate(texts)]


def read_plainly(texts: list[bytes]) -> Collection:
    collection = Collection()
    for number, text in enumerate(texts):
        collection.add(f"{number}", read_json(text, source=f"{number}"))
    return collection


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("threshold", [0, 100, 10_000])
def test_same(zarr_format: Any, threshold: int, tmp_path: Path) -> None:
    texts = [
        text_of(
            refmaker.scan(str(write(tmp_path / f"{n}.nc", 4 * n)), zarr_format=zarr_format, inline_threshold=threshold)
        )
        for n in range(3)
    ]
    quick, done = read_quickly(texts)
    plain = read_plainly(texts)
    assert done == [True] * 3
    assert held(quick) == held(plain)
    assert quick.targets == plain.targets
    assert quick.history == plain.history
    assert quick.groups == plain.groups


def test_other_grids_are_left_to_the_ordinary_reader(tmp_path: Path) -> None:
    texts = [text_of(refmaker.scan(str(write(tmp_path / f"{n}.nc", rows=rows)))) for n, rows in enumerate((4, 6))]
    assert read_quickly(texts)[1] == [True, True]  # other keys: learnt apart
    changed = json.loads(texts[0])
    for key in ("t2m/.zarray", "time/.zarray"):
        metadata = json.loads(changed["refs"][key])
        metadata["shape"][0] = 6
        changed["refs"][key] = json.dumps(metadata)
    assert read_quickly([texts[0], json.dumps(changed).encode()])[1] == [True, False]


def _whole(reference: Any) -> Any:
    return [reference[0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: [r[0], -1, r[2]],
        lambda r: [r[0], 1.5, r[2]],
        lambda r: [r[0], True, r[2]],
        lambda r: [r[0], 2**64, r[2]],
        lambda r: [r[0], 2**64 - 1, r[2]],
        lambda r: [None, r[1], r[2]],
        lambda r: ["s3://other/file", r[1], r[2]],
        lambda r: "base64:!",
        lambda r: [r[0], r[1]],
        lambda r: None,
        lambda r: 3,
    ],
)
def test_what_the_ordinary_reader_refuses(change: Any, texts: list[bytes], tmp_path: Path) -> None:
    document = json.loads(texts[1])
    for key in ("t2m/0.0.0", "t2m/1.0.0"):
        document["refs"][key] = change(document["refs"][key])
    changed = json.dumps(document).encode()
    with pytest.raises(ManifestError):
        read_json(changed, source="x")
    (tmp_path / "a.json").write_bytes(texts[0])
    (tmp_path / "b.json").write_bytes(changed)
    with pytest.raises(ManifestError) as error:
        collect([tmp_path / "a.json", tmp_path / "b.json"], storage_options={})
    assert error.value.source == str(tmp_path / "b.json")


@pytest.mark.parametrize("change", [_whole, lambda r: "base64:AAAA", lambda r: "plain"])
def test_what_is_unusual_is_read_all_the_same(change: Any, texts: list[bytes], tmp_path: Path) -> None:
    document = json.loads(texts[1])
    document["refs"]["t2m/1.0.0"] = change(document["refs"]["t2m/1.0.0"])
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    paths[0].write_bytes(texts[0])
    paths[1].write_bytes(json.dumps(document).encode())
    found = collect(paths, storage_options={})
    assert held(found) == held(read_plainly([path.read_bytes() for path in paths]))


def test_a_manifest_from_elsewhere_does_not_lead_here(texts: list[bytes]) -> None:
    reader = QuickReader(Collection())
    with pytest.raises(RefmakerError, match="a file of this machine"):
        reader.add("m", texts[0], "https://example.org/m.json")


def test_memory_is_bounded(texts: list[bytes]) -> None:
    """Keys that are always new are not remembered for ever."""
    collection = Collection()
    reader = QuickReader(collection)
    for number in range(40):
        document = json.loads(texts[0])
        document["refs"][f"g{number}/.zgroup"] = '{"zarr_format": 2}'
        assert reader.add(f"{number}", json.dumps(document).encode(), "/m.json")
    assert len(reader._templates) <= 16
