"""A missing extra is named as it would be installed here: from where refmaker came, by what installed it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from refmaker import extras


class Fake(Distribution):
    def __init__(self, installer: str | None, origin: dict[str, Any] | str | None) -> None:
        self.texts = {
            "INSTALLER": installer,
            "direct_url.json": json.dumps(origin) if isinstance(origin, dict) else origin,
        }

    def read_text(self, filename: str) -> str | None:
        return self.texts.get(filename)

    def locate_file(self, path: Any) -> Any:
        return path


FOLDER = {"url": "file:///src/ref%20maker", "dir_info": {}}


@pytest.mark.parametrize(
    ("found", "command"),
    [
        ([Fake("pip\n", None)], "pip install 'refmaker[s3]'"),
        ([Fake("uv", None)], "uv pip install 'refmaker[s3]'"),
        ([Fake("pip", FOLDER)], "pip install '/src/ref maker[s3]'"),
        ([Fake("pip", {**FOLDER, "dir_info": {"editable": True}})], "pip install -e '/src/ref maker[s3]'"),
        ([Fake("pip", {"url": "file:///w/r-1.whl", "archive_info": {}})], "pip install '/w/r-1.whl[s3]'"),
        ([Fake("pip", {"url": "https://h/r.whl", "archive_info": {}})], "pip install 'refmaker[s3] @ https://h/r.whl'"),
        (
            [Fake("pip", {"url": "https://h/r", "vcs_info": {"vcs": "git", "commit_id": "1f"}})],
            "pip install 'refmaker[s3] @ git+https://h/r@1f'",
        ),
        ([Fake("conda", None)], "conda install -c conda-forge s3fs"),
        ([Fake(None, None), Fake("pip", FOLDER)], "pip install '/src/ref maker[s3]'"),
        ([], "pip install 'refmaker[s3]'"),
        ([Fake("pip", "{")], "pip install 'refmaker[s3]'"),
        ([Fake("pip", "[]")], "pip install 'refmaker[s3]'"),
    ],
)
def test_command(monkeypatch: pytest.MonkeyPatch, found: Sequence[Fake], command: str) -> None:
    monkeypatch.setattr(extras, "_distributions", lambda: list(found))
    assert extras.install_command("s3") == command
    assert len(shlex.split(command.replace("-e ", "").replace("-c conda-forge ", ""))) >= 3


def test_every_extra_that_is_named_exists() -> None:
    import re
    import tomllib

    root = Path(__file__).resolve().parent.parent
    known = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = "".join(path.read_text() for path in (root / "refmaker").rglob("*.py"))
    named = set(re.findall(r"install_command\(['\"](\w+)['\"]\)", text))
    assert len(named) >= 6
    assert named | extras._CONDA.keys() <= known.keys()
