from dataclasses import astuple, replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.measure import Totals, measure, measure_typical
from spark_fm.core.fm.quantized import QuantizedTable
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import TAIL, padded
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.adagrad.merge import Coupling, apply_intercept_merge, apply_merge, sums_width
from spark_fm.core.solver.adagrad.visit import train_pass
from spark_fm.core.solver.plan import Plan
from spark_fm.core.sparse.block import Block
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.joining import CHUNKS
from spark_fm.engine.training.aggregate import Updates, sum_shard
from spark_fm.engine.training.round_task import (
    PHASES,
    UPDATES,
    ChunkTotals,
    ParameterBroadcast,
    Round,
    StaticBroadcast,
    measure_level,
    run_round,
)
from tests.core.planted import planted_block
from tests.engine.packing.test_dealing import chunks_of, dealt, with_all_features

SETTINGS = Settings(SQUARED, factor_size=3)
PLAN = Plan(number=4, part=0, train=True, step_size=0.1, damping=1.0, scale=1.0)
BLOCK = replace(planted_block(300, validation=60), features=np.empty(0, np.int64))
FEATURES = np.arange(45, dtype=np.int64)
COUPLING = Coupling.of(0.1, 2.0, 3, 1.0)
SCALE = Scale(mean_squared_norm=2.0)
NO_PENALTIES = np.zeros(45, np.float32)


@pytest.fixture(scope="module")
def state():
    return ParameterInit(SETTINGS, Scale()).at(FEATURES)


def batches_of(chunks):
    return {
        chunk: [
            pa.RecordBatch.from_pylist(
                [{"partition": chunk[0], "part": chunk[1], "number": n, "data": block.to_bytes()}], CHUNKS
            )
            for n, block in enumerate(blocks)
        ]
        for chunk, blocks in chunks.items()
    }


@pytest.fixture(scope="module", params=[True, False], ids=["own dictionaries", "the vocabulary"])
def chunks(request):
    """The chunks of two partitions with two parts each, and that of the validation rows, as batches."""
    return batches_of(chunks_of(dealt([with_all_features(BLOCK)], 2, 2), request.param))


VALIDATING = (2, 2)


def orders(state, shards=1, most_rows=None, plan=PLAN, settings=SETTINGS, scale=SCALE):
    return Round(
        Shipped(None, StaticBroadcast(NO_PENALTIES)),
        Shipped(None, ParameterBroadcast(QuantizedTable.of(state.table), state.intercept)),
        plan, settings, scale, COUPLING, 45, -(-45 // shards), 2, most_rows,
    )  # fmt: skip


def run(batches, asked):
    """(totals, summed contributions of all features) of one chunk."""
    out = list(run_round(iter(batches), asked))
    assert all(batch.schema == UPDATES for batch in out)
    updates = Updates.of(out)
    totals = ChunkTotals.of(next(iter(updates.totals.values())), padded(3))
    assert len(updates.totals) == 1
    sums = np.zeros((45, sums_width(padded(3), asked.scale.weighted)))
    for shard, pieces in updates.shards.items():
        first = shard * asked.shard_size
        size = min(asked.shard_size, 45 - first)
        sums[first : first + size] += sum_shard(pieces, size, sums.shape[1])
    return totals, sums


def whole(chunks, place):
    return Block.from_buffer(chunks[place][0].column("data")[0].as_buffer())


def test_a_chunk_alone_is_trained_as_in_memory(state, chunks):
    block = whole(chunks, (0, 0))
    totals, sums = run(chunks[0, 0], orders(state))
    table = state.table.copy()
    apply_merge(table, sums, COUPLING)
    intercept = apply_intercept_merge(state.intercept, totals.intercept, COUPLING)

    features = block.features if block.features.size else FEATURES
    after_table, after_intercept = state.table[features].copy(), state.intercept.copy()
    random = np.random.default_rng([0, PLAN.number, 0, 0, 0])
    visited = train_pass(
        after_table, after_intercept, block, every_row(block), PLAN, SETTINGS, random, SCALE.mean_squared_norm
    )
    # Factors are rounded on both ways; between rounds there is no information.
    rounding = np.abs(after_table - state.table[features])[:, :-TAIL].max(axis=1, keepdims=True) / 250
    assert (np.abs(table[features] - after_table)[:, :-TAIL] <= rounding).all()
    np.testing.assert_allclose(table[features, -4:], after_table[:, -4:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(intercept[:2], after_intercept[:2], rtol=1e-7)
    assert astuple(totals.train) == pytest.approx(astuple(visited), rel=1e-6)
    others = np.setdiff1d(FEATURES, features)
    np.testing.assert_array_equal(table[others], state.table[others])


def every_row(block):
    return np.arange(block.rows, dtype=np.int32)


def local_table(state, block):
    return state.table[block.features] if block.features.size else state.table


def test_round_measures_what_it_starts_from(state, chunks):
    block = whole(chunks, (0, 0))
    totals, _ = run(chunks[0, 0], orders(state))
    expected = measure_typical(local_table(state, block), 0.0, block, every_row(block), SQUARED)
    assert astuple(totals.start) == pytest.approx(astuple(expected), rel=1e-6)
    assert totals.validation.size == 0


def test_validation_rows_are_only_measured(state, chunks):
    block = whole(chunks, VALIDATING)
    totals, sums = run(chunks[VALIDATING], orders(state))
    expected = measure(local_table(state, block), 0.0, block, every_row(block), SQUARED)
    assert block.rows == 60
    assert totals.validation.tolist() == pytest.approx(astuple(expected), rel=1e-6)
    assert (totals.start, totals.train) == (Totals(), Totals())
    assert not sums.any()
    assert not totals.intercept.any()


def test_chunks_of_one_task_are_those_of_several(state, chunks):
    asked = orders(state)
    chosen = [(0, 0), (1, 0), VALIDATING]
    together = Updates.of(run_round(iter([batch for chunk in chosen for batch in chunks[chunk]]), asked))
    assert list(together.totals) == [0, 1, 2]
    for chunk in chosen:
        alone = Updates.of(run_round(iter(chunks[chunk]), asked))
        found, expected = (ChunkTotals.of(u.totals[chunk[0]], padded(3)).numbers() for u in (together, alone))
        timed = slice(13, 13 + len(PHASES))
        np.testing.assert_array_equal(np.delete(found, timed), np.delete(expected, timed))
        mine = [piece.sums for piece in together.shards[0] if piece.partition == chunk[0]]
        np.testing.assert_array_equal(mine, [piece.sums for piece in alone.shards.get(0, [])])


def test_totals_are_read_as_they_were_written_and_add_up():
    numbers = np.arange(1.0, 13 + len(PHASES) + 11 + 3 + 1)
    totals = ChunkTotals.of(numbers, 8)
    np.testing.assert_array_equal(totals.numbers(), numbers)
    np.testing.assert_array_equal((totals + totals).numbers(), 2.0 * numbers)
    np.testing.assert_array_equal((ChunkTotals.none(8) + totals).numbers(), numbers)
    np.testing.assert_array_equal((totals + ChunkTotals.none(8)).numbers(), numbers)


def test_census_is_that_of_the_chunk_whatever_is_asked(state, chunks):
    for chunk in ((0, 1), VALIDATING):
        for plan in (PLAN, replace(PLAN, train=False)):
            totals, _ = run(chunks[chunk], orders(state, plan=plan))
            assert totals.census == Census.of(whole(chunks, chunk))


def test_round_that_only_measures_sends_no_updates(state, chunks):
    asked = orders(state, plan=replace(PLAN, train=False))
    out = list(run_round(iter(chunks[0, 0]), asked))
    (row,) = [row for batch in out for row in batch.to_pylist()]
    totals = ChunkTotals.of(np.frombuffer(row["totals"]), padded(3))
    assert totals.train == Totals()
    assert totals.start.rows == whole(chunks, (0, 0)).rows


@pytest.mark.parametrize("shards", [2, 7, 45])
def test_shards_are_parts_of_the_same_updates(state, chunks, shards):
    totals, sums = run(chunks[1, 1], orders(state))
    sharded_totals, sharded = run(chunks[1, 1], orders(state, shards))
    np.testing.assert_array_equal(sharded, sums)
    assert (sharded_totals.start, sharded_totals.train) == (totals.start, totals.train)
    np.testing.assert_array_equal(sharded_totals.intercept, totals.intercept)
    np.testing.assert_allclose(sharded_totals.centre, totals.centre, rtol=1e-9, atol=1e-12)


def test_a_retried_task_repeats_itself(state, chunks):
    first, again = run(chunks[0, 1], orders(state)), run(chunks[0, 1], orders(state))
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("other", [replace(PLAN, number=5), replace(PLAN, part=1)], ids=["number", "part"])
def test_other_rounds_have_other_random_numbers(state, chunks, other):
    first, second = run(chunks[0, 1], orders(state)), run(chunks[0, 1], orders(state, plan=other))
    assert (first[1] != second[1]).any()


def test_warm_up_takes_the_first_rows_only(state, chunks):
    totals, _ = run(chunks[0, 0], orders(state, most_rows=7))
    assert totals.train.rows == 7


def test_chunk_of_several_blocks_is_one_chunk(state, chunks, monkeypatch):
    monkeypatch.setattr("spark_fm.engine.packing.dealing.ROWS_TO_DEAL", 1)
    monkeypatch.setattr("spark_fm.engine.packing.joining.ROWS_A_BLOCK", 10)
    pieces = [BLOCK.take(part) for part in np.array_split(np.arange(BLOCK.rows), 6)]
    blocks = chunks_of(dealt([with_all_features(p) for p in pieces], 1, 1))[0, 0]
    assert len(blocks) > 2
    batch = pa.RecordBatch.from_pylist(
        [{"partition": 0, "part": 0, "number": n, "data": b.to_bytes()} for n, b in enumerate(blocks)], CHUNKS
    )
    totals, sums = run([batch], orders(state))
    assert totals.train.rows == totals.census.rows == 240
    assert totals.start.rows == blocks[0].rows
    features = np.concatenate([b.features for b in blocks])
    assert (sums[features, -1] > 0).all()


def test_partition_without_rows_sends_nothing(state):
    assert list(run_round(iter([]), orders(state))) == []
    assert list(measure_level(iter([]), orders(state))) == []


def test_labels_are_scaled(state, chunks):
    totals, _ = run(chunks[0, 0], orders(state, scale=Scale(3.0, 2.0)))
    block = whole(chunks, (0, 0))
    table = local_table(state, block)
    scaled = replace(block, label=(block.label - 3.0) / 2.0)
    expected = measure_typical(table, 0.0, scaled, every_row(block), SQUARED)
    assert astuple(totals.start) == pytest.approx(astuple(expected), rel=1e-6)


def test_weighted_rows_send_what_their_accumulators_grew_by(state):
    weight = 1.0 + np.arange(300) % 3
    block = replace(BLOCK, weight=weight.astype(np.float32))
    batches = batches_of(chunks_of(dealt([with_all_features(block)], 1, 1), False))
    totals, sums = run(
        batches[0, 0], orders(state, scale=Scale(weight_mean=2.0, weighted=True, mean_squared_norm=2.0))
    )
    assert totals.train.weight == pytest.approx(weight[:240].sum() / 2.0)
    rows = block.take(np.arange(240))
    touched = np.unique(rows.indices)
    # Information is what a row's gradients say without its weight.
    linear, growth = sums[touched, -4], sums[touched, -2]
    assert (linear > 0.0).all()
    assert (growth > 0.0).all()
    assert not np.allclose(linear, growth, rtol=0.01)
    assert totals.intercept[1] != pytest.approx(totals.intercept[2], rel=0.01)


def test_unweighted_rows_have_no_information_of_their_own(state, chunks):
    totals, _ = run(chunks[0, 0], orders(state))
    assert totals.intercept[1] == totals.intercept[2] > 0.0


@pytest.mark.parametrize("loss", [LOGISTIC, SQUARED])
def test_level_is_that_of_each_chunk_at_the_given_parameters(state, chunks, loss):
    settings = replace(SETTINGS, loss=loss)
    asked = orders(state, settings=settings, scale=Scale(3.0, 2.0))
    batches = [batch for chunk in sorted(chunks) for batch in chunks[chunk]]
    rows = [row for out in measure_level(iter(batches), asked) for row in out.to_pylist()]
    assert [(row["partition"], row["shard"]) for row in rows] == sorted(chunks)
    for row in rows:
        block = whole(chunks, (row["partition"], row["shard"]))
        numbers = np.frombuffer(row["totals"])
        assert Census(*map(int, numbers[:4])) == Census.of(block)
        scaled = replace(block, label=(block.label - 3.0) / 2.0)
        expected = Level.of(local_table(state, block), 0.0, scaled, every_row(block), loss)
        np.testing.assert_allclose(numbers[4:], expected.numbers(), rtol=1e-5, atol=1e-5)


def test_level_of_several_blocks_is_that_of_all(state, monkeypatch):
    whole_chunk = chunks_of(dealt([with_all_features(BLOCK)], 1, 1))[0, 0]
    monkeypatch.setattr("spark_fm.engine.packing.joining.ROWS_A_BLOCK", 100)
    blocks = chunks_of(dealt([with_all_features(BLOCK)], 1, 1))[0, 0]
    assert (len(whole_chunk), len(blocks)) == (1, 3)
    found = []
    for some in (whole_chunk, blocks):
        (out,) = measure_level(iter(batches_of({(0, 0): some})[0, 0]), orders(state))
        found.append(np.frombuffer(out.to_pylist()[0]["totals"]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
