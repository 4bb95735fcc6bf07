"""What a chain leaves behind: the mean, anchored; the samples that are kept; and whether chains have met."""

import numpy as np
import pytest

from spark_fm.core.solver.gibbs.convergence import is_still_falling, r_hat
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.samples import Collector, anchored, joined
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

# Users 0 to 3, items 4 to 6, genres 7 to 9 of which a row has several; user 3 is in no row.
NUMBERS = np.repeat([0, 1, 2], [4, 3, 3])
COMPLETE = np.array([True, True, False])
COUNTS = np.array([5.0, 4, 3, 0, 4, 4, 4, 2, 2, 2])
ROWS = [[0, 4, 7], [1, 5, 7, 8], [2, 6], [0, 6, 9, 8], [1, 4]]


def scores(linear, factors, intercept, rows=ROWS):
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    indices = np.array([i for row in rows for i in row], np.int32)
    block = Block(indptr, indices, NO_FLOATS, np.zeros(len(rows)), NO_FLOATS, NO_FLAGS, NO_FEATURES)
    return predict(block, np.concatenate([linear[:, None], factors], axis=1).astype(float), intercept)


def drawn(seed):
    random = np.random.default_rng(seed)
    return 1.0 + random.normal(size=10), (0.5 + random.normal(size=(10, 2))).astype(np.float32)


def test_anchored_scores_are_the_same_and_an_unseen_feature_is_the_average_one():
    linear, factors = drawn(0)
    made = anchored(linear, factors, 0.7, COUNTS, NUMBERS, COMPLETE)
    np.testing.assert_allclose(scores(*made), scores(linear, factors, 0.7), atol=1e-5)
    # Where no field is complete it stays as it was, but for what no row has.
    plain = anchored(linear, factors, 0.7, COUNTS, NUMBERS, np.zeros(3, bool))
    np.testing.assert_allclose(plain[0][COUNTS > 0], linear[COUNTS > 0])
    assert plain[0][3] == 0.0
    assert not plain[1][3].any()
    # The score of an unknown user is that of one whose parameters are the mean of the known ones.
    average = linear.copy(), factors.copy()
    for part in average:
        part[3] = part[:3].mean(axis=0)
    unknown, as_average = scores(*made, rows=[[4, 7]]), scores(*average, 0.7, rows=[[3, 4, 7]])
    np.testing.assert_allclose(unknown, as_average, atol=1e-5)


def collected(seed, sweeps, keep, burn_in=3):
    collector = Collector(COUNTS, 64, sweeps, burn_in, keep)
    random = np.random.default_rng(seed)
    seen = []
    for sweep in range(1, sweeps + 1):
        linear, factors = drawn(100 * seed + sweep)
        theta = np.concatenate([linear[:, None], factors], axis=1)
        if collector.add(sweep, 1.0 / sweep, theta, 0.1, 2.0, random.normal(size=4).astype(np.float32)):
            seen.append(scores(linear, factors, 0.1))
    made = collector.result((np.zeros((10, 3)), 0.0), 64, NUMBERS, np.zeros(3, bool))
    return made, np.mean(seen, axis=0) if seen else None


def test_the_mean_is_that_of_the_scores_of_all_chains():
    one, first = collected(1, 10, 4)
    two, second = collected(2, 10, 3)
    np.testing.assert_allclose(scores(one.linear, one.factors, one.intercept), first, atol=1e-4)
    both = joined([one, two], COUNTS, 64)
    np.testing.assert_allclose(
        scores(both.linear, both.factors, both.intercept), (first + second) / 2, atol=1e-4
    )
    assert both.losses.shape == (2, 10)
    assert both.noises.shape == (2, 7)
    assert both.predictions.shape == (2, 7, 4)
    assert both.kept.shape == (7, 10, 3)


@pytest.mark.parametrize(("sweeps", "kept"), [(0, 0), (1, 1), (2, 1), (3, 1), (10, 5)])
def test_few_sweeps(sweeps, kept):
    made, mean = collected(3, sweeps, 5)
    assert made.kept.shape[0] == kept
    found = scores(made.linear, made.factors, made.intercept)
    np.testing.assert_allclose(found, np.zeros(5) if mean is None else mean, atol=1e-4)


def test_r_hat_tells_chains_that_have_met():
    random = np.random.default_rng(0)
    draws = random.normal(size=(4, 200, 3))
    assert abs(r_hat(draws) - 1.0) < 0.03
    draws[0, :, 1] += 2.0
    draws[:, :, 2] += np.linspace(0.0, 3.0, 200)
    assert r_hat(draws[..., 0]) < 1.03
    assert min(r_hat(draws[..., 1]), r_hat(draws[..., 2]), r_hat(draws)) > 1.2
    assert np.isnan([r_hat(np.zeros((1, 3))), r_hat(np.ones((2, 40))), r_hat(np.empty((1, 40, 0)))]).all()
    assert r_hat(np.repeat([[1.0], [2.0]], 40, axis=1)) == np.inf


def test_a_loss_that_still_falls():
    falling = 0.9 ** np.arange(16.0)
    assert is_still_falling(np.stack([falling, falling]))
    assert not is_still_falling(np.stack([np.maximum(falling, 0.9**8)] * 2))
    assert not is_still_falling(np.ones((1, 3)))
