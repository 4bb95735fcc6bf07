import numpy as np
import pytest

from spark_fm.core.solver.gibbs.average import Average, compressed


def products(factors):
    return factors.astype(np.float64) @ factors.T.astype(np.float64)


def test_mean_of_samples_is_one_machine_with_all_their_factors():
    random = np.random.default_rng(0)
    samples = random.normal(size=(5, 7, 3))
    average = Average(np.ones(7), rank=64)
    for sample in samples:
        average.add(sample, 0.5)
    linear, factors, intercept = average.result(64)
    np.testing.assert_allclose(linear, samples[:, :, 0].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        products(factors), np.mean([products(s[:, 1:]) for s in samples], axis=0), atol=1e-5
    )
    assert intercept == pytest.approx(0.5)


def test_what_is_kept_is_what_frequent_features_need():
    """Rare features are noise in many directions; the frequent ones lie in two of them."""
    random = np.random.default_rng(1)
    frequent = random.normal(size=(20, 2)) @ random.normal(size=(2, 16))
    rare = 3.0 * random.normal(size=(80, 16))
    factors = np.concatenate([frequent, rare]).astype(np.float32)
    counts = np.concatenate([np.full(20, 1e6), np.ones(80)])
    kept = compressed(factors, counts, 2)
    assert kept.shape == (100, 2)
    np.testing.assert_allclose(
        products(kept[:20]), products(frequent), atol=1e-2 * np.abs(products(frequent)).max()
    )
    without = compressed(factors, np.ones(100), 2)
    assert np.abs(products(without[:20]) - products(frequent)).max() > 0.2 * np.abs(products(frequent)).max()


def test_many_samples_are_kept_in_few_columns():
    random = np.random.default_rng(2)
    base = random.normal(size=(30, 2))
    average = Average(np.ones(30), rank=8)
    exact = np.zeros((30, 30))
    for _ in range(50):
        turn, _ = np.linalg.qr(random.normal(size=(2, 2)))
        sample = base @ turn + 0.01 * random.normal(size=(30, 2))
        exact += products(sample) / 50
        average.add(np.concatenate([np.zeros((30, 1)), sample], axis=1), 0.0)
        assert average._kept.shape[1] <= 8
    _, factors, _ = average.result(2)
    np.testing.assert_allclose(products(factors), exact, atol=0.02)
