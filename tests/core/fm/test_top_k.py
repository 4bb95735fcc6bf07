"""The best items by their inner products: exactly those of all pairs, whatever the tiles are."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm import top_k
from spark_fm.core.fm.top_k import Excluded, TopK


def brute_force(contexts, items, k, left_out=()):
    """(positions, scores) by context, in float64, by falling score and position."""
    found = []
    for c, phi in enumerate(contexts):
        scores = [float(sum(a * b for a, b in zip(phi, psi, strict=True))) for psi in items]
        kept = [i for i in range(len(items)) if (c, i) not in left_out]
        best = sorted(kept, key=lambda i: (-scores[i], i))[:k]
        found.append((best, [scores[i] for i in best]))
    return found


def ranked(contexts, items, k, left_out=(), order=None, step=7):
    """The same by TopK, which meets the items in steps."""
    pairs = np.array(sorted(left_out), np.int64).reshape(-1, 2)
    best = TopK(contexts, k, Excluded.of_pairs(pairs[:, 0], pairs[:, 1], len(contexts)))
    firsts = list(range(0, len(items), step))
    for first in firsts if order is None else [firsts[i] for i in order]:
        best.visit(items[first : first + step], first)
    counts, positions, scores = best.result()
    ends = np.cumsum([0, *counts])
    return [(positions[a:b].tolist(), scores[a:b].tolist()) for a, b in pairwise(ends)]


# Few different numbers, so that many scores are equal.
coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0])
sizes = st.tuples(st.integers(0, 5), st.integers(1, 40), st.integers(1, 4))


@st.composite
def problems(draw):
    contexts, items, width = draw(sizes)
    k = draw(st.integers(1, items))
    numbers = st.lists(coarse, min_size=width, max_size=width)
    phi = np.array(draw(st.lists(numbers, min_size=contexts, max_size=contexts)), float).reshape(-1, width)
    psi = np.array(draw(st.lists(numbers, min_size=items, max_size=items)), float)
    pair = st.tuples(st.integers(0, max(contexts - 1, 0)), st.integers(0, items - 1))
    left_out = draw(st.sets(pair, max_size=40)) if contexts else set()
    return phi, psi, k, left_out


@given(problems(), st.integers(1, 40))
def test_as_all_pairs_with_ties_and_exclusions(problem, step):
    phi, psi, k, left_out = problem
    assert ranked(phi, psi, k, left_out, step=step) == brute_force(phi, psi, k, left_out)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e6, 1e20])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_scores_that_float32_cannot_tell_apart(scale, k):
    random = np.random.default_rng(0)
    # Large parts cancel: what is left is less than the rounding errors of float32.
    signs = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    phi = scale * (1.0 + random.random((3, 1)) * np.ones(6))
    psi = scale * (signs + 1e-8 * random.normal(size=(500, 6)))
    assert ranked(phi, psi, k, step=500) == brute_force(phi, psi, k)


def test_sums_that_overflow_in_float32():
    phi, psi = np.ones((1, 3)), np.array([[-2e38, 0.0, 0.0], [-2e38, -2e38, 3e38]])
    assert [found[0] for found in ranked(phi, psi, 1)] == [[1]]


def test_the_order_of_tiles_does_not_matter():
    random = np.random.default_rng(1)
    phi, psi = random.normal(size=(20, 5)), random.normal(size=(300, 5)).round(1)
    psi[::3] = psi[0]
    expected = brute_force(phi, psi, 15)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(-(-300 // 11))
        assert ranked(phi, psi, 15, order=order, step=11) == expected


def test_scores_that_rise_with_the_position():
    phi, psi = np.ones((2, 1)), np.arange(5000.0)[:, None]
    assert [found[0] for found in ranked(phi, psi, 4, step=5000)] == [[4999, 4998, 4997, 4996]] * 2


@pytest.mark.parametrize("contexts", [1, top_k.CONTEXTS_A_TILE, top_k.CONTEXTS_A_TILE + 1])
@pytest.mark.parametrize("items", [1, top_k.SCANNED, top_k.SCANNED + 1, top_k.ITEMS_A_TILE + 1])
def test_sizes_around_those_of_tiles(contexts, items):
    random = np.random.default_rng(2)
    phi, psi = random.normal(size=(contexts, 3)), random.normal(size=(items, 3))
    found = ranked(phi, psi, 5, step=items)
    for c in (0, contexts - 1):
        z = psi @ phi[c]
        assert found[c][0] == np.argsort(-z, kind="stable")[:5].tolist()


def test_a_context_that_leaves_out_almost_everything():
    random = np.random.default_rng(3)
    phi, psi = random.normal(size=(2, 3)), random.normal(size=(3000, 3))
    left_out = {(0, i) for i in range(3000) if i not in (7, 2048)} | {(1, i) for i in range(3000)}
    found = ranked(phi, psi, 10, left_out, step=3000)
    assert sorted(found[0][0]) == [7, 2048]
    assert found[1] == ([], [])
