import numpy as np
import pytest

from spark_fm.core.solver.gibbs import fields
from spark_fm.core.solver.gibbs.fields import DrawOrder, met_before, ranks_without_field, with_found
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block


def block(rows):
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    indices = np.array([i for row in rows for i in row], np.int32)
    return Block(indptr, indices, NO_FLOATS, np.zeros(len(rows)), NO_FLOATS, NO_FLAGS, NO_FEATURES)


def ranges_of_fields(block, ids):
    numbers = np.full(ids.size, -1)
    ranks = ranks_without_field(numbers, ids)
    return with_found(numbers, ranks, met_before(block, ranks))


def test_one_hot_fields_are_found_whatever_the_order_of_positions():
    random = np.random.default_rng(0)
    users, items = random.integers(0, 30, 500), random.integers(0, 20, 500)
    positions = random.permutation(50)
    rows = [[positions[u], positions[30 + i]] for u, i in zip(users, items, strict=True)]
    ids = np.empty(50, np.int64)
    ids[positions] = np.arange(50) * 7
    numbers = ranges_of_fields(block(rows), ids)
    cut = numbers[positions]
    assert set(cut[:30]) == {0}
    assert set(cut[30:]) == {1}


def test_features_that_meet_in_a_row_are_never_of_one_field():
    random = np.random.default_rng(1)
    rows = [random.choice(12, size=random.integers(0, 5), replace=False).tolist() for _ in range(200)]
    numbers = ranges_of_fields(block(rows), np.arange(12))
    assert all(len(set(numbers[row])) == len(row) for row in rows if row)


def test_too_many_are_refused(monkeypatch):
    monkeypatch.setattr(fields, "MOST_FIELDS", 3)
    with pytest.raises(ValueError, match="solver: 'gibbs' draws field by field"):
        ranges_of_fields(block([[0, 1, 2, 3]]), np.arange(4))


def test_fields_of_one_feature_share_a_prior():
    order = DrawOrder.of(np.array([0, 1, 0, 2]), np.array([5, 9, 3, 7]))
    assert [one.tolist() for one in order.members] == [[2, 0], [1], [3]]
    assert order.groups == [[0], [1, 2]]
