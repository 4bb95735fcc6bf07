"""Rows drawn from a Factorization Machine that the test knows."""

import numpy as np

from spark_fm.core.sparse.block import NO_FLAGS, NO_FLOATS, Block

USERS, ITEMS, FACTORS = 20, 25, 2


def planted(rows, seed=0, noise=0.05, binary=False):
    """User and item one-hot; the label is 3 + w_u + w_i + <v_u, v_i> (its class when binary)."""
    truth = np.random.default_rng(123)
    w = truth.standard_normal(USERS + ITEMS)
    v = truth.standard_normal((USERS + ITEMS, FACTORS))
    random = np.random.default_rng(seed)
    user = random.integers(0, USERS, rows)
    item = USERS + random.integers(0, ITEMS, rows)
    z = w[user] + w[item] + (v[user] * v[item]).sum(axis=1)
    if binary:
        label = (random.random(rows) < 1 / (1 + np.exp(-2 * z))).astype(float)
    else:
        label = 3.0 + z + noise * random.standard_normal(rows)
    return np.stack([user, item], axis=1), label


def planted_block(rows, seed=0, binary=False, validation=0):
    """The same as a localised block; the last ``validation`` rows are for validation."""
    ids, label = planted(rows, seed, binary=binary)
    flags = np.arange(rows) >= rows - validation
    return Block(
        indptr=np.arange(0, 2 * rows + 1, 2, dtype=np.int32),
        indices=ids.ravel().astype(np.int32),
        values=NO_FLOATS,
        label=label,
        weight=NO_FLOATS,
        validation=flags if validation else NO_FLAGS,
        features=np.arange(USERS + ITEMS, dtype=np.int64),
    )
