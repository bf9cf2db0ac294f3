"""What bridges say of packages that are not there."""

from __future__ import annotations

import sys

import pytest

from refmaker.bridges import packages
from refmaker.bridges.packages import needed
from refmaker.errors import Unsupported


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.NEEDS, "no_such_package", (3, 12))
    with pytest.raises(Unsupported, match=r"pip install .*\[no_such_package\]") as raised:
        needed("no_such_package")
    assert ("Python 3.12" in str(raised.value)) == (sys.version_info < (3, 12))


def test_a_package_that_lacks_another(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """What is missing is not the package: its own error says what is."""
    (tmp_path / "half_there.py").write_text("import no_such_package")  # type: ignore[operator]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(packages.NEEDS, "half_there", (3, 12))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        needed("half_there")


def test_a_module_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.NEEDS, "json", (3, 12))
    assert needed("json", "json.decoder").__name__ == "json.decoder"
