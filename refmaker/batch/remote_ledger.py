"""The ledger of a remote output directory: a local file while a run is at work, an object in the directory afterwards.

Contract: a run begins with the newer of the two, so that any machine can go on where another ended; ledgers of which
neither goes on where the other ended are an error. An object beside it tells other machines of the run while it lasts.
Stores have no locks: that object is written again now and then, and one that is not any more is that of a dead run. Two
runs that begin in the same second both look again after they have written theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from refmaker.batch.destination import Destination, temporary_folder
from refmaker.batch.ledger import Ledger
from refmaker.batch.listing import Remote
from refmaker.errors import BatchError, cause_of
from refmaker.file_version import FileVersion

__all__ = ["RemoteLedger", "fetched"]

BEAT = 60.0
DEAD_AFTER = 300.0
"""Seconds between signs of life, and without one after which another run is taken for dead."""


class RemoteLedger:
    """Keeps the ledger of a remote output directory there.

    Parameters
    ----------
    place
        The output directory.
    name
        Of the ledger in it.
    path
        Of the local file.

    Raises
    ------
    BatchError
        On entering: another run is at work, or the two ledgers have diverged. On leaving: it cannot be stored.
    """

    def __init__(self, place: Destination, name: str, path: str) -> None:
        self.place = place
        self.path = path
        self.ledger = Remote(place.place(name), place.storage_options)
        self.lock = Remote(place.place(f"{name}.lock"), place.storage_options)
        self.me = uuid.uuid4().hex
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="refmaker-shelf", daemon=True)

    def __enter__(self) -> RemoteLedger:
        self._take_lock()
        try:
            self._fetch()
        except BaseException:
            self._release()
            raise
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beating.join()
        try:
            self._store()
        finally:
            self._release()

    def _take_lock(self) -> None:
        found = self._lock_object()
        if found is not None and not self._is_dead(found):
            raise self._held(found)
        self._touch()
        found = self._lock_object()
        if found is None or found.get("run") != self.me:
            raise self._held(found or {})

    def _lock_object(self) -> dict[str, Any] | None:
        """Return what the lock object says, with its age; None where there is none."""
        filesystem, path = self.lock.filesystem, self.lock.path
        try:
            filesystem.invalidate_cache()
            content = filesystem.cat_file(path)
            changed = FileVersion.of(filesystem.info(path)).modified
        except FileNotFoundError:
            return None
        except Exception as error:  # every filesystem raises errors of its own
            raise self._failed("the lock cannot be read", error) from error
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(content)
            if isinstance(found, dict):
                return {**found, "age": None if changed is None else time.time() - changed}
        return {}

    def _is_dead(self, found: dict[str, Any]) -> bool:
        age = found.get("age")
        if found.get("host") == socket.gethostname() and isinstance(found.get("pid"), int):
            return not _lives(found["pid"])
        return age is not None and age > DEAD_AFTER

    def _held(self, found: dict[str, Any]) -> BatchError:
        who = f"process {found.get('pid', 'unknown')} on {found.get('host', 'unknown')}"
        return BatchError(
            f"another run is using this ledger: {who}; wait until it ends, or remove {self.lock.url} if it is dead",
            source=self.place.url,
        )

    def _touch(self) -> None:
        text = json.dumps({"run": self.me, "host": socket.gethostname(), "pid": os.getpid()})
        try:
            self.lock.filesystem.pipe_file(self.lock.path, text.encode("ascii"))
        except Exception as error:  # every filesystem raises errors of its own
            raise self._failed("the lock cannot be written", error) from error

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            # A sign of life that does not get through is one less of several.
            with contextlib.suppress(BatchError):
                self._touch()

    def _release(self) -> None:
        _quietly(self.lock.filesystem.rm_file, self.lock.path)

    def _fetch(self) -> None:
        with fetched(self.ledger) as there:
            if there is None:
                return
            if not os.path.exists(self.path):
                self._copy(there)
                return
            ours, theirs = _runs(self.path), _runs(there)
            if ours == theirs[: len(ours)]:
                self._copy(there)
            elif theirs != ours[: len(theirs)]:
                raise BatchError(
                    "this ledger and the one in the output directory have diverged: each has runs that the other "
                    "lacks. Remove this one to continue with the other",
                    source=self.path,
                )

    def _copy(self, there: str) -> None:
        try:
            shutil.copyfile(there, self.path)
        except OSError as error:
            raise BatchError(f"cannot write the ledger: {error.strerror}", source=self.path) from error

    def _store(self) -> None:
        if not os.path.exists(self.path):
            return
        try:
            self.ledger.filesystem.put_file(self.path, self.ledger.path)
        except Exception as error:  # every filesystem raises errors of its own
            raise self._failed("the ledger cannot be stored; it is complete in the local file", error) from error

    def _failed(self, what: str, error: Exception) -> BatchError:
        return BatchError(f"{what}: {cause_of(error)}", source=self.place.url)


@contextlib.contextmanager
def fetched(ledger: Remote) -> Iterator[str | None]:
    """Yield the path of a copy of a remote ledger while the context is open; None where there is no ledger."""
    with temporary_folder() as folder:
        path = os.path.join(folder, "ledger")
        try:
            ledger.filesystem.invalidate_cache()
            there = ledger.filesystem.exists(ledger.path)
            if there:
                ledger.filesystem.get_file(ledger.path, path)
        except Exception as error:  # every filesystem raises errors of its own
            raise BatchError(f"cannot fetch the ledger: {cause_of(error)}", source=ledger.url) from error
        yield path if there else None


def _runs(path: str) -> list[str]:
    with Ledger(path, read_only=True) as ledger:
        return [run.id for run in ledger.runs()]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _quietly(function: Callable[..., Any], *arguments: Any) -> None:
    """Call what may fail without harm."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function, *arguments)
