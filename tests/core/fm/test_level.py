from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.sparse.block import NO_FLOATS
from tests.core.solver.adagrad.test_step import score
from tests.oracle import Oracle, block_of

ROWS = 400


def rows(seed=0, weighted=False, labels=None):
    random = np.random.default_rng(seed)
    data = [([int(i), 5 + int(j)], [1.0, float(x)]) for i, j, x in zip(
        random.integers(0, 5, ROWS), random.integers(0, 5, ROWS), random.standard_normal(ROWS), strict=True
    )]  # fmt: skip
    label = (random.random(ROWS) < 0.3).astype(float) if labels is None else labels
    return block_of(data, label, random.choice([0.0, 0.5, 4.0], ROWS) if weighted else None)


def level_of(oracle, block, loss, chosen=None, by=0.0):
    chosen = np.arange(block.rows, dtype=np.int32) if chosen is None else np.array(chosen, np.int32)
    return Level.of(oracle.table, oracle.w0 + by, block, chosen, loss)


def gap(oracle, block, loss, by):
    """How far the mean prediction is from the labels' after a shift."""
    z = score(oracle.table, oracle.w0 + by, block)
    prediction = z if loss is SQUARED else 1.0 / (1.0 + np.exp(-z))
    weight = block.weight.astype(float) if block.weight.size else np.ones(block.rows)
    return np.average(prediction - block.label, weights=weight)


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("away", [-9.0, -0.3, 0.01, 4.0])
@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_mean_prediction_after_the_shift_is_that_of_the_labels(loss, weighted, away, scale):
    oracle = replace(Oracle.random(1, 10, 4, scale), w0=away)
    block = rows(weighted=weighted)
    assert abs(gap(oracle, block, loss, 0.0)) > 1e-3
    first = level_of(oracle, block, loss).shift(loss)
    assert gap(oracle, block, loss, first) == pytest.approx(0.0, abs=0.02)
    # Once more for what the interpolation has left.
    both = first + level_of(oracle, block, loss, by=first).shift(loss)
    assert gap(oracle, block, loss, both) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
def test_levels_of_parts_add_up(loss):
    oracle, block = Oracle.random(3, 10, 4), rows(weighted=True)
    parts = [level_of(oracle, block, loss, range(first, ROWS, 3)) for first in range(3)]
    total = sum(parts, Level.none(loss))
    whole = level_of(oracle, block, loss)
    np.testing.assert_allclose(total.numbers(), whole.numbers(), rtol=1e-9)
    assert total.shift(loss) == pytest.approx(whole.shift(loss))
    assert parts[0].shift(loss) != pytest.approx(whole.shift(loss))


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
def test_numbers_are_the_whole_level(loss):
    level = level_of(Oracle.random(4, 10, 4), rows(weighted=True), loss)
    back = Level.of_numbers(level.numbers())
    np.testing.assert_array_equal(back.predicted, level.predicted)
    assert (back.wanted, back.weight) == (level.wanted, level.weight)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_no_shift_is_best_where_all_labels_are_equal(label):
    block = rows(labels=np.full(ROWS, label))
    assert level_of(Oracle.random(5, 10, 4), block, LOGISTIC).shift(LOGISTIC) == 0.0


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
def test_no_rows_or_no_weight_shift_nothing(loss):
    assert Level.none(loss).shift(loss) == 0.0
    weightless = replace(rows(), weight=np.zeros(ROWS, np.float32))
    assert level_of(Oracle.random(6, 10, 4), weightless, loss).shift(loss) == 0.0


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
def test_only_the_given_rows_count(loss):
    oracle, block = Oracle.random(7, 10, 4), rows()
    other = replace(block, label=np.where(np.arange(ROWS) < 100, block.label, 1.0 - block.label))
    chosen = range(100)
    assert level_of(oracle, block, loss, chosen).shift(loss) == level_of(oracle, other, loss, chosen).shift(
        loss
    )
    assert level_of(oracle, block, loss).shift(loss) != level_of(oracle, other, loss).shift(loss)


def test_weights_of_one_are_no_weights():
    oracle, block = Oracle.random(8, 10, 4), rows()
    ones = replace(block, weight=np.ones(ROWS, np.float32))
    assert block.weight is NO_FLOATS
    np.testing.assert_allclose(
        level_of(oracle, ones, LOGISTIC).numbers(), level_of(oracle, block, LOGISTIC).numbers()
    )
