"""A compressed mean refitted to the scores of the whole one: against numpy, and where that helps and where not."""

from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs import in_memory, refit
from spark_fm.core.solver.gibbs.average import compressed
from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.grouped import GroupedRows, sum_groups
from spark_fm.core.solver.gibbs.in_memory import parts_of, refit_in_memory, sample_in_memory, scaling_of
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.samples import joined
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

USERS, ITEMS, TAGS, K, ROWS = 5, 4, 3, 2, 60
M = USERS + ITEMS + TAGS
IDS = 7 * np.arange(M) + 1
NUMBERS = np.repeat([0, 1, 2], [USERS, ITEMS, TAGS])
ORDER = DrawOrder.of(NUMBERS, IDS)


def block_of(rows, label, values=NO_FLOATS, weight=NO_FLOATS):
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    indices = np.array([i for row in rows for i in row], np.int32)
    return Block(indptr, indices, values, label, weight, NO_FLAGS, NO_FEATURES)


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def block(request):
    """A user, an item and up to two tags."""
    random = np.random.default_rng(0)
    rows = [
        [
            random.integers(USERS),
            USERS + random.integers(ITEMS),
            *(USERS + ITEMS + random.choice(TAGS, random.integers(3), replace=False)),
        ]
        for _ in range(ROWS)
    ]
    nonzeros = sum(map(len, rows))
    values = random.normal(size=nonzeros).astype(np.float32) if request.param else NO_FLOATS
    weight = random.uniform(0.0, 2.0, ROWS).astype(np.float32) if request.param else NO_FLOATS
    return block_of(rows, random.normal(size=ROWS), values, weight)


def dense(block):
    values = block.values if block.values.size else np.ones(block.nonzeros)
    made = np.zeros((block.rows, M))
    np.add.at(made, (np.repeat(np.arange(block.rows), np.diff(block.indptr)), block.indices), values)
    return made


def least_squares(block, theta, intercept, i, strength):
    """Theta of feature i: numpy's least squares over its rows, and rows that hold it where it was."""
    x = dense(block)
    others = x.copy()
    others[:, i] = 0.0
    sums = others @ theta[:, 1:]
    pairs = 0.5 * ((sums**2).sum(axis=1) - (others**2 @ theta[:, 1:] ** 2).sum(axis=1))
    left = block.label - intercept - others @ theta[:, 0] - pairs
    root = np.sqrt(block.weight.astype(float)) if block.weight.size else np.ones(block.rows)
    h = (root * x[:, i])[:, None] * np.concatenate([np.ones((block.rows, 1)), sums], axis=1)
    held = np.diag(np.sqrt(strength))
    both = np.concatenate([h, held]), np.concatenate([root * left, held @ theta[i]])
    return np.linalg.lstsq(*both, rcond=None)[0]


@pytest.mark.parametrize("fits_linear", [True, False])
def test_each_feature_in_turn_is_numpys_least_squares_with_a_ridge(block, fits_linear):
    theta = 0.5 * np.random.default_rng(1).normal(size=(M, K + 1))
    theta[:, 0] *= fits_linear
    strength = refit.ridge(K, fits_linear)
    expected, made = theta.copy(), theta.copy()
    for i in range(M):
        expected[i] = least_squares(block, expected, 0.3, i, strength)
    refit._sweep(block, ORDER, made, 0.3, strength)
    np.testing.assert_allclose(made, expected, atol=2e-5)
    assert np.abs(made - theta).max() > 0.05
    if not fits_linear:
        np.testing.assert_allclose(made[:, 0], 0.0, atol=1e-9)


@pytest.mark.parametrize("number", [0, 1])
def test_features_that_never_meet_are_refitted_side_by_side(block, number):
    theta = 0.5 * np.random.default_rng(2).normal(size=(M, K + 1))
    strength = refit.ridge(K, fits_linear=True)
    rows = GroupedRows.of(block, NUMBERS.astype(np.int16), number)
    data = block.indptr, block.indices, block.values, block.label, block.weight, rows.entries, theta, 0.3
    expected = np.stack([least_squares(block, theta, 0.3, i, strength) for i in rows.positions])
    made = np.empty((rows.positions.size, K + 1))
    assert refit.refit_groups(rows.order, rows.begins, rows.positions, *data, strength, made)
    np.testing.assert_allclose(made, expected, atol=1e-9)
    d, f = K + 1, rows.positions.size
    sums = np.zeros((f, d, d)), np.zeros((f, d)), np.zeros((f, d))
    sum_groups(rows.order, rows.begins, *data, *sums, np.zeros(3))
    flat = np.concatenate([sums[0].reshape(f, -1), *sums[1:]], axis=1)
    assert refit.refit_summed(flat, rows.positions, theta, strength)
    np.testing.assert_allclose(theta[rows.positions], expected, atol=1e-9)


def uneven(seed):
    """Rows of a user of many, an item of some and a few of three tags: the fields differ in size."""
    random = np.random.default_rng(seed)
    rows = [
        [
            random.integers(60),
            60 + random.integers(30),
            *(90 + random.choice(3, random.integers(1, 4), replace=False)),
        ]
        for _ in range(2000)
    ]
    return block_of(rows, np.zeros(len(rows))), np.repeat([0, 1, 2], [60, 30, 3]), random


def test_the_compressed_mean_comes_nearer_to_the_scores_where_fields_differ_in_size():
    block, numbers, random = uneven(3)
    wide = 0.3 * random.normal(size=(93, 9))
    wide[90:] *= 3.0
    counts = np.bincount(block.indices, minlength=93).astype(float)
    few = compressed(wide[:, 1:].astype(np.float32), counts, 2)
    theta = np.concatenate([wide[:, :1], few], axis=1)
    scores = predict(block, wide, 0.1)
    order = DrawOrder.of(numbers, np.arange(93))
    made = refit.refitted(block, scores, np.arange(93), order, theta, 0.1, True)
    before, after = (np.mean((predict(block, one, 0.1) - scores) ** 2) for one in (theta, made))
    assert after < 0.5 * before
    # Nothing but the rows, wherever they lie, decides.
    turned = np.random.default_rng(0).permutation(block.rows)
    again = refit.refitted(block.take(turned), scores[turned], np.arange(93), order, theta, 0.1, True)
    np.testing.assert_allclose(again, made, atol=1e-4)
    # What is noise to the features is no reason to move them.
    noise = predict(block, theta, 0.1) + 0.01 * random.normal(size=block.rows)
    assert refit.refitted(block, noise, np.arange(93), order, theta, 0.1, True) is None


@pytest.mark.parametrize("chains", [1, 2])
def test_the_mean_of_chains_is_refitted_to_the_mean_of_their_scores(chains, monkeypatch):
    block, _, random = uneven(5)
    truth = 0.5 * random.normal(size=(93, 9))
    truth[90:] *= 3.0
    block = replace(block, label=predict(block, truth, 0.0) + 0.3 * random.normal(size=block.rows))
    ids, counts = np.arange(93), np.bincount(block.indices, minlength=93).astype(float)
    counted = FeatureCounts(ids, counts, np.ones(93), np.zeros(93), counts)
    fields = ((0, 60), (60, 90), (90, 93))
    settings = Settings(SQUARED, factor_size=2, sampler_factor_size=6, max_epochs=20, seed=3, fields=fields)
    init = ParameterInit(settings, Scale(block.label.mean(), block.label.std()))
    training, _ = parts_of(block, init, scaling_of(block, settings, counted))

    def sampled():
        parts = [sample_in_memory(block, init, counted, chain, chains) for chain in range(chains)]
        samples = joined(parts, counts, 2)
        return refit_in_memory(block, init, counted, samples) if chains > 1 else samples

    def error(samples):
        z = predict(training, samples.theta, samples.intercept)
        return np.sqrt(np.mean((z - samples.scores) ** 2))

    made = sampled()
    monkeypatch.setattr(in_memory, "refitted", lambda *args: None)
    plain = sampled()
    np.testing.assert_array_equal(made.scores, plain.scores)
    assert made.factors.shape == (93, 2)
    assert error(made) < 0.85 * error(plain)
    # The scores are those of the samples: nearer to the labels than any model of two factors is to them.
    assert np.std(training.label - made.scores) < 0.5
