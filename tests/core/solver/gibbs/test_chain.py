"""The chain against exact answers: Geweke's test, planted parameters, and its independence of the rows' order."""

import numpy as np

from spark_fm.core.solver.gibbs.average import Average
from spark_fm.core.solver.gibbs.chain import Chain
from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.priors import FieldSums, draw_intercept, draw_noise, draw_prior
from spark_fm.core.solver.gibbs.state import ChainState
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

USERS, ITEMS, K = 4, 3, 2
PAIRS = [(u, USERS + i) for u in range(USERS) for i in range(ITEMS)]
NUMBERS = np.array([0] * USERS + [1] * ITEMS)


def block(rows, labels, values=NO_FLOATS, weight=NO_FLOATS):
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    indices = np.array([i for row in rows for i in row], np.int32)
    return Block(indptr, indices, values, np.asarray(labels, float), weight, NO_FLAGS, NO_FEATURES)


def chain_on(block, ids, order, seed, theta, intercept, **given):
    return Chain(block, ChainState(ids, order, seed, theta, intercept, **given))


def scores(theta, intercept, rows, values=None):
    z = np.full(len(rows), intercept)
    at = 0
    for r, row in enumerate(rows):
        x = np.ones(len(row)) if values is None else values[at : at + len(row)].astype(float)
        at += len(row)
        v = theta[list(row), 1:] * x[:, None]
        z[r] += theta[list(row), 0] @ x + 0.5 * ((v.sum(axis=0) ** 2).sum() - (v * v).sum())
    return z


def test_planted_parameters_are_found_and_the_mean_is_a_machine():
    random = np.random.default_rng(3)
    rows = [(u, 40 + i) for u in range(40) for i in range(30) if random.random() < 0.5]
    truth = random.normal(size=(70, K + 1)) * 0.7
    labels = scores(truth, 0.3, rows) + 0.1 * random.normal(size=len(rows))
    held = random.random(len(rows)) < 0.2
    train = [row for row, out in zip(rows, held, strict=True) if not out]
    chain = chain_on(
        block(train, labels[~held]), np.arange(70), DrawOrder.of(np.repeat([0, 1], [40, 30]), np.arange(70)), 0,
        0.1 * random.normal(size=(70, K + 1)), 0.0,
    )  # fmt: skip
    average, mean, seen = Average(np.bincount(np.ravel(train), minlength=70).astype(float), 64), 0.0, []
    others = [row for row, out in zip(rows, held, strict=True) if out]
    for sweep in range(1, 201):
        loss = chain.sweep(sweep)
        if sweep > 100:
            average.add(chain.state.theta, chain.state.intercept)
            seen.append(scores(chain.state.theta, chain.state.intercept, others))
            mean = mean + seen[-1] / 100
    linear, factors, intercept = average.result(64)
    made = scores(np.concatenate([linear[:, None], factors], axis=1).astype(float), intercept, others)
    np.testing.assert_allclose(made, mean, atol=1e-3)
    error = made - labels[held]
    assert np.sqrt(np.mean(error**2)) < 0.2
    assert 0.005 < loss < 0.02
    # 90 % intervals of the predictions hold the held-out labels about so often.
    spread = np.sqrt(np.var(seen, axis=0) + 1.0 / chain.state.noise)
    assert 0.8 < np.mean(np.abs(error) < 1.645 * spread) < 0.98


def test_geweke_joint_distribution():
    """Parameters drawn from the prior, and by turns of the chain and of new labels, have the same distribution."""
    random, n = np.random.default_rng(0), 4000
    order = DrawOrder.of(NUMBERS, np.arange(USERS + ITEMS))
    prior = np.zeros((2, K + 1)), np.full((2, K + 1), 4.0)

    def drawn():
        return np.concatenate(
            [random.normal(prior[0][f], 0.5, (size, K + 1)) for f, size in ((0, USERS), (1, ITEMS))]
        )

    def statistics(theta):
        return [
            theta[:, 0].mean(),
            (theta[:, 0] ** 2).mean(),
            (theta[:, 1:] ** 2).mean(),
            theta[0, 1] * theta[USERS, 1],
        ]

    marginal = np.array([statistics(drawn()) for _ in range(n)])
    theta, found = drawn(), []
    for sweep in range(n):
        labels = scores(theta, 0.0, PAIRS) + random.normal(size=len(PAIRS)) / np.sqrt(2.0)
        chain = chain_on(
            block(PAIRS, labels), np.arange(USERS + ITEMS), order, 11, theta, 0.0, fits_intercept=False
        )
        chain.draw_parameters(sweep, [(prior[0][f], prior[1][f]) for f in (0, 1)], noise=2.0)
        theta = chain.state.theta
        found.append(statistics(theta))
    successive = np.array(found)
    # The chain's samples hang together: batches of 100 tell how much their mean varies.
    batches = successive.reshape(40, 100, -1).mean(axis=1)
    error = np.sqrt(batches.var(axis=0) / 40 + marginal.var(axis=0) / n)
    assert (np.abs(successive.mean(axis=0) - marginal.mean(axis=0)) < 4.0 * error).all()


def test_order_of_rows_changes_rounding_only():
    random = np.random.default_rng(5)
    rows = PAIRS * 5
    labels = random.normal(size=len(rows))
    weight = random.random(len(rows)).astype(np.float32)
    values = random.normal(size=2 * len(rows)).astype(np.float32)
    theta = 0.1 * random.normal(size=(USERS + ITEMS, K + 1))
    turned = random.permutation(len(rows))
    made = []
    for some in (np.arange(len(rows)), turned):
        taken = block(
            [rows[i] for i in some], labels[some], values.reshape(-1, 2)[some].ravel(), weight[some]
        )
        chain = chain_on(
            taken, np.arange(USERS + ITEMS), DrawOrder.of(NUMBERS, np.arange(7)), 1, theta.copy(), 0.0
        )
        for sweep in range(1, 6):
            chain.sweep(sweep)
        made.append(chain.state.theta)
    np.testing.assert_allclose(made[0], made[1], atol=1e-4)


def test_a_weight_of_two_is_the_row_twice():
    random = np.random.default_rng(6)
    labels = random.normal(size=len(PAIRS))
    theta = 0.1 * random.normal(size=(USERS + ITEMS, K + 1))
    order = DrawOrder.of(NUMBERS, np.arange(7))
    twice = chain_on(block(PAIRS * 2, np.tile(labels, 2)), np.arange(7), order, 1, theta.copy(), 0.0)
    weighted = chain_on(
        block(PAIRS, labels, weight=np.full(len(PAIRS), 2.0, np.float32)),
        np.arange(7),
        order,
        1,
        theta.copy(),
        0.0,
    )
    for sweep in range(1, 6):
        twice.sweep(sweep)
        weighted.sweep(sweep)
    np.testing.assert_allclose(twice.state.theta, weighted.state.theta, atol=1e-4)


def test_draws_of_prior_noise_and_intercept():
    random = np.random.default_rng(7)
    theta = random.normal([1.0, -2.0], [0.5, 2.0], (5000, 2))
    mean, strength = draw_prior(FieldSums.of(theta), random)
    np.testing.assert_allclose(mean, [1.0, -2.0], atol=0.15)
    np.testing.assert_allclose(strength, [4.0, 0.25], rtol=0.1)
    assert 3.6 < draw_noise(10_000.0, 2_500.0, random) < 4.4
    drawn = draw_intercept(0.0, 10_000.0, 7_000.0, 4.0, random)
    assert abs(drawn - 0.7) < 0.03
