from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.solver.gibbs import fields
from spark_fm.core.solver.gibbs.fields import (
    DrawOrder,
    incomplete_fields,
    known_fields,
    met_before,
    met_together,
    never_together,
    ranks_without_field,
    with_found,
)
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


def test_known_fields_keep_their_features_and_the_others_are_cut():
    ids = np.array([0, 5, 9, 20, 21, 30])
    numbers = known_fields(ids, ((0, 8), (20, 22)))
    assert numbers.tolist() == [0, 0, -1, 1, 1, -1]
    ranks = ranks_without_field(numbers, ids)
    apart = block([[0, 2, 3], [1, 4, 5]])
    assert with_found(numbers, ranks, met_before(apart, ranks)).tolist() == [0, 0, 2, 1, 1, 2]
    beside = block([[0, 2, 5]])
    assert with_found(numbers, ranks, met_before(beside, ranks)).tolist() == [0, 0, 2, 1, 1, 3]


def test_what_every_row_has_once_is_complete():
    numbers = np.array([0, 0, 1, 1, 2, 2])
    rows = block([[0, 2, 4], [1, 3], [0, 3, 4, 5]])
    lacking, repeated = incomplete_fields(rows, numbers)
    assert lacking.tolist() == [0.0, 0.0, 2.0]
    assert repeated.tolist() == [False, False, True]
    light = replace(rows, weight=np.array([1.0, 1e-6, 2.0], np.float32))
    np.testing.assert_allclose(incomplete_fields(light, numbers)[0], [0.0, 0.0, 2.000001])
    # A value other than 1 is no sign that the field is there.
    other = replace(rows, values=np.array([1.0, 1, 1, 1, 3, 1, 1, 1, 1], np.float32))
    assert incomplete_fields(other, numbers)[0].tolist() == [0.0, 1.0, 2.0]


def test_features_of_a_class_have_never_met():
    random = np.random.default_rng(3)
    rows = [random.choice(12, size=random.integers(1, 4), replace=False).tolist() for _ in range(40)]
    places = np.arange(12, dtype=np.int32)
    met = met_together(block(rows), places).reshape(12, 12)
    classes = never_together(met)
    assert all(len(set(classes[row])) == len(row) for row in rows)
    assert classes.max() < 11
