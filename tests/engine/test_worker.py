from dataclasses import astuple, replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.block import Block
from spark_fm.core.local import measure
from spark_fm.core.loss import Loss
from spark_fm.core.merge import Coupling, apply_intercept_merge, apply_merge
from spark_fm.core.rounded import Rounded
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan, Totals
from spark_fm.core.weights import Start
from spark_fm.engine.partition import UNITS
from spark_fm.engine.reduce import Updates, sum_shard
from spark_fm.engine.transport import Shipped
from spark_fm.engine.worker import UPDATES, Fixed, Moving, Round, UnitTotals, run_round
from tests.core.planted import planted_block
from tests.engine.test_partition import dealt, units_of, with_all_features

SETTINGS = Settings(Loss.SQUARED, factor_size=3)
PLAN = Plan(number=4, part=0, train=True, step_size=0.1, raised=1.0, scale=1.0)
BLOCK = replace(planted_block(300, validation=60), features=np.empty(0, np.int64))
FEATURES = np.arange(45, dtype=np.int64)
COUPLING = Coupling.of(0.1, 2.0, 3, 1.0)
NO_PENALTIES = np.zeros(45, np.float32)


@pytest.fixture(scope="module")
def state():
    return Start(SETTINGS, Scale()).at(FEATURES, None)


@pytest.fixture(scope="module", params=[True, False], ids=["own dictionaries", "the union"])
def units(request):
    """The units of two partitions with two parts each, as batches."""
    own = request.param
    return {
        place: [
            pa.RecordBatch.from_pylist(
                [{"partition": place[0], "part": place[1], "number": n, "data": block.to_bytes()}], UNITS
            )
            for n, block in enumerate(blocks)
        ]
        for place, blocks in units_of(dealt([with_all_features(BLOCK)], 2, 2), own).items()
    }


def orders(state, shards=1, most_rows=None, all_rows=False, plan=PLAN, settings=SETTINGS):
    return Round(
        Shipped(None, Fixed(None, NO_PENALTIES)),
        Shipped(None, Moving(Rounded.of(state.table), state.intercept)),
        plan, settings, Scale(), COUPLING, 45, state.table.shape[1] - 1, -(-45 // shards), all_rows, most_rows,
    )  # fmt: skip


def run(batches, asked):
    """(totals, summed contributions of all features) of one unit."""
    out = list(run_round(iter(batches), asked))
    assert all(batch.schema == UPDATES for batch in out)
    updates = Updates.of(out)
    totals = UnitTotals.of(next(iter(updates.totals.values())))
    assert len(updates.totals) == 1
    sums = np.zeros((45, asked.width))
    for shard, pieces in updates.shards.items():
        first = shard * asked.shard_size
        size = min(asked.shard_size, 45 - first)
        sums[first : first + size] += sum_shard(pieces, size, sums.shape[1])
    return totals, sums


def whole(units, place):
    return Block.from_buffer(units[place][0].column("data")[0].as_buffer())


def test_a_unit_alone_is_trained_as_in_memory(state, units):
    block = whole(units, (0, 0))
    totals, sums = run(units[0, 0], orders(state))
    table = state.table.copy()
    apply_merge(table, sums, COUPLING)
    intercept = apply_intercept_merge(state.intercept, totals.intercept, COUPLING)

    features = block.features if block.features.size else FEATURES
    from spark_fm.core.local import train_pass

    rows = np.flatnonzero(~block.validation).astype(np.int32)
    after_table, after_intercept = state.table[features].copy(), state.intercept.copy()
    random = np.random.default_rng([0, PLAN.number, 0, 0, 0])
    visited = train_pass(after_table, after_intercept, block, rows, PLAN, SETTINGS, random)
    rounding = np.abs(after_table - state.table[features])[:, :-4].max(axis=1, keepdims=True) / 250
    assert (np.abs(table[features] - after_table)[:, :-4] <= rounding).all()
    np.testing.assert_allclose(table[features, -4:], after_table[:, -4:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(intercept, after_intercept, rtol=1e-9)
    assert astuple(totals.train) == pytest.approx(astuple(visited), rel=1e-6)
    others = np.setdiff1d(FEATURES, features)
    np.testing.assert_array_equal(table[others], state.table[others])


def test_round_measures_what_it_starts_from(state, units):
    block = whole(units, (0, 0))
    totals, _ = run(units[0, 0], orders(state))
    local = state.table[block.features] if block.features.size else state.table
    for rows, found in [(~block.validation, totals.start), (block.validation, totals.validation)]:
        expected = measure(local, 0.0, block, np.flatnonzero(rows).astype(np.int32), Loss.SQUARED)
        assert astuple(found) == pytest.approx(astuple(expected), rel=1e-6)


def test_round_that_only_measures_sends_no_updates(state, units):
    asked = orders(state, plan=replace(PLAN, train=False))
    out = list(run_round(iter(units[0, 0]), asked))
    (row,) = [row for batch in out for row in batch.to_pylist()]
    assert UnitTotals.of(np.frombuffer(row["totals"])).train == Totals()


@pytest.mark.parametrize("shards", [2, 7, 45])
def test_shards_are_parts_of_the_same_updates(state, units, shards):
    totals, sums = run(units[1, 1], orders(state))
    sharded_totals, sharded = run(units[1, 1], orders(state, shards))
    np.testing.assert_array_equal(sharded, sums)
    assert (sharded_totals.start, sharded_totals.train) == (totals.start, totals.train)
    np.testing.assert_array_equal(sharded_totals.intercept, totals.intercept)
    np.testing.assert_allclose(sharded_totals.centre, totals.centre, rtol=1e-9, atol=1e-12)


def test_a_retried_task_repeats_itself(state, units):
    first, again = run(units[0, 1], orders(state)), run(units[0, 1], orders(state))
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("other", [replace(PLAN, number=5), replace(PLAN, part=1)], ids=["number", "part"])
def test_other_rounds_have_other_random_numbers(state, units, other):
    first, second = run(units[0, 1], orders(state)), run(units[0, 1], orders(state, plan=other))
    assert (first[1] != second[1]).any()


def test_warm_up_takes_the_first_rows_only(state, units):
    totals, _ = run(units[0, 0], orders(state, most_rows=7))
    assert totals.train.rows == 7


def test_refit_trains_on_the_held_out_rows_too(state, units):
    block = whole(units, (0, 0))
    totals, _ = run(units[0, 0], orders(state, all_rows=True))
    assert totals.train.rows == block.rows > (~block.validation).sum()
    assert totals.validation.rows == 0


def test_unit_of_several_blocks_is_one_unit(state, units, monkeypatch):
    monkeypatch.setattr("spark_fm.engine.partition.ROWS_TO_DEAL", 1)
    monkeypatch.setattr("spark_fm.engine.partition.ROWS_A_BLOCK", 10)
    pieces = [BLOCK.take(part) for part in np.array_split(np.arange(BLOCK.rows), 6)]
    ((_, blocks),) = units_of(dealt([with_all_features(p) for p in pieces], 1, 1)).items()
    assert len(blocks) > 2
    batch = pa.RecordBatch.from_pylist(
        [{"partition": 0, "part": 0, "number": n, "data": b.to_bytes()} for n, b in enumerate(blocks)], UNITS
    )
    totals, sums = run([batch], orders(state))
    assert (totals.train.rows, totals.validation.rows) == (240, 60)
    features = np.concatenate([b.features for b in blocks])
    assert (sums[features, -1] > 0).all()


def test_partition_without_rows_sends_nothing(state):
    assert list(run_round(iter([]), orders(state))) == []


def test_values_and_labels_are_scaled(state, units):
    asked = replace(
        orders(state),
        fixed=Shipped(None, Fixed(np.full(45, 0.5, np.float32), NO_PENALTIES)),
        scale=Scale(3.0, 2.0),
    )
    totals, _ = run(units[0, 0], asked)
    block = whole(units, (0, 0))
    rows = ~block.validation
    # The initial weights are 0 and the factors tiny: the loss is that of the scaled labels.
    assert totals.start.loss == pytest.approx((0.5 * ((block.label[rows] - 3) / 2) ** 2).sum(), rel=1e-3)
