"""Nearest neighbours beside faiss, whose sums of floats say which ones they are wherever they are far enough apart.

Numbers of 16 bits are exact in single precision, and for a sum of `d` products in any order |float - exact| is at most
`d u / (1 - d u)` times the sum of |a_i b_i|, with u = 2**-24 (Higham, Accuracy and Stability, 3.5). That sum is at most the
product of the lengths (Cauchy and Schwarz), and rounding makes a vector longer by at most `sqrt(d) / 2`. So what faiss left
out is, in whole numbers, at most its last proposal and twice that bound: the bound of the proposal, and of what it beat.
"""

from __future__ import annotations

import warnings
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SWIG's types have no `__module__`.
    faiss = pytest.importorskip("faiss")

UNIT = 32_767


def bound(numbers: int) -> float:
    """How far a similarity in floats may be from the exact one."""
    unit = numbers * 2.0**-24
    return unit / (1 - unit) * (UNIT + sqrt(numbers) / 2) ** 2


def proposed(vectors: kernels.I16, most: int, spare: int) -> tuple[kernels.I64, kernels.Bools]:
    """(the nearest of what faiss proposes for each vector, by whole numbers and then the earlier; where that is proved)."""
    rows, numbers = vectors.shape
    floats = vectors.astype(np.float32)
    index = faiss.IndexFlatIP(numbers)
    index.add(floats)
    count = min(rows, most + spare)
    near, others = index.search(floats, count)
    exact = np.einsum("id,ijd->ij", vectors.astype(np.int64), vectors[others].astype(np.int64))
    assert np.abs(near - exact).max() <= bound(numbers)
    exact = np.minimum(exact, kernels.WHOLE)
    exact[others == np.arange(rows)[:, None]] = -kernels.WHOLE - 1
    order = np.lexsort((others, -exact))[:, :most]
    last = np.take_along_axis(exact, order, axis=1)[:, -1]
    proved = (last > near[:, -1] + 2 * bound(numbers)) | (count == rows)
    return np.take_along_axis(others, order, axis=1), proved


def around(centres: int, rows: int, numbers: int, apart: float, seed: int) -> kernels.I16:
    """Vectors around a few centres; 0 apart are equal ones."""
    chance = np.random.default_rng(seed)
    table = chance.standard_normal((centres, numbers))[chance.integers(0, centres, rows)]
    vectors, there = kernels.quantise(
        table + apart * chance.standard_normal((rows, numbers)), np.arange(rows, dtype=np.uint32)
    )
    assert there.all()
    return vectors


@settings(max_examples=30, deadline=None)
@given(
    centres=st.integers(1, 6),
    rows=st.integers(2, 300),
    numbers=st.integers(1, 70),
    apart=st.sampled_from([0.0, 1e-6, 1e-3, 0.3, 2.0]),
    seed=st.integers(0, 2**32),
    most=st.integers(1, 20),
)
def test_neighbours_are_those_that_faiss_proves(
    centres: int, rows: int, numbers: int, apart: float, seed: int, most: int
) -> None:
    vectors = around(centres, rows, numbers, apart, seed)
    most = min(most, rows - 1)
    found, proved = proposed(vectors, most, 17)
    others, near = kernels.nearest(vectors, most)
    assert (others[proved] == found[proved]).all()
    # Where the proposals prove nothing (equal vectors, more of them than were proposed), no other is nearer.
    exact = np.minimum(vectors.astype(np.int64) @ vectors.astype(np.int64).T, kernels.WHOLE)
    np.fill_diagonal(exact, -kernels.WHOLE - 1)
    whole = np.argsort(-exact, axis=1, kind="stable")[:, :most]
    assert (others == whole).all()
    assert (near == np.take_along_axis(exact, whole, axis=1)).all()


def test_embeddings_that_differ_are_proved_and_equal_ones_are_not() -> None:
    """The proof is worth something on vectors of a usual size, and does not claim what it cannot."""
    vectors = around(20, 3000, 384, 1.0, 7)
    found, proved = proposed(vectors, 16, 17)
    others, _ = kernels.nearest(vectors, 16)
    assert proved.mean() > 0.99
    assert (others[proved] == found[proved]).all()
    equal = around(2, 400, 384, 0.0, 7)
    assert not proposed(equal, 16, 17)[1].any()
