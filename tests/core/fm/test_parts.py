import numpy as np
import pytest

from spark_fm.core.fm.parts import top_parts
from spark_fm.core.fm.weights import Weights


def top(weights, rows, count, values=True):
    """Label-like (i, j) and contribution of the largest parts of rows of (positions, values)."""
    indptr = np.cumsum([0] + [len(ids) for ids, _ in rows]).astype(np.int32)
    indices = np.concatenate([np.array(ids, np.int32) for ids, _ in rows])
    x = np.concatenate([np.array(values, float) for _, values in rows]) if values else np.empty(0)
    counts, first = np.empty(len(rows), np.int32), np.empty((len(rows), count), np.int32)
    second, parts = first.copy(), np.empty((len(rows), count))
    top_parts(weights.table, indptr, indices, x, counts, first, second, parts)
    return [
        [
            ((int(indices[i]), int(indices[j]) if j >= 0 else None), float(part))
            for i, j, part in zip(first[r, :n], second[r, :n], parts[r, :n], strict=True)
        ]
        for r, n in enumerate(counts)
    ]


def all_parts(weights, ids, values):
    """Every part that is not 0, by absolute size."""
    w, v = weights.linear.astype(float), weights.factors.astype(float)
    known = [(i, x) for i, x in zip(ids, values, strict=True) if i >= 0]
    parts = [((i, None), w[i] * x) for i, x in known]
    parts += [
        ((i, j), float(v[i] @ v[j]) * x * y) for a, (i, x) in enumerate(known) for j, y in known[a + 1 :]
    ]
    return sorted((part for part in parts if part[1]), key=lambda part: -abs(part[1]))


def weights_of(features, factors, seed=0):
    random = np.random.default_rng(seed)
    return Weights(
        np.arange(features),
        random.normal(size=features).astype(np.float32),
        random.normal(size=(features, factors)).astype(np.float32),
        0.5,
    )


def assert_same_parts(found, expected):
    assert [part[0] for part in found] == [part[0] for part in expected]
    assert [part[1] for part in found] == pytest.approx([part[1] for part in expected], rel=1e-12)


@pytest.mark.parametrize("factors", [0, 1, 8, 13])
@pytest.mark.parametrize("count", [1, 5, 2000])
def test_the_largest_parts_of_rows_of_all_lengths(factors, count):
    weights, random = weights_of(60, factors), np.random.default_rng(1)
    rows = []
    for length in (0, 1, 2, 7, 8, 9, 16, 40):
        ids = random.permutation(60)[:length]
        rows.append((np.where(random.random(length) < 0.2, -1, ids), random.normal(size=length)))
    for found, (ids, values) in zip(top(weights, rows, count), rows, strict=True):
        assert_same_parts(found, all_parts(weights, ids, values)[:count])


def test_values_that_are_all_one():
    weights, ids = weights_of(12, 4), np.arange(12)
    (found,) = top(weights, [(ids, None)], 6, values=False)
    assert_same_parts(found, all_parts(weights, ids, np.ones(12))[:6])


def test_values_whose_products_leave_single_precision():
    weights, ids, values = weights_of(4, 3), [0, 1, 2, 3], [1e30, -2e25, 1.0, 3e-20]
    (found,) = top(weights, [(ids, values)], 10)
    exact = dict(all_parts(weights, ids, values))
    assert [part[0] for part in found[:2]] == [part[0] for part in all_parts(weights, ids, values)[:2]]
    assert [part for _, part in found] == pytest.approx([exact[of] for of, _ in found], rel=1e-12)
