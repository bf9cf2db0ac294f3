"""Which stored chunks a chunk of a composite array is made of, and where they come to stand."""

from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import FormatError, ManifestError
from refmaker.manifest.composite import HOLE
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay.composed import ComposedArray, ComposedAssembly, Part, composed, composed_pieces
from tests.manifest.test_composite import composite

TARGETS = (Target("a.nc", size=1000),)


def array() -> ComposedArray:
    arrays: dict[int, ComposedArray] = {}
    view, withheld = composed(Manifest(2, {"": {}}, {}, TARGETS, composites={"v": composite()}), arrays)
    assert withheld == {}
    assert view.composites == {}
    assert view.arrays["v"].references.at(1) == (1, 32, 32)
    return arrays[1]


def test_parts() -> None:
    one = array()
    assert list(one.parts(0)) == [Part(0, ((0, 4), (0, 2)), (slice(0, 4), slice(0, 2)))]
    assert list(one.parts(1)) == [
        Part(HOLE, ((0, 1), (0, 2)), (slice(0, 1), slice(0, 2))),
        Part(1, ((0, 2), (1, 3)), (slice(1, 3), slice(0, 2))),
    ]


def test_cells() -> None:
    one = array()
    assert one.cells(0).tolist() == [0, 1]
    assert one.cells(1).tolist() == [3, 4]
    assert composed_pieces(one, 1, TARGETS, "v/1.0").cell.tolist() == [4]  # cell 3 is absent


def test_assembled() -> None:
    """A hole, a piece that is transposed, its absent chunk, and rows beyond the edge."""
    one = array()
    assembly = ComposedAssembly("v/1.0", one, 1)
    assembly.put([([(4, np.array([[1], [2]], "<f4").tobytes(), 0)], "a.nc")])
    got = np.frombuffer(assembly.done(), "<f4").reshape(4, 2)
    assert np.isnan(got[0]).all()
    assert got[1:].tolist() == [[0, 0], [1, 2], [0, 0]]


def test_steps_are_taken() -> None:
    one = array()
    assembly = ComposedAssembly("v/0.0", one, 0)
    assembly.put([([(1, np.array([[1, 2], [3, 4]], "<i2").tobytes(), 0)], "a.nc")])
    got = np.frombuffer(assembly.done(), "<f4").reshape(4, 2)
    assert got.tolist() == [[0, 0], [0, 0], [0.5, 1], [1.5, 2]]


def test_what_does_not_decode_names_key_and_file() -> None:
    assembly = ComposedAssembly("v/0.0", array(), 0)
    with pytest.raises(FormatError) as caught:
        assembly.put([([(1, b"short", 77)], "a.nc")])
    assert (caught.value.path, caught.value.source, caught.value.address) == ("v/0.0", "a.nc", 77)


def test_holes_have_no_value_in_integers() -> None:
    from dataclasses import replace

    one = array()
    integers = one.source.metadata.replaced(dtype="<i4")
    with pytest.raises(ManifestError, match="hole"):
        ComposedArray("v", replace(one.source, metadata=integers), one.pipelines).fill(HOLE)


def test_codecs_that_are_not_known_are_withheld() -> None:
    from dataclasses import replace

    one = composite()
    strange = one.forms[0].metadata.replaced(compressor={"id": "strange"})
    changed = replace(one, forms=(replace(one.forms[0], metadata=strange), one.forms[1]))
    _, withheld = composed(Manifest(2, {"": {}}, {}, TARGETS, composites={"v": changed}), {})
    assert "strange" in withheld["v"]
