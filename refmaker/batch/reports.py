"""What a run did, for programs: JSON, and JUnit XML, in which every source is a test case.

Contract: both tell of all sources that the run was about, those that needed nothing included: they describe how things
stand. JSON has names that are not UTF-8 with lone surrogates, XML with escapes, as it has no place for them.
"""

from __future__ import annotations

import os
import posixpath
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from refmaker._version import __version__
from refmaker.atomic import atomic_write
from refmaker.batch.ledger import Row
from refmaker.batch.run import Result
from refmaker.report_json import report_json

__all__ = ["describe_row", "to_dict", "to_junit", "write_json_report", "write_junit"]


def describe_row(row: Row) -> dict[str, Any]:
    """Return a row as JSON has it."""
    return {
        "source": row.seen.url,
        "manifest": None if row.status == "failed" else row.output,
        "status": row.status,
        "size": row.seen.size,
        "etag": row.seen.etag,
        "mtime": row.seen.mtime,
        "mapped": row.mapped,
        "inlined": row.inlined,
        "refused": row.refused,
        "chunks": row.chunks,
        "refusals": row.refusals,
        "notes": list(row.notes),
        "error": None if row.error is None else {"kind": row.error_kind, "message": row.error},
        "seconds": round(row.seconds, 6),
        "finished": row.finished,
        "version": row.version,
    }


def to_dict(result: Result) -> dict[str, Any]:
    """Return the report of a run as JSON has it."""
    rows = [{**describe_row(row), "scanned": True, "why": result.why.get(row.seen.url)} for row in result.rows]
    rows += [{**describe_row(row), "scanned": False, "why": None} for row in result.unchanged]
    statuses = [row["status"] for row in rows]
    return {
        "out": result.out,
        "run": result.run,
        "outcome": result.outcome,
        "began": result.began,
        "ended": result.ended,
        "version": __version__,
        "counts": {
            "sources": len(rows),
            "scanned": len(result.rows),
            "unchanged": len(result.unchanged),
            "done": statuses.count("done"),
            "refused": statuses.count("refused"),
            "failed": statuses.count("failed"),
            "gone": len(result.gone),
        },
        "sources": rows,
        "gone": [{"source": row.seen.url, "manifest": row.output} for row in result.gone],
    }


def write_json_report(report: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a report, whole or not at all."""
    # ASCII escapes keep names that are not UTF-8 (lone surrogates) apart and readable by every JSON reader.
    with atomic_write(path) as file:
        file.write(report_json(report).encode("ascii") + b"\n")


def write_junit(result: Result, path: str | os.PathLike[str]) -> None:
    """Write a report as JUnit XML."""
    with atomic_write(path) as file:
        file.write(to_junit(result))


def to_junit(result: Result) -> bytes:
    """Return a report as JUnit XML: a source that failed is an error, one that is not mapped wholly is skipped."""
    rows = [*result.rows, *result.unchanged]
    suite = ET.Element(
        "testsuite",
        name=_xml(result.out),
        tests=str(len(rows)),
        errors=str(sum(row.status == "failed" for row in rows)),
        failures="0",
        skipped=str(sum(row.status == "refused" for row in rows)),
        time=f"{(result.ended or time.time()) - result.began:.3f}",
        timestamp=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(result.began)),
    )
    scanned = {row.seen.url for row in result.rows}
    for row in rows:
        suite.append(_case(row, scanned=row.seen.url in scanned))
    root = ET.Element("testsuites")
    root.append(suite)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def _case(row: Row, *, scanned: bool) -> ET.Element:
    folder, name = posixpath.split(row.output)
    case = ET.Element(
        "testcase", classname=_xml(folder or "."), name=_xml(name), file=_xml(row.seen.url), time=f"{row.seconds:.3f}"
    )
    if row.status == "failed":
        error = ET.SubElement(case, "error", type=_xml(row.error_kind or ""), message=_xml(row.error or ""))
        error.text = _xml(row.error or "")
    elif row.status == "refused":
        ET.SubElement(case, "skipped", message=_xml(f"{row.refused} refused: {'; '.join(_refusals(row))}"))
    output = ET.SubElement(case, "system-out")
    counts = f"{row.mapped} mapped, {row.inlined} inlined, {row.refused} refused, {row.chunks} chunks"
    output.text = counts if scanned else f"{counts}; unchanged since it was scanned"
    return case


def _refusals(row: Row) -> Iterator[str]:
    yield from (f"{path}: {reason}" for path, reason in row.refusals.items())
    if row.refused > len(row.refusals):
        yield f"and {row.refused - len(row.refusals)} more"


def _xml(text: str) -> str:
    """Write as escapes what XML 1.0 has no place for (2.2: control characters, surrogates, two more)."""
    return "".join(c if _is_xml(ord(c)) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_xml(code: int) -> bool:
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000 or code in (0x9, 0xA, 0xD)
