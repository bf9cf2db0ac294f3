"""Every snippet of the documentation of catalogues runs, in the order in which it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.catalogues.conftest import Make

DOCS = Path(__file__).parents[2] / "docs"


def test_snippets_run(globe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(globe().parent)
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / "catalogues.md").read_text("utf-8"), re.DOTALL)
    assert len(snippets) == 4
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, "catalogues.md", "exec"), names)
    assert names["values"].shape == (2, 3, 4)  # type: ignore[attr-defined]
    assert names["item"]["bbox"] == [-10, 10, 20, 30]  # type: ignore[index]
