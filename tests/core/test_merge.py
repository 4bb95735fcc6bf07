import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.loss import Loss
from spark_fm.core.merge import (
    Coupling,
    add_rows,
    apply_centre,
    apply_intercept_merge,
    apply_merge,
    contributions,
    intercept_contributions,
    packed_width,
)
from tests.core.test_kernel import train
from tests.oracle import Oracle, block_of

K = 8
WIDTH = K + 4
SUM_W, SUM_V = K + 1, K + 2
COUPLING = Coupling(0.5, 0.7, 1.3)


def table(features, seed=0):
    random = np.random.default_rng(seed)
    made = random.standard_normal((features, WIDTH)).astype(np.float32)
    made[:, SUM_W:] = 1.0 + random.random((features, 3)).astype(np.float32)
    made[:, -1] = 0.0
    return made


def moved(before, seed, size=0.1, added=1.0):
    """What a partition could have made of ``before``: other parameters, larger accumulators.

    The changes of a factor vector are multiples of a 127th of the largest, so packing need not round them.
    """
    random = np.random.default_rng(seed)
    after = before.copy()
    steps = random.integers(1, 128, (before.shape[0], K)) * random.choice([-1, 1], (before.shape[0], K))
    steps[:, 0] = random.choice([-127, 127], before.shape[0])
    after[:, :K] += (2 * size / 127 * steps).astype(np.float32)
    after[:, K] += size * random.standard_normal(before.shape[0]).astype(np.float32)
    after[:, SUM_W : SUM_V + 1] += added * (0.1 + random.random((before.shape[0], 2))).astype(np.float32)
    return after


def sums_of(before, *afters, coupling=COUPLING):
    """The sums of some partitions, in that order: float64 (features, K + 3)."""
    sums = np.zeros((before.shape[0], K + 3))
    for after in afters:
        positions, packed, _ = contributions(before, after, coupling)
        add_rows(sums, positions, packed)
    return sums


def without_centre(before, afters, coupling):
    table = before.copy()
    apply_merge(table, sums_of(before, *afters, coupling=coupling), coupling)
    return table


def merged(before, afters, coupling):
    table = before.copy()
    moved = apply_merge(table, sums_of(before, *afters, coupling=coupling), coupling)
    own = sum(contributions(before, after, coupling)[2] for after in afters)
    apply_centre(before, table, own, moved)
    return table


def merged_by_hand(before, afters, coupling):
    """The formulas in float64, coordinate by coordinate; then the centre."""
    result = before.astype(float)
    for columns, column, rate in [
        (slice(0, K), SUM_V, coupling.factors),
        (slice(K, K + 1), SUM_W, coupling.linear),
    ]:
        for i in range(before.shape[0]):
            G = float(before[i, column])
            added = np.array([float(after[i, column]) - G for after in afters])
            change = np.array([after[i, columns].astype(float) - before[i, columns] for after in afters])

            def fraction(d, G=G, rate=rate):
                return 1.0 - np.exp(-rate * d / (np.sqrt(G + d) + np.sqrt(G)))

            weighted = (added / fraction(added)) @ change
            result[i, columns] += fraction(added.sum()) * weighted / added.sum()
            result[i, column] += added.sum()
        information = result[:, column] - before[:, column]
        mean = np.average(result[:, columns] - before[:, columns], axis=0, weights=information)
        changes = [
            (after[:, column] - before[:, column], after[:, columns] - before[:, columns]) for after in afters
        ]
        own = sum(added @ change for added, change in changes) / information.sum()
        result[:, columns] += own - mean
    return result


@pytest.mark.parametrize("partitions", [1, 2, 5])
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([0.01, 0.5, 3.0, 50.0]))
def test_merge_is_that_of_the_formula(partitions, seed, rate):
    coupling = Coupling(rate, rate, 2 * rate)
    before = table(4, seed)
    afters = [moved(before, seed + 1 + p) for p in range(partitions)]
    np.testing.assert_allclose(
        merged(before, afters, coupling), merged_by_hand(before, afters, coupling), rtol=1e-5, atol=1e-4
    )


def test_little_progress_gives_the_sum_of_the_updates():
    before = table(5)
    before[:, SUM_W : SUM_V + 1] = 1e4
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(1e-4, 1e-4, 1e-4)
    expected = before[:, : K + 1] + sum(after[:, : K + 1] - before[:, : K + 1] for after in afters)
    found = without_centre(before, afters, coupling)
    np.testing.assert_allclose(found[:, : K + 1], expected, rtol=1e-4, atol=3e-5)


def test_full_progress_gives_the_information_weighted_mean():
    before = table(5)
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(1e4, 1e4, 1e4)
    result = merged(before, afters, coupling)
    for columns, column in [(slice(0, K), SUM_V), (slice(K, K + 1), SUM_W)]:
        information = np.stack([after[:, column] - before[:, column] for after in afters])
        change = np.stack([after[:, columns] - before[:, columns] for after in afters])
        mean = (information[:, :, None] * change).sum(axis=0) / information.sum(axis=0)[:, None]
        np.testing.assert_allclose(result[:, columns], before[:, columns] + mean, rtol=1e-4, atol=3e-5)


def test_what_partitions_agree_on_goes_between_one_update_and_their_sum():
    before = table(6)
    after = moved(before, 1)
    change = (after - before)[:, : K + 1]
    ratio = (without_centre(before, [after] * 4, COUPLING) - before)[:, : K + 1] / change
    assert (ratio > 1.0).all()
    assert (ratio < 4.0).all()


def test_centre_of_the_changes_is_the_partitions_own():
    before = table(7)
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(1e-4, 1e-4, 1e-4)
    result = merged(before, afters, coupling).astype(float)
    for columns, column in [(slice(0, K), SUM_V), (slice(K, K + 1), SUM_W)]:
        information = np.stack([after[:, column] - before[:, column] for after in afters])
        change = np.stack([after[:, columns] - before[:, columns] for after in afters])
        own = (information[:, :, None] * change).sum(axis=(0, 1)) / information.sum()
        found = np.average(result[:, columns] - before[:, columns], axis=0, weights=information.sum(axis=0))
        np.testing.assert_allclose(found, own, atol=1e-5)


def test_all_features_moving_alike_is_no_reason_to_go_further():
    before = np.ones((5, WIDTH), np.float32)
    after = before + np.float32(0.25)
    result = merged(before, [after] * 8, Coupling(1e-4, 1e-4, 1e-4))
    np.testing.assert_allclose(result[:, : K + 1], after[:, : K + 1], rtol=1e-5)


def test_untouched_rows_have_no_part_in_the_shift():
    before = table(6)
    afters = [moved(before, 1), moved(before, 2)]
    for after in afters:
        after[4:] = before[4:]
    np.testing.assert_array_equal(merged(before, afters, COUPLING)[4:], before[4:])


@pytest.mark.parametrize("rate", [1e-6, 0.01, 1.0, 1e3])
def test_single_partition_keeps_its_whole_update(rate):
    before = table(50)
    after = moved(before, 1)
    result = merged(before, [after], Coupling(rate, rate, rate))
    np.testing.assert_allclose(result, after, rtol=1e-5, atol=2e-5)


def test_single_partition_of_real_training_is_plain_local_training():
    oracle = Oracle.random(3, 12, K)
    random = np.random.default_rng(0)
    rows = [(sorted(random.choice(12, 3, replace=False)), [1.0, 2.0, -0.5]) for _ in range(40)]
    after, intercept, _ = train(oracle, block_of(rows, list(random.standard_normal(40))), Loss.SQUARED)
    result = merged(oracle.table, [after], COUPLING)
    # A change is rounded, and so is the centre that all changes have in common.
    rounding = np.abs(after - oracle.table)[:, :K].max() / 125
    assert (np.abs(result - after)[:, :K] <= rounding).all()
    np.testing.assert_allclose(result[:, K:], after[:, K:], rtol=1e-5, atol=2e-5)
    start = np.array([oracle.w0, oracle.g0])
    sums = intercept_contributions(start, intercept, COUPLING)
    np.testing.assert_allclose(apply_intercept_merge(start, sums, COUPLING), intercept, rtol=1e-9)


def test_feature_of_a_single_partition_keeps_its_whole_update_among_others():
    before = table(6)
    first, second = moved(before, 1), moved(before, 2)
    first[3:] = before[3:]
    second[:3] = before[:3]
    result = merged(before, [first, second], COUPLING)
    # Nobody went further than alone, so the centre stays.
    np.testing.assert_allclose(result[:3], first[:3], rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(result[3:], second[3:], rtol=1e-5, atol=2e-5)


def test_weight_and_factors_of_a_feature_merge_apart():
    before = table(3)
    first, second = moved(before, 1), moved(before, 2)
    # The second partition had a step for the weights only.
    second[:, :K], second[:, SUM_V] = before[:, :K], before[:, SUM_V]
    result = merged(before, [first, second], COUPLING)
    np.testing.assert_allclose(result[:, :K], first[:, :K], rtol=1e-5, atol=2e-5)
    assert (np.abs(result[:, K] - first[:, K]) > 1e-3).any()


@given(st.permutations(range(6)))
def test_order_of_the_partitions_does_not_matter(order):
    before = table(4)
    afters = [moved(before, p) for p in range(6)]
    found = merged(before, [afters[p] for p in order], COUPLING)
    np.testing.assert_allclose(found, merged(before, afters, COUPLING), rtol=1e-6, atol=1e-7)


def test_sums_of_sums_are_the_sums():
    before = table(4)
    afters = [moved(before, p) for p in range(4)]
    total = np.zeros((4, K + 3))
    for pair in (afters[:2], afters[2:]):
        part = sums_of(before, *pair).astype(np.float32)
        add_rows(total, np.arange(4, dtype=np.uint16), part)
    np.testing.assert_allclose(total, sums_of(before, *afters), rtol=1e-6, atol=1e-7)
    assert (total[:, K + 1 :] > 0.0).all()


def test_packed_rows_add_up_at_their_positions():
    before = table(6)
    after = before.copy()
    after[[1, 4]] = moved(before, 1)[[1, 4]]
    positions, packed, _ = contributions(before, after, COUPLING)
    assert positions.tolist() == [1, 4]
    assert packed.shape == (2, packed_width(K)) == (2, 6)
    sums = np.zeros((4, K + 3))
    add_rows(sums, (positions - 1).astype(np.uint16), packed)
    np.testing.assert_array_equal(sums, sums_of(before, after)[1:5])
    assert (sums[[1, 2]] == 0.0).all()


@given(seed=st.integers(0, 2**32), size=st.sampled_from([1e-20, 1e-3, 1.0, 1e20]))
def test_packing_rounds_by_less_than_a_part_in_250(seed, size):
    before = np.zeros((5, WIDTH), np.float32)
    before[:, SUM_W : SUM_V + 1] = 1.0
    after = moved(before, 0)
    after[:, :K] = size * np.random.default_rng(seed).standard_normal((5, K))
    rate = Coupling(1e-9, 1e-9, 1e-9)
    change = (after - before)[:, :K].astype(np.float64)
    found = without_centre(before, [after], rate)[:, :K].astype(np.float64)
    largest = np.abs(change).max(axis=1, keepdims=True)
    assert (np.abs(found - change) <= largest / 250).all()


def test_partition_that_did_nothing_contributes_nothing():
    before = table(4)
    positions, packed, _ = contributions(before, before.copy(), COUPLING)
    assert positions.size == packed.shape[0] == 0
    np.testing.assert_array_equal(merged(before, [before.copy()], COUPLING), before)
    afters = [moved(before, 1), moved(before, 2)]
    np.testing.assert_array_equal(
        merged(before, [*afters, before.copy()], COUPLING), merged(before, afters, COUPLING)
    )


def test_table_without_features_merges_to_itself():
    before = table(0)
    assert merged(before, [before.copy()], COUPLING).shape == (0, WIDTH)


@pytest.mark.parametrize("relative", [1.2e-7, 1e-6, 1e-3, 1e4, 1e12])
@pytest.mark.parametrize("accumulated", [1.0, 128.0])
@pytest.mark.parametrize("rate", [1e-6, 1.0, 1e3])
def test_tiny_and_huge_progress_do_not_blow_up(relative, accumulated, rate):
    before = table(1)
    before[:, SUM_W : SUM_V + 1] = accumulated
    coupling = Coupling(rate, rate, rate)
    after = before.copy()
    after[:, : K + 1] += np.float32(0.01)
    after[:, SUM_W : SUM_V + 1] += np.float32(relative * accumulated)
    assert (after[:, SUM_W] > before[:, SUM_W]).all()
    result = merged(before, [after] * 3, coupling)
    change = (result - before)[0, : K + 1]
    assert np.isfinite(result).all()
    assert (change >= 0.01 * 0.999).all()
    assert (change <= 0.03 * 1.001).all()


def test_accumulator_grows_by_the_sum():
    before = table(2)
    first, second = before.copy(), before.copy()
    first[:, SUM_W] += 1.0
    second[:, SUM_W] += 3.0
    result = merged(before, [first, second], COUPLING)
    np.testing.assert_allclose(result[:, SUM_W] - before[:, SUM_W], 4.0, rtol=1e-5)


def test_intercept_merges_like_a_weight():
    before = table(1)
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(0.7, 0.7, 9.9)
    expected = without_centre(before, afters, coupling)[0]

    def pair(row):
        return row[[K, SUM_W]].astype(np.float64)

    sums = sum(intercept_contributions(pair(before[0]), pair(after[0]), coupling) for after in afters)
    np.testing.assert_allclose(
        apply_intercept_merge(pair(before[0]), sums, coupling), pair(expected), rtol=1e-5
    )


def test_intercept_that_did_not_move_stays():
    start = np.array([0.5, 2.0])
    sums = intercept_contributions(start, start.copy(), COUPLING)
    np.testing.assert_array_equal(sums, np.zeros(2))
    result = apply_intercept_merge(start, sums, COUPLING)
    np.testing.assert_array_equal(result, start)
    assert result is not start


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.1, 10.0, 8, 1.0), (2.0, 0.4, 0.8)),
        ((0.1, 10.0, 2, 1.0), (2.0, 0.4, 0.4)),  # K/4 counts from 1 up
        ((0.1, 0.5, 4, 1.0), (0.2, 0.2, 0.2)),  # rows with less than one feature count as one
        ((0.1, 10.0, 8, 0.5), (4.0, 0.8, 1.6)),
        ((0.1, 10.0, 8, 1.0, 8.0), (2.0, 1.4, 2.8)),
        ((0.1, 10.0, 8, 1.0, 100.0), (2.0, 2.0, 4.0)),
        ((0.1, 10.0, 8, 1.0, 0.0, 2.0), (4.0, 0.8, 1.6)),
    ],
)
def test_coupling_is_that_of_the_formula(arguments, expected):
    coupling = Coupling.of(*arguments)
    assert (coupling.intercept, coupling.linear, coupling.factors) == pytest.approx(expected)
