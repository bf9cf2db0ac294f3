"""`-v`: what is asked of files and servers, on stderr.

Contract: the records of refmaker and of the libraries it uses, without secrets (`refmaker.logs`); once for INFO, twice
for DEBUG. Results do not change.
"""

from __future__ import annotations

import click

__all__ = ["verbose_option"]


def verbose_option() -> click.Option:
    """Return the option that every command has."""
    return click.Option(
        ["-v", "--verbose"],
        count=True,
        expose_value=False,
        callback=_show,
        help="Log to stderr what libraries say of requests; -vv for details.  [default: nothing]",
    )


def _show(ctx: click.Context, param: click.Parameter, value: int) -> None:
    if not value or ctx.resilient_parsing:
        return
    import logging
    import sys

    from refmaker.logs import guard

    guard()
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = root.level

    def restore() -> None:
        root.removeHandler(handler)
        root.setLevel(level)

    root.addHandler(handler)
    root.setLevel(logging.INFO if value == 1 else logging.DEBUG)
    ctx.call_on_close(restore)
