"""Where a chain in rounds starts: rows chosen on all executors, a few epochs of AdaGrad in one task."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.fm.scaling import scaled
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.start import crossed, started, starting_rows, watched_rows
from spark_fm.core.sparse.block import NO_FEATURES, Block, concatenate
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.dealing import Locator, Vocabulary, blocks_of
from spark_fm.engine.packing.packed_data import PackedData

ROWS_A_PIECE = 2**18
CHOSEN_DDL = "source int, number int, data binary"
CHOSEN = pa.schema([("source", pa.int32()), ("number", pa.int32()), ("data", pa.binary())])
STARTED_DDL = "number int, intercept double, theta binary"
STARTED = pa.schema([("number", pa.int32()), ("intercept", pa.float64()), ("theta", pa.binary())])


@dataclass(frozen=True)
class StartOrders:
    """Small enough to travel with the task."""

    vocabulary: Shipped[Vocabulary]
    init: Shipped[ParameterInit]
    seed: int
    training_rows: int


@task
def choose_rows(batches: Iterator[pa.RecordBatch], orders: StartOrders) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: the rows that a start is made of, whose indices are positions in the vocabulary."""
    vocabulary = orders.vocabulary.get()
    for source, blocks in groupby(blocks_of(batches), key=itemgetter(0)):
        locator = Locator(vocabulary)
        for number, (_, block) in enumerate(blocks):
            rows = starting_rows(locator.located(block), vocabulary.features, orders.training_rows)
            if rows.rows:
                row = {"source": source, "number": number, "data": rows.to_bytes()}
                yield pa.RecordBatch.from_pylist([row], schema=CHOSEN)


@task
def watch_rows(
    batches: Iterator[pa.RecordBatch], vocabulary: Shipped[Vocabulary]
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: of each source the rows whose predictions may be watched, as :func:`choose_rows`."""
    ids = vocabulary.get().features
    for source, blocks in groupby(blocks_of(batches), key=itemgetter(0)):
        locator = Locator(vocabulary.get())
        rows = watched_rows(concatenate([watched_rows(locator.located(b), ids) for _, b in blocks]), ids)
        if rows.rows:
            row = {"source": source, "number": 0, "data": rows.to_bytes()}
            yield pa.RecordBatch.from_pylist([row], schema=CHOSEN)


def watched_of(packed: PackedData, init: ParameterInit, numbers: npt.NDArray[np.int64]) -> Block:
    """The rows whose predictions are watched, in the units of training; ``numbers`` are the features' fields."""
    watch = partial(watch_rows, vocabulary=packed.vocabulary(init.settings))
    rows = sorted(collect(packed.blocks_in_order.mapInArrow(watch, CHOSEN_DDL)), key=itemgetter("source"))
    blocks = concatenate([Block.from_buffer(row["data"]) for row in rows])
    some = crossed(watched_rows(blocks, packed.features.ids), numbers)
    return scaled(some, init.scale, packed.scaling(init.settings))


@task
def start_all(batches: Iterator[pa.RecordBatch], orders: StartOrders) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: train on all chosen rows; theta, float32, in pieces."""
    vocabulary = orders.vocabulary.get()
    ids = vocabulary.features
    blocks = [block for _, block in blocks_of(batches)]
    if not blocks:
        return
    whole = concatenate(blocks)
    rows = starting_rows(whole, ids, whole.rows)
    theta, intercept = started(rows, ids, orders.init.get(), vocabulary.scaling, orders.seed)
    for number, first in enumerate(range(0, ids.size, ROWS_A_PIECE)):
        data = theta[first : first + ROWS_A_PIECE].astype(np.float32).tobytes()
        yield pa.RecordBatch.from_pylist(
            [{"number": number, "intercept": intercept, "theta": data}], schema=STARTED
        )


def start_of(packed: PackedData, init: ParameterInit, seed: int) -> tuple[npt.NDArray[np.float64], float]:
    """Where a chain of that seed starts: theta, float64 (m, K + 1), in the order of the packed features, and w0."""
    features, settings = packed.features, init.settings
    if init.model is not None or settings.max_epochs == 0 or not features.ids.size:
        empty = Block(
            np.zeros(1, np.int32), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0),
            np.empty(0, np.float32), np.empty(0, np.bool_), NO_FEATURES,
        )  # fmt: skip
        return started(empty, features.ids, init, packed.scaling(settings), seed)
    shipped = ship(packed.spark, init)
    try:
        orders = StartOrders(packed.vocabulary(settings), shipped, seed, packed.statistics.training_rows)
        chosen = packed.blocks_in_order.mapInArrow(
            partial(choose_rows, orders=orders), CHOSEN_DDL
        ).repartition(1)
        rows = sorted(
            collect(chosen.mapInArrow(partial(start_all, orders=orders), STARTED_DDL)),
            key=lambda row: row["number"],
        )
    finally:
        shipped.release()
    if not rows:
        raise ValueError("solver: 'gibbs' found no training rows")
    theta = np.concatenate([np.frombuffer(row["theta"], np.float32) for row in rows])
    return theta.reshape(features.ids.size, -1).astype(np.float64), float(rows[0]["intercept"])
