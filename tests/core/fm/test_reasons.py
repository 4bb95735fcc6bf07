"""Reasons are the largest parts of a score but those of the context alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.reasons import top_reasons
from tests.core.strategies import FEATURES, rows
from tests.oracle import Oracle

HALF = FEATURES // 2


def csr(some):
    ptr = np.cumsum([0, *(len(ids) for ids, _ in some)])
    ids = np.array([i for ids, _ in some for i in ids], np.int32)
    return ptr, ids, np.array([x for _, values in some for x in values], np.float64)


def reasons(oracle, contexts, items, pairs, top):
    """By pair (first, second, part)."""
    which = np.array(pairs, np.int64).reshape(-1, 2)
    counts = np.empty(len(pairs), np.int32)
    first, second = np.empty((len(pairs), top), np.int32), np.empty((len(pairs), top), np.int32)
    parts = np.empty((len(pairs), top))
    top_reasons(
        oracle.table,
        *csr(contexts),
        *csr(items),
        which[:, 0].copy(),
        which[:, 1].copy(),
        counts,
        first,
        second,
        parts,
    )
    return [
        [(int(first[p, r]), int(second[p, r]), parts[p, r]) for r in range(counts[p])]
        for p in range(len(pairs))
    ]


def side(row, items):
    ids, values = row
    kept = [(i, x) for i, x in zip(ids, values, strict=True) if (i >= HALF) == items]
    return [i for i, _ in kept], [x for _, x in kept]


def expected(oracle, context, item):
    found = []
    for a, (i, x) in enumerate(zip(*item, strict=True)):
        found.append((i, -1, oracle.w[i] * x))
        for j, y in list(zip(*item, strict=True))[a + 1 :]:
            found.append((i, j, oracle.v[i] @ oracle.v[j] * x * y))
        for j, y in zip(*context, strict=True):
            found.append((j, i, oracle.v[i] @ oracle.v[j] * x * y))
    return {(i, j): part for i, j, part in found if part != 0.0}


@given(rows(), st.integers(0, 5), st.integers(0, 4), st.integers(1, 40))
def test_the_largest_parts_of_the_item(both, seed, factor_size, top):
    oracle = Oracle.random(seed, FEATURES, factor_size)
    contexts, items = [side(row, False) for row in both], [side(row, True) for row in both]
    pairs = [(c, i) for c in range(len(both)) for i in reversed(range(len(both)))]
    for (c, i), found in zip(pairs, reasons(oracle, contexts, items, pairs, top), strict=True):
        wanted = expected(oracle, contexts[c], items[i])
        assert len(found) == min(top, len(wanted))
        sizes = sorted((abs(part) for part in wanted.values()), reverse=True)
        assert [abs(part) for _, _, part in found] == pytest.approx(sizes[: len(found)], rel=1e-6)
        for one, other, part in found:
            assert part == pytest.approx(wanted[one, other], rel=1e-6)


def test_all_reasons_and_the_context_make_the_score():
    oracle = Oracle.random(3, FEATURES, 3)
    context, item = ([0, 2], [1.0, 2.0]), ([7, 8, 11], [1.0, -0.5, 3.0])
    ((found,)) = reasons(oracle, [context], [item], [(0, 0)], 100)
    ids, x = np.array(context[0] + item[0]), np.array(context[1] + item[1])
    alone = oracle.score(np.array(context[0]), np.array(context[1]))
    assert alone + sum(part for _, _, part in found) == pytest.approx(oracle.score(ids, x))
