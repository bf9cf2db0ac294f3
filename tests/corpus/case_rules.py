"""How the outcome of each case is judged: by rules on what its script printed and how it ended.

Contract: a rule gives None where the outcome is right, and a few words about what is wrong otherwise. It looks for what
is right (values, statuses, names of errors), never for the words of a particular message. A script that ends with a
traceback is wrong whatever else it says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["CASES", "OTHERS", "TRACEBACK", "Case", "Rule"]

Rule = Callable[[str, int], str | None]
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Case:
    """A script, with what it needs.

    Attributes
    ----------
    rules
        All of them have to hold.
    arguments
        Of the script; `{work}` is the scratch directory.
    needs
        Packages that the interpreter has to have.
    before
        Name of a step that makes its inputs; see `run_cases.PREPARATIONS`.
    own_traceback
        The script prints tracebacks on purpose, or fails by itself in ways that say nothing.
    """

    rules: tuple[Rule, ...]
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    before: str | None = None
    own_traceback: bool = False

    def judge(self, output: str, status: int) -> str | None:
        """Return None for the right outcome, else what is wrong."""
        if not self.own_traceback and TRACEBACK in output:
            return "a traceback"
        return next((wrong for rule in self.rules if (wrong := rule(output, status)) is not None), None)


def has(pattern: str, times: int = 1) -> Rule:
    """Ask for at least so many matches."""

    def rule(output: str, status: int) -> str | None:
        found = len(re.findall(pattern, output, re.MULTILINE))
        return None if found >= times else f"{found} of {times}: {pattern}"

    return rule


def lacks(pattern: str) -> Rule:
    """Ask for no match."""

    def rule(output: str, status: int) -> str | None:
        found = re.search(pattern, output, re.MULTILINE)
        return None if found is None else f"{len(re.findall(pattern, output, re.MULTILINE))} × {found[0][:60]}"

    return rule


def at_most(pattern: str, most: float) -> Rule:
    """Ask that every number that the pattern takes is no larger, and that there is one."""

    def rule(output: str, status: int) -> str | None:
        numbers = [float(found) for found in re.findall(pattern, output, re.MULTILINE)]
        if not numbers:
            return f"no number: {pattern}"
        return None if max(numbers) <= most else f"{max(numbers):g}, at most {most:g} expected"

    return rule


def ends(expected: int = 0) -> Rule:
    """Ask for an exit status of the script."""

    def rule(output: str, status: int) -> str | None:
        return None if status == expected else f"exit status {status}"

    return rule


def alike(first: str, second: str, leave_out: tuple[str, ...] = ()) -> Rule:
    """Ask that lines which begin with one word go on as those which begin with the other."""

    def rule(output: str, status: int) -> str | None:
        said: dict[str, dict[str, str]] = {first: {}, second: {}}
        for line in output.splitlines():
            word, _, rest = line.partition(" ")
            what, arrow, result = rest.partition(" -> ")
            if word in said and arrow:
                said[word][what] = result
        one, other = said[first], said[second]
        wrong = [what for what in one if what not in leave_out and one[what] != other.get(what)]
        if not one:
            return "nothing was said"
        return f"differs: {', '.join(wrong)}" if wrong else None

    return rule


def _same_dimensions(output: str, status: int) -> str | None:
    """Compare what follows `netcdf4` and `refmaker` in each line, over the variables that both show."""
    wrong, lines = [], re.findall(r"^(.*?)\s+netcdf4 (\{.*?\}) refmaker (\{.*\})$", output, re.MULTILINE)
    for name, one, other in lines:
        shown, ours = ast.literal_eval(one), ast.literal_eval(other)
        if any(shown[key] != ours[key] for key in shown.keys() & ours.keys()):
            wrong.append(name.strip())
    return "no lines" if not lines else f"differs: {', '.join(wrong)}" if wrong else None


def _padded_or_refused(output: str, status: int) -> str | None:
    """An array that is not refused has to be readable through every reader that the script tries."""
    refused = re.search(r"^refusals (\{.*\})$", output, re.MULTILINE)
    for name in ("plain", "compound"):
        if refused is not None and f"'/{name}'" in refused[1]:
            continue
        if re.search(rf"^(reference|refmaker) {name} \w*(Error|Unsupported)", output, re.MULTILINE):
            return f"{name} is mapped and cannot be read"
    return None if refused is not None else "no list of refusals"


def _set_is_there(output: str, status: int) -> str | None:
    """The set is there after the kill and after the next run, which leaves nothing beside it."""
    lists = [ast.literal_eval(found) for found in re.findall(r"(\[[^\]]*\])$", output, re.MULTILINE)]
    if len(lists) < 2 or not all("x.parq" in names for names in lists):
        return "the set is gone"
    return "leftovers stay" if any(".refmaker-" in name for name in lists[-1]) else None


def _only_new_form(output: str, status: int) -> str | None:
    """What another form replaces is gone; what a narrower pattern does not list is not."""
    first, _, second = output.partition("---")
    if "a.nc.json\n" in first or "b.nc.json\n" in first:
        return "manifests of the former form stay"
    return None if re.search(r"^b\.nc\.json$", second, re.MULTILINE) else "a manifest of a file that is there is gone"


OTHERS = {
    **dict.fromkeys(
        (
            *("append_race", "xarray_11250c", "goes_bounds", "default_chunks", "act_1018_extra_time_coords"),
            *("kerchunk_141_184_filename_date", "roms_scalars", "cftime_68_months_since", "append_after_odd"),
            "record_chunks",
        ),
        "issue 13",
    ),
    **dict.fromkeys(("emfile", "endpoint", "to_url", "servers", "stores", "lock_pid"), "issue 14"),
}
"""Cases that another issue covers."""

CASES = {
    # Wrong values or types, silently
    "ea_max_idx_set": Case((has(r"^same", 6), lacks(r"## DIFFERENT"))),
    "weak_etag_replay": Case((has(r"^replay refused: TargetChanged"),)),
    "char_dim_shared": Case((ends(),)),
    "opaque_numpy_tag": Case(
        (has(r"'S': '\|S5'"), has(r"'U': '<U3'"), has(r"^0 .*4 of 4 arrays the same"), lacks(r"differs"))
    ),
    "packed_float32": Case((has(r"^float32 float32"), has(r"xarray engine=refmaker : identical\s*$", 2))),
    "anndata_read": Case((lacks(r"^[st] \w*Error"), has(r"AnnData object with", 2)), needs=("anndata",)),
    "anndata_kerchunk_301": Case((has(r"'column-order': \['ct'\]"), lacks(r": refused:"))),
    # Crashes, leaks, resources
    "open_files": Case((ends(), has(r"^right; open descriptors"))),
    "fd_leak": Case((lacks(r"^## "), at_most(r"closed, (\d+) descriptors", 150))),
    "scan_bombs": Case((lacks(r"^## "), has(r"bytes stored", 20)), needs=("hdf5plugin",)),
    "decoded_view_bomb": Case((has(r"^ok decoded view"),), needs=("hdf5plugin",)),
    "big_element": Case((at_most(r"(\d+) MB", 512),)),
    "template_blowup": Case((at_most(r"grown by (\d+) MB", 512),)),
    "latin1": Case((lacks(r"^## "), has(r" status ", 36))),
    "be_compound_xarray": Case((lacks(r"xarray engine=refmaker : \w*Error"), lacks(r"\| /t: "))),
    "fits_table_xarray": Case((lacks(r"^(\{.*\} )?\w*Error"), has(r"verify .*-> 0", 2)), needs=("kerchunk", "astropy")),
    "unsigned_false": Case((has(r"zarr \d same$", 6), lacks(r"DIFFERENT"))),
    "surrogate_attr": Case((lacks(r"^(?!stock).*NOT a RefmakerError"),)),
    "timeout_waves": Case((at_most(r"([\d.]+) s$", 6), has(r" s$", 3))),
    "garbage_status": Case((at_most(r"wall ([\d.]+) s", 6), at_most(r"([\d]+) characters", 4000))),
    "parquet_window": Case((_set_is_there, lacks(r"^next append: [^0]"))),
    "append_while_open": Case(
        (
            has(r"^open\.(parq|json) (equal True|ManifestError|TargetChanged|SourceError)", 2),
            has(r"^reopened in the same process 804", 2),
        ),
        before="series",
    ),
    "lock_disk_full": Case((lacks("TRACEBACK"), lacks(r"^\S+ .*\(0, .*\['.*Error"), has("RLIMIT_FSIZE"))),
    "batch_misc": Case(
        (lacks("## "), has(r"^-- names", 2), has(r"^-- ledger", 15)), ("names", "loops", "full", "ledger", "swap")
    ),
    "manifest_url_secret": Case((lacks("## LEAK"), has(r"^ok", 10))),
    "secrets_leak": Case((has(r"texts searched, 0 leaks"),)),
    "sigint": Case((has(r"^rc 130", 12), lacks(r"^rc (?!130)"), at_most(r"lines (\d+)", 1)), before="sigint"),
    "datatree": Case((has(r"^engine=refmaker DataTree True"), lacks(r"^open_groups \w*Error"))),
    "datatree_plain": Case((lacks(r"^open_(datatree|groups) \w*Error"), ends())),
    # Wrong refusals, worthless outputs
    "parquet_fastparquet_local": Case(
        (has(r"^xarray True"), has(r"^engine=kerchunk True"), has(r"^refmaker True"), has(r"^cat \d")),
        needs=("fastparquet", "kerchunk"),
    ),
    "parquet_stock_http": Case((has(r"^values ok True"), has(r"^cat \d")), needs=("fastparquet", "pandas")),
    "parquet_fix_probe": Case((has(r"^stock True"), has(r"^VZ True")), needs=("fastparquet", "virtualizarr")),
    "parquet_kc_missing": Case(
        (has(r"^refmaker (\[7 7 7 7\]|ManifestError.*[a-z]=)"),), needs=("fastparquet", "kerchunk")
    ),
    "short_edge_chunk": Case((_padded_or_refused, has(r"^[03] "))),
    "vds_source_dangling_link": Case((has(r"refmaker refuses \{\}$", 4),)),
    "phony_numbering": Case((_same_dimensions,)),
    "tiff_last_strip": Case((has(r"^0 "),), needs=("kerchunk", "tifffile")),
    "fits_vector_column": Case((has(r"^0 "),), needs=("kerchunk", "astropy")),
    "geotiff_attrs": Case((has(r"refmaker \.zattrs: .*ModelPixelScale", 4),), needs=("kerchunk", "tifffile")),
    "h5netcdf_204_null_scale": Case(
        (has(r"scan a\.h5 .*-> 0"), has(r"x: 3"), lacks(r"\| .*refused"), has(r"verify .*-> 0", 2))
    ),
    "http_norange_note": Case((has(r"-> [13]$|range", 2), has("download the entire file"), lacks(r"^\[\[\]\]$"))),
    "throttled_verify": Case((has(r"verify .*-> 0", 2),)),
    "single_into_dir": Case((has(r"^d.* manifests/?$"), has(r"^status 0"))),
    "typo_src": Case((has(r"^batch 0"), has(r"^check 0"))),
    "batch_orphans": Case((_only_new_form,)),
    "report_dash": Case((lacks(r"^-$"), has(r'"objects"'))),
    "str_path": Case((has(r"^ok", 2), lacks("AttributeError"), has(r"^ok|^TypeError .*list|^TypeError .*sequence", 3))),
    "colons_in_path": Case((has(r"sources\.is_local True replay\.is_local True", 2), has(r"^scan ok", 2))),
    "untyped_public_api": Case((has(r"^\(.*inline_threshold.*\)"), has(r"^scan\(\)"))),
    "misc_fs": Case((alike("reference", "refmaker", ("on_error=return, one path", "non-Zarr key")),)),
    "vz_float_fill": Case(
        (has(r"^ours\.json \[ *1\. +nan +3\.\]"), lacks(r"^plus \w*Error")), needs=("virtualizarr", "kerchunk")
    ),
    "char_fill_v3": Case((lacks("DIFFERS"), has(r"^verify 0", 16))),
    "hdf5pure_245_status_flags": Case((lacks("AttributeError"),)),
}
