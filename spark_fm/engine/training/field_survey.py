"""Which features the rows have together, counted on the executors: what a sampler's fields are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.solver.gibbs.fields import incomplete_fields, met_before, met_together
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.driver_limits import driver_limits, most_to_collect
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.dealing import Locator, Vocabulary, blocks_of
from spark_fm.engine.packing.packed_data import PackedData

SURVEYED_DDL = "source int, found binary"
SURVEYED = pa.schema([("source", pa.int32()), ("found", pa.binary())])
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Orders:
    vocabulary: Shipped[Vocabulary]
    numbers: Shipped[npt.NDArray[np.int64]]
    what: str


@task
def survey(batches: Iterator[pa.RecordBatch], orders: _Orders) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: what the training rows of each source have."""
    vocabulary, numbers = orders.vocabulary.get(), orders.numbers.get()
    for source, blocks in groupby(blocks_of(batches), key=itemgetter(0)):
        locator, found = Locator(vocabulary), list[npt.NDArray[np.int32]]()
        for _, block in blocks:
            block = locator.located(block)
            if block.validation.size:
                block = block.take(np.flatnonzero(~block.validation))
            if orders.what == "neighbours":
                found.append(met_before(block, numbers.astype(np.int32)))
            elif orders.what == "together":
                found.append(met_together(block, numbers.astype(np.int32)).astype(np.int32))
            else:
                found.append(np.concatenate(incomplete_fields(block, numbers)))
        all_of_it = np.add.reduce(found) if orders.what == "fields" else np.maximum.reduce(found)
        yield pa.RecordBatch.from_pylist([{"source": source, "found": all_of_it.tobytes()}], schema=SURVEYED)


def _surveyed(
    packed: PackedData, vocabulary: Shipped[Vocabulary], numbers: npt.NDArray[np.int64], what: str, size: int
) -> list[bytes]:
    """What each source says, in their order."""
    limit = most_to_collect(driver_limits(packed.spark))
    needed = 8 * size * len(packed.statistics.sources)
    if needed > limit:
        raise ValueError(
            f"solver: 'gibbs' must find which of {size:,} features never meet in a row, and the {needed:,} bytes that "
            f"the partitions say of it are more than the driver takes ({limit:,}); expected a features column that "
            "names its fields (as FieldEncoder makes), fewer partitions, or solver 'adagrad'"
        )
    shipped = ship(packed.spark, numbers)
    try:
        orders = _Orders(vocabulary, shipped, what)
        rows = collect(packed.blocks_in_order.mapInArrow(partial(survey, orders=orders), SURVEYED_DDL))
    finally:
        shipped.release()
    return [row["found"] for row in sorted(rows, key=itemgetter("source"))]


def _largest(
    packed: PackedData, vocabulary: Shipped[Vocabulary], numbers: npt.NDArray[np.int64], what: str, size: int
) -> npt.NDArray[np.int32]:
    found = [np.frombuffer(one, np.int32) for one in _surveyed(packed, vocabulary, numbers, what, size)]
    largest: npt.NDArray[np.int32] = np.maximum.reduce([np.full(size, -1, np.int32), *found])
    return largest


def neighbours(
    packed: PackedData, vocabulary: Shipped[Vocabulary], ranks: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """:func:`met_before` of all training rows."""
    size = int(ranks.max(initial=-1)) + 1
    return _largest(packed, vocabulary, ranks.astype(np.int64), "neighbours", size)


def incomplete_and_repeated(
    packed: PackedData, vocabulary: Shipped[Vocabulary], numbers: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], BoolArray]:
    """:func:`incomplete_fields` of all training rows."""
    fields = int(numbers.max(initial=-1)) + 1
    found = np.zeros(2 * fields)
    for one in _surveyed(packed, vocabulary, numbers, "fields", 2 * fields):
        found += np.frombuffer(one)
    return found[:fields], found[fields:] > 0.0


def together(packed: PackedData, vocabulary: Shipped[Vocabulary], places: npt.NDArray[np.int32]) -> BoolArray:
    """:func:`met_together` of all training rows: bool (n, n) for n places."""
    size = int(places.max(initial=-1)) + 1
    found = _largest(packed, vocabulary, places.astype(np.int64), "together", size * size)
    return (found > 0).reshape(size, size)
