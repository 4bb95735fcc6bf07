"""phi . psi is the score of the row that has the features of both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.sides import context_vectors, item_vectors, side_rows
from spark_fm.core.fm.weights import Weights
from tests.core.strategies import FEATURES, ordinary, rows
from tests.oracle import Oracle, block_of

FIRST_OF_ITEMS = FEATURES // 2
FAR = np.arange(FEATURES) * 10**9


def split(oracle, side_of_rows, factor_size):
    """(sums, own) of rows of one side."""
    block = block_of(side_of_rows, dtype=np.float64)
    sums, own = np.empty((block.rows, factor_size)), np.empty(block.rows)
    side_rows(oracle.table, block.indptr, block.indices, block.values, sums, own)
    return sums, own


def halves(row):
    """The features of a row that are the context's, and those that are the item's."""
    ids, values = row
    both = [[], []], [[], []]
    for i, x in zip(ids, values, strict=True):
        side = both[i >= FIRST_OF_ITEMS]
        side[0].append(i)
        side[1].append(x)
    return both


@given(rows(ordinary), st.integers(0, 9), st.integers(0, 5))
def test_the_product_of_the_sides_is_the_score_of_the_row(both_sides, seed, factor_size):
    oracle = Oracle.random(seed, FEATURES, factor_size)
    contexts, items = zip(*map(halves, both_sides), strict=True)
    phi = context_vectors(*split(oracle, contexts, factor_size), oracle.w0)
    psi = item_vectors(*split(oracle, items, factor_size))
    assert phi.shape == psi.shape == (len(both_sides), factor_size + 2)
    # Every context with every item, not only those that were drawn together.
    products = phi @ psi.T
    for c, (context_ids, context_values) in enumerate(contexts):
        for i, (item_ids, item_values) in enumerate(items):
            ids, x = np.array(context_ids + item_ids, int), np.array(context_values + item_values)
            size = oracle.magnitude(ids, x)
            assert products[c, i] == pytest.approx(oracle.score(ids, x), abs=1e-12 * (1 + size))


def test_features_without_parameters_contribute_nothing():
    oracle = Oracle.random(1, FEATURES, 3)
    with_unknown = block_of([([0, 2], [1.0, 2.0])], dtype=np.float64)
    with_unknown.indices[0] = -1
    sums, own = np.empty((1, 3)), np.empty(1)
    side_rows(oracle.table, with_unknown.indptr, with_unknown.indices, with_unknown.values, sums, own)
    expected = split(oracle, [([2], [2.0])], 3)
    np.testing.assert_array_equal(sums, expected[0])
    np.testing.assert_array_equal(own, expected[1])


def test_a_row_of_nothing_scores_the_intercept():
    oracle = Oracle.random(2, FEATURES, 4)
    phi = context_vectors(*split(oracle, [([], [])], 4), oracle.w0)
    psi = item_vectors(*split(oracle, [([], [])], 4))
    assert (phi @ psi.T).item() == oracle.w0


def test_the_table_of_weights_is_read_as_scores_read_it():
    weights = Weights(FAR, np.full(FEATURES, 2.0, np.float32), np.zeros((FEATURES, 0), np.float32), 0.0)
    own = np.empty(1)
    indptr, indices = np.array([0, 3], np.int32), np.array([0, 4, 11], np.int32)
    side_rows(weights.table, indptr, indices, np.array([1.0, 0.5, -1.0]), np.empty((1, 0)), own)
    assert own[0] == 1.0
