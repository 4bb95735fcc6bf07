from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fm.constraints import Constraints, project
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import initial_parameters, layout_of
from spark_fm.core.fm.weights import ParameterInit, Weights
from spark_fm.core.solver.adagrad.step import Penalties, Steps, train_rows
from spark_fm.core.solver.in_memory import fit_in_memory
from tests.oracle import Oracle, block_of, counts_of

SETTINGS = Settings(SQUARED, factor_size=3, penalty_factors=((0, 2, 5.0), (4, 9, 0.0)), min_factor_count=3)
PENALTIES = (0.02, 0.05, 0.3, 0.5, 2.0)


def test_what_is_asked_for_becomes_arrays():
    found = Constraints.of(
        SETTINGS, np.array([8, 1, 2, 4]), np.array([2.0, 3.0, 1.0, 0.0]), np.array([False] * 3 + [True])
    )
    assert found.penalties.tolist() == [0.0, 5.0, 1.0, 0.0]
    assert found.has_factors.tolist() == [False, True, False, True]
    assert not found.nonnegative
    some = found.take(np.array([2, 1]))
    assert (some.penalties.tolist(), some.has_factors.tolist()) == ([1.0, 5.0], [False, True])
    assert found.take(None) is found


@pytest.mark.parametrize("asked", [{}, {"min_factor_count": 1}])
def test_nothing_asked_for_is_none(asked):
    settings = Settings(SQUARED, **asked)
    assert Constraints.of(settings, np.arange(3), np.ones(3), np.zeros(3, bool)) is None


def test_projection():
    table = initial_parameters(np.arange(50), 5, 0.0, 1.0, 0).table
    at = layout_of(table)
    table[:, at.linear] = np.linspace(-1, 1, 50)
    before = table.copy()
    project(table)
    np.testing.assert_array_equal(table[:, :5], np.maximum(before[:, :5], 0.0))
    np.testing.assert_array_equal(table[:, at.linear], np.maximum(before[:, at.linear], 0.0))
    np.testing.assert_array_equal(table[:, at.linear_accumulator :], before[:, at.linear_accumulator :])


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_steps_as_the_oracle_does(loss, nonnegative, weighted):
    random, oracle = np.random.default_rng(2), Oracle.random(4, 7, 5, scale=0.1 if nonnegative else 0.5)
    oracle.own = random.random(7).astype(np.float32).astype(float)
    if nonnegative:
        oracle.w, oracle.v = abs(oracle.w), abs(oracle.v)
    constraints = Constraints(
        np.array([1, 3, 0, 1, 1, 2, 1], np.float32),
        np.array([True, True, False, True, False, True, True]),
        nonnegative,
    )
    data = [
        (sorted(random.permutation(7)[:4].tolist()), random.normal(size=4).astype(np.float32).tolist())
        for _ in range(40)
    ]
    label = (random.random(40) < 0.5).astype(float).tolist()
    weight = random.integers(1, 4, 40).astype(float).tolist() if weighted else [1.0] * 40
    block = block_of(data, label, weight if weighted else None)
    table, intercept = oracle.table, oracle.intercept
    frozen = oracle.v[~constraints.has_factors].copy()
    steps = np.float32([0.1, 0.1, 0.1])
    train_rows(
        table, intercept, block.indptr, block.indices, block.values, block.label, block.weight,
        np.arange(40, dtype=np.int32), loss.number, 5, Steps(*steps), Penalties(*np.float32(PENALTIES)),
        np.inf, constraints,
    )  # fmt: skip
    for (ids, x), y, c in zip(data, label, weight, strict=True):
        oracle.step(
            np.array(ids), np.array(x), y, c, loss, steps.astype(float), np.float32(PENALTIES).astype(float),
            np.inf, constraints,
        )  # fmt: skip
    about = {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(table[:, :5], oracle.v, **about)
    np.testing.assert_allclose(table[:, -4], oracle.w, **about)
    np.testing.assert_allclose(table[:, -3], oracle.gw, **about)
    np.testing.assert_allclose(table[:, -2], oracle.gv, **about)
    np.testing.assert_array_equal(table[~constraints.has_factors, :5], frozen.astype(np.float32))
    if nonnegative:
        assert (table[:, :5] >= 0.0).all()
        assert (table[:, -4] >= 0.0).all()
        assert (table[:, :5] == 0.0).any()


def block_of_pairs(rows=400):
    random = np.random.default_rng(0)
    ids = np.stack(
        [random.zipf(1.5, rows) % 20, 20 + random.integers(0, 6, rows), 26 + random.integers(0, 2, rows)]
    )
    taste = random.normal(size=(28, 2))
    label = (taste[ids[0]] * taste[ids[1]]).sum(axis=1) + random.normal(0.0, 0.1, rows)
    data = [(sorted(row), [1.0] * 3) for row in ids.T.tolist()]
    return block_of(data, label.tolist(), features=list(range(28)))


def trained(settings, model=None):
    block = block_of_pairs()
    counted = counts_of(block)
    scale = Scale.of(settings, 1.0, float(block.label.mean()), float(block.label.var()))
    init = ParameterInit(settings, scale, model)
    block = replace(block, features=np.empty(0, np.int64))
    return fit_in_memory(block, init, counted, 0.1).state, counted


def test_rare_features_have_a_weight_and_no_factors():
    settings = Settings(SQUARED, factor_size=2, max_epochs=5, min_factor_count=20)
    state, counted = trained(settings)
    rare = counted.counts < 20
    assert 0 < rare.sum() < rare.size
    assert (state.factors[rare] == 0.0).all()
    assert (state.linear[rare & (counted.counts > 0)] != 0.0).all()
    assert (state.factors[~rare] != 0.0).all()


def test_rare_features_of_an_earlier_model_keep_their_factors():
    model = Weights(
        np.array([0, 19]), np.zeros(2, np.float32), np.array([[0.5, 0.1], [0, 0]], np.float32), 0.0
    )
    settings = Settings(SQUARED, factor_size=2, max_epochs=2, min_factor_count=10_000)
    state, _ = trained(settings, model)
    assert (state.factors[0] != 0.0).all()
    assert (state.factors[1:] == 0.0).all()


def test_weights_and_factors_are_at_least_zero():
    state, _ = trained(Settings(SQUARED, factor_size=2, max_epochs=5, nonnegative=True))
    assert (state.factors >= 0.0).all()
    assert (state.linear >= 0.0).all()
    assert (state.factors > 0.0).any()
    free, _ = trained(Settings(SQUARED, factor_size=2, max_epochs=5))
    assert (free.factors < 0.0).any()


def test_a_larger_penalty_shrinks_its_features():
    def norms(**params):
        settings = Settings(
            SQUARED, factor_size=2, max_epochs=10, reg_linear=0.05, reg_factors=0.05, init_std=0.3, **params
        )
        state, _ = trained(settings)
        size = np.abs(state.linear) + np.linalg.norm(state.factors, axis=1)
        return size[:20].mean(), size[20:].mean()

    plain, shrunk = norms(), norms(penalty_factors=((0, 20, 30.0),))
    assert shrunk[0] < 0.5 * plain[0]
    assert norms(penalty_factors=((0, 20, 1.0),)) == plain
