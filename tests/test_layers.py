"""The architecture, held by the syntax trees: who may import whom, what may not be written at all.

The order of the layers is that of docs/design.md. A module imports from its own layer and from those before it.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [
    "refmaker._version",
    "refmaker.redaction",
    "refmaker.logs",
    "refmaker.options",
    "refmaker.extras",
    "refmaker.errors",
    "refmaker.limits",
    "refmaker.urls",
    "refmaker.report_json",
    "refmaker.leftovers",
    "refmaker.atomic",
    "refmaker.file_version",
    "refmaker.descriptors",
    "refmaker.processes",
    "refmaker.retry",
    "refmaker.locks",
    "refmaker.path_filter",
    "refmaker.datatypes",
    "refmaker.model",
    "refmaker.h5py_library",
    "refmaker.steps",
    "refmaker.cf_decoding",
    "refmaker.ranges",
    "refmaker.window",
    "refmaker.zarr",
    "refmaker.codecs",
    "refmaker.hdf5",
    "refmaker.netcdf3",
    "refmaker.conventions",
    "refmaker.manifest",
    "refmaker.kerchunk",
    "refmaker.plots",
    "refmaker.mapping",
    "refmaker.stores",
    "refmaker.sources",
    "refmaker.linked",
    "refmaker.driver",
    "refmaker.formats",
    "refmaker.tiff",
    "refmaker.zarr_stores",
    "refmaker.scanning",
    "refmaker.replay",
    "refmaker.engines",
    "refmaker.combining",
    "refmaker.fill_chunks",
    "refmaker.bridges",
    "refmaker.catalogues",
    "refmaker.batch",
    "refmaker.verification",
    "refmaker.serve",
    "refmaker",
    "refmaker_cli",
]
LIGHT = {"click", "numpy", "refmaker", "refmaker_cli", *sys.stdlib_module_names}
"""What may be imported at the top of a module; everything else is loaded by the function that needs it."""
FACES = {
    "refmaker.codecs.b2nd": "numcodecs",
    "refmaker.codecs.hdf5": "numcodecs",
    "refmaker.codecs.lz4_block": "numcodecs",
    "refmaker.codecs.sequences": "numcodecs",
    "refmaker.codecs.zarr3": "zarr",
    "refmaker.codecs.zarr3_b2nd": "zarr",
    "refmaker.codecs.zarr3_crop": "zarr",
    "refmaker.replay.filesystem": "fsspec",
    "refmaker.replay.key_file": "fsspec",
    "refmaker.replay.listing_methods": "fsspec",
    "refmaker.replay.xarray_backend": "xarray",
    "refmaker.replay.xarray_store": "xarray",
}
"""Modules that are somebody's plug-in: whoever loads them has that package loaded already."""
NUMPY_FREE = ("refmaker", "refmaker._version", "refmaker.errors", "refmaker.limits", "refmaker.redaction")
MAX_LINES = 400
MAX_FUNCTION = 60
"""Lines of a function, its docstring apart."""
LINE = 120

MODULES = {
    ".".join(["refmaker_cli" if part == "cli" else part for part in path.relative_to(ROOT).with_suffix("").parts]): path
    for folder in ("refmaker", "cli")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def _name(module: str) -> str:
    return module.removesuffix(".__init__")


def _layer(module: str) -> int:
    """Return the layer of a module.

    The longest name in `LAYERS` that it is or lies below.
    """
    fitting = [layer for layer in LAYERS if module == layer or module.startswith(layer + ".")]
    if not fitting or (fitting == ["refmaker"] and module != "refmaker"):
        pytest.fail(f"{module} is in no layer: docs/design.md and LAYERS name them all")
    return LAYERS.index(max(fitting, key=len))


def _imports(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of every import, `from a import b` as `a.b` where that is a module."""
    package = module if module.endswith(".__init__") else module.rpartition(".")[0]
    package = _name(package)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in MODULES or f"{full}.__init__" in MODULES else base


def _top_level(tree: ast.Module) -> ast.Module:
    """Return what runs on import: no function bodies, no `if TYPE_CHECKING`."""

    class Pruned(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.If | None:
            test = node.test
            return None if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING" else node

    return Pruned().visit(tree)


def _running(tree: ast.Module) -> ast.Module:
    """Return what runs at one time or another: all but `if TYPE_CHECKING`."""

    class Pruned(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST:
            kept = node
            if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                kept = ast.If(ast.Constant(False), node.orelse, []) if node.orelse else ast.Pass()
            return self.generic_visit(kept)

    return Pruned().visit(tree)


def _circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the sets of modules that lead back to themselves: what is left when those that cannot are taken away."""
    left = {name: set(found) & set(graph) for name, found in graph.items()}
    while True:
        ends = {name for name, found in left.items() if not found & set(left)}
        ends |= set(left) - {one for found in left.values() for one in found}
        if not ends:
            break
        left = {name: found - ends for name, found in left.items() if name not in ends}
    return [sorted(left)] if left else []


def _graph() -> dict[str, set[str]]:
    """Return what every module imports, at its top and in its functions."""
    return {_name(one): {name for _, name in _imports(one, _running(_tree(one)))} for one in MODULES}


def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


@pytest.fixture(params=sorted(MODULES))
def module(request: pytest.FixtureRequest) -> str:
    return request.param


def test_imports_from_layers_above_only(module: str) -> None:
    own = _layer(_name(module))
    wrong = [
        f"line {line}: {name}"
        for line, name in _imports(module, _tree(module))
        if name.split(".")[0] in ("refmaker", "refmaker_cli") and _layer(name) > own
    ]
    assert wrong == []


def test_no_module_leads_back_to_itself() -> None:
    assert _circles(_graph()) == []


def test_the_table_of_layers_is_their_order() -> None:
    """Name for name: a package with a slash, a module without one."""
    text = (ROOT / "docs" / "design.md").read_text("utf-8").partition("| layer | what it is |")[2].partition("\n\n")[0]
    named = [line.split("`")[1] for line in text.splitlines()[2:]]
    packages = {_name(one) for one in MODULES if one.endswith(".__init__")}
    expected = [
        {"refmaker_cli": "cli/", "refmaker": "refmaker"}.get(
            layer, layer.removeprefix("refmaker.") + "/" * (layer in packages)
        )
        for layer in LAYERS
    ]
    assert named == expected
    assert len(set(LAYERS)) == len(LAYERS)
    assert [layer for layer in LAYERS if layer not in {_name(one) for one in MODULES}] == []


def test_private_modules_stay_in_their_package(module: str) -> None:
    wrong = []
    for line, name in _imports(module, _tree(module)):
        parts = name.split(".")
        private = next((i for i, part in enumerate(parts) if part.startswith("_") and not part.startswith("__")), None)
        if (
            parts[0] == "refmaker"
            and private is not None
            and not f"{module}.".startswith(".".join(parts[:private]) + ".")
        ):
            wrong.append(f"line {line}: {name}")
    assert wrong == []


def test_heavy_packages_are_imported_lazily(module: str) -> None:
    allowed = LIGHT | {FACES.get(module)}
    if module.startswith("refmaker_cli") or _name(module) in NUMPY_FREE:
        allowed -= {"numpy"}
    wrong = [
        f"line {line}: {name}"
        for line, name in _imports(module, _top_level(_tree(module)))
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_no_assert(module: str) -> None:
    lines = [node.lineno for node in ast.walk(_tree(module)) if isinstance(node, ast.Assert)]
    assert lines == [], "input is checked with errors that say where, not with assert"


def test_nothing_is_swallowed(module: str) -> None:
    """Everything may be caught only to be raised again, as it is or as an error of ours."""
    wrong = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not isinstance(node.body[-1], ast.Raise):
            wrong.append(node.lineno)
    assert wrong == []


def _is_broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(k is None or (isinstance(k, ast.Name) and k.id in ("Exception", "BaseException")) for k in kinds)


def test_length_and_contract(module: str) -> None:
    text = MODULES[module].read_text("utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "a module opens with its contract"


def test_functions_are_short(module: str) -> None:
    long = {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno + 1 - (0 if text is None else text.count("\n") + 1)
            if lines > MAX_FUNCTION:
                long[node.name] = lines
    assert long == {}


def test_paragraphs_are_not_broken(module: str) -> None:
    """A line of a contract ends where the next word does not fit, or its paragraph ends."""
    broken = []
    for paragraph in (ast.get_docstring(_tree(module)) or "").split("\n\n"):
        lines = paragraph.splitlines()
        for line, following in pairwise(lines):
            word = following.partition(" ")[0]
            prose = line[:1].isalnum() and (word[:1].islower() or word[:1] in "`(")
            if prose and len(line) + 1 + len(word) <= LINE - 15:
                broken.append(line)
    assert broken == []


def test_every_package_is_installed() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(_name(m) for m in MODULES if m.endswith(".__init__"))
    folders = {path.parent for path in MODULES.values()}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import refmaker.hdf5.walk", ["refmaker.hdf5.walk"]),
        ("from refmaker import hdf5", ["refmaker.hdf5"]),
        ("from refmaker.errors import FormatError", ["refmaker.errors"]),
        ("from . import scan", ["refmaker_cli.scan"]),
        ("from .output import say", ["refmaker_cli.output"]),
        ("def f():\n    import h5py", ["h5py"]),
    ],
)
def test_imports_are_found(source: str, found: list[str]) -> None:
    assert [name for _, name in _imports("refmaker_cli.main", ast.parse(source))] == found


def test_top_level_leaves_out_what_does_not_run() -> None:
    tree = ast.parse("import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    import c\nclass C:\n    import d")
    assert [name for _, name in _imports("refmaker.errors", _top_level(tree))] == ["a", "d"]


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "numpy"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        ({"a": {"a"}}, [["a"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}, [["a", "b", "c"]]),
    ],
)
def test_circles_are_found(graph: dict[str, set[str]], found: list[list[str]]) -> None:
    assert _circles(graph) == found


def test_what_only_type_checkers_see_leads_nowhere() -> None:
    tree = ast.parse("if TYPE_CHECKING:\n    import b\nelse:\n    import d\ndef f():\n    import c")
    assert [name for _, name in _imports("refmaker.errors", _running(tree))] == ["d", "c"]
