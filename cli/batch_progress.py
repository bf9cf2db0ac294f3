"""How a batch reports progress: one line on a terminal, occasional lines elsewhere, lines of JSON, or nothing.

Contract: failures are reported on stderr when they happen, whatever else is shown; JSON goes to stdout.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .output import ProgressLine, brief, counted, say

if TYPE_CHECKING:
    from refmaker.batch.ledger import Row
    from refmaker.batch.plan import Plan
    from refmaker.batch.run import Result

__all__ = ["Log", "Progress", "Silence", "human_time"]

_BAR = 20


class Silence:
    """Tells failures only. The others do too.

    Attributes
    ----------
    result
        Of the run, as far as it has come; None before it is planned.
    """

    def __init__(self) -> None:
        self.result: Result | None = None

    def planned(self, plan: Plan, result: Result) -> None:
        """See `Observer.planned`."""
        self.result = result

    def finished(self, row: Row) -> None:
        """See `Observer.finished`."""
        if row.status == "failed":
            error = brief(row.error or "")
            self.say(f"refmaker: {error}" if row.seen.url in error else f"refmaker: {row.seen.url}: {error}")

    def tick(self) -> None:
        """See `Observer.tick`."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        say(text, err=True)


class Progress(Silence):
    """Tells how many files are done, how many a second, and how long the others may take.

    Parameters
    ----------
    label
        What is being written.
    clock
        Gives seconds.
    terminal
        Whether stderr is one.
    """

    INTERVAL = 10.0

    def __init__(
        self, label: str, *, clock: Callable[[], float] = time.monotonic, terminal: bool | None = None
    ) -> None:
        super().__init__()
        self.label = label
        self.clock = clock
        self.todo = self.done = self.failures = 0
        self.began = self.due = 0.0
        self.line = ProgressLine(label, clock=clock) if terminal or (terminal is None and sys.stderr.isatty()) else None

    def planned(self, plan: Plan, result: Result) -> None:
        """See `Observer.planned`."""
        super().planned(plan, result)
        self.todo = len(plan.todo) + len(plan.problems)
        self.began = self.clock()
        self.due = self.began + self.INTERVAL
        text = f"{counted(self.todo + len(plan.unchanged), 'file')}, {self.todo} to scan"
        say(f"{self.label}: {text}", err=True)

    def finished(self, row: Row) -> None:
        """See `Observer.finished`."""
        self.done += 1
        self.failures += row.status == "failed"
        super().finished(row)
        self.tick()

    def tick(self) -> None:
        """See `Observer.tick`."""
        if self.line is not None:
            if self.done >= self.todo:
                self.clear()
            else:
                self.line.show(self.text(bar=True))
        elif self.clock() >= self.due and self.done < self.todo:
            self.due = self.clock() + self.INTERVAL
            say(self.text(), err=True)

    def say(self, text: str) -> None:
        """Print a line on stderr, in the place of the progress line."""
        self.clear()
        super().say(text)

    def clear(self) -> None:
        """Take the progress line away."""
        if self.line is not None and self.line.shown:
            click.echo("\r\x1b[K", nl=False, err=True, color=True)
            self.line.shown = False

    def text(self, *, bar: bool = False) -> str:
        """Return how far it has come."""
        share = 100 * self.done // self.todo if self.todo else 100
        drawn = f"[{'#' * (share * _BAR // 100):<{_BAR}}] " if bar else ""
        parts = [f"{self.done} of {counted(self.todo, 'file')} ({share} %)"]
        passed = self.clock() - self.began
        if self.done and passed > 0:
            rate = self.done / passed
            parts += [f"{rate:.3g} a second", f"{human_time((self.todo - self.done) / rate)} left"]
        parts += [f"{self.failures} failed"] if self.failures else []
        return f"{self.label}: {drawn}{', '.join(parts)}"


class Log(Silence):
    """Prints an object of JSON for each event: `planned`, `source`."""

    def planned(self, plan: Plan, result: Result) -> None:
        """See `Observer.planned`."""
        super().planned(plan, result)
        self.log({"event": "planned", "run": result.run, "todo": len(plan.todo), "unchanged": len(plan.unchanged)})

    def finished(self, row: Row) -> None:
        """See `Observer.finished`."""
        from refmaker.batch.reports import describe_row

        super().finished(row)
        self.log({"event": "source", **describe_row(row)})

    def log(self, event: dict[str, object]) -> None:
        """Print an event."""
        click.echo(json.dumps(event, ensure_ascii=True, allow_nan=False))


def human_time(seconds: float) -> str:
    """Return a time as people write it: `8 s`, `3 min 20 s`, `5 h 12 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
