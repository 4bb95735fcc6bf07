from dataclasses import astuple, replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.scaling import scaled
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import padded
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.adagrad.merge import Coupling, apply_centre, apply_intercept_merge, apply_merge
from spark_fm.core.solver.plan import Plan
from spark_fm.engine.cluster.kept import Kept
from spark_fm.engine.packing.census import Census, InputChangedError
from spark_fm.engine.packing.joining import CHUNKS, CHUNKS_DDL
from spark_fm.engine.packing.places import Places
from spark_fm.engine.training import rounds
from spark_fm.engine.training.round_task import PHASES, ChunkTotals, StaticBroadcast
from spark_fm.engine.training.rounds import RoundsRunner
from spark_fm.engine.training.store import FrameStore, RddStore
from tests.core.planted import planted_block
from tests.engine.packing.test_dealing import chunks_of, dealt, with_all_features
from tests.engine.training.test_round_task import SCALE
from tests.engine.training.test_round_task import orders as worker_orders
from tests.engine.training.test_round_task import run as worker_run

SETTINGS = Settings(SQUARED, factor_size=3)
PLAN = Plan(number=4, part=0, train=True, step_size=0.1, damping=1.0, scale=1.0)
FEATURES = np.arange(45, dtype=np.int64)
BLOCK = replace(planted_block(300, validation=60), features=np.empty(0, np.int64))
PLACES = Places(2, 2, 1)
UNITS_OF = chunks_of(dealt([with_all_features(BLOCK)], 2, 2))
COUNTED = Census.of(BLOCK)


ROWS = [
    {"partition": p, "part": q, "number": n, "data": b.to_bytes()}
    for (p, q), blocks in sorted(UNITS_OF.items())
    for n, b in enumerate(blocks)
]


def frame_chunks(spark, rows=ROWS, on_executors=False):
    frame = spark.createDataFrame([tuple(row.values()) for row in rows], CHUNKS_DDL)
    # The chunk of the validation rows shares its Spark partition with others.
    return FrameStore(Kept(frame.repartitionByRange(2, "partition"), "", True), PLACES, on_executors)


def rdd_chunks(spark, rows=ROWS):
    batches = [pa.RecordBatch.from_pylist([row], CHUNKS) for row in rows]
    return RddStore(spark.sparkContext.parallelize(batches, len(PLACES.all())), PLACES)


@pytest.fixture(params=[rdd_chunks, frame_chunks])
def chunks(spark, request):
    return request.param(spark)


@pytest.fixture
def state():
    return ParameterInit(SETTINGS, Scale()).at(FEATURES)


def runner(spark, chunks, counted=COUNTED):
    return RoundsRunner(spark, chunks, SETTINGS, SCALE, StaticBroadcast(np.zeros(45, np.float32)), counted)


def by_hand(state, part=0, partitions=(0, 1), validation=True, **changes):
    """The round that the workers' functions make without Spark: (table, intercept, totals)."""
    found = []
    chosen = [(partition, part) for partition in partitions] + PLACES.validating() * validation
    for chunk in chosen:
        rows = [row for row in ROWS if (row["partition"], row["part"]) == chunk]
        asked = worker_orders(state, plan=replace(PLAN, part=part), **changes)
        found.append(worker_run([pa.RecordBatch.from_pylist(rows, CHUNKS)], asked))
    totals = sum((t for t, _ in found), ChunkTotals.none(padded(3)))
    coupling = Coupling.of(0.1, 2.0, 3, 1.0)
    table = state.table.copy()
    moved = apply_merge(table, sum(s for _, s in found), coupling)
    apply_centre(state.table, table, totals.centre, moved)
    return table, apply_intercept_merge(state.intercept, totals.intercept, coupling), totals


def assert_is(result, expected):
    table, intercept, totals = expected
    # What is left of an accumulator beside its float32 is rounded where executors sum.
    found, known = (np.delete(t, [padded(3), padded(3) + 1], axis=1) for t in (result.state.table, table))
    np.testing.assert_allclose(found, known, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(result.state.intercept, intercept, rtol=1e-9)
    for found, known in [
        (result.start, totals.start),
        (result.train, totals.train),
        (result.validation, SETTINGS.validation_metric.totals(totals.validation)),
    ]:
        assert astuple(found) == pytest.approx(astuple(known))


@pytest.mark.parametrize("part", [0, 1])
def test_round_is_what_the_workers_make_of_it(spark, chunks, state, part):
    with runner(spark, chunks) as rounds_of:
        result = rounds_of.run(state, replace(PLAN, part=part))
    assert_is(result, by_hand(state, part))
    assert result.finite
    assert result.seconds.keys() == {"parameters out", *PHASES, "Spark", "merge"}
    assert all(spent > 0.0 for spent in result.seconds.values())


def test_round_reduced_on_the_executors_is_the_same(spark, state, monkeypatch):
    monkeypatch.setattr(rounds, "SHARD_ROWS", 9)
    with runner(spark, frame_chunks(spark, on_executors=True)) as rounds_of:
        assert_is(rounds_of.run(state, PLAN), by_hand(state))


def test_validation_rows_are_measured_where_an_epoch_begins(spark, chunks, state):
    with runner(spark, chunks) as rounds_of:
        found = [rounds_of.run(state, replace(PLAN, begins=begins)) for begins in (True, False)]
    assert [result.validation.rows for result in found] == [60, 0]
    assert_is(found[1], by_hand(state, validation=False))
    np.testing.assert_array_equal(found[1].state.table, found[0].state.table)


def test_round_leaves_its_initial_state_as_it_is(spark, chunks, state):
    table = state.table.copy()
    with runner(spark, chunks) as rounds_of:
        measured = rounds_of.run(state, replace(PLAN, train=False))
        rounds_of.run(state, PLAN)
    np.testing.assert_array_equal(state.table, table)
    np.testing.assert_array_equal(measured.state.table, table)
    assert measured.train.rows == 0
    assert measured.validation.rows == 60


def test_warm_up_is_a_round_of_one_partition(spark, chunks, state):
    with runner(spark, chunks) as rounds_of:
        assert_is(
            rounds_of.warm_up(state, PLAN, 20), by_hand(state, partitions=[0], validation=False, most_rows=20)
        )


OTHERS = {
    "rows": replace(COUNTED, rows=301),
    "labels": replace(COUNTED, fingerprint=COUNTED.fingerprint + 1),
}
CHANGED = "the input changed between two computations of it: found (300 rows|other labels)"


@pytest.mark.parametrize("counted", OTHERS.values(), ids=OTHERS)
def test_rows_that_were_not_counted_are_told_once_all_have_been_met(spark, chunks, state, counted):
    with runner(spark, chunks, counted) as rounds_of:
        rounds_of.warm_up(state, PLAN, 20)
        rounds_of.run(state, PLAN)
        with pytest.raises(InputChangedError, match=f"^{CHANGED}"):
            rounds_of.run(state, replace(PLAN, part=1, begins=False))
        with pytest.raises(InputChangedError, match=f"^{CHANGED}"):
            rounds_of.level(state, with_validation=False)


def test_rows_that_are_those_that_were_counted_are_no_error(spark, chunks, state):
    # Dense features have entries that the input has not.
    with runner(spark, chunks, replace(COUNTED, nonzeros=17)) as rounds_of:
        for number in range(4):
            rounds_of.run(state, replace(PLAN, part=number % 2, begins=number % 2 == 0))
        rounds_of.level(state, with_validation=False)


@pytest.mark.parametrize("made", [rdd_chunks, frame_chunks])
@pytest.mark.parametrize("lost", [(1, 0), (2, 2)], ids=["training", "validation"])
def test_chunks_that_change_between_two_rounds_are_told(spark, state, made, lost):
    class Changing:
        """ChunkStore of which one is lost after the first round."""

        places, rows = PLACES, ROWS

        def run(self, function, orders, chosen):
            chunks = made(spark, self.rows)
            self.rows = [
                row | {"data": SMALLER} if (row["partition"], row["part"]) == lost else row for row in ROWS
            ]
            return chunks.run(function, orders, chosen)

    SMALLER = UNITS_OF[lost][0].take(np.arange(3)).to_bytes()
    with runner(spark, Changing()) as rounds_of:
        rounds_of.run(state, PLAN)
        rounds_of.run(state, replace(PLAN, part=1, begins=False))
        with pytest.raises(InputChangedError, match=r"^the input changed between two computations of it"):
            rounds_of.run(state, PLAN)


@pytest.mark.parametrize("with_validation", [False, True])
def test_level_is_that_of_the_training_rows(spark, chunks, state, with_validation):
    with runner(spark, chunks) as rounds_of:
        found = rounds_of.level(state, with_validation)
    block = scaled(BLOCK, SCALE)
    rows = np.arange(300 if with_validation else 240, dtype=np.int32)
    expected = Level.of(state.table, 0.0, block, rows, SQUARED)
    assert found.weight == rows.size
    np.testing.assert_allclose(found.numbers(), expected.numbers(), rtol=1e-4, atol=1e-4)


def test_parameters_that_are_not_finite_are_told(spark, chunks, state):
    state.table[0, 0] = np.nan
    with runner(spark, chunks) as rounds_of:
        assert not rounds_of.run(state, PLAN).finite
