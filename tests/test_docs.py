"""The documentation: commands and snippets of pages are executed as they stand, the site builds without warnings.

A page is run from top to bottom in an empty directory. A `$` line of a console block is run by bash; what stands below
it is what it prints, `…` for anything. A status other than 0 is written behind the command: `# status 3`. Python blocks
share their names.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.servers import RangeServer, S3Server, range_server, s3_server

__all__ = ["range_server", "s3_server"]

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
EXECUTED = ["index.md", "configuration.md", *sorted(f"howto/{path.name}" for path in (DOCS / "howto").glob("*.md"))]
ELSEWHERE = {
    "batch.md": "tests/test_examples.py",
    "catalogues.md": "tests/catalogues",
    "benchmarks.md": "tests/test_benchmarks.py",
    "design.md": "tests/test_layers.py",
    "faults.md": "tests/replay/test_fault_matrix.py",
    "formats.md": "tests/formats",
    "from-kerchunk.md": "tests/bridges",
    "from-reference.md": "tests/replay/test_reference_port.py",
    "icechunk.md": "tests/bridges",
    "libhdf5.md": "tests/hdf5",
    "security.md": "tests/security/test_threats.py",
    "serve.md": "tests/serve",
    "virtualizarr.md": "tests/bridges",
}
"""Pages whose snippets name a reader's own files, and what tests what they say."""
PROSE = {"faq.md", "glossary.md", "troubleshooting.md"}
"""Pages without snippets."""


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    text: str
    line: int


class Command(NamedTuple):
    """A command of a console block, and what it should do."""

    text: str
    status: int
    output: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page."""
    text = page.read_text("utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 2)


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        command, _, status = line.partition("   # status ")
        yield Command(command, int(status or 0), output)


def matches(expected: str, printed: str) -> bool:
    """Return whether a command printed what a page says: nothing said is anything; `…` is any text."""
    if not expected:
        return True
    pattern = ".*".join(map(re.escape, expected.rstrip("\n").split("…")))
    lines = [line.rstrip() for line in printed.rstrip().split("\n")]
    return re.fullmatch(pattern, "\n".join(lines), re.DOTALL) is not None


def test_the_rules_can_fail() -> None:
    assert list(commands("$ a\n1\n2\n$ b   # status 3\n")) == [Command("a", 0, "1\n2\n"), Command("b", 3, "")]
    assert matches("a … c\n", "a b\nb c\n")
    assert matches("", "anything")
    assert not matches("a\n", "a\nb\n")
    assert not matches("x…", "ax")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory in which `refmaker` is the one that is tested."""
    command = tmp_path / "bin/refmaker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refmaker_cli "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("REFMAKER_CONFIG", "")
    monkeypatch.setenv("REFMAKER_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run_page(page: Path, folder: Path) -> int:
    """Run all of a page; return the number of commands and snippets."""
    names: dict[str, Any] = {"__name__": "page"}
    count = 0
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.language == "python":
            count += 1
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
        elif block.language == "console":
            for command in commands(block.text):
                count += 1
                done = subprocess.run(
                    ["bash", "-c", f"{command.text}"],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, timeout=120,
                )  # fmt: skip
                assert done.returncode == command.status, f"{where}: {command.text}\n{done.stdout}"
                assert matches(command.output, done.stdout), f"{where}: {command.text}\n{done.stdout}"
    return count


def run_closed(page: Path, folder: Path) -> int:
    """Run a page whose snippets leave their files open, as readers of documentation do."""
    import gc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        count = run_page(page, folder)
        gc.collect()
    return count


LOCAL = [name for name in EXECUTED if name != "howto/remote.md"]


@pytest.mark.parametrize("name", LOCAL)
def test_pages(name: str, environment: Path) -> None:
    if name == "howto/pictures.md":
        pytest.importorskip("matplotlib")
    assert run_closed(DOCS / name, environment) >= 3


def test_remote(
    environment: Path, s3_server: S3Server, range_server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page on remote files, with a bucket and web servers on loopback."""
    import h5py

    with h5py.File("air.nc", "w") as file:
        file.create_dataset("t", data=list(range(100)), chunks=(10,))
    data = Path("air.nc").read_bytes()
    s3_server.add("air.nc", data)
    range_server.add("air.nc", data)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SERVER": range_server.url,
    }.items():
        monkeypatch.setenv(name, value)
    with RangeServer(fault="ignore-range") as plain:
        plain.add("air.nc", data)
        monkeypatch.setenv("NO_RANGES", plain.url)
        assert run_closed(DOCS / "howto/remote.md", environment) >= 7


def test_every_page_is_executed_or_tested() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages == {*EXECUTED, *ELSEWHERE, *PROSE}
    for name, test in ELSEWHERE.items():
        assert (ROOT / test).exists(), name
    for name in PROSE:
        assert [block.language for block in blocks(DOCS / name)] == [], name


def test_environment_variables_are_documented() -> None:
    """Every variable of refmaker that its code reads is in the documentation."""
    code = "".join(path.read_text() for folder in ("refmaker", "cli") for path in (ROOT / folder).rglob("*.py"))
    read = set(re.findall(r"REFMAKER_[A-Z]+(?:_[A-Z]+)*", code)) - {"REFMAKER_COMPLETE", "REFMAKER_SERVE_OPTIONS"}
    assert {"REFMAKER_CONFIG", "REFMAKER_LIMITS"} <= read
    text = (DOCS / "configuration.md").read_text()
    assert [name for name in sorted(read) if f"| `{name}` |" not in text] == []


def test_messages_of_troubleshooting_are_in_the_code() -> None:
    """Words of each message that the page explains are those of a message of the code."""
    code = "".join(path.read_text() for folder in ("refmaker", "cli") for path in (ROOT / folder).rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    terms = re.findall(r"^`(.+)`.*\n:", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(terms) >= 10
    for term in terms:
        for part in re.split(r"…|'[^']*'|`, `", term):
            words = part.strip(" :,`")
            if len(words) > 12 and "module named" not in words:
                assert words in code, f"no message has {words!r}"


@pytest.mark.skipif(find_spec("mkdocs") is None or find_spec("mkdocstrings") is None, reason="needs the extra docs")
def test_the_site_builds(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", ROOT / ".ci/docs", tmp_path / "site"],
        env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "site"
    pages = {path.relative_to(site).as_posix(): path.read_text() for path in site.rglob("*.html")}
    assert {"index.html", "cli.html", "api.html", "howto/remote.html"} <= pages.keys()
    from refmaker_cli.commands import main

    import refmaker

    for command in main.commands:
        assert f"refmaker {command}" in pages["cli.html"]
    for name in ("scan", "Manifest", "FileSystem", "combine"):
        assert f'id="{getattr(refmaker, name).__module__}.{name}"' in pages["api.html"]
    assert broken_links(site, pages) == []


def broken_links(site: Path, pages: dict[str, str]) -> list[str]:
    """Return links within the site that lead nowhere: pages, files, and places in pages."""
    broken = []
    for name, text in pages.items():
        if name == "404.html":
            continue
        for link in re.findall(r'(?:href|src)="([^"]*)"', text):
            path, _, place = link.partition("#")
            if re.match(r"[a-z]+:|//", link):
                continue
            target = (site / name).parent / path if path else site / name
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(Path(os.path.normpath(target)).relative_to(site).as_posix())
            if not target.is_file() or (place and known is not None and f'id="{place}"' not in known):
                broken.append(f"{name}: {link}")
    return broken
