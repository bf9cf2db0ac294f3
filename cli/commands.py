"""The `refmaker` command, and how it reports errors.

Contract: an error that refmaker raises on purpose is one line on stderr and exit status 1. Anything else is a bug of
ours and keeps its traceback.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import click

import refmaker
from refmaker.errors import RefmakerError

from .append import append
from .batch import batch
from .check import check
from .combine import combine
from .commit import commit
from .convert import convert
from .export import export
from .info import info
from .interrupts import INTERRUPTED, LINE, interrupts
from .limits import limits
from .output import FAILED, brief, say
from .rewrite import rewrite
from .scan import scan
from .serve import serve
from .stac import stac
from .status import status
from .verify import verify

__all__ = ["main"]


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            try:
                interrupts.working = True
                return super().invoke(ctx)
            except RefmakerError as error:
                say(brief(f"refmaker: {error}"), err=True)
                ctx.exit(FAILED)
            finally:
                interrupts.working = False
        except KeyboardInterrupt:
            interrupts.working = False
            if interrupts.installed:
                interrupts.end(partial(say, LINE, err=True))
            say(LINE, err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(refmaker.__version__, prog_name="refmaker")
def main() -> None:
    """Read HDF5 and netCDF files as Zarr, in place.

    Start with `refmaker scan FILE`, which writes a manifest, and `refmaker verify`, which compares it with FILE.

    Exit status: 0 done; 1 failed, and nothing is half-written; 2 wrong usage; 3 done, but something was refused (it is
    listed); 130 interrupted.
    """


main.add_command(scan)
main.add_command(info)
main.add_command(combine)
main.add_command(append)
main.add_command(commit)
main.add_command(stac)
main.add_command(verify)
main.add_command(batch)
main.add_command(check)
main.add_command(status)
main.add_command(convert)
main.add_command(rewrite)
main.add_command(serve)
main.add_command(export)
main.add_command(limits)
