import numpy as np
import pytest

from spark_fm.core.solver.gibbs import random as numbers
from spark_fm.core.solver.gibbs.conditional import add_rows, cholesky, draw
from spark_fm.core.solver.gibbs.random import normals


def stream(seed, sweep, place):
    # What numba returns is a Python integer.
    return np.uint64(numbers.stream(seed, sweep, place))


def system(random, d, rows):
    """A precision (lower half), a moment, and both in full."""
    h, t = random.normal(size=(rows, d)), random.normal(size=rows)
    full, moment = np.eye(d) + h.T @ h, h.T @ t
    half, summed = np.eye(d), np.zeros(d)
    for first in range(0, rows, 4):
        panel, targets = np.zeros((4, d)), np.zeros(4)
        some = h[first : first + 4]
        panel[: len(some)], targets[: len(some)] = some, t[first : first + 4]
        add_rows(panel, targets, half, summed)
    return half, summed, full, moment


@pytest.mark.parametrize("d", [1, 2, 5, 9, 17])
def test_rows_add_up_to_the_normal_equations(d):
    half, summed, full, moment = system(np.random.default_rng(d), d, 11)
    np.testing.assert_allclose(np.tril(half), np.tril(full), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(summed, moment, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5, 9, 17])
def test_cholesky_from_the_last_row(d):
    half, _, full, _ = system(np.random.default_rng(d), d, 11)
    assert cholesky(half)
    lower = np.tril(half)
    np.testing.assert_allclose(lower.T @ lower, full, rtol=1e-10, atol=1e-10)


def test_no_cholesky_of_what_is_not_positive():
    assert not cholesky(np.array([[1.0, 0.0], [2.0, 1.0]]))


def test_draws_have_the_mean_and_covariance_of_the_conditional():
    half, summed, full, moment = system(np.random.default_rng(0), 3, 6)
    n = 40_000
    drawn = np.empty((n, 3))
    for i in range(n):
        assert draw(half.copy(), summed.copy(), stream(1, 2, i), drawn[i])
    covariance = np.linalg.inv(full)
    error = np.sqrt(np.diag(covariance) / n)
    assert (np.abs(drawn.mean(axis=0) - covariance @ moment) < 4.5 * error).all()
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.03 * np.diag(covariance).max())


def test_normals_are_normal_and_of_their_place_only():
    found = np.empty(100_001)
    normals(stream(5, 1, 7), found)
    assert abs(found.mean()) < 0.015
    assert abs(found.std() - 1.0) < 0.01
    assert abs((found**4).mean() - 3.0) < 0.12
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.015
    short = np.empty(5)
    normals(stream(5, 1, 7), short)
    np.testing.assert_array_equal(short, found[:5])
    others = [stream(5, 1, 8), stream(5, 2, 7), stream(6, 1, 7)]
    for begin in others:
        other = np.empty(1000)
        normals(begin, other)
        assert abs(np.corrcoef(other, found[:1000])[0, 1]) < 0.12
