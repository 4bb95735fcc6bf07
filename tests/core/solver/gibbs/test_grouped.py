"""Features drawn side by side say what the chain says that draws one after the other."""

import numpy as np
import pytest

from spark_fm.core.solver.gibbs.chain import Chain
from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.grouped import GroupedRows, Residuals, draw_groups, draw_summed, sum_groups
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.state import ChainState
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

USERS, ITEMS, K, ROWS = 6, 5, 3, 80
M = USERS + ITEMS + 1
IDS = 10 * np.arange(M) + 3


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def block(request):
    """A user, an item (one in five rows has none) and a number."""
    random = np.random.default_rng(4)
    rows = [
        [random.integers(USERS), *([USERS + random.integers(ITEMS)] if random.random() > 0.2 else []), M - 1]
        for _ in range(ROWS)
    ]
    indices = np.array([i for row in rows for i in row], np.int32)
    values = np.where(indices == M - 1, random.normal(size=indices.size), 1.0).astype(np.float32)
    return Block(
        np.cumsum([0, *map(len, rows)]).astype(np.int32),
        indices,
        values if request.param else NO_FLOATS,
        random.normal(size=ROWS),
        random.uniform(0.5, 2.0, ROWS).astype(np.float32) if request.param else NO_FLOATS,
        NO_FLAGS,
        NO_FEATURES,
    )


def left_over(block, theta, intercept):
    residuals = block.label - predict(block, theta, intercept)
    weight = block.weight.astype(float) if block.weight.size else np.ones(block.rows)
    return Residuals(weight.sum(), weight @ residuals, weight @ residuals**2)


CLASSES = np.repeat(np.array([0, 1, 2], np.int16), [USERS, ITEMS, 1])
PRIOR = np.full(K + 1, 0.1), np.full(K + 1, 2.0)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_draws_are_those_of_the_chain_and_the_sums_say_the_same(block, number):
    theta = 0.3 * np.random.default_rng(1).normal(size=(M, K + 1))
    members = np.flatnonzero(number == CLASSES).astype(np.int32)
    order = DrawOrder([members], [[0]])
    chain = Chain(block, ChainState(IDS, order, 9, theta.copy(), 0.2))
    chain.draw_parameters(5, [PRIOR], noise=1.5)

    rows = GroupedRows.of(block, CLASSES, number)
    np.testing.assert_array_equal(rows.positions, members)
    data = block.indptr, block.indices, block.values, block.label, block.weight
    drawn, sums = np.empty((members.size, K + 1)), np.zeros(3)
    assert draw_groups(
        rows.order, rows.begins, rows.positions, IDS, *data, rows.entries, theta, 0.2, *PRIOR, 1.5, 9, 5, drawn, sums
    )  # fmt: skip
    np.testing.assert_allclose(drawn, chain.state.theta[members], atol=1e-5)
    after = theta.copy()
    after[members] = drawn
    np.testing.assert_allclose(sums, left_over(block, after, 0.2), rtol=1e-9, atol=1e-9)

    d = K + 1
    parts = []
    for some in (np.arange(0, 30), np.arange(30, ROWS)):
        piece = block.take(some)
        its = GroupedRows.of(piece, CLASSES, number)
        f = its.positions.size
        precision, moment, reach, totals = (
            np.zeros((f, d, d)),
            np.zeros((f, d)),
            np.zeros((f, d)),
            np.zeros(3),
        )
        sum_groups(
            its.order, its.begins, piece.indptr, piece.indices, piece.values, piece.label, piece.weight,
            its.entries, theta, 0.2, precision, moment, reach, totals,
        )  # fmt: skip
        np.testing.assert_allclose(totals, left_over_without(piece, theta, members), rtol=1e-9, atol=1e-9)
        parts.append((its.positions, np.concatenate([precision.reshape(f, -1), moment, reach], axis=1)))
    whole = np.zeros((members.size, d * d + 2 * d))
    for positions, some in parts:
        whole[np.searchsorted(members, positions)] += some
    again, changed = np.empty_like(drawn), np.zeros(2)
    assert draw_summed(whole, members, IDS, *PRIOR, 1.5, 9, 5, again, changed)
    np.testing.assert_allclose(again, drawn, atol=1e-10)
    before = left_over_without(block, theta, members)
    np.testing.assert_allclose(np.array(before[1:]) + changed, sums[1:], rtol=1e-9, atol=1e-9)


def left_over_without(block, theta, members):
    without = theta.copy()
    without[members] = 0.0
    return left_over(block, without, 0.2)


def test_a_block_without_the_feature_draws_nothing(block):
    theta = 0.3 * np.random.default_rng(1).normal(size=(M, K + 1))
    rows = GroupedRows.of(block, CLASSES, 7)
    sums = np.zeros(3)
    assert draw_groups(
        rows.order, rows.begins, rows.positions, IDS, block.indptr, block.indices, block.values, block.label,
        block.weight, rows.entries, theta, 0.2, *PRIOR, 1.5, 9, 5, np.empty((0, K + 1)), sums,
    )  # fmt: skip
    np.testing.assert_allclose(sums, left_over(block, theta, 0.2), rtol=1e-9, atol=1e-9)
