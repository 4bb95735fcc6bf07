from itertools import combinations, product

import numpy as np
import pytest

from spark_fm.core.fm import interactions
from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.core.fm.interactions import Moments, groups_of, strengths, strongest
from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.fm.weights import Weights

USER, TAGS, AGE = (
    Field("user", 0, 4),
    Field("tags", 4, 3, "set", one_per_row=False),
    Field("age", 8, 1, "numeric"),
)
LAYOUT = FieldLayout((USER, TAGS, AGE))


def weights_of(features, factors=3, seed=0):
    random, m = np.random.default_rng(seed), len(features)
    linear, v = random.normal(size=m), random.normal(size=(m, factors))
    return Weights(np.array(features), linear.astype(np.float32), v.astype(np.float32), 0.3)


WEIGHTS = weights_of([0, 1, 2, 3, 4, 5, 6, 8])


def rows_of_all(p_user, p_tags, ages):
    """Every row there can be, and its probability, where fields (and tags) are independent."""
    for (u, pu), tags, age in product(enumerate(p_user), product((0, 1), repeat=3), ages):
        x = np.zeros(8)
        x[u], x[4:7], x[7] = 1.0, tags, age
        p = pu * np.prod([q if t else 1 - q for q, t in zip(p_tags, tags, strict=True)]) / len(ages)
        yield x, p


def moments_of(rows):
    mean = sum(p * x for x, p in rows)
    square = sum(p * x * x for x, p in rows)
    return Moments(mean.astype(np.float32), np.sqrt(square).astype(np.float32))


def score(weights, x):
    v, w = weights.factors.astype(float), weights.linear.astype(float)
    pairs = sum(v[i] @ v[j] * x[i] * x[j] for i, j in combinations(range(x.size), 2))
    return weights.intercept + w @ x + pairs


def test_strengths_are_an_analysis_of_variance():
    """Main effects and interactions by their definition: conditional means over all rows."""
    rows = list(rows_of_all([0.4, 0.3, 0.2, 0.1], [0.5, 0.25, 0.1], [-1.0, 0.5, 3.0]))
    z, p = np.array([score(WEIGHTS, x) for x, _ in rows]), np.array([p for _, p in rows])
    keys = {"user": [tuple(x[:4]) for x, _ in rows], "tags": [tuple(x[4:7]) for x, _ in rows]}
    keys["age"] = [x[7] for x, _ in rows]

    def conditional(*fields):
        """E[z | fields] of each row."""
        by = list(zip(*(keys[field] for field in fields), strict=True))
        sums, total = {}, {}
        for key, one, q in zip(by, z, p, strict=True):
            sums[key], total[key] = sums.get(key, 0.0) + q * one, total.get(key, 0.0) + q
        return np.array([sums[key] / total[key] for key in by])

    def deviation(part):
        return np.sqrt(p @ part**2 - (p @ part) ** 2)

    found = strengths(WEIGHTS, LAYOUT, moments_of(rows))
    assert found.names == ["user", "tags", "age"]
    assert found.alone == pytest.approx([deviation(conditional(name)) for name in found.names], rel=1e-5)
    for a, b in combinations(range(3), 2):
        one, other = found.names[a], found.names[b]
        pair = conditional(one, other) - conditional(one) - conditional(other)
        assert found.pairs[a, b] == found.pairs[b, a] == pytest.approx(deviation(pair), rel=1e-5)
    # What three fields say together is nothing that an FM could say.
    total = (found.alone**2).sum() + 0.5 * (found.pairs**2).sum()
    assert total == pytest.approx(deviation(z) ** 2, rel=1e-5)
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.together[0] == pytest.approx(np.hypot(found.pairs[0, 1], found.pairs[0, 2]))


def test_without_moments_features_of_a_field_are_equally_frequent():
    equal = Moments(np.array([0.25] * 4 + [0.0] * 4, np.float32), np.array([0.5] * 4 + [1.0] * 4, np.float32))
    found, expected = strengths(WEIGHTS, LAYOUT, None), strengths(WEIGHTS, LAYOUT, equal)
    assert found.alone == pytest.approx(expected.alone, rel=1e-6)
    assert found.pairs == pytest.approx(expected.pairs, rel=1e-6)


def test_features_of_no_field_are_a_group():
    groups = groups_of(weights_of([1, 4, 7, 20]), LAYOUT)
    assert [(one.name, rows.tolist()) for one, rows in groups] == [
        ("user", [0]), ("tags", [1]), ("(no field)", [2, 3]),
    ]  # fmt: skip


def test_a_model_of_nothing_has_no_strengths():
    found = strengths(weights_of([]), LAYOUT, None)
    assert (found.names, found.alone.size, found.pairs.shape) == ([], 0, (0, 0))
    constant = Weights(np.arange(4), np.zeros(4, np.float32), np.zeros((4, 2), np.float32), 1.0)
    assert strengths(constant, LAYOUT, None).shares.tolist() == [0.0]


def test_moments_of_counts():
    counted = FeatureCounts(
        np.array([7, 2, 5]), np.array([4.0, 2.0, 1.0]), np.array([1.0, 3.0, -2.0]), np.array([0.0, 2.0, 0.0])
    )
    found = Moments.of(counted, 8, np.array([2, 3, 7]))
    assert found.mean.tolist() == [0.75, 0.0, 0.5]
    assert found.root_mean_square.tolist() == pytest.approx([np.sqrt(20.0 / 8), 0.0, np.sqrt(0.5)])
    assert Moments.of(counted.take(np.empty(0, int)), 8, np.array([2])).mean.tolist() == [0.0]


def by_hand(weights, layout, moments, most, between=None):
    numbers, v = layout.field_numbers(weights.features), weights.factors.astype(float)
    root = np.ones(v.shape[0]) if moments is None else moments.root_mean_square.astype(float)
    found = []
    for i, j in combinations(range(v.shape[0]), 2):
        if numbers[i] == numbers[j] >= 0 and layout.fields[numbers[i]].one_per_row:
            continue
        if between is not None and sorted(between) != sorted((numbers[i], numbers[j])):
            continue
        found.append((root[i] * root[j] * abs(v[i] @ v[j]), i, j, v[i] @ v[j]))
    return sorted(found, key=lambda one: -one[0])[:most]


@pytest.mark.parametrize("with_moments", [False, True])
@pytest.mark.parametrize("between", [None, (0, 1), (1, 0), (1, 1), (0, 0), (1, 2)])
def test_the_strongest_pairs_are_those_of_all_pairs(monkeypatch, with_moments, between):
    monkeypatch.setattr(interactions, "ROWS_A_BLOCK", 7)
    layout = FieldLayout((Field("a", 0, 40), Field("b", 40, 30, one_per_row=False), Field("c", 75, 5)))
    weights, random = weights_of(range(90)), np.random.default_rng(1)
    moments = Moments(np.zeros(90, np.float32), random.random(90).astype(np.float32) ** 3)
    moments = moments if with_moments else None
    for most in (1, 12, 5000):
        found = strongest(weights, layout, moments, most, between)
        expected = by_hand(weights, layout, moments, most, between)
        assert list(zip(found.first, found.second, strict=True)) == [(i, j) for _, i, j, _ in expected]
        assert found.strengths == pytest.approx([one[0] for one in expected])
        assert found.products == pytest.approx([one[3] for one in expected])


def test_few_blocks_are_visited_where_some_features_stand_out(monkeypatch):
    monkeypatch.setattr(interactions, "ROWS_A_BLOCK", 10)
    visited = []
    best = interactions._best
    monkeypatch.setattr(interactions, "_best", lambda *args: visited.append(1) or best(*args))
    weights = weights_of(range(1000))
    moments = Moments(np.zeros(1000, np.float32), (np.arange(1, 1001) ** -1.5).astype(np.float32))
    found = strongest(weights, FieldLayout(()), moments, 5)
    assert [one[1:3] for one in by_hand(weights, FieldLayout(()), moments, 5)] == list(
        zip(found.first, found.second, strict=True)
    )
    assert len(visited) < 20  # of 5050


def test_how_pairs_are_found_does_not_change_their_bits(monkeypatch):
    """BLAS rounds by the shape of a block and by the processor: what is returned must not."""
    layout = FieldLayout((Field("a", 0, 30), Field("b", 30, 100)))
    weights = weights_of(range(130), factors=16)
    found = []
    for rows, between in ((1024, None), (1024, (0, 1)), (1024, (1, 0)), (7, (1, 0))):
        monkeypatch.setattr(interactions, "ROWS_A_BLOCK", rows)
        found.append(strongest(weights, layout, None, 500, between))
    for one in found[1:]:
        for name in ("first", "second", "products", "strengths"):
            np.testing.assert_array_equal(getattr(one, name), getattr(found[0], name))
