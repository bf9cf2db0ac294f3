"""Readers in Python: what all of them share. Each gives `answer_with` a function that opens a manifest."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

MEMORY = 8 << 30
"""Address space that a reader may take: a case may ask for any number of references."""

Values = Callable[[str], Any]
Keys = Callable[[str], bytes | None] | None
Open = Callable[[dict[str, Any]], tuple[Values, Keys]]


def answer_with(
    open_manifest: Open, *packages: str, versions: dict[str, str] | None = None, flat: bool = False
) -> None:
    """Answer the requests on stdin; what else writes to stdout goes to stderr.

    `versions` are those of what has none as a package; `flat` is for readers that do not give the shapes of arrays.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)
    named = {name: _version(name) for name in packages} | (versions or {})
    out.write(json.dumps({"reader": ", ".join(f"{name} {number}" for name, number in named.items())}) + "\n")
    for line in sys.stdin:
        answer = _answer(open_manifest, json.loads(line))
        for found in answer["arrays"].values() if flat else ():
            found.pop("shape", None)
        out.write(json.dumps(answer) + "\n")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"


def _answer(open_manifest: Open, request: dict[str, Any]) -> dict[str, Any]:
    try:
        values, keys = open_manifest(request)
    except Exception as error:
        failed = {"error": told(error)}
        return {"arrays": dict.fromkeys(request["arrays"], failed), "keys": dict.fromkeys(request["keys"], failed)}
    return {
        "arrays": {path: _read(values, path) for path in request["arrays"]},
        "keys": {} if keys is None else {key: _key(keys, key) for key in request["keys"]},
    }


def told(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}"[:300].encode("ascii", "backslashreplace").decode()


def _read(values: Values, path: str) -> dict[str, Any]:
    try:
        return described(values(path))
    except Exception as error:
        return {"error": told(error)}


def described(values: Any) -> dict[str, Any]:
    """Return an array as cases have it."""
    import numpy as np

    array = np.asarray(values)
    shape = list(array.shape)
    if array.dtype.kind in "OTU":
        return {"dtype": "text", "shape": shape, "values": [str(value) for value in array.ravel()]}
    if array.dtype.names:
        fields = {name: np.ascontiguousarray(array[name]).tobytes().hex() for name in array.dtype.names}
        return {"dtype": "fields", "shape": shape, "fields": fields}
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    shown = [str(value) if array.dtype.kind in "fcSV" else value for value in array.ravel().tolist()]
    return {"dtype": native.dtype.str[1:], "shape": shape, "values": shown, "hex": native.tobytes().hex()}


def _key(keys: Callable[[str], bytes | None], key: str) -> dict[str, Any]:
    try:
        data = keys(key)
    except Exception as error:
        return {"error": told(error)}
    return {"hex": None if data is None else data.hex()}
