"""The ledger of a remote output directory: a local file while a run is at work, an object in the directory afterwards.

Contract: a run begins with the newer of the two, so that any machine can go on where another ended; ledgers of which
neither goes on where the other ended are an error. An object beside it tells other machines of the run while it lasts
(`locks.object_lock`). A run that has lost it stores nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType

from refmaker.batch.destination import Destination, temporary_folder
from refmaker.batch.ledger import Ledger
from refmaker.batch.listing import Remote
from refmaker.errors import BatchError, cause_of
from refmaker.locks.object_lock import ObjectLock

__all__ = ["RemoteLedger", "fetched"]


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
        self._held = ExitStack()
        self.ledger = Remote(place.place(name), place.storage_options)
        self.lock = ObjectLock(place.place(f"{name}.lock"), place.url, place.storage_options)

    def __enter__(self) -> RemoteLedger:
        with ExitStack() as stack:
            stack.enter_context(self.lock)
            self._fetch()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self.lock.check()
            self._store()

    def check(self) -> None:
        """Make sure that no other run has taken over. Raises `OutputError`."""
        self.lock.check()

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
