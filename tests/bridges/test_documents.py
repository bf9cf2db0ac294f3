"""Every snippet of the documentation of bridges runs, in the order in which it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "package"),
    [("virtualizarr.md", "virtualizarr"), ("icechunk.md", "icechunk"), ("from-kerchunk.md", "kerchunk")],
)
def test_snippets_run(name: str, package: str, air: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(air.parent)
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)
    assert len(snippets) > 1
    names: dict[str, object] = {"path": str(air)}
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), names)
    if package == "icechunk":
        assert names["values"].shape == (4, 6)  # type: ignore[attr-defined]
