"""Names of manifests: relative paths, made from those of their sources.

Contract: two sources never have the same manifest, and no manifest takes the place of a source or lies outside of the
output directory; that is known before anything is scanned.
"""

from __future__ import annotations

import posixpath
import string
from collections.abc import Sequence

from refmaker.batch.listing import Entry
from refmaker.errors import BatchError

__all__ = ["DEFAULT_TEMPLATE", "FORMS", "name_outputs"]

FORMS = {"json": ".json", "json.gz": ".json.gz", "json.zst": ".json.zst", "parquet": ".parq"}
"""How manifests are written -> how their names end."""
DEFAULT_TEMPLATE = "{path}{form}"
_FIELDS = ("path", "dir", "name", "stem", "ext", "form")
_SHOWN = 5


def name_outputs(sources: Sequence[Entry], *, form: str, template: str = DEFAULT_TEMPLATE) -> list[str]:
    """Return the name of each source's manifest, a path relative to the output directory.

    Parameters
    ----------
    form
        A key of `FORMS`.
    template
        With `{path}` (`a/b.nc`), `{dir}` (`a`), `{name}` (`b.nc`), `{stem}` (`b`), `{ext}` (`.nc`), `{form}` (`.json`).

    Raises
    ------
    BatchError
        Names collide, lead out of the output directory, or do not have the extension of the format.
    """
    _check_template(template, form)
    outputs = [_fill(template, source.name, FORMS[form]) for source in sources]
    seen: dict[str, Entry] = {}
    collisions = []
    for source, output in zip(sources, outputs, strict=True):
        other = seen.setdefault(output, source)
        if other is not source:
            collisions.append(f"{output} of {other.url} and {source.url}")
    if collisions:
        more = f" and {len(collisions) - _SHOWN} more" if len(collisions) > _SHOWN else ""
        raise BatchError(
            f"manifests would have the same name: {'; '.join(collisions[:_SHOWN])}{more}. "
            "Choose another --base or --template"
        )
    return outputs


def _check_template(template: str, form: str) -> None:
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise BatchError(f"invalid --template: {error}", got=template) from error
    if not fields or any(name not in _FIELDS or spec or conversion for _, name, spec, conversion in fields):
        raise BatchError(
            "invalid --template: it may hold " + ", ".join(f"{{{name}}}" for name in _FIELDS) + " and text",
            got=template,
        )
    if not _fill(template, "a/b.c", FORMS[form]).endswith(FORMS[form]):
        raise BatchError(
            f"names of manifests in this format must end with {FORMS[form]}: add {{form}} to --template", got=template
        )


def _fill(template: str, path: str, suffix: str) -> str:
    folder, _, name = path.rpartition("/")
    stem, ext = posixpath.splitext(name)
    filled = template.format(path=path, dir=folder, name=name, stem=stem, ext=ext, form=suffix)
    parts = [part for part in filled.split("/") if part not in ("", ".")]
    if ".." in parts or not parts or "\0" in filled:
        raise BatchError("the manifest would be outside the output directory: choose another --template", got=filled)
    return "/".join(parts)
