from dataclasses import astuple, replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.loss import Loss
from spark_fm.core.merge import Coupling, apply_centre, apply_intercept_merge, apply_merge
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan
from spark_fm.core.weights import Start
from spark_fm.engine import rounds
from spark_fm.engine.partition import UNITS, UNITS_DDL
from spark_fm.engine.rounds import RoundsRunner
from spark_fm.engine.units import FrameUnits, RddUnits
from spark_fm.engine.worker import PHASES, Fixed, UnitTotals
from tests.core.planted import planted_block
from tests.engine.test_partition import dealt, units_of, with_all_features
from tests.engine.test_worker import orders as worker_orders
from tests.engine.test_worker import run as worker_run

SETTINGS = Settings(Loss.SQUARED, factor_size=3)
PLAN = Plan(number=4, part=0, train=True, step_size=0.1, raised=1.0, scale=1.0)
FEATURES = np.arange(45, dtype=np.int64)
BLOCK = replace(planted_block(300, validation=60), features=np.empty(0, np.int64))
PLACES = units_of(dealt([with_all_features(BLOCK)], 2, 2))


ROWS = [
    {"partition": p, "part": q, "number": n, "data": b.to_bytes()}
    for (p, q), blocks in sorted(PLACES.items())
    for n, b in enumerate(blocks)
]


def frame_units(spark, on_executors=False):
    frame = spark.createDataFrame([tuple(row.values()) for row in ROWS], UNITS_DDL)
    return FrameUnits(frame.repartitionByRange(2, "partition"), on_executors)


def rdd_units(spark):
    batches = [pa.RecordBatch.from_pylist([row], UNITS) for row in ROWS]
    return RddUnits(spark.sparkContext.parallelize(batches, 4), 2, 2)


@pytest.fixture(params=[rdd_units, frame_units])
def units(spark, request):
    return request.param(spark)


@pytest.fixture
def state():
    return Start(SETTINGS, Scale()).at(FEATURES, None)


def runner(spark, units):
    return RoundsRunner(spark, units, 2, 2, SETTINGS, Scale(), Fixed(None, np.zeros(45, np.float32)), 2.0)


def by_hand(state, part=0, partitions=(0, 1), **changes):
    """The round that the workers' functions make without Spark: (table, intercept, totals)."""
    found = []
    for partition in partitions:
        rows = [row for row in ROWS if (row["partition"], row["part"]) == (partition, part)]
        asked = worker_orders(state, plan=replace(PLAN, part=part), **changes)
        found.append(worker_run([pa.RecordBatch.from_pylist(rows, UNITS)], asked))
    totals = sum((t for t, _ in found), UnitTotals.none(state.table.shape[1] - 1))
    coupling = Coupling.of(0.1, 2.0, 3, 1.0)
    table = state.table.copy()
    moved = apply_merge(table, sum(s for _, s in found), coupling)
    apply_centre(state.table, table, totals.centre, moved)
    return table, apply_intercept_merge(state.intercept, totals.intercept, coupling), totals


def assert_is(result, expected):
    table, intercept, totals = expected
    np.testing.assert_allclose(result.state.table, table, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(result.state.intercept, intercept, rtol=1e-9)
    for found, known in [
        (result.start, totals.start),
        (result.train, totals.train),
        (result.validation, totals.validation),
    ]:
        assert astuple(found) == pytest.approx(astuple(known))


@pytest.mark.parametrize("part", [0, 1])
def test_round_is_what_the_workers_make_of_it(spark, units, state, part):
    with runner(spark, units) as rounds_of:
        result = rounds_of.run(state, replace(PLAN, part=part))
    assert_is(result, by_hand(state, part))
    assert result.finite
    assert result.seconds.keys() == {"parameters out", *PHASES, "Spark", "merge"}
    assert all(spent > 0.0 for spent in result.seconds.values())


def test_round_reduced_on_the_executors_is_the_same(spark, state, monkeypatch):
    monkeypatch.setattr(rounds, "SHARD_ROWS", 9)
    with runner(spark, frame_units(spark, on_executors=True)) as rounds_of:
        assert_is(rounds_of.run(state, PLAN), by_hand(state))


def test_round_leaves_its_initial_state_as_it_is(spark, units, state):
    table = state.table.copy()
    with runner(spark, units) as rounds_of:
        measured = rounds_of.run(state, replace(PLAN, train=False))
        rounds_of.run(state, PLAN)
    np.testing.assert_array_equal(state.table, table)
    np.testing.assert_array_equal(measured.state.table, table)
    assert measured.train.rows == 0
    assert measured.validation.rows == 60


def test_warm_up_is_a_round_of_one_partition(spark, units, state):
    with runner(spark, units) as rounds_of:
        assert_is(rounds_of.warm_up(state, PLAN, 20), by_hand(state, partitions=[0], most_rows=20))


def test_all_rows_are_trained_on_when_asked(spark, units, state):
    with runner(spark, units) as rounds_of:
        rounds_of.all_rows = True
        result = rounds_of.run(state, PLAN)
    assert_is(result, by_hand(state, all_rows=True))
    assert result.validation.rows == 0


def test_parameters_that_are_not_finite_are_told(spark, units, state):
    state.table[0, 0] = np.nan
    with runner(spark, units) as rounds_of:
        assert not rounds_of.run(state, PLAN).finite
