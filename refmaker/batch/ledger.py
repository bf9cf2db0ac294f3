"""The ledger of an archive: a SQLite database with a row for every source, and what was asked for.

Contract: only the coordinating process writes, one transaction for each source that is finished. A process that is
killed at any moment loses nothing that was committed; a machine that fails may lose the last transactions, whose
sources are then done again, and never has a damaged ledger. That is write-ahead mode with synchronous = NORMAL
(https://www.sqlite.org/wal.html), fifty times as fast as a rollback journal. It is locked for all the time that it is
open to be written: then the index of the journal is in memory, and network filesystems, where archives lie, will do.
A ledger that was closed is one file. Paths need not be UTF-8: text is stored as the bytes of the path.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from refmaker.errors import BatchError
from refmaker.manifest.manifest import Target

__all__ = ["Ledger", "Row", "Run", "Status"]

Status: TypeAlias = Literal["done", "refused", "failed"]
_SHOWN = 300
LOCK_TIMEOUT = 10.0
"""Seconds to wait for somebody who reads the ledger."""
_FORMAT = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE run (
    id TEXT PRIMARY KEY, began REAL, ended REAL, outcome TEXT, host TEXT, pid INTEGER, version TEXT, arguments TEXT,
    done INTEGER DEFAULT 0, refused INTEGER DEFAULT 0, failed INTEGER DEFAULT 0
);
CREATE TABLE source (
    url TEXT PRIMARY KEY, output TEXT NOT NULL UNIQUE, size INTEGER, etag TEXT, mtime REAL,
    status TEXT NOT NULL, mapped INTEGER, inlined INTEGER, refused INTEGER, chunks INTEGER, refusals TEXT,
    error_kind TEXT, error TEXT, output_size INTEGER,
    seconds REAL, finished REAL, version TEXT, options TEXT, run TEXT
) WITHOUT ROWID;
CREATE TABLE target (
    source TEXT NOT NULL, url TEXT NOT NULL, size INTEGER, etag TEXT, mtime REAL, PRIMARY KEY (source, url)
) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Row:
    """The result for a source when it was scanned last.

    Attributes
    ----------
    seen
        The source, as it was scanned: its url and version.
    output
        Path of its manifest below the output directory.
    status
        `refused`: there is a manifest, but it does not hold all of the source. `failed`: no manifest was written.
    mapped, inlined, refused
        Numbers of datasets; of refused objects of any kind.
    refusals
        Path -> reason, of some of the refused objects.
    error_kind, error
        Name of the class and message of the error, of a source that failed.
    output_size
        Bytes of the manifest, or of its head where it is a set of files.
    seconds, finished
        How long it took, and when it was done, in seconds since the epoch.
    version, options
        Of refmaker; what else the manifest depends on, as text that tells whether it is the same.
    run
        Identifier of the run that scanned it.
    targets
        Other files that the manifest refers to, as they were seen.
    notes
        What the scan noted, of this run only: the ledger does not keep it.
    """

    seen: Target
    output: str
    status: Status
    mapped: int = 0
    inlined: int = 0
    refused: int = 0
    chunks: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    error_kind: str | None = None
    error: str | None = None
    output_size: int | None = None
    seconds: float = 0.0
    finished: float = 0.0
    version: str = ""
    options: str = ""
    run: str = ""
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A run: when it ended (None: it was killed, or is under way), how, and what it was asked to do."""

    id: str
    ended: float | None
    outcome: str | None
    arguments: dict[str, Any]


class Ledger:
    """An opened ledger.

    Parameters
    ----------
    path
        Of the file. It is made if it is not there, unless it is opened to be read only.

    Raises
    ------
    BatchError
        It cannot be opened, or is not a ledger.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        if read_only and not os.path.isfile(path):
            raise BatchError("there is no ledger here: name an output directory of `refmaker batch`", source=path)
        with self._explained("cannot be opened"):
            mode = "ro" if read_only else "rwc"
            location = "file:" + _quoted(os.path.abspath(path)) + f"?mode={mode}"
            self.connection = sqlite3.connect(location, uri=True, isolation_level=None, timeout=LOCK_TIMEOUT)
            self.connection.text_factory = _decoded
        try:
            with self._explained("cannot be read as a ledger"):
                self.connection.execute("PRAGMA trusted_schema = OFF")
                if not read_only:
                    self._prepare()
                self._check_schema()
                found = self.connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
            if found is None or found[0] != str(_FORMAT):
                raise BatchError(
                    "the ledger was written by an incompatible version of refmaker: use that version, or another DEST",
                    source=path,
                    expected=_FORMAT,
                    got=found,
                )
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        execute = self.connection.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            # The old name of sqlite_master: wheels (eckitlib) bring older libraries of SQLite into a process.
            if execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    execute(statement)
                execute("INSERT INTO meta VALUES ('format', ?)", [str(_FORMAT)])

    def _check_schema(self) -> None:
        """Make sure that tables are what they were made as: views and triggers could do anything with each row."""
        known = {_plain(statement) for statement in _SCHEMA.split(";")}
        for kind, sql in self.connection.execute("SELECT type, sql FROM sqlite_master WHERE sql IS NOT NULL"):
            if kind != "table" or _plain(sql) not in known:
                raise _DamagedError(f"it holds something else: {_plain(sql)[:80]}")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.read_only:
            with contextlib.suppress(sqlite3.Error):  # a journal beside the ledger does no harm
                self.connection.execute("PRAGMA journal_mode = DELETE")
        self.connection.close()

    def rows(self) -> dict[str, Row]:
        """Return all rows, by the urls of their sources, in the order of these."""
        with self._explained("cannot be read"):
            targets: dict[str, list[Target]] = {}
            for source, *seen in self.connection.execute("SELECT source, url, size, etag, mtime FROM target"):
                targets.setdefault(source, []).append(_target(seen))
            cursor = self.connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM source ORDER BY url")  # noqa: S608
            return {values[0]: _row(values, targets) for values in cursor}

    def add(self, rows: Iterable[Row]) -> None:
        """Put rows in the place of those of the same sources, each with a transaction."""
        for row in rows:
            with self._explained("cannot be written"), self._transaction():
                self.connection.execute(_INSERT, _values(row))
                source = _encoded(row.seen.url)
                self.connection.execute("DELETE FROM target WHERE source = CAST(? AS TEXT)", [source])
                self.connection.executemany(
                    "INSERT INTO target VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?)",
                    [(source, _encoded(t.url), t.size, t.etag, t.mtime) for t in row.targets],
                )

    def forget(self, urls: Iterable[str]) -> None:
        """Drop the rows of sources."""
        with self._explained("cannot be written"), self._transaction():
            for url in map(_encoded, urls):
                self.connection.execute("DELETE FROM source WHERE url = CAST(? AS TEXT)", [url])
                self.connection.execute("DELETE FROM target WHERE source = CAST(? AS TEXT)", [url])

    def begin_run(self, run: str, *, began: float, version: str, arguments: Mapping[str, Any]) -> None:
        """Note that a run begins, and what it was asked to do. Those that did not end are dead, as this one begins."""
        values = [run, began, socket.gethostname(), os.getpid(), version, json.dumps(arguments)]
        with self._explained("cannot be written"), self._transaction():
            self.connection.execute("UPDATE run SET outcome = 'killed' WHERE ended IS NULL")
            self.connection.execute(
                "INSERT INTO run (id, began, host, pid, version, arguments) VALUES (?, ?, ?, ?, ?, ?)", values
            )

    def end_run(self, run: str, *, ended: float, outcome: str, counts: Mapping[Status, int]) -> None:
        """Note how a run ended, and how many sources it did."""
        with self._explained("cannot be written"):
            self.settle()
            self.connection.execute(
                "UPDATE run SET ended = ?, outcome = ?, done = ?, refused = ?, failed = ? WHERE id = ?",
                [ended, outcome, counts.get("done", 0), counts.get("refused", 0), counts.get("failed", 0), run],
            )

    def settle(self) -> None:
        """End a transaction that Ctrl-C left open, just before its end or just behind its beginning."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")

    def runs(self) -> list[Run]:
        """Return all runs, oldest first."""
        with self._explained("cannot be read"):
            cursor = self.connection.execute("SELECT id, ended, outcome, arguments FROM run ORDER BY rowid")
            return [Run(run, ended, outcome, _arguments(arguments)) for run, ended, outcome, arguments in cursor]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, _DamagedError, RecursionError, ValueError, OverflowError) as error:
            # Text that is no UTF-8 in its schema, or numbers that fit no column, are not errors of SQLite.
            raise BatchError(f"the ledger {what}: {str(error)[:_SHOWN]}{_remedy(error)}", source=self.path) from error


_COLUMNS = (
    *("url", "size", "etag", "mtime", "output", "status", "mapped", "inlined", "refused", "chunks", "refusals"),
    *("error_kind", "error", "output_size", "seconds", "finished", "version", "options", "run"),
)
_INSERT = (
    f"INSERT OR REPLACE INTO source ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608
    f"({', '.join('CAST(? AS TEXT)' if name in ('url', 'output', 'error') else '?' for name in _COLUMNS)})"
)


def _values(row: Row) -> list[Any]:
    seen = row.seen
    error = None if row.error is None else _encoded(row.error)
    return [
        *(_encoded(seen.url), seen.size, seen.etag, seen.mtime, _encoded(row.output), row.status),
        *(row.mapped, row.inlined, row.refused, row.chunks, json.dumps(row.refusals), row.error_kind, error),
        *(row.output_size, row.seconds, row.finished, row.version, row.options, row.run),
    ]


def _row(values: tuple[Any, ...], targets: Mapping[str, list[Target]]) -> Row:
    url, size, etag, mtime, output, status, mapped, inlined, refused, chunks, refusals, *rest = values
    if not isinstance(url, str) or status not in ("done", "refused", "failed"):
        raise _DamagedError(f"no row of a source: {str(url)[:80]!r}, {str(status)[:80]!r}")
    if not isinstance(output, str) or output.startswith("/") or not {"", ".", ".."}.isdisjoint(output.split("/")):
        raise _DamagedError(f"a manifest that does not lie in the output directory: {str(output)[:80]!r}")
    row = Row(_target((url, size, etag, mtime)), output, status)
    row.mapped, row.inlined, row.refused, row.chunks = _counts((mapped, inlined, refused, chunks))
    row.refusals = {str(path): str(reason) for path, reason in _json_object(refusals).items()}
    row.error_kind, row.error, row.output_size, seconds, finished, *texts = rest
    if not (isinstance(row.error_kind, str | None) and isinstance(row.error, str | None)):
        raise _DamagedError(f"an error that is no text: {str(row.error)[:80]!r}")
    if not isinstance(row.output_size, int | None):
        raise _DamagedError(f"a size that is none: {str(row.output_size)[:80]!r}")
    row.seconds, row.finished = (value if _is_time(value) else 0.0 for value in (seconds, finished))
    row.version, row.options, row.run = (str(text) for text in texts)
    row.targets = tuple(targets.get(url, ()))
    return row


def _target(values: Sequence[Any]) -> Target:
    """Make a record of a file; SQLite puts any type into any column."""
    url, size, etag, mtime = values
    whole = size is None or isinstance(size, int)
    if not (isinstance(url, str) and whole and isinstance(etag, str | None) and (mtime is None or _is_time(mtime))):
        raise _DamagedError(f"no version of a file: {str(url)[:80]!r}")
    return Target(url, size, etag, mtime)


def _counts(values: Sequence[Any]) -> list[int]:
    if not all(value is None or (isinstance(value, int) and value >= 0) for value in values):
        raise _DamagedError(f"counts that are none: {str(values)[:80]}")
    return [value or 0 for value in values]


def _json_object(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError as error:
        raise _DamagedError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise _DamagedError(f"not a JSON object: {str(found)[:80]}")
    return found


def _arguments(text: object) -> dict[str, Any]:
    found = _json_object(text)
    roots = found.get("roots")
    if not (isinstance(roots, list) and all(isinstance(root, str) for root in roots)):
        raise _DamagedError(f"a run without roots: {str(roots)[:80]}")
    if not isinstance(found.get("pattern"), str | None):
        raise _DamagedError("a run whose pattern is no text")
    return found


def _is_time(value: object) -> bool:
    """Return whether a value is a number that JSON has."""
    return isinstance(value, int | float) and math.isfinite(value)


def _remedy(error: Exception) -> str:
    """Return what to do about a ledger that is damaged; nothing about one that is busy, or a disk that is full."""
    if isinstance(error, sqlite3.OperationalError) and "schema" not in str(error):
        return ""
    return ". Move it away and run again, which scans all files anew"


def _plain(sql: str) -> str:
    return " ".join(sql.split())


class _DamagedError(Exception):
    """A row that this module would not have written."""


def _encoded(text: str) -> bytes:
    """Return text as bytes, of a path those that the system has; what no path holds is written as an escape."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(os.fsencode(path))
