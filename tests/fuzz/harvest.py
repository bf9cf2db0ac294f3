"""Inputs of single decoders, taken from sound files while these are walked."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from refmaker.errors import RefmakerError
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.walk import Walk
from refmaker.sources.memory import MemoryWindow

INLINE_LIMIT = 1 << 20


def walked(data: bytes) -> Any:
    """Walk a file and give its tree."""
    walk = Walk(MemoryWindow(data), INLINE_LIMIT)
    todo = walk.start()
    while todo:
        todo += todo.pop()()
    walk.verify()
    return resolve(walk, "fuzz")


def modules() -> list[Any]:
    """Return all modules of the HDF5 decoders."""
    import refmaker.hdf5 as package

    names = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(name) for name in names]


@contextmanager
def listening(function: Callable[..., Any], heard: Callable[..., None]) -> Iterator[None]:
    """Have every call of a function told, whichever module calls it by its name."""

    def wrapped(*args: Any, **options: Any) -> Any:
        heard(*args, **options)
        return function(*args, **options)

    places = [
        (module, name)
        for module in {id(m): m for m in [*modules(), sys.modules[function.__module__]]}.values()
        for name, value in list(vars(module).items())
        if value is function
    ]
    for module, name in places:
        setattr(module, name, wrapped)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, function)


def calls(files: Sequence[bytes], function: Callable[..., Any]) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """Yield the arguments of every call of a function, with the file that was walked."""
    for data in files:
        found: list[tuple[Any, ...]] = []
        with listening(function, lambda *args, found=found, **_: found.append(args)):
            try:
                walked(data)
            except RefmakerError:
                continue
        for args in found:
            yield data, args
