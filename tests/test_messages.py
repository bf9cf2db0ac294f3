"""What users read: help texts, messages of errors, documentation. Rules that can be tested without an opinion.

A message says what happened, what was expected and what to do next; an option says what it does, its default and, where
that helps, an example. All of it is plain English in the field's terms: words of a dialect of our own are banned.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from refmaker_cli.commands import main

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = sorted(main.commands.items())

DIALECT = (
    *(
        "put together",
        "putting together",
        "parted",
        "have parted",
        "what became of",
        "what is to be had",
        "is to be had",
    ),
    *(
        "of strangers",
        "by way of",
        "stands above",
        "as it was asked",
        "has them all",
        "have it left out",
        "Hold MANIFEST",
    ),
    *("is told so", "put right", "one a line", "a name a line", "the same of a manifest", "held against"),
    *("not changed: again", "be had", "made anew", "written anew"),
)
"""Phrases that no native technical writer would use here. With each of them goes the kind: add those that you find."""

_SOMEWHERE_ELSE = {"docs/design.md", "docs/benchmarks.md"}
"""Documents in which the phrases are not looked for yet: their tables are written by their own tests, or elsewhere."""

DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    if path.relative_to(ROOT).as_posix() not in _SOMEWHERE_ELSE
]


def dialect(text: str) -> list[str]:
    """Return the banned phrases of a text, across line breaks."""
    plain = " ".join(text.split())
    return [phrase for phrase in DIALECT if re.search(rf"\b{re.escape(phrase)}\b", plain, re.IGNORECASE)]


def options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


def test_the_rules_can_fail() -> None:
    assert dialect("Inputs are put\n  together along time.") == ["put together"]
    assert dialect("the whole department") == []
    assert faults_of("No such file.") == ["starts with a capital", "ends with a full stop"]
    assert faults_of("no such file: name another") == []
    assert faults_of("HDF5 file expected") == []


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_options_have_a_help_text(name: str, command: click.Command) -> None:
    for option in options(command):
        text = (option.help or "").strip()
        assert text, f"{name} {option.opts}: no help text"
        assert text[0].isupper(), f"{name} {option.opts}: {text}"
        assert text.endswith((".", "]")), f"{name} {option.opts}: {text}"
        assert not dialect(text), f"{name} {option.opts}: {text}"


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_options_with_a_value_say_what_holds_without(name: str, command: click.Command) -> None:
    """Numbers and choices have a default, which is shown: by click, or in the text."""
    for option in options(command):
        if isinstance(option.type, click.IntRange | click.FloatRange | click.Choice) and not option.required:
            assert option.show_default or "[default: " in (option.help or ""), f"{name} {option.opts}"


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_commands_have_an_example_that_names_their_options(name: str, command: click.Command) -> None:
    text = command.help or ""
    example = " ".join(text.partition("Example:")[2].split("\n\n")[0].split())
    assert f"refmaker {name}" in example, f"{name}: no example"
    known = {opt for option in options(command) for opt in (*option.opts, *option.secondary_opts)}
    used = {word for word in example.split() if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    assert used <= known, f"{name}: the example has {sorted(used - known)}"
    assert not dialect(text), name


def test_one_option_has_one_meaning() -> None:
    """An option that several commands have is of one type in all of them."""
    kinds: dict[str, set[str]] = {}
    for _, command in COMMANDS:
        for option in options(command):
            if option.opts[-1] != "--output":
                kinds.setdefault(option.opts[-1], set()).add(f"{option.type.name} {option.is_flag}")
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str) -> None:
    assert dialect((ROOT / name).read_text()) == []


# Messages of errors.


def messages() -> Iterator[tuple[str, str]]:
    """Yield where a message is, and its text: the first argument of what is raised, `{}` for what is filled in."""
    for path in sorted([*(ROOT / "refmaker").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and _is_error(node.func) and node.args):
                continue
            text = _text(node.args[0])
            if text:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


_ERRORS = {"UsageError", "BadParameter", "Unsupported", "TargetChanged", "TruncatedHeader"}


def _is_error(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    builtin = name in {"OSError", "KeyError", "AttributeError", "FileNotFoundError", "IndexError"}
    return (name.endswith("Error") or name in _ERRORS) and not builtin


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def faults_of(text: str) -> list[str]:
    """Return what is wrong with the wording of a message. They stand behind `refmaker: ` and a path, on one line."""
    found = []
    first = re.match(r"[\w-]+", text)
    if first and first[0].istitle() and first[0] not in _NAMES and len(first[0]) > 1 and not re.search(r"\d", first[0]):
        found.append("starts with a capital")
    if text.endswith(".") and not text.endswith("…"):
        found.append("ends with a full stop")
    if "\n" in text:
        found.append("has several lines")
    if re.search(r"!|\bplease\b|\boops\b|\binvalid input\b|\bunknown error\b", text, re.IGNORECASE):
        found.append("has no information")
    return found + [f"has the word {phrase!r}" for phrase in dialect(text)]


_NAMES = {"Zarr", "Parquet", "Dask", "Blosc", "Content-Range", "Zstandard", "Range", "Fletcher32", "Arrow"}


def test_messages() -> None:
    found = list(messages())
    assert len(found) > 300
    wrong = {where: (text, faults) for where, text in found if (faults := faults_of(text))}
    assert wrong == {}


# Names in documentation.


def imports(text: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of what the Python examples of a document import from refmaker."""
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "refmaker":
                yield from ((str(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize("name", [*DOCUMENTS, "docs/design.md"])
def test_documents_import_what_is_there(name: str) -> None:
    for module, attribute in imports((ROOT / name).read_text()):
        assert hasattr(importlib.import_module(module), attribute), f"{name}: {module}.{attribute}"


@pytest.mark.parametrize("name", [*DOCUMENTS, "docs/design.md"])
def test_documents_name_files_that_are_there(name: str) -> None:
    """Paths of modules, tests and documents; a test must be in the file that is named for it."""
    text = (ROOT / name).read_text()
    for path, test in re.findall(r"`((?:refmaker|tests|docs|examples|cli)/[\w/.-]+\.\w+)(?:::(\w+))?[`\[]", text):
        assert (ROOT / path).is_file(), f"{name}: {path}"
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{name}: {path}::{test}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_show_options_that_there_are(name: str) -> None:
    """Every option of a `refmaker COMMAND` line in a console block is one of that command."""
    for block in re.findall(r"```console\n(.*?)```", (ROOT / name).read_text(), re.DOTALL):
        for called, rest in re.findall(r"refmaker (\w+)([^\n|#]*)", block):
            command = main.commands.get(called)
            assert command is not None, f"{name}: refmaker {called}"
            known = {opt for option in options(command) for opt in (*option.opts, *option.secondary_opts)}
            used = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", re.sub(r"'[^']*'|\"[^\"]*\"", "X", rest)))
            assert used <= known, f"{name}: refmaker {called} {sorted(used - known)}"
