"""What an answer is worth: right, refused, wrong.

`right`: all is as the case says; of an invalid manifest, that it was refused; of one that leads to what cannot be had,
that this is an error and the rest is there. `refused`: an error where there should have been values; nobody is misled.
`wrong`: values that are not those, or values where there should have been an error. `crash`: the reader ended, or did
not answer in time.
"""

from __future__ import annotations

from typing import Any

VERDICTS = ("right", "refused", "wrong", "crash")


def judge(case: dict[str, Any], answer: dict[str, Any] | None) -> tuple[str, str]:
    """Return the verdict, and why it is not `right`."""
    if answer is None:
        return "crash", "the reader ended or did not answer in time"
    found = answer["arrays"]
    broken = case.get("broken")
    if broken is not None and "error" not in found[broken]:
        return "wrong", f"{broken}: {_shown(found[broken])} where an error was due"
    for path, expected in case.get("arrays", {}).items():
        if "error" not in found[path] and (why := _different(expected, found[path])):
            return "wrong", f"{path}: {why}"
    for key, data in case.get("keys", {}).items():
        got = answer.get("keys", {}).get(key)
        if got is not None and "error" not in got and got.get("hex") != data:
            return "wrong", f"key {key}: {got} instead of {data or 'absent'}"
    errors = [f"{path}: {found[path]['error']}" for path in case.get("arrays", {}) if "error" in found[path]]
    keys = answer.get("keys", {})
    errors += [f"key {key}: {keys[key]['error']}" for key in case.get("keys", {}) if "error" in keys.get(key, {})]
    return ("refused", errors[0]) if errors else ("right", found[broken]["error"] if broken else "")


def _different(expected: dict[str, Any], found: dict[str, Any]) -> str:
    if (found["dtype"], expected["dtype"]) == ("u1", "b1"):  # there are readers without a type for truth
        found = {**found, "dtype": "b1"}
    for name in ("shape", "dtype"):
        if found.get(name, expected[name]) != expected[name]:
            return f"{name} {found[name]} instead of {expected[name]}"
    if "fields" in expected:
        return "" if found.get("fields") == expected["fields"] else "other fields"
    name = "hex" if "hex" in expected and "hex" in found else "values"
    return "" if found[name] == expected[name] else f"{_shown(found)} instead of {_shown(expected)}"


def _shown(array: dict[str, Any]) -> str:
    return str(array.get("values", array.get("hex")))[:80]
