from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.scaling import scaled
from spark_fm.core.fm.settings import Scale
from spark_fm.core.fm.table import TAIL
from spark_fm.core.solver.adagrad.merge import (
    Coupling,
    add_rows,
    apply_centre,
    apply_intercept_merge,
    apply_merge,
    contributions,
    intercept_contributions,
    packed_width,
    sums_width,
)
from tests.core.solver.adagrad.test_step import train
from tests.oracle import Oracle, block_of

K = 8
WIDTH = K + TAIL
REST_W, REST_V, INFO_W, INFO_V, W, SUM_W, SUM_V = range(K, K + 7)
PARAMETERS = [*range(K), W]
COUPLING = Coupling(0.5, 0.7, 1.3)


def table(features, seed=0):
    random = np.random.default_rng(seed)
    made = random.standard_normal((features, WIDTH)).astype(np.float32)
    made[:, K:W] = 0.0
    made[:, SUM_W:] = 1.0 + random.random((features, 3)).astype(np.float32)
    made[:, -1] = 0.0
    return made


def moved(before, seed, size=0.1, added=1.0):
    """What a partition could have made of ``before``: other parameters, larger accumulators, information.

    The changes of a factor vector are multiples of a 127th of the largest, so packing need not round them.
    """
    random = np.random.default_rng(seed)
    after = before.copy()
    steps = random.integers(1, 128, (before.shape[0], K)) * random.choice([-1, 1], (before.shape[0], K))
    steps[:, 0] = random.choice([-127, 127], before.shape[0])
    after[:, :K] += (2 * size / 127 * steps).astype(np.float32)
    after[:, W] += size * random.standard_normal(before.shape[0]).astype(np.float32)
    after[:, SUM_W : SUM_V + 1] += added * (0.1 + random.random((before.shape[0], 2))).astype(np.float32)
    growth = after[:, SUM_W : SUM_V + 1] - before[:, SUM_W : SUM_V + 1]
    after[:, INFO_W : INFO_V + 1] += growth / random.uniform(0.2, 5.0, growth.shape).astype(np.float32)
    return after


def without_information(table):
    return np.delete(table, [INFO_W, INFO_V], axis=1)


def sums_of(before, *afters, coupling=COUPLING, weighted=False):
    """The sums of some partitions, in that order: float64 (features, K + 3), or K + 5 with weights."""
    sums = np.zeros((before.shape[0], sums_width(K, weighted)))
    for after in afters:
        positions, packed, _ = contributions(before, after, coupling, weighted)
        add_rows(sums, positions, packed)
    return sums


def without_centre(before, afters, coupling):
    table = before.copy()
    apply_merge(table, sums_of(before, *afters, coupling=coupling), coupling)
    return table


def merged(before, afters, coupling, weighted=False):
    table = before.copy()
    moved = apply_merge(table, sums_of(before, *afters, coupling=coupling, weighted=weighted), coupling)
    own = sum(contributions(before, after, coupling, weighted)[2] for after in afters)
    apply_centre(before, table, own, moved)
    return table


def merged_by_hand(before, afters, coupling, weighted=False):
    """The formulas in float64, coordinate by coordinate; then the centre."""
    before, afters = before.astype(float), [after.astype(float) for after in afters]
    result = before.copy()
    for columns, column, rest, information, rate in [
        (slice(0, K), SUM_V, REST_V, INFO_V, coupling.factors),
        (slice(W, W + 1), SUM_W, REST_W, INFO_W, coupling.linear),
    ]:
        added = np.array([after[:, [column, rest]] - before[:, [column, rest]] for after in afters]).sum(
            axis=2
        )
        said = added
        if weighted:
            said = np.array([after[:, information] - before[:, information] for after in afters])
        change = np.array([after[:, columns] - before[:, columns] for after in afters])
        for i in range(before.shape[0]):
            G = before[i, column]

            def fraction(said, added, G=G, rate=rate):
                return 1.0 - np.exp(-rate * said / (np.sqrt(G + added) + np.sqrt(G)))

            optima = (said[:, i] / fraction(said[:, i], added[:, i])) @ change[:, i]
            total = said[:, i].sum()
            result[i, columns] += fraction(total, added[:, i].sum()) * optima / total
            result[i, column] += added[:, i].sum()
        weights = said.sum(axis=0)
        mean = np.average(result[:, columns] - before[:, columns], axis=0, weights=weights)
        own = np.einsum("pi,pif->f", said, change) / weights.sum()
        result[:, columns] += own - mean
    return result


@pytest.mark.parametrize("partitions", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([0.01, 0.5, 3.0, 50.0]))
def test_merge_is_that_of_the_formula(partitions, weighted, seed, rate):
    coupling = Coupling(rate, rate, 2 * rate)
    before = table(4, seed)
    afters = [moved(before, seed + 1 + p) for p in range(partitions)]
    found = merged(before, afters, coupling, weighted)
    expected = merged_by_hand(before, afters, coupling, weighted)
    np.testing.assert_allclose(found[:, PARAMETERS], expected[:, PARAMETERS], rtol=1e-5, atol=1e-4)
    totals = [found[:, s].astype(float) + found[:, r] for s, r in ((SUM_W, REST_W), (SUM_V, REST_V))]
    np.testing.assert_allclose(totals, expected[:, [SUM_W, SUM_V]].T, rtol=1e-6)
    np.testing.assert_array_equal(found[:, [INFO_W, INFO_V, -1]], before[:, [INFO_W, INFO_V, -1]])


def test_little_progress_gives_the_sum_of_the_updates():
    before = table(5)
    before[:, SUM_W : SUM_V + 1] = 1e4
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(1e-4, 1e-4, 1e-4)
    expected = before + sum(after - before for after in afters)
    found = without_centre(before, afters, coupling)
    np.testing.assert_allclose(found[:, PARAMETERS], expected[:, PARAMETERS], rtol=1e-4, atol=3e-5)


def test_full_progress_gives_the_information_weighted_mean():
    before = table(5)
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(1e4, 1e4, 1e4)
    result = merged(before, afters, coupling)
    for columns, column in [(slice(0, K), SUM_V), (slice(W, W + 1), SUM_W)]:
        information = np.stack([after[:, column] - before[:, column] for after in afters])
        change = np.stack([after[:, columns] - before[:, columns] for after in afters])
        mean = (information[:, :, None] * change).sum(axis=0) / information.sum(axis=0)[:, None]
        np.testing.assert_allclose(result[:, columns], before[:, columns] + mean, rtol=1e-4, atol=3e-5)


def test_what_partitions_agree_on_goes_between_one_update_and_their_sum():
    before = table(6)
    after = moved(before, 1)
    change = (after - before)[:, PARAMETERS]
    ratio = (without_centre(before, [after] * 4, COUPLING) - before)[:, PARAMETERS] / change
    assert (ratio > 1.0).all()
    assert (ratio < 4.0).all()


def test_centre_of_the_changes_is_the_partitions_own():
    before = table(7)
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(1e-4, 1e-4, 1e-4)
    result = merged(before, afters, coupling).astype(float)
    for columns, column in [(slice(0, K), SUM_V), (slice(W, W + 1), SUM_W)]:
        information = np.stack([after[:, column] - before[:, column] for after in afters])
        change = np.stack([after[:, columns] - before[:, columns] for after in afters])
        own = (information[:, :, None] * change).sum(axis=(0, 1)) / information.sum()
        found = np.average(result[:, columns] - before[:, columns], axis=0, weights=information.sum(axis=0))
        np.testing.assert_allclose(found, own, atol=1e-5)


def test_all_features_moving_alike_is_no_reason_to_go_further():
    before = np.ones((5, WIDTH), np.float32)
    after = before + np.float32(0.25)
    result = merged(before, [after] * 8, Coupling(1e-4, 1e-4, 1e-4))
    np.testing.assert_allclose(result[:, PARAMETERS], after[:, PARAMETERS], rtol=1e-5)


def test_untouched_rows_have_no_part_in_the_shift():
    before = table(6)
    afters = [moved(before, 1), moved(before, 2)]
    for after in afters:
        after[4:] = before[4:]
    np.testing.assert_array_equal(merged(before, afters, COUPLING)[4:], before[4:])


@pytest.mark.parametrize("rate", [1e-6, 0.01, 1.0, 1e3])
@pytest.mark.parametrize("weighted", [False, True])
def test_single_partition_keeps_its_whole_update(rate, weighted):
    before = table(50)
    after = moved(before, 1)
    result = merged(before, [after], Coupling(rate, rate, rate), weighted)
    np.testing.assert_allclose(without_information(result), without_information(after), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_single_partition_of_real_training_is_plain_local_training(weighted):
    oracle = Oracle.random(3, 12, K)
    random = np.random.default_rng(0)
    rows = [(sorted(random.choice(12, 3, replace=False)), [1.0, 2.0, -0.5]) for _ in range(40)]
    weight = random.choice([0.0, 0.1, 1.0, 7.0], 40) if weighted else None
    block = block_of(rows, list(random.standard_normal(40)), weight)
    after, intercept, _ = train(oracle, block, SQUARED)
    result = merged(oracle.table, [after], COUPLING, weighted)
    # A change is rounded, and so is the centre that all changes have in common.
    rounding = np.abs(after - oracle.table)[:, :K].max() / 125
    assert (np.abs(result - after)[:, :K] <= rounding).all()
    np.testing.assert_allclose(result[:, W:], after[:, W:], rtol=1e-5, atol=2e-5)
    start = oracle.intercept
    sums = intercept_contributions(start, intercept, COUPLING, weighted)
    found = apply_intercept_merge(start, sums, COUPLING)
    np.testing.assert_allclose(found, [*intercept[:2], 0.0], rtol=1e-9)


def test_weights_that_are_all_alike_change_nothing():
    oracle = Oracle.random(4, 12, K)
    random = np.random.default_rng(1)

    def partition():
        rows = [(sorted(random.choice(12, 3, replace=False)), [1.0, 2.0, -0.5]) for _ in range(30)]
        return block_of(rows, list(random.standard_normal(30)))

    bare = [partition(), partition()]
    heavy = [replace(block, weight=np.full(30, 2.0, np.float32)) for block in bare]
    twice = Scale(weight_mean=2.0, weighted=True)
    without, start = [train(oracle, block, SQUARED) for block in bare], oracle.intercept
    with_weights = [train(oracle, scaled(block, twice), SQUARED) for block in heavy]
    expected = merged(oracle.table, [table for table, *_ in without], COUPLING)
    found = merged(oracle.table, [table for table, *_ in with_weights], COUPLING, weighted=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (expected != oracle.table).any()
    sums = [
        sum(intercept_contributions(start, intercept, COUPLING, weighted) for _, intercept, _ in trained)
        for trained, weighted in ((without, False), (with_weights, True))
    ]
    np.testing.assert_allclose(sums[1], sums[0], rtol=1e-6)


def test_partition_with_more_information_counts_for_more():
    # The same squared gradients of rows with a tenth of the weight are ten times the information.
    before = table(5)
    little, much = moved(before, 1), moved(before, 2)
    much[:, SUM_W : SUM_V + 1] = little[:, SUM_W : SUM_V + 1]
    growth = little[:, SUM_W : SUM_V + 1] - before[:, SUM_W : SUM_V + 1]
    little[:, INFO_W : INFO_V + 1], much[:, INFO_W : INFO_V + 1] = 1e3 * growth, 1e4 * growth
    result = merged(before, [little, much], Coupling(1e4, 1e4, 1e4), weighted=True)
    expected = (little + 10 * much) / 11
    np.testing.assert_allclose(result[:, PARAMETERS], expected[:, PARAMETERS], rtol=1e-4, atol=3e-5)
    equal = merged(before, [little, much], Coupling(1e4, 1e4, 1e4))
    assert np.abs(equal - result)[:, PARAMETERS].max() > 0.01


def test_feature_of_a_single_partition_keeps_its_whole_update_among_others():
    before = table(6)
    first, second = moved(before, 1), moved(before, 2)
    first[3:] = before[3:]
    second[:3] = before[:3]
    result = merged(before, [first, second], COUPLING)
    # Nobody went further than alone, so the centre stays.
    expected = without_information(np.concatenate([first[:3], second[3:]]))
    np.testing.assert_allclose(without_information(result), expected, rtol=1e-5, atol=2e-5)


def test_weight_and_factors_of_a_feature_merge_apart():
    before = table(3)
    first, second = moved(before, 1), moved(before, 2)
    # The second partition had a step for the weights only.
    second[:, :K], second[:, SUM_V] = before[:, :K], before[:, SUM_V]
    result = merged(before, [first, second], COUPLING)
    np.testing.assert_allclose(result[:, :K], first[:, :K], rtol=1e-5, atol=2e-5)
    assert (np.abs(result[:, W] - first[:, W]) > 1e-3).any()


@given(st.permutations(range(6)))
def test_order_of_the_partitions_does_not_matter(order):
    before = table(4)
    afters = [moved(before, p) for p in range(6)]
    found = merged(before, [afters[p] for p in order], COUPLING)
    np.testing.assert_allclose(found, merged(before, afters, COUPLING), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_of_sums_are_the_sums(weighted):
    before = table(4)
    afters = [moved(before, p) for p in range(4)]
    total = np.zeros((4, sums_width(K, weighted)))
    for pair in (afters[:2], afters[2:]):
        part = sums_of(before, *pair, weighted=weighted).astype(np.float32)
        add_rows(total, np.arange(4, dtype=np.uint16), part)
    np.testing.assert_allclose(total, sums_of(before, *afters, weighted=weighted), rtol=1e-6, atol=1e-7)
    assert (total[:, K + 1 :] > 0.0).all()


@pytest.mark.parametrize(("weighted", "width"), [(False, 6), (True, 8)])
def test_packed_rows_add_up_at_their_positions(weighted, width):
    before = table(6)
    after = before.copy()
    after[[1, 4]] = moved(before, 1)[[1, 4]]
    positions, packed, _ = contributions(before, after, COUPLING, weighted)
    assert positions.tolist() == [1, 4]
    assert packed.shape == (2, packed_width(K, weighted)) == (2, width)
    sums = np.zeros((4, sums_width(K, weighted)))
    add_rows(sums, (positions - 1).astype(np.uint16), packed)
    np.testing.assert_array_equal(sums, sums_of(before, after, weighted=weighted)[1:5])
    assert (sums[[1, 2]] == 0.0).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [8, 16, 40])
def test_sums_have_information_and_growth_behind_the_optima(weighted, width):
    before = np.zeros((1, width + TAIL), np.float32)
    before[:, -3:-1] = 4.0
    after = before.copy()
    after[0, :width], after[0, -4] = 1.0, 2.0
    after[0, -3:-1] += [5.0, 3.0]
    after[0, width + 2 : width + 4] = [10.0, 1.5]
    positions, packed, centre = contributions(before, after, COUPLING, weighted)
    sums = np.zeros((1, sums_width(width, weighted)))
    add_rows(sums, positions, packed)
    information = [10.0, 1.5] if weighted else [5.0, 3.0]
    assert sums[0, width + 1 :].tolist() == [*information, 5.0, 3.0][: 4 if weighted else 2]

    def optimum(rate, said, added):
        return said / (1.0 - np.exp(-rate * said / (np.sqrt(4.0 + added) + 2.0)))

    assert sums[0, width] == pytest.approx(2.0 * optimum(COUPLING.linear, information[0], 5.0), rel=1e-6)
    assert sums[0, :width] == pytest.approx(optimum(COUPLING.factors, information[1], 3.0), rel=1e-6)
    assert centre[width:].tolist() == [2.0 * information[0], *information]
    assert centre[:width] == pytest.approx(information[1])


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
    after[:, PARAMETERS] += np.float32(0.01)
    after[:, SUM_W : SUM_V + 1] += np.float32(relative * accumulated)
    assert (after[:, SUM_W] > before[:, SUM_W]).all()
    result = merged(before, [after] * 3, coupling)
    change = (result - before)[0, PARAMETERS]
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


@pytest.mark.parametrize("accumulated", [1.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("added", [1e-2, 1.0, 100.0])
def test_accumulators_go_on_counting_round_by_round(accumulated, added):
    state = table(3)
    state[:, SUM_W : SUM_V + 1] = accumulated
    for p in range(300):
        after = state.copy()
        after[:, :K] += np.float32(0.01)
        # As a step leaves it behind: what rounding has cut off is in the rest.
        for total, rest in ((SUM_W, REST_W), (SUM_V, REST_V)):
            exact = state[:, total].astype(float) + state[:, rest].astype(float) + (1 + p % 3) * added
            after[:, total] = exact
            after[:, rest] = exact - after[:, total]
        assert sums_of(state, after)[:, K + 1 :] == pytest.approx((1 + p % 3) * added, rel=1e-3)
        state = merged(state, [after], COUPLING)
    for total, rest in ((SUM_W, REST_W), (SUM_V, REST_V)):
        grown = state[:, total].astype(float) + state[:, rest].astype(float) - np.float32(accumulated)
        np.testing.assert_allclose(grown, 600 * added, rtol=1e-3)


def test_intercept_merges_like_a_weight():
    before = table(1)
    afters = [moved(before, p) for p in (1, 2, 3)]
    coupling = Coupling(0.7, 0.7, 9.9)
    expected = without_centre(before, afters, coupling)[0]

    def three(row, information=0.0):
        return np.array([row[W], row[SUM_W], information], np.float64)

    sums = sum(intercept_contributions(three(before[0]), three(after[0]), coupling) for after in afters)
    np.testing.assert_allclose(
        apply_intercept_merge(three(before[0]), sums, coupling), three(expected), rtol=1e-5
    )


def test_intercept_merges_by_information_where_rows_have_weights():
    start, coupling = np.array([1.0, 4.0, 7.0]), Coupling(0.5, 0.5, 0.5)
    ends = [np.array([1.5, 9.0, 17.0]), np.array([0.9, 5.0, 9.0])]
    sums = sum(intercept_contributions(start, end, coupling, weighted=True) for end in ends)
    assert sums[1:].tolist() == [10.0 + 2.0, 5.0 + 1.0]

    def fraction(said, added):
        return 1.0 - np.exp(-0.5 * said / (np.sqrt(4.0 + added) + 2.0))

    optima = 10.0 * 0.5 / fraction(10.0, 5.0) - 2.0 * 0.1 / fraction(2.0, 1.0)
    expected = [1.0 + fraction(12.0, 6.0) * optima / 12.0, 10.0, 7.0]
    assert apply_intercept_merge(start, sums, coupling) == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_intercept_that_did_not_move_stays(weighted):
    start = np.array([0.5, 2.0, 3.0])
    sums = intercept_contributions(start, start.copy(), COUPLING, weighted)
    np.testing.assert_array_equal(sums, np.zeros(3))
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
