from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.measure import FEWEST_ROWS_FOR_GROUPS, START_SAMPLE, Totals, measure, measure_typical
from spark_fm.core.fm.scaling import FeatureScaling, scaled
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.adagrad.visit import ROWS_A_WINDOW, shuffled, train_pass
from spark_fm.core.solver.in_memory import FoldsRunner, MemoryRunner
from spark_fm.core.solver.plan import Plan
from spark_fm.core.sparse.block import NO_FLOATS
from tests.core.planted import planted_block
from tests.oracle import Oracle, block_of, rows_of, value

PLAN = Plan(number=0, part=0, train=True, step_size=0.1, damping=1.0, scale=1.0)
SETTINGS = Settings(SQUARED, factor_size=3)


def rows(*numbers):
    return np.array(numbers, np.int32)


def sparse(*inverse):
    return replace(FeatureScaling.identity(len(inverse)), inverse=np.array(inverse))


def everything(block):
    return np.arange(block.rows, dtype=np.int32)


def test_scaled_shifts_labels_and_divides_weights():
    block = block_of([([0], [1.0]), ([1], [1.0])], [1.0, 5.0], [2.0, 6.0])
    found = scaled(block, Scale(3.0, 2.0, 4.0))
    assert found.label.tolist() == [-1.0, 1.0]
    assert found.weight.tolist() == [0.5, 1.5]
    assert found.weight.dtype == np.float32
    assert found.values.size == 0


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0, 1.0, 1.0], [0.5, 4.0, 0.5]), ([3.0, 2.0, -1.0], [1.5, 8.0, -0.5])]
)
def test_scaled_multiplies_values_by_their_features_factor(values, expected):
    block = block_of([([0, 1], values[:2]), ([0], values[2:])])
    found = scaled(block, Scale(), sparse(0.5, 4.0))
    assert found.values.tolist() == expected


def test_scaled_centres_dense_features():
    block = block_of([([0, 1], [5.0, 3.0]), ([1], [7.0])], dtype=np.float64)
    scaling = replace(sparse(0.5, 1.0), mean=np.array([2.0, 0.0]), dense=np.array([0], np.int32))
    found = scaled(block, Scale(), scaling)
    assert rows_of(found)[0][:2] == ((0, 1), (1.5, 3.0))
    assert rows_of(found)[1][:2] == ((0, 1), (-1.0, 7.0))
    assert found.values.dtype == np.float32


def test_blocks_without_weights_get_them_where_others_have_some():
    block = block_of([([0], [1.0])] * 2)
    assert scaled(block, Scale(weight_mean=4.0)).weight.size == 0
    found = scaled(block, Scale(weight_mean=4.0, weighted=True)).weight
    assert (found.tolist(), found.dtype) == ([0.25, 0.25], np.float32)


def test_scaled_leaves_the_block_as_it_is():
    block = block_of([([0], [2.0])], [1.0], [2.0])
    scaled(block, Scale(3.0, 2.0, 4.0), sparse(0.5))
    assert (block.values.tolist(), block.label.tolist(), block.weight.tolist()) == ([2.0], [1.0], [2.0])


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
@pytest.mark.parametrize("weight", [None, [1.0, 3.0, 0.5]])
def test_measure_is_the_weighted_loss_of_the_asked_rows(loss, weight):
    oracle = Oracle.random(1, 5, 4)
    data, label = [([0, 1], [1.0, 2.0]), ([2], [1.0]), ([3, 4], [0.5, 1.0])], [1.0, 0.0, 1.0]
    found = measure(oracle.table, oracle.w0, block_of(data, label, weight), rows(0, 2), loss)
    c = [1.0, 1.0, 1.0] if weight is None else weight
    expected = sum(c[r] * value(loss, oracle.score(*map(np.array, data[r])), label[r]) for r in (0, 2))
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert (found.weight, found.rows) == (c[0] + c[2], 2)


def test_measure_of_no_rows_is_nothing():
    oracle = Oracle.random(1, 5, 4)
    block = block_of([([0], [1.0])])
    assert measure(oracle.table, oracle.w0, block, rows(), SQUARED) == Totals()


def test_typical_loss_is_not_that_of_a_single_row():
    oracle, label = Oracle.random(1, 1, 4), np.random.default_rng(0).standard_normal(640)
    block = block_of([([], [])] * 640, label)
    wild = replace(block, label=np.where(np.arange(640) == 7, 1e6, label))
    typical = [measure_typical(oracle.table, 0.0, b, everything(b), SQUARED) for b in (block, wild)]
    assert typical[0].mean == pytest.approx(0.5 * (label**2).mean(), rel=0.2)
    assert typical[1].mean == pytest.approx(typical[0].mean, rel=0.2)
    assert measure(oracle.table, 0.0, wild, everything(wild), SQUARED).mean > 1e6


@pytest.mark.parametrize("rows", [1, FEWEST_ROWS_FOR_GROUPS, START_SAMPLE, START_SAMPLE + 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_typical_loss_of_rows_alike_is_their_loss(rows, weighted):
    weight = np.full(rows, 2.5) if weighted else None
    block = block_of([([], [])] * rows, np.ones(rows), weight)
    found = measure_typical(Oracle.random(1, 1, 4).table, 0.0, block, everything(block), SQUARED)
    assert found.mean == pytest.approx(0.5)
    assert found.rows == min(rows, START_SAMPLE)
    assert found.weight == pytest.approx(found.rows * (2.5 if weighted else 1.0))


def test_typical_loss_is_a_number_where_a_group_weighs_nothing():
    weight = np.where(np.arange(64) % 8 == 3, 0.0, 1.0)
    block = block_of([([], [])] * 64, np.ones(64), weight)
    found = measure_typical(Oracle.random(1, 1, 4).table, 0.0, block, everything(block), SQUARED)
    assert (found.mean, found.weight) == (pytest.approx(0.5), 56.0)


@pytest.mark.parametrize("size", [0, 1, 100, ROWS_A_WINDOW + 1, 3 * ROWS_A_WINDOW + 7])
def test_shuffled_rows_are_all_rows_and_near_each_other(size):
    given = 5 + np.arange(size, dtype=np.int32)
    found = shuffled(given, np.random.default_rng(1))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(np.sort(found), given)
    jumps = np.abs(np.diff(found)) >= ROWS_A_WINDOW
    assert jumps.sum() <= size // ROWS_A_WINDOW
    if size >= 100:
        assert (found != given).mean() > 0.9


def one_pass(settings, plan=PLAN, seed=0, block=None, training=None):
    block = planted_block(100) if block is None else block
    state = ParameterInit(settings, Scale()).at(block.features)
    random = np.random.default_rng(seed)
    training = everything(block) if training is None else training
    visited = train_pass(state.table, state.intercept, block, training, plan, settings, random)
    return state, visited


def test_pass_is_the_same_for_the_same_random_numbers_only():
    first, _ = one_pass(SETTINGS, seed=1)
    second, _ = one_pass(SETTINGS, seed=1)
    other, _ = one_pass(SETTINGS, seed=2)
    np.testing.assert_array_equal(first.table, second.table)
    assert (first.table != other.table).any()


@pytest.mark.parametrize(("fraction", "visited"), [(1.0, 100), (0.25, 25), (1e-9, 1)])
def test_mini_batch_fraction_is_the_part_of_the_rows_visited(fraction, visited):
    _, totals = one_pass(replace(SETTINGS, mini_batch_fraction=fraction))
    assert (totals.rows, totals.weight) == (visited, visited)


def test_pass_trains_on_the_given_rows_only():
    block = block_of([([0], [1.0]), ([1], [1.0])], [5.0, 5.0], features=[0, 1])
    state, totals = one_pass(SETTINGS, block=block, training=rows(1))
    assert totals.rows == 1
    assert state.table[0, -4] == 0.0
    assert state.table[1, -4] != 0.0


@pytest.mark.parametrize(
    ("change", "kept"), [({"fit_intercept": False}, "intercept"), ({"fit_linear": False}, "linear")]
)
def test_parts_that_are_not_fitted_stay(change, kept):
    state, _ = one_pass(replace(SETTINGS, **change))
    found = {"intercept": state.intercept[0] == 0.0, "linear": bool((state.linear == 0.0).all())}
    assert found == {part: part == kept for part in found}


def test_pass_uses_the_step_size_of_the_plan():
    small, _ = one_pass(SETTINGS, replace(PLAN, step_size=1e-6))
    large, _ = one_pass(SETTINGS, replace(PLAN, step_size=0.1))
    assert 0.0 < np.abs(small.linear).max() < 1e-4 < np.abs(large.linear).max()


def test_pass_takes_values_of_double_precision():
    data = [([0, 1], [0.5, 1.25])]
    found = []
    for dtype in (np.float32, np.float64):
        block = block_of(data, [3.0], features=[0, 1], dtype=dtype)
        found.append(one_pass(SETTINGS, block=block)[0].table)
    np.testing.assert_array_equal(*found)


def test_pass_counts_weights():
    block = replace(planted_block(4), weight=np.array([1.0, 2.0, 0.0, 3.0], np.float32))
    _, totals = one_pass(SETTINGS, block=block)
    assert (totals.rows, totals.weight) == (4, 6.0)


def runner(validation=20, **changes):
    block = planted_block(200)
    split = block.rows - validation
    return MemoryRunner(
        block, everything(block)[:split], everything(block)[split:], replace(SETTINGS, **changes)
    )


def test_round_leaves_its_initial_state_as_it_is():
    run = runner()
    state = ParameterInit(SETTINGS, Scale()).at(run.block.features)
    table, intercept = state.table.copy(), state.intercept.copy()
    result = run.run(state, PLAN)
    np.testing.assert_array_equal(state.table, table)
    np.testing.assert_array_equal(state.intercept, intercept)
    assert (result.state.table != table).any()


def test_round_measures_the_initial_parameters():
    run = runner()
    state = ParameterInit(SETTINGS, Scale()).at(run.block.features)
    result = run.run(state, PLAN)
    expected = measure(state.table, 0.0, run.block, run.validation, SQUARED)
    assert result.validation == expected
    assert result.start == measure_typical(state.table, 0.0, run.block, run.training, SQUARED)
    assert result.train.rows == 180
    assert result.finite


def test_round_that_only_measures_changes_nothing():
    run = runner()
    state = ParameterInit(SETTINGS, Scale()).at(run.block.features)
    result = run.run(state, replace(PLAN, train=False))
    assert result.state is state
    assert result.train == Totals()
    assert result.validation.rows == 20


def test_round_that_leaves_the_numbers_says_so():
    run = runner()
    state = ParameterInit(SETTINGS, Scale()).at(run.block.features)
    state.table[0, 0] = np.inf
    assert not run.run(state, PLAN).finite


def test_rounds_bound_what_an_unusual_row_does():
    run = runner()
    state = ParameterInit(SETTINGS, Scale()).at(run.block.features)

    def moved(usual):
        return np.abs(replace(run, usual=usual).run(state, PLAN).state.linear).max()

    assert moved(1e-6) < moved(np.inf) == moved(2.0)


def test_rounds_differ_by_their_number():
    run = runner()
    state = ParameterInit(SETTINGS, Scale()).at(run.block.features)
    first, again = run.run(state, PLAN), run.run(state, PLAN)
    other = run.run(state, replace(PLAN, number=1))
    np.testing.assert_array_equal(first.state.table, again.state.table)
    assert (first.state.table != other.state.table).any()


def test_folds_add_up():
    folds = [runner(20), runner(50)]
    states = [ParameterInit(SETTINGS, Scale()).at(f.block.features) for f in folds]
    together = FoldsRunner(folds).run(states, PLAN)
    apart = [fold.run(state, PLAN) for fold, state in zip(folds, states, strict=True)]
    assert together.validation == apart[0].validation + apart[1].validation
    assert together.train == apart[0].train + apart[1].train
    assert together.start == apart[0].start + apart[1].start
    for found, expected in zip(together.state, apart, strict=True):
        np.testing.assert_array_equal(found.table, expected.state.table)
    assert together.finite


def test_one_fold_that_is_not_finite_is_enough():
    folds = [runner(), runner()]
    states = [ParameterInit(SETTINGS, Scale()).at(f.block.features) for f in folds]
    states[1].table[0, 0] = np.nan
    assert not FoldsRunner(folds).run(states, PLAN).finite


def test_values_of_ones_stay_out_of_memory():
    assert scaled(planted_block(3), Scale()).values is NO_FLOATS
    assert scaled(planted_block(3), Scale(), FeatureScaling.identity(45)).values.size == 0
