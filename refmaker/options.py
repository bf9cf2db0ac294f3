"""Options that several functions take, spelt out once.

Contract: a function that hands options on says which with `Unpack` of a `TypedDict`, for type checkers, and with
`takes_options`, for `help`, editors and callers: its signature shows each of them, and a name that is none of them is a
`TypeError` that names this function, not the one behind it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["takes_options"]

P = ParamSpec("P")
T = TypeVar("T")


def takes_options(options: type, of: Callable[..., object]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for functions that hand on the options of another function.

    Parameters
    ----------
    options
        The `TypedDict` that names them.
    of
        The function whose signature has their defaults.
    """
    names = options.__annotations__
    shared = [one for one in inspect.signature(of).parameters.values() if one.name in names]

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        own = inspect.signature(function)
        kept = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {one.name for one in kept}
        signature = own.replace(parameters=[*kept, *(one for one in shared if one.name not in taken)])

        @wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in signature.parameters:
                    raise TypeError(_unknown(function.__name__, name, list(signature.parameters)))
            return function(*args, **kwargs)

        inner.__signature__ = signature  # type: ignore[attr-defined]
        return inner

    return decorate


def _unknown(function: str, name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(known[1:])}"
    return f"{function}() got an unexpected keyword argument {name!r}{hint}"
