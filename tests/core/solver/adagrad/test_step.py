import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.score import score_rows
from spark_fm.core.fm.table import padded
from spark_fm.core.solver.adagrad.step import Penalties, Steps, train_rows
from tests.core.strategies import FEATURES, extreme, ordinary, rows
from tests.oracle import PENALTY_POWER, Oracle, block_of, value

FACTOR_SIZES = [0, 1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 20]
LOSSES = [SQUARED, LOGISTIC]
NO_PENALTY = (0.0,) * 5


def score(table, intercept, block, order=None):
    order = np.arange(block.rows, dtype=np.int32) if order is None else np.array(order, np.int32)
    out = np.full(order.size, np.nan)
    score_rows(table, intercept, block.indptr, block.indices, block.values, order, out)
    return out


def train(
    oracle, block, loss, steps=(0.1, 0.1, 0.1), penalties=NO_PENALTY, order=None, usual=np.inf, table=None
):
    """The kernel's (table, intercept, loss) after one pass from the oracle's parameters."""
    table, intercept = oracle.table if table is None else table.copy(), oracle.intercept
    order = np.arange(block.rows, dtype=np.int32) if order is None else np.array(order, np.int32)
    total = train_rows(
        table, intercept, block.indptr, block.indices, block.values, block.label, block.weight, order,
        loss.number, max(oracle.v.shape[1], 1),
        Steps(*map(np.float32, steps)), Penalties(*map(np.float32, penalties)), usual,
    )  # fmt: skip
    return table, intercept, total


def train_by_hand(
    oracle, data, label, weight, loss, steps=(0.1, 0.1, 0.1), penalties=NO_PENALTY, usual=np.inf
):
    steps, penalties = np.float32(steps).astype(float), np.float32(penalties).astype(float)
    return sum(
        oracle.step(np.array(ids, int), np.array(x, float), y, c, loss, steps, penalties, usual)
        for (ids, x), y, c in zip(data, label, weight, strict=True)
    )


def assert_same_parameters(table, intercept, oracle, rtol=2e-4, atol=2e-5, weighted=False):
    K, width = oracle.v.shape[1], padded(oracle.v.shape[1])
    about = {"rtol": rtol, "atol": atol}
    np.testing.assert_allclose(intercept[:2], [oracle.w0, oracle.g0], **about)
    np.testing.assert_allclose(table[:, -4], oracle.w, **about)
    np.testing.assert_allclose(table[:, :K], oracle.v, **about)
    np.testing.assert_allclose(table[:, -3], oracle.gw, **about)
    np.testing.assert_allclose(table[:, -2], oracle.gv, **about)
    information = np.stack([oracle.info_w, oracle.info_v], axis=1)
    np.testing.assert_allclose(table[:, width + 2 : width + 4], information if weighted else 0.0, **about)
    assert intercept[2] == pytest.approx(oracle.info_0 if weighted else 0.0, rel=rtol, abs=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=rows(extreme), factor_size=st.sampled_from(FACTOR_SIZES), seed=st.integers(0, 2**32))
def test_scores_are_those_of_the_definition(dtype, data, factor_size, seed):
    oracle = Oracle.random(seed, FEATURES, factor_size)
    z = score(oracle.table, oracle.w0, block_of(data, dtype=dtype))
    for found, (ids, x) in zip(z, data, strict=True):
        x = np.array(x, dtype).astype(float)
        assert abs(found - oracle.score(ids, x)) <= 1e-6 * oracle.magnitude(ids, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor_size", [1, 4, 16])
def test_large_values_do_not_hide_small_pairs(dtype, factor_size):
    # The square of the sum is 1e60, the difference of squares knows nothing of the pair of 1e0.
    oracle = Oracle.random(21, FEATURES, factor_size)
    oracle.v[[2, 7]] = np.abs(oracle.v[[2, 7]]) + 0.5
    oracle.w0 = 0.0
    oracle.w[:] = 0.0
    x = np.array([1e30, 1e-30], dtype).astype(float)
    found = score(oracle.table, 0.0, block_of([([2, 7], x)], dtype=dtype))[0]
    expected = oracle.score([2, 7], x)
    assert abs(expected) > 0.1
    assert found == pytest.approx(expected, rel=1e-6)


def test_values_of_double_precision_are_not_rounded():
    oracle = Oracle(0.0, np.array([1.0, -1.0]), np.zeros((2, 1)))
    block = block_of([([0, 1], [1e9 + 1.0, 1e9])], dtype=np.float64)
    assert score(oracle.table, 0.0, block) == pytest.approx([1.0])


@pytest.mark.parametrize("factor_size", range(21))
def test_scores_of_every_factor_size(factor_size):
    oracle = Oracle.random(factor_size, FEATURES, factor_size)
    data = [([0, 3, 4, 11], [1.0, -2.0, 0.5, 3.0]), ([], []), ([7], [1.5])]
    expected = [oracle.score(ids, x) for ids, x in data]
    np.testing.assert_allclose(score(oracle.table, oracle.w0, block_of(data)), expected, rtol=1e-5, atol=1e-5)


def test_scores_follow_the_order_of_the_asked_rows():
    oracle = Oracle.random(0, FEATURES, 4)
    block = block_of([([i, i + 1], [1.0, 2.0]) for i in range(5)])
    everything = score(oracle.table, oracle.w0, block)
    np.testing.assert_array_equal(score(oracle.table, oracle.w0, block, [3, 0, 3]), everything[[3, 0, 3]])


def test_absent_values_count_as_ones():
    oracle = Oracle.random(1, FEATURES, 5)
    block = block_of([([0, 2, 5], [1.0, 1.0, 1.0])])
    assert block.values.size == 0
    np.testing.assert_allclose(
        score(oracle.table, oracle.w0, block), [oracle.score([0, 2, 5], np.ones(3))], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.5, 2.0, -1.0]])
def test_negative_index_contributes_nothing_to_a_score(values):
    oracle = Oracle.random(2, FEATURES, 9)
    with_unknown = score(oracle.table, oracle.w0, block_of([([3, -1, 7], values), ([-1], [2.0])]))
    without = score(oracle.table, oracle.w0, block_of([([3, 7], [values[0], values[2]]), ([], [])]))
    np.testing.assert_array_equal(with_unknown, without)
    assert with_unknown[1] == oracle.w0


def test_scoring_does_not_change_the_table():
    oracle = Oracle.random(3, FEATURES, 6)
    table = oracle.table
    score(table, oracle.w0, block_of([([0, 1], [2.0, 3.0])]))
    np.testing.assert_array_equal(table, oracle.table)


@pytest.mark.parametrize("loss", LOSSES)
@given(
    data=rows(ordinary, most=4),
    factor_size=st.sampled_from(FACTOR_SIZES),
    seed=st.integers(0, 2**32),
    weighted=st.booleans(),
    usual=st.sampled_from([np.inf, 1.3, 0.01]),
    penalties=st.sampled_from(
        [NO_PENALTY, (0.01, 0.0, 0.0, 0.0, 0.0), (0.0, 0.02, 2.0, 9.0, 3.0), (0.5, 0.25, 0.5, 0.2, 0.5)]
    ),
)
def test_steps_are_those_of_the_formula(loss, data, factor_size, seed, weighted, usual, penalties):
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, len(data)).astype(float)
    weight = random.choice([0.0, 0.25, 1.0, 2.0, 3.5], len(data)) if weighted else np.ones(len(data))
    oracle = Oracle.random(seed, FEATURES, factor_size, scale=0.3)
    oracle.own = random.choice(np.float32([0.0, 0.1, 0.7]), FEATURES).astype(float)
    block = block_of(data, label, weight if weighted else None)
    steps = (0.2, 0.1, 0.05)
    table, intercept, total = train(oracle, block, loss, steps, penalties, usual=usual)
    data = [(ids, np.float32(x).astype(float)) for ids, x in data]
    expected = train_by_hand(oracle, data, label, weight, loss, steps, penalties, usual)
    assert total == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert_same_parameters(table, intercept, oracle, weighted=weighted)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("length", "x", "weight", "newton"),
    [(2000, 1.0, None, 3.0), (5, 100.0, None, 3.0), (5, 1.0, [10_000.0], 0.2)],
    ids=["long", "large values", "heavy"],
)
def test_unusual_row_moves_itself_and_others_by_a_bounded_amount(loss, length, x, weight, newton):
    oracle = Oracle.random(22, 2000, 4, scale=0.05)
    row = (list(range(length)), [x] * length)
    # So far is the row from its optimum, in units of its loss's largest curvature.
    z = -newton if loss is SQUARED else np.log(4.0 / newton - 1.0)
    oracle.w0 += z - oracle.score(row[0], np.array(row[1]))
    unusual = block_of([row], [0.0 if loss is SQUARED else 1.0], weight)
    others = block_of([(list(range(i, i + 5)), [1.0] * 5) for i in range(0, 2000, 5)])

    def moved(block, usual):
        table, intercept, _ = train(oracle, unusual, loss, (0.0, 0.1, 0.1), usual=usual)
        return score(table, intercept[0], block) - score(oracle.table, oracle.w0, block)

    assert 0.05 < moved(unusual, 5.0)[0] / newton < 0.25
    assert np.abs(moved(others, 5.0)).max() < 0.25 * newton * max(1.0 / x, 5 / length)
    # Without the bound the row overshoots, and takes the others along.
    assert moved(unusual, np.inf)[0] > 2.0 * newton
    assert np.abs(moved(others, np.inf)).max() > 2.0 * np.abs(moved(others, 5.0)).max()


def test_row_of_the_usual_energy_is_not_held_back():
    oracle = Oracle.random(23, FEATURES, 4)
    block = block_of([([0, 1, 2, 3], [1.0] * 4)], [50.0])
    table, _, _ = train(oracle, block, SQUARED, usual=2.0)
    np.testing.assert_array_equal(table, train(oracle, block, SQUARED)[0])
    assert (table != train(oracle, block, SQUARED, usual=1.9)[0]).any()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("accumulated", [1.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("size", [1e-2, 1.0, 1e2])
def test_accumulators_go_on_counting(accumulated, size, weighted):
    rows = 20_000
    random = np.random.default_rng(24)
    oracle = Oracle(0.0, np.zeros(2), np.ones((2, 8)))
    table = oracle.table
    table[:, -3:-1] = accumulated
    label = 1.0 + size * random.standard_normal(rows)
    weight = random.choice(np.float32([0.5, 4.0]), rows) if weighted else np.ones(rows, np.float32)
    # The gradient of each factor of feature 0 is an eighth of that of its weight.
    block = block_of([([0, 1], [1.0, 0.125])] * rows, label, weight if weighted else None)
    after, intercept, _ = train(oracle, block, SQUARED, (0.0, 0.0, 0.0), table=table)
    gradient = (weight * np.float32(1.0 - label)).astype(np.float64)
    K = 8
    for accumulator, rest, information, by in [(-3, K, K + 2, 1.0), (-2, K + 1, K + 3, 0.125)]:
        total = after[0, accumulator].astype(float) + after[0, rest].astype(float)
        expected = by**2 * (gradient**2).sum()
        assert total - np.float32(accumulated) == pytest.approx(expected, rel=1e-3)
        expected = by**2 * (gradient**2 / weight).sum() if weighted else 0.0
        assert after[0, information] == pytest.approx(expected, rel=1e-3)
    assert intercept[1] - 1.0 == pytest.approx((gradient**2).sum(), rel=1e-6)


def test_information_of_a_row_is_as_many_times_as_large_as_its_weight():
    oracle, data = Oracle.random(25, FEATURES, 4), [([0, 3], [1.0, 2.0])]
    once, first, _ = train(oracle, block_of(data, [0.5], [1.0]), SQUARED)
    thrice, third, _ = train(oracle, block_of(data, [0.5], [3.0]), SQUARED)
    np.testing.assert_allclose(thrice[[0, 3], 10:12], 3 * once[[0, 3], 10:12], rtol=1e-5)
    assert (once[[0, 3], 10:12] > 0.0).all()
    assert third[2] == pytest.approx(3 * first[2])


@pytest.mark.parametrize("loss", LOSSES)
def test_penalty_depends_on_the_value_as_the_oracle_says(loss):
    penalties = (0.3, 0.2, 0.0, 0.0, 0.0)

    def added(x):
        oracle = Oracle.random(26, 1, 4)
        # At its optimum the row has no gradient of its own.
        oracle.w0 = -oracle.w[0] * x
        label = [0.0 if loss is SQUARED else 0.5]
        table, _, _ = train(oracle, block_of([([0], [x])], label), loss, penalties=penalties)
        return np.sqrt(table[0, -3:-1] - 1.0)

    np.testing.assert_allclose(added(-2.0), 2.0**PENALTY_POWER * added(1.0), rtol=1e-4)
    assert (added(1.0) > 0.0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("factor_size", range(21))
def test_gradient_is_that_of_finite_differences(loss, factor_size):
    oracle = Oracle.random(10 + factor_size, 5, factor_size)
    ids, x, y, c = [0, 2, 4], [1.0, -0.5, 1.5], 1.0, 2.0
    table, intercept, _ = train(oracle, block_of([(ids, x)], [y], [c]), loss, (1.0, 1.0, 1.0))
    before = oracle.table.astype(float)
    # A step of 1 moves a parameter by -gradient / sqrt(accumulator).
    moved = (before - table).astype(float)
    gradient_0 = (oracle.w0 - intercept[0]) * np.sqrt(intercept[1])
    gradient_w = moved[:, -4] * np.sqrt(table[:, -3])
    gradient_v = moved[:, :factor_size] * np.sqrt(table[:, -2])[:, None]

    def slope(change):
        h = 1e-5
        up, down = (Oracle(oracle.w0, oracle.w.copy(), oracle.v.copy()) for _ in range(2))
        change(up, h)
        change(down, -h)
        return c * (value(loss, up.score(ids, x), y) - value(loss, down.score(ids, x), y)) / (2 * h)

    def shift_intercept(model, h):
        model.w0 += h

    def shift_weight(i):
        def shift(model, h):
            model.w[i] += h

        return shift

    def shift_factor(i, f):
        def shift(model, h):
            model.v[i, f] += h

        return shift

    assert gradient_0 == pytest.approx(slope(shift_intercept), rel=1e-4, abs=1e-5)
    for i in range(5):
        assert gradient_w[i] == pytest.approx(slope(shift_weight(i)), rel=1e-4, abs=2e-5)
        for f in range(factor_size):
            assert gradient_v[i, f] == pytest.approx(slope(shift_factor(i, f)), rel=1e-3, abs=5e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("steps", "kept"),
    [((0.0, 0.1, 0.1), "intercept"), ((0.1, 0.0, 0.1), "linear"), ((0.1, 0.1, 0.0), "factors")],
)
def test_step_of_zero_keeps_a_part(loss, steps, kept):
    oracle = Oracle.random(4, FEATURES, 5)
    block = block_of([([0, 1, 2], [1.0, 2.0, 3.0]), ([1, 5], [1.0, 1.0])], [1.0, 0.0])
    table, intercept, _ = train(oracle, block, loss, steps, (0.1, 0.1, 0.0, 0.0, 0.0))
    before = oracle.table
    changed = {
        "intercept": intercept[0] != oracle.w0,
        "linear": bool((table[:, -4] != before[:, -4]).any()),
        "factors": bool((table[:, :5] != before[:, :5]).any()),
    }
    assert changed == {part: part != kept for part in changed}


def test_features_that_no_row_has_stay_as_they_are():
    oracle = Oracle.random(5, FEATURES, 6)
    table, _, _ = train(
        oracle, block_of([([2, 9], [1.0, -1.0])], [3.0]), SQUARED, penalties=(0.1, 0.1, 0.0, 0.0, 0.0)
    )
    others = [i for i in range(FEATURES) if i not in (2, 9)]
    np.testing.assert_array_equal(table[others], oracle.table[others])
    assert (table[[2, 9]] != oracle.table[[2, 9]]).any(axis=1).all()


@pytest.mark.parametrize("factor_size", [0, 1, 5, 13])
def test_padding_beyond_the_factor_size_stays_zero(factor_size):
    oracle = Oracle.random(6, FEATURES, factor_size)
    block = block_of([([0, 4, 7], [1.0, -2.0, 0.5])] * 5, [1.0, 0.0, 2.0, 1.0, -1.0])
    table, _, _ = train(oracle, block, SQUARED, penalties=(0.1, 0.2, 0.0, 0.0, 0.0))
    assert (table[:, factor_size : padded(factor_size)] == 0.0).all()


def test_row_of_weight_zero_changes_nothing_and_costs_nothing():
    oracle = Oracle.random(7, FEATURES, 3)
    block = block_of([([0, 1], [1.0, 2.0])], [5.0], [0.0])
    table, intercept, total = train(oracle, block, SQUARED, penalties=(0.1, 0.1, 0.0, 0.0, 0.0))
    np.testing.assert_array_equal(table, oracle.table)
    np.testing.assert_array_equal(intercept, [oracle.w0, 1.0, 0.0])
    assert total == 0.0


def test_row_of_weight_two_has_twice_the_gradient_penalty_included():
    data, penalties = [([0, 3], [1.0, 2.0])], (0.3, 0.2, 0.0, 0.0, 0.0)
    oracle = Oracle.random(8, FEATURES, 4)
    once, _, loss_once = train(oracle, block_of(data, [0.5]), SQUARED, penalties=penalties)
    twice, _, loss_twice = train(oracle, block_of(data, [0.5], [2.0]), SQUARED, penalties=penalties)
    assert loss_twice == pytest.approx(2 * loss_once)
    # The accumulators have grown by the squared gradient.
    np.testing.assert_allclose((twice[[0, 3], -3] - 1), 4 * (once[[0, 3], -3] - 1), rtol=1e-4)
    np.testing.assert_allclose((twice[[0, 3], -2] - 1), 4 * (once[[0, 3], -2] - 1), rtol=1e-4)


def test_empty_row_trains_the_intercept_only():
    oracle = Oracle.random(9, FEATURES, 8)
    table, intercept, _ = train(oracle, block_of([([], [])], [2.0]), SQUARED)
    np.testing.assert_array_equal(table, oracle.table)
    g = oracle.w0 - 2.0
    assert intercept == pytest.approx([oracle.w0 - 0.1 * g / np.sqrt(1 + g * g), 1 + g * g, 0.0], rel=1e-6)


def test_rows_are_visited_in_the_given_order():
    data, label = [([0, 1], [1.0, 1.0]), ([1, 2], [1.0, 1.0])], [3.0, -3.0]
    oracle = Oracle.random(11, FEATURES, 2)
    table, intercept, _ = train(oracle, block_of(data, label), SQUARED, order=[1, 0])
    train_by_hand(oracle, data[::-1], label[::-1], [1.0, 1.0], SQUARED)
    assert_same_parameters(table, intercept, oracle)


@pytest.mark.parametrize("loss", LOSSES)
def test_returned_loss_is_that_before_each_rows_own_step(loss):
    oracle = Oracle.random(12, FEATURES, 4)
    ids, x = [0, 5], [1.0, 1.0]
    block = block_of([(ids, x)] * 2, [1.0, 1.0])
    _, _, total = train(oracle, block, loss)
    first = value(loss, oracle.score(ids, np.array(x)), 1.0)
    train_by_hand(oracle, [(ids, np.array(x))], [1.0], [1.0], loss)
    second = value(loss, oracle.score(ids, np.array(x)), 1.0)
    assert second < first
    assert total == pytest.approx(first + second, rel=1e-5)


def test_repeated_training_on_one_row_learns_it():
    oracle = Oracle.random(13, FEATURES, 4, scale=0.1)
    block = block_of([([1, 2, 3], [1.0, 2.0, -1.0])] * 500, [7.0] * 500)
    table, intercept, _ = train(oracle, block, SQUARED)
    assert score(table, intercept[0], block, [0]) == pytest.approx([7.0], abs=1e-3)
