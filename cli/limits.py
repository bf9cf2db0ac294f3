"""`refmaker limits`: what hostile input may cost, and how to change that."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from .output import say_table

__all__ = ["limits"]

_POWERS = (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def limits(as_json: bool) -> None:
    """Show every limit: its value, what it guards, and how to change it.

    The environment variable REFMAKER_LIMITS changes the limits that name it.

    Example: REFMAKER_LIMITS=manifest-size=8GiB,links=20000 refmaker limits
    """
    from refmaker.limits import LIMITS

    if as_json:
        click.echo(json.dumps([asdict(limit) for limit in LIMITS.values()], indent=1))
        return
    rows = [("limit", "value", "unit", "of what", "changed by")]
    for limit in LIMITS.values():
        value = (_bytes(limit.value) if limit.unit.startswith("bytes") else _count(limit.value)) + (
            "" if limit.value == limit.default else " (changed)"
        )
        rows.append((limit.name, value, limit.unit, limit.guards, limit.change))
    say_table(rows, frozenset({1}))


def _bytes(value: float) -> str:
    """Write round numbers of bytes as people do."""
    if not isinstance(value, int):
        return f"{value:,g}"
    unit = next(((name, power) for name, power in _POWERS if value >> power and not value & (1 << power) - 1), None)
    return f"{value:,}" if unit is None else f"{value >> unit[1]} {unit[0]}"


def _count(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
