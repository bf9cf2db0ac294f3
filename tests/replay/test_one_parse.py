"""A key is parsed once on its way from a call of the filesystem to the bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refmaker.replay.filesystem import FileSystem
from refmaker.replay.keys import ChunkKeyEncoding
from tests.replay.scenes import DATA, VALUES, scene

CALLS: dict[str, Callable[[FileSystem], Any]] = {
    "whole": lambda fs: fs.cat_file("g/x/0.0"),
    "slice": lambda fs: fs.cat_file("g/x/0.0", 0, 8),
    "many": lambda fs: fs.cat(["g/x/0.0"])["g/x/0.0"],
    "ranges": lambda fs: fs.cat_ranges(["g/x/0.0"], 0, 8)[0],
    "inlined": lambda fs: fs.cat_file("g/x/2.0"),
}


@pytest.mark.parametrize("view", ["transparent", "decoded"])
@pytest.mark.parametrize("call", CALLS)
def test_a_key_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: Any, call: str) -> None:
    (tmp_path / "a.nc").write_bytes(DATA)
    fs = FileSystem(scene(str(tmp_path / "a.nc")), view=view, check="size", chunk_target=1)
    fs.cat_file(".zgroup")  # loads the manifest
    parsed: list[str] = []
    parse = ChunkKeyEncoding.cell

    def counted(encoding: ChunkKeyEncoding, name: str) -> int | None:
        parsed.append(name)
        return parse(encoding, name)

    monkeypatch.setattr(ChunkKeyEncoding, "cell", counted)
    name, values = ("2.0", VALUES[4:]) if call == "inlined" else ("0.0", VALUES[:2])
    expected = values.tobytes()
    assert CALLS[call](fs) == (expected[:8] if call in ("slice", "ranges") else expected)
    assert parsed == [name]
