"""Steps from anyone: those that fit each other are run as they were checked, all others are refused."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from refmaker.cf_decoding import decoding_steps
from refmaker.errors import ManifestError
from refmaker.steps import Template, template_from_json
from tests.test_cf_decoding import FORMS

HOSTILE: list[Any] = [
    None, {}, "to", [["to"]], [["to", "O"]], [["to", "<U9"]], [["eval", "<f4"]], [["mul", "|b1"]],
    [["mask", "nan", []]],
       [["mask", "nan", ["<f4"] * 9]], [["mask", "x", ["<f4"]]], [["to", "<f4"]] * 9, [["as", 4]], [["add", ["<f4"]]],
]  # fmt: skip
NO_ONE_RESULT: list[tuple[str, list[Any]]] = [
    ("<f4", [["to", "<i4"]]), ("<f4", [["as", "<i4"]]), ("<i2", [["mask", "nan", ["<i2"]]]), ("<i2", [["as", "<u4"]]),
    ("<i4", [["mask", "nat", ["<i4"]]]), ("<i2", [["mul", "<f4"]]), ("|S4", [["to", "<f4"]]), ("|b1", [["add", "<f4"]]),
]  # fmt: skip


@pytest.mark.parametrize("document", HOSTILE, ids=str)
def test_what_is_no_list_of_steps(document: Any) -> None:
    with pytest.raises(ManifestError):
        template_from_json(document)


@pytest.mark.parametrize(("dtype", "document"), NO_ONE_RESULT, ids=str)
def test_steps_that_do_not_fit(dtype: str, document: Any) -> None:
    with pytest.raises(ManifestError):
        template_from_json(document).result(np.dtype(dtype))


def test_mutated_templates() -> None:
    """They are refused, or give what they say without another error."""
    random.seed(1)
    junk = [None, 1, "<f4", "|O", [], "mul", "mask", ["to", "<f4"], "to", "nan", "<i8", [["<f4"]], True]
    documents = [(d.template.to_json(), v.dtype) for v, a in FORMS.values() for d in [decoding_steps(v.dtype, a)]]

    def mutated(value: Any) -> Any:
        if isinstance(value, list) and value and random.random() < 0.8:
            copy = list(value)
            at = random.randrange(len(copy))
            copy[at] = mutated(copy[at])
            return copy if random.random() < 0.8 else [*copy, random.choice(junk)]
        return random.choice(junk)

    valid = 0
    for _ in range(5000):
        document, dtype = random.choice(documents)
        try:
            template: Template = template_from_json(mutated(document))
            result = template.result(dtype)
        except ManifestError:
            continue
        valid += 1
        operands = [random.getrandbits(8) for _ in template.operand_dtypes]
        assert template.apply(np.zeros(3, dtype), operands).dtype == result
    assert valid > 100
