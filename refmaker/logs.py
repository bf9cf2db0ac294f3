"""What libraries log of requests, without what lets others in.

Contract: aiohttp, fsspec, botocore and others log urls, headers and options at the level DEBUG. From the first secret
that refmaker is given, and the first store that it opens, their records, and its own, go out without secrets: those in
urls, in headers of authorization, and those it was given. Records of anybody else are left alone, and so is everything
that is logged before.

Source: `logging.setLogRecordFactory`; a filter would have to be put on each logger by itself.
"""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from refmaker.redaction import redact

__all__ = ["guard", "remember"]

MOST = 4096
"""Secrets that are remembered; those that were met first are forgotten first."""

_NAMES = """
refmaker aiohttp asyncio fsspec s3fs gcsfs adlfs ossfs ocifs azure botocore aiobotocore boto3 s3transfer urllib3
requests httpx httpcore paramiko google obstore zarr xarray kerchunk distributed
"""
_LIBRARIES = frozenset(_NAMES.split())
_HEADER = re.compile(
    r"(?P<name>(?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,40}(?:token|key|secret|auth|signature)[a-z-]{0,20}"
    r"|secretaccesskey|sessiontoken|secret_key|access_token|refresh_token|client_secret|private_key)"
    r"(?P<mark>['\"]?\s{0,3}[:=,>]\s{0,3}b?['\"]?)(?P<value>[^'\"\n<]+)",
    re.IGNORECASE,
)

_lock = threading.Lock()
_known: dict[str, None] = {}


def remember(secrets: Iterable[str]) -> None:
    """Leave these out of what is logged from now on."""
    with _lock:
        _known.update(dict.fromkeys(secrets))
        while len(_known) > MOST:
            del _known[next(iter(_known))]
    guard()


def guard() -> None:
    """Leave secrets out of what is logged from now on."""
    previous = logging.getLogRecordFactory()
    if getattr(previous, "leaves_out_secrets", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = previous(*args, **kwargs)
        if record.name.partition(".")[0] in _LIBRARIES:
            _clean(record)
        return record

    factory.leaves_out_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _clean(record: logging.LogRecord) -> None:
    with _lock:
        secrets = list(_known)
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):  # a wrong format, which the handler will say
        return
    shown = _without(text, secrets)
    if record.name == "botocore.auth" and "\n" in text:  # a signature, and what is signed, in lines
        shown = f"{text.partition(chr(10))[0]}\n…"
    if shown != text:
        record.msg, record.args = shown, ()
    if record.exc_info and record.exc_info[0] is not None:
        raised = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        cleaned = _without(raised, secrets)
        if cleaned != raised:
            record.exc_info, record.exc_text = None, cleaned


def _without(text: str, secrets: list[str]) -> str:
    return _HEADER.sub(lambda match: f"{match['name']}{match['mark']}…", redact(text, secrets))
