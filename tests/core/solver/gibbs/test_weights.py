"""Weights count rows: one of weight 2 is the row twice, and one of next to no weight is no row."""

from functools import cache

import numpy as np
import pytest

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.convergence import is_still_falling, r_hat
from spark_fm.core.solver.gibbs.in_memory import sample_in_memory
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.samples import joined
from spark_fm.core.solver.gibbs.start import crossed, watched_rows
from tests.oracle import block_of, counts_of, rows_of

USERS, ITEMS, ROWS, SEEDS = 30, 20, 400, range(6)


@cache
def data():
    """Users, items and labels, of which a part has two factors."""
    random = np.random.default_rng(4)
    user, item = random.integers(0, USERS, ROWS), USERS + random.integers(0, ITEMS, ROWS)
    v, w = random.normal(0.0, 0.7, (USERS + ITEMS, 2)), random.normal(0.0, 0.7, USERS + ITEMS)
    label = 3.0 + w[user] + w[item] + (v[user] * v[item]).sum(axis=1) + random.normal(0.0, 0.7, ROWS)
    return np.stack([user, item], axis=1), label


def sampled(features, labels, weight, seed, unit=1.0, extra=0):
    """The noise's precision, and the scores of all pairs by the mean, in the units of the labels."""
    weight = np.asarray(weight, np.float32)
    size = USERS + ITEMS + extra
    some = None if (weight == 1.0).all() else weight
    block = block_of([(row.tolist(), [1.0] * 2) for row in features], labels, some, features=range(size))
    mean = np.average(labels, weights=weight)
    variance = np.average((labels - mean) ** 2, weights=weight)
    settings = Settings(SQUARED, factor_size=2, max_epochs=40, seed=seed)
    init = ParameterInit(
        settings, Scale.of(settings, unit, float(mean), float(variance), 2.0, weighted=some is not None)
    )
    made = sample_in_memory(block, init, counts_of(block, np.arange(size)), 0, 1)
    pairs = block_of([([u, USERS + i], [1.0] * 2) for u in range(USERS) for i in range(ITEMS)])
    theta = np.concatenate([made.linear[:, None], made.factors], axis=1)
    return made.noises.mean() / variance, mean + np.sqrt(variance) * predict(pairs, theta, made.intercept)


def converged(features, labels, rows, weight=1.0, **more):
    """R-hat of predictions of two chains, and whether the loss still falls."""
    some = None if weight == 1.0 else [weight] * rows
    block = block_of([(row.tolist(), [1.0] * 2) for row in features[:rows]], labels[:rows], some)
    settings = Settings(SQUARED, **{"factor_size": 4, "max_epochs": 80, "chains": 2} | more)
    init = ParameterInit(settings, Scale.of(settings, 1.0, float(labels.mean()), float(labels.var()), 2.0))
    counted = counts_of(block, np.arange(USERS + ITEMS))
    chains = [sample_in_memory(block, init, counted, chain, 2) for chain in range(2)]
    made = joined(chains, counted.weights, 4)
    return r_hat(made.predictions), is_still_falling(made.losses)


def over_seeds(*arguments, **more):
    found = [sampled(*arguments, seed=seed, **more) for seed in SEEDS]
    return np.mean([one[0] for one in found]), np.mean([one[1] for one in found], axis=0)


def test_a_row_of_weight_2_is_the_row_twice():
    features, labels = data()
    weight = np.where(np.arange(ROWS) % 2, 2.0, 1.0)
    again = np.concatenate([np.arange(ROWS), np.flatnonzero(weight == 2.0)])
    twice, scores = over_seeds(features[again], labels[again], np.ones(again.size))
    weighted, by_weight = over_seeds(features, labels, weight)
    # What only the ratios of the weights say.
    scaled, by_ratio = over_seeds(features, labels, weight, unit=5.0 / 3.0)
    assert abs(weighted / twice - 1.0) < 0.06
    assert abs(scaled / twice - 1.0) > 0.12
    apart, wrong = np.abs(by_weight - scores).mean(), np.abs(by_ratio - scores).mean()
    assert apart < 0.6 * wrong


@pytest.mark.parametrize("tiny", [1e-12, 1e-5])
def test_rows_of_next_to_no_weight_are_as_if_absent(tiny):
    features, labels = data()
    # Known users and items with labels that say something else, and as many users of their own.
    random = np.random.default_rng(5)
    other = features[random.integers(0, ROWS, ROWS)]
    other[::2, 0] = USERS + ITEMS + np.arange(ROWS // 2)
    noise, scores = over_seeds(features, labels, np.ones(ROWS))
    found, by_all = over_seeds(
        np.concatenate([features, other]),
        np.concatenate([labels, random.normal(20.0, 5.0, ROWS)]),
        np.concatenate([np.ones(ROWS), np.full(ROWS, tiny)]),
        extra=ROWS // 2,
    )
    assert abs(found / noise - 1.0) < 0.03
    assert np.abs(by_all - scores).mean() < 0.05


def test_what_is_watched_is_drawn_by_weight_whatever_the_order():
    features, labels = data()
    weight = np.where(np.arange(ROWS) < 120, 1.0, 1e-9)
    block = block_of([(row.tolist(), [1.0] * 2) for row in features], labels, weight.tolist())
    ids = np.arange(USERS + ITEMS)
    rows = watched_rows(block, ids)
    assert rows.rows == 100
    assert (rows.weight == 1.0).all()
    order = np.random.default_rng(0).permutation(ROWS)
    halves = [watched_rows(block.take(some), ids).label for some in np.split(order, 2)]
    assert set(rows.label) <= set(np.concatenate(halves))
    np.testing.assert_array_equal(watched_rows(block.take(order), ids).label, rows.label)


def test_rows_of_two_fields_are_crossed():
    rows = block_of([([0, 5], [1.0, 2.0]), ([1, 6], [3.0, 4.0]), ([2, 7, 8], [5.0, 6.0, 7.0])])
    made = rows_of(crossed(rows, np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])))
    found = [dict(zip(ids, values, strict=True)) for ids, values, *_ in made]
    assert found == [{0: 1.0, 6: 4.0}, {1: 3.0, 7: 6.0, 8: 7.0}, {2: 5.0, 5: 2.0}]
    assert rows_of(crossed(rows, np.array([0, 0, 0, 0, 0, 1, 1, 1, 2]))) == rows_of(rows)


def test_too_many_factors_for_the_rows_and_too_few_sweeps_are_told_apart_from_a_good_fit():
    features, labels = data()
    good = converged(features, labels, ROWS)
    assert good[0] < 1.1
    assert not good[1]
    few = converged(features, labels, ROWS, max_epochs=8)
    assert few[0] > 1.1 or few[1]
    # So sure of the noise that it fits each row: as if each had been met fifty times.
    ruined = converged(features, labels, ROWS, weight=50.0)
    assert ruined[0] > 1.1 or ruined[1]
