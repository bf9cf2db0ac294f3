"""What is done about disagreements, and what a refusal says."""

from __future__ import annotations

from refmaker.combining.comparing import Disagreement
from refmaker.combining.records import Mismatch
from refmaker.combining.settling import refusal


def test_a_refusal_names_its_remedy() -> None:
    one = Disagreement(Mismatch("/ntimes", "values", {"240": ("a.nc",), "241": ("b.nc",)}))
    text = str(refusal("the inputs do not agree", [one]))
    assert "--on-mismatch drop-variable" in text
    assert "--exclude '/ntimes'" in text
    assert "240 (a.nc), 241 (b.nc)" in text


def test_what_cannot_be_left_out_names_no_remedy_that_leaves_it_out() -> None:
    one = Disagreement(Mismatch("/time", "units", {"K": ("a.nc",)}), can_drop=False)
    assert "--exclude" not in str(refusal("the inputs do not agree", [one]))
