"""`refmaker verify`: compare a manifest with the original files, for people and for CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from refmaker.errors import RefmakerError

from .destination import OUTPUT, check_outputs, options_for, write_bytes
from .output import DONE, FAILED, REFUSED, ProgressLine, counted, describe, json_object, report_text, say

if TYPE_CHECKING:
    from refmaker.verification.verify import ArrayResult, Progress, ShownResult, VerifyReport

__all__ = ["verify"]

_SAMPLE = 64
_MANIFESTS = 10
_LEDGER = "refmaker.sqlite"


@click.command()
@click.argument("manifest", metavar="MANIFEST")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Compare about N chunks of each array.  [default: {_SAMPLE}]",
)
@click.option("--full", is_flag=True, help="Compare all chunks of all arrays.")
@click.option(
    "--manifests",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Verify N manifests of a directory, chosen at random.  [default: {_MANIFESTS}]",
)
@click.option(
    "--seed", type=int, default=0, metavar="N", show_default=True, help="Seed of the random choice of manifests."
)
@click.option(
    "--report",
    type=OUTPUT,
    metavar="FILE",
    help="Write a JSON report of the result for each target and array (- for stdout).",
)
@click.option(
    "--storage-options",
    metavar="JSON",
    callback=json_object,
    help="Options of the fsspec filesystem of the targets, and of a remote MANIFEST.",
)
@click.option(
    "--repo", metavar="URL", help="Compare the values of an Icechunk repository that MANIFEST was committed to."
)
@click.option("--branch", metavar="NAME", help="Branch of the repository.  [default: main]")
@click.option("--repo-group", metavar="PATH", help="Group of the repository that MANIFEST was committed to.")
@click.option(
    "--repo-options", metavar="JSON", callback=json_object, help="Options of the repository, as fsspec has them."
)
@click.option("--no-xarray", is_flag=True, help="Do not compare what xarray shows for the manifest and for the file.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    manifest: str,
    sample: int | None,
    full: bool,
    manifests: int | None,
    seed: int,
    report: str | None,
    storage_options: dict[str, Any] | None,
    repo: str | None,
    branch: str | None,
    repo_group: str | None,
    repo_options: dict[str, Any] | None,
    no_xarray: bool,
    quiet: bool,
) -> None:
    """Compare MANIFEST with the files that it refers to, and print one line for each difference.

    Verify checks that the files are the ones that were scanned, that every reference lies within its file, that zarr
    reads the same values through the manifest as h5py (HDF5) or netCDF4 (netCDF classic) reads from the files, and that
    xarray shows the same for both.

    A combined MANIFEST is compared with each file it was made from: the values that the file has for its coordinates
    must be the values at these coordinates. Without --full, a sample of the files is compared.

    MANIFEST may also be an output directory of `refmaker batch`: then some of its manifests are verified.

    With --repo, zarr reads an Icechunk repository in the place of the manifest, which must hold all that was committed.

    Example: refmaker verify m.json --full

    Exit status: 0 everything is the same; 3 something differs, is refused, has changed, or could not be compared; 1 the
    manifest or a target cannot be read.
    """
    if full and sample is not None:
        raise click.UsageError("--sample and --full cannot be used together: choose one")
    check_outputs([manifest], [report])
    chunks = None if full else sample or _SAMPLE
    if repo is None and any(one is not None for one in (branch, repo_group, repo_options)):
        raise click.UsageError("--branch, --repo-group and --repo-options are for --repo: name the repository")
    if repo is not None:
        from refmaker.verification.through_icechunk import verify_repository

        found = verify_repository(
            manifest,
            repo,
            branch=branch or "main",
            group=repo_group or "",
            sample=chunks,
            storage_options=storage_options,
            repo_options=repo_options,
        )
        statuses, content = {_say(repo, found, quiet=quiet or report == "-")}, found.to_dict()
    elif manifests is None and not os.path.isfile(os.path.join(manifest, _LEDGER)):
        silent = quiet or report == "-"
        found = _verify(manifest, chunks, storage_options, quiet=quiet, xarray=not no_xarray)
        statuses, content = {_say(manifest, found, quiet=silent)}, found.to_dict()
    else:
        known = manifests or _MANIFESTS
        silent = quiet or report == "-"
        statuses, content = _verify_some(
            manifest, known, seed, chunks, storage_options, quiet=silent, xarray=not no_xarray
        )
    if report is not None:
        write_bytes(report_text(content), report, storage_options=options_for(report, [manifest], storage_options))
    ctx.exit(FAILED if FAILED in statuses else max(statuses, default=DONE))


def _verify_some(
    folder: str,
    number: int,
    seed: int,
    chunks: int | None,
    storage_options: dict[str, Any] | None,
    *,
    quiet: bool,
    xarray: bool,
) -> tuple[set[int], dict[str, Any]]:
    """Verify some manifests of a directory; return their exit statuses and reports."""
    from refmaker.batch.check import choose_manifests
    from refmaker.verification.verify import manifest_options

    statuses: set[int] = set()
    reports = []
    options = manifest_options(folder, storage_options or {})
    for name in choose_manifests(folder, number, seed=seed, storage_options=options):
        try:
            found = _verify(name, chunks, storage_options, quiet=quiet, xarray=xarray)
        except RefmakerError as error:
            say(f"refmaker: {describe(error, name)}", err=True)
            reports.append({"manifest": name, "error": str(error)})
            statuses.add(FAILED)
            continue
        statuses.add(_say(name, found, quiet=quiet))
        reports.append(found.to_dict())
    return statuses, {"manifests": reports}


def _say(manifest: str, found: VerifyReport, *, quiet: bool) -> int:
    """Print what was found, and return the exit status."""
    for line in () if quiet else (*_findings(found), _summary(manifest, found)):
        say(line)
    for target in found.targets:
        if target.status == "unreadable":
            say(f"refmaker: {target.url}: {target.reason}", err=True)
    return FAILED if found.failed else REFUSED if found.differences or found.skipped or found.refused else DONE


def _verify(
    manifest: str, sample: int | None, storage_options: dict[str, Any] | None, *, quiet: bool, xarray: bool
) -> VerifyReport:
    from refmaker.verification.verify import verify as run

    if quiet or not sys.stderr.isatty():
        return run(manifest, sample=sample, storage_options=storage_options, xarray=xarray)
    with ProgressLine(manifest) as line:

        def show(progress: Progress) -> None:
            line.show(f"{manifest}: {progress.done} of {counted(progress.known, progress.unit)}, {progress.path}")

        return run(manifest, sample=sample, storage_options=storage_options, progress=show, xarray=xarray)


def _findings(found: VerifyReport) -> Iterator[str]:
    for target in found.targets:
        if target.status == "changed":
            yield f"{target.url}: changed: {target.reason}"
    for array in found.arrays:
        if array.status != "same":
            yield f"{array.path}: {_WORDS[array.status]}: {array.reason}{_first(array)}"
    for path, reason in found.refused.items():
        yield f"{path}: refused: {reason}"
    if found.shown is not None:
        yield from _shown(found.shown)


def _shown(shown: ShownResult) -> Iterator[str]:
    if shown.reason is not None:
        yield f"not all compared through xarray: {shown.reason}"
    for one in shown.differences:
        yield f"{one.path}: xarray shows another {one.aspect}: {one.expected} of the file, {one.got} of the manifest"
    for one in shown.notes:
        how = f"{one.expected} of the file, {one.got} of the manifest"
        yield f"{one.path}: note: xarray's Zarr engine shows another {one.aspect}: {how}; engine='refmaker' does not"


_WORDS = {"differs": "differs", "unreadable": "unreadable", "skipped": "not compared"}


def _first(array: ArrayResult) -> str:
    first = array.first_difference
    if first is None:
        return ""
    return f"; the first, at {first.index}, is {first.expected!r} in the file, {first.got!r} through the manifest"


def _summary(manifest: str, found: VerifyReport) -> str:
    same = sum(array.status == "same" for array in found.arrays)
    checked, chunks = (sum(getattr(array, name) for array in found.arrays) for name in ("chunks_checked", "chunks"))
    where = f" with {counted(found.files, 'file')}" if found.files else ""
    parts = [f"{same} of {counted(len(found.arrays), 'array')} the same ({checked} of {chunks} chunks compared{where})"]
    counts = {
        "different": sum(array.status == "differs" for array in found.arrays),
        "unreadable": sum(array.status == "unreadable" for array in found.arrays),
        "not compared": found.skipped,
        "refused": len(found.refused),
    }
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    if found.shown is not None and found.shown.variables:
        parts.append(f"xarray shows {counted(found.shown.variables, 'variable')}, {_how(found.shown)}")
    for status in ("changed", "unreadable"):
        count = sum(target.status == status for target in found.targets)
        parts += [f"{counted(count, 'target')} {status}"] if count else []
    if found.repeated:
        parts.append(f"{counted(found.repeated, 'request')} retried: the server was busy, or connections were lost")
    return f"{manifest}: " + ", ".join(parts)


def _how(shown: ShownResult) -> str:
    return f"{counted(len(shown.differences), 'difference')}" if shown.differences else "all the same"
