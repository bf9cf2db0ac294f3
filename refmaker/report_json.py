"""JSON of reports: large documents of our own records, for people and programs to read.

Contract: what is written is ASCII that any JSON parser accepts: no NaN, no infinity; text that UTF-8 does not have, as
in names of files with lone surrogates, stands in escapes. ujson writes it, six times as fast as `json` with an indent
(`tests/benchmarks/bench_json.py`). Manifests and what others wrote are not for it: ujson reads a bare `-` as 0, takes
control characters and keys that stand twice, and spells floats otherwise (`zarr.strict_json`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["report_json"]


def report_json(content: Any) -> str:
    """Return the indented JSON text of a report. Raises `ValueError` for NaN and infinity."""
    import ujson

    try:
        text: str = ujson.dumps(
            content,
            indent=1,
            ensure_ascii=True,
            allow_nan=False,
            escape_forward_slashes=False,
            separators=(",", ": "),
        )
    except OverflowError as error:
        raise ValueError("a report holds numbers that JSON has not, or is nested too deeply") from error
    return text
