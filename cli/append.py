"""`refmaker append`: more inputs to a combined manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .combine import combining_options, run
from .destination import OUTPUT, check_outputs

if TYPE_CHECKING:
    from refmaker import Combination

__all__ = ["append"]


@click.command()
@click.argument("combined", metavar="COMBINED")
@click.argument("inputs", nargs=-1, required=True, metavar="MANIFEST|FILE...")
@click.option(
    "-o", "--output", type=OUTPUT, metavar="OUT", help="Manifest to write (- for stdout).  [default: COMBINED]"
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait while another run writes the output.",
)
@combining_options
@click.pass_context
def append(
    ctx: click.Context,
    /,
    combined: str,
    inputs: tuple[str, ...],
    output: str | None,
    wait: float,
    report: str | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Add manifests, or source files, to a COMBINED manifest, which is replaced unless -o names another output.

    Source files of COMBINED are read again only to compare arrays that are the same in all inputs. Otherwise this works
    as `refmaker combine` does; give the same --concat. COMBINED may be a url, such as s3://bucket/all.json. Runs that
    append to it at once take turns.

    Example: refmaker append 2023.json 2024/01.nc
    """
    from refmaker.combining.combine import append_with_report

    def work(given: Sequence[str], **options: Any) -> Combination:
        return append_with_report(combined, list(given), **options)

    destination = OUTPUT.convert(combined, None, ctx) if output is None else output
    check_outputs(inputs, [destination, report])
    ctx.exit(run(work, list(inputs), destination, report, quiet, given, wait=wait))
