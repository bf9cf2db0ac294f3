"""Tests mirror the tree, and what does not have its tests yet becomes less."""

from __future__ import annotations

import pytest

from tests.mirror import ALLOWED, ROOT, mirrored, modules, without_tests

PACKAGES = {"benchmarks", "corpus", "fuzz", "interop", "security"}  # which are about no package, but about all


def test_modules_without_a_test_file_only_become_fewer() -> None:
    allowed = ALLOWED.read_text().splitlines()
    without = without_tests()
    assert [module for module in without if module not in allowed] == [], "write tests for these"
    assert [module for module in allowed if module not in without] == [], f"take these out of {ALLOWED.name}"
    assert allowed == sorted(set(allowed))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("refmaker/hdf5/walk.py", "tests/hdf5/test_walk.py"),
        ("refmaker/atomic.py", "tests/test_atomic.py"),
        ("cli/scan.py", "tests/cli/test_scan.py"),
    ],
)
def test_where_the_tests_of_a_module_stand(module: str, expected: str) -> None:
    assert module in modules()
    assert mirrored(module) == ROOT / expected


def test_a_directory_of_tests_is_that_of_a_package() -> None:
    packages = {path.parent.name for path in (ROOT / "refmaker").glob("*/__init__.py")} | {"cli"} | PACKAGES
    assert {path.parent.name for path in (ROOT / "tests").glob("*/*.py")} <= packages
