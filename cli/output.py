"""What the commands share: exit statuses, one way to print, human sizes, aligned columns, the progress line.

Contract: names come from files that others made. They may hold newlines, escape sequences or bytes that are not UTF-8,
so every line goes through `printable`, and what the terminal's encoding lacks is written as an escape.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from refmaker.errors import RefmakerError
from refmaker.redaction import redact

from .storage_options import json_object

if TYPE_CHECKING:
    from refmaker import Progress
    from refmaker.manifest.manifest import ObjectReport

__all__ = [
    "DONE",
    "FAILED",
    "REFUSED",
    "STYLES",
    "ProgressLine",
    "columns",
    "counted",
    "describe",
    "human_size",
    "json_object",
    "list_refusals",
    "printable",
    "report_text",
    "brief",
    "notes_of",
    "say",
    "say_error",
    "say_table",
    "say_notes",
]

DONE, FAILED, REFUSED = 0, 1, 3

STYLES: Final[dict[str, dict[str, Any]]] = {
    "head": {"bold": True},
    "error": {"fg": "red"},
    "warning": {"fg": "yellow"},
    "good": {"fg": "green"},
}
"""How lines look on a terminal."""
_LISTED = 20
_NOTE = 160
_LONGEST = 2000


def printable(text: str) -> str:
    r"""Write what a terminal would not show, or would act on, as escapes such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def say(text: str, *, err: bool = False, style: str | None = None) -> None:
    """Print one line, whatever it holds: but no logins and signatures of urls.

    Parameters
    ----------
    style
        One of `STYLES`, shown on a terminal unless NO_COLOR is set (https://no-color.org).
    """
    line = _encodable(printable(redact(text)), err=err)
    if style is not None and not os.environ.get("NO_COLOR"):
        line = click.style(line, **STYLES[style])
    click.echo(line, err=err)


def say_error(text: str) -> None:
    """Print one line on stderr that says why something failed."""
    say(text, err=True, style="error")


def say_table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), *, err: bool = False) -> None:
    """Print a table whose first row is its head."""
    for number, line in enumerate(columns(rows, right)):
        say(line, err=err, style=None if number else "head")


def _encodable(text: str, *, err: bool) -> str:
    encoding: str = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def report_text(content: object) -> bytes:
    """Return JSON for a report, without secrets of urls.

    ASCII escapes keep names that are not UTF-8 (lone surrogates) apart and readable by every JSON reader.
    """
    from refmaker.report_json import report_json

    return redact(report_json(content)).encode("ascii", "backslashreplace") + b"\n"


def describe(error: RefmakerError, source: str) -> str:
    """Return the message of an error with the file it concerns in front, once."""
    text = str(error)
    return brief(text if error.source is not None or source in text else f"{source}: {text}")


def list_refusals(refusals: Mapping[str, str], hint: str) -> None:
    """Print a line on stderr for each refused object: at most twenty, then how many more and where they are."""
    for path in list(refusals)[:_LISTED]:
        say(f"{path}: {refusals[path]}", err=True, style="warning")
    if len(refusals) > _LISTED:
        say(f"… and {len(refusals) - _LISTED} more, {hint}", err=True)


def say_notes(notes: Sequence[str], where: str) -> None:
    """Print on one line how many notes there are, the first of them, and where all of them are."""
    if notes:
        shown = notes[0] if len(notes[0]) <= _NOTE else notes[0][:_NOTE] + "…"
        more = f" and {len(notes) - 1} more" if len(notes) > 1 else ""
        say(f"{counted(len(notes), 'note')}: {shown}{more}; {where}", err=True)


def notes_of(objects: Iterable[ObjectReport]) -> list[str]:
    """Return what a report notes of objects: what readers see differently, or need."""
    return [f"{line.path}: {note}" for line in objects for note in line.notes]


def brief(text: str) -> str:
    """Return a message with its middle left out where it is too long to be read."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 chunk`, `2 chunks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def human_size(size: int) -> str:
    """Return a size in bytes as people write it: `999 B`, `1.5 kB`, `12.0 GB`."""
    if size < 1000:
        return f"{size} B"
    units = ("kB", "MB", "GB", "TB", "PB", "EB")
    power = next((i for i in range(1, len(units)) if size < 999.95 * 1000**i), len(units))
    return f"{size / 1000**power:.1f} {units[power - 1]}"


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Align the cells of `rows`, those of the columns in `right` to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


class ProgressLine:
    """A line on stderr that shows how far a scan is, and goes away when the block ends.

    It appears after half a second, on a terminal only: short work and logs stay as they are.

    Parameters
    ----------
    label
        What is being scanned.
    clock
        Gives seconds.
    """

    DELAY = 0.5
    INTERVAL = 0.1

    def __init__(self, label: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.label = label
        self.clock = clock
        self.due = clock() + self.DELAY
        self.shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.shown:
            click.echo("\r\x1b[K", nl=False, err=True, color=True)

    def __call__(self, progress: Progress) -> None:
        """Show `progress`, if it is time."""
        text = f"{self.label} ({human_size(progress.size)}): {progress.done} of {progress.known} objects"
        if progress.rounds:
            text += f", {counted(progress.rounds, 'round trip')}"
        self.show(text)

    def show(self, text: str) -> None:
        """Show `text`, if it is time."""
        now = self.clock()
        if now < self.due:
            return
        self.due = now + self.INTERVAL
        self.shown = True
        width = shutil.get_terminal_size().columns - 1
        line = _encodable(printable(redact(text)), err=True)[-width:]
        click.echo(f"\r\x1b[K{line}", nl=False, err=True, color=True)
