"""A chain starts from the rows, not from their order or pieces."""

import numpy as np

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs import start
from spark_fm.core.solver.gibbs.start import row_keys, started, starting_rows
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block


def block(positions, random):
    """A user and an item in each row, at the given positions."""
    rows = np.stack([random.integers(0, 20, 400), 20 + random.integers(0, 10, 400)], axis=1)
    label = (rows[:, 0] % 3 + rows[:, 1] % 2).astype(float)
    return Block(
        np.arange(0, 802, 2, dtype=np.int32), positions[rows.ravel()].astype(np.int32), NO_FLOATS, label,
        NO_FLOATS, NO_FLAGS, NO_FEATURES,
    )  # fmt: skip


def test_the_start_depends_on_neither_order_nor_positions():
    settings = Settings(SQUARED, factor_size=3, max_epochs=5, seed=2)
    init = ParameterInit(settings, Scale.of(settings, 1.0, 1.5, 0.9))
    found = []
    for seed in (0, 1):
        positions = np.random.default_rng(10 + seed).permutation(30)
        ids = np.empty(30, np.int64)
        ids[positions] = 5 * np.arange(30)
        made = block(positions, np.random.default_rng(7))
        made = made.take(np.random.default_rng(seed).permutation(400))
        rows = starting_rows(made, ids, 400)
        theta, intercept = started(rows, ids, init, FeatureScaling.identity(30), 4)
        found.append((theta[positions], intercept))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-9)
    assert np.abs(found[0][0]).max() > 0.1


def test_keys_tell_labels_weights_values_and_features_apart():
    def key(ids=(3, 5), values=NO_FLOATS, label=1.0, weight=NO_FLOATS):
        one = Block(
            np.array([0, 2], np.int32), np.array([0, 1], np.int32), values, np.array([label]), weight,
            NO_FLAGS, NO_FEATURES,
        )  # fmt: skip
        return int(row_keys(one, np.array(ids))[0])

    two = np.array([1.0, 2.0], np.float32)
    found = [key(), key(ids=(3, 6)), key(values=two), key(label=2.0), key(weight=two[1:])]
    assert len(set(found)) == len(found)
    assert min(found) >= 0
    # Ones that are stored, and another order, are the same row.
    assert key(values=np.ones(2, np.float32), weight=two[:1]) == key() == key(ids=(5, 3))


def test_of_many_rows_a_part_is_chosen_whatever_its_pieces(monkeypatch):
    monkeypatch.setattr(start, "MOST_ROWS", 100)
    made, ids = block(np.arange(30), np.random.default_rng(7)), np.arange(30)
    whole = starting_rows(made, ids, 400)
    halves = [starting_rows(made.take(some), ids, 400) for some in np.split(np.arange(400), 2)]
    assert 60 < whole.rows < 140
    assert sum(half.rows for half in halves) == whole.rows
    np.testing.assert_array_equal(
        np.sort(np.concatenate([row_keys(half, ids) for half in halves])), row_keys(whole, ids)
    )
