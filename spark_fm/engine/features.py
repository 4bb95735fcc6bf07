"""Which features occur in the units, how often, and how large their values are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from spark_fm.core.block import Block
from spark_fm.core.dictionary import Dictionary
from spark_fm.engine.jobs import collect
from spark_fm.engine.process import task

COUNTS_DDL = "shard int, ids binary, counts binary, squares binary"
COUNTS = pa.schema(
    [("shard", pa.int32()), ("ids", pa.binary()), ("counts", pa.binary()), ("squares", pa.binary())]
)
LARGEST_INVERSE_SCALE = 1e30


DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureCounts:
    """Ids (int64, ascending), non-zeros and sums of squared values (float64) of each feature."""

    ids: npt.NDArray[np.int64]
    counts: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @property
    def inverse_scale(self) -> npt.NDArray[np.float32]:
        """1 / root mean square of a feature's non-zero values: what training multiplies values by.

        1 for a feature without a value among the rows that were counted; at most 1e30, so that weights in the
        data's units stay within single precision.
        """
        some = self.squares > 0.0
        ratio = np.divide(self.counts, self.squares, out=np.ones(self.ids.size), where=some)
        return np.minimum(np.sqrt(ratio), LARGEST_INVERSE_SCALE).astype(np.float32)


def _sum(total: DoubleArray, more: DoubleArray) -> DoubleArray:
    """The sum of two arrays of which the first may be the shorter."""
    grown = more.astype(np.float64)
    grown[: total.size] += total
    return grown


class _Counter:
    """Sums counts and squares by id."""

    def __init__(self) -> None:
        self.dictionary = Dictionary()
        self.counts = np.zeros(0)
        self.squares = np.zeros(0)

    def add(self, counted: FeatureCounts) -> None:
        positions = self.dictionary.encode(counted.ids)
        size = len(self.dictionary)
        self.counts = _sum(self.counts, np.bincount(positions, counted.counts, size).astype(float))
        self.squares = _sum(self.squares, np.bincount(positions, counted.squares, size).astype(float))

    def result(self) -> FeatureCounts:
        ids = self.dictionary.features()
        order = np.argsort(ids)
        return FeatureCounts(ids[order], self.counts[order], self.squares[order])


def count_block(block: Block, ids: npt.NDArray[np.int64]) -> FeatureCounts:
    """The counts of one localised block, by the dictionary ``ids`` as far as the block knows it."""
    counts = np.bincount(block.indices, minlength=ids.size).astype(np.float64)
    squares = counts
    if block.values.size:
        values = block.values.astype(np.float64)
        squares = np.bincount(block.indices, values * values, minlength=ids.size).astype(np.float64)
    return FeatureCounts(ids, counts, squares)


def _rows(counts: FeatureCounts, shards: int) -> Iterator[pa.RecordBatch]:
    shard = counts.ids % shards
    for s in range(shards):
        mine = shard == s
        if mine.any():
            row = {
                "shard": s,
                "ids": counts.ids[mine].tobytes(),
                "counts": counts.counts[mine].tobytes(),
                "squares": counts.squares[mine].tobytes(),
            }
            yield pa.RecordBatch.from_pylist([row], schema=COUNTS)


@task
def count_features(batches: Iterator[pa.RecordBatch], shards: int) -> Iterator[pa.RecordBatch]:
    """Counts of a partition's units, split by id modulo ``shards``."""
    counter = _Counter()
    unit = FeatureCounts(np.empty(0, np.int64), np.zeros(0), np.zeros(0))
    for batch in batches:
        for number, data in zip(batch.column("number").to_pylist(), batch.column("data"), strict=True):
            block = Block.from_buffer(data.as_buffer())
            if number == 0:
                counter.add(unit)
                unit = count_block(block, block.features)
            else:
                more = count_block(block, np.concatenate([unit.ids, block.features]))
                counts, squares = _sum(unit.counts, more.counts), _sum(unit.squares, more.squares)
                unit = FeatureCounts(more.ids, counts, squares)
    counter.add(unit)
    yield from _rows(counter.result(), shards)


@task
def sum_counts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Counts of the same shard summed over partitions."""
    counters: dict[int, _Counter] = {}
    for batch in batches:
        for row in batch.to_pylist():
            counted = FeatureCounts(
                np.frombuffer(row["ids"], np.int64),
                np.frombuffer(row["counts"]),
                np.frombuffer(row["squares"]),
            )
            counters.setdefault(row["shard"], _Counter()).add(counted)
    for counter in counters.values():
        yield from _rows(counter.result(), 1)


def occurring_features(units: DataFrame, partitions: int) -> FeatureCounts:
    """The counts over all units; summed on the executors, so the driver gets each id once."""
    counted = units.select("number", "data").mapInArrow(
        partial(count_features, shards=partitions), COUNTS_DDL
    )
    summed = counted.repartition(partitions, "shard").mapInArrow(sum_counts, COUNTS_DDL)
    rows = collect(summed)
    ids = np.concatenate([np.frombuffer(r["ids"], np.int64) for r in rows] or [np.empty(0, np.int64)])
    counts = np.concatenate([np.frombuffer(r["counts"]) for r in rows] or [np.empty(0)])
    squares = np.concatenate([np.frombuffer(r["squares"]) for r in rows] or [np.empty(0)])
    order = np.argsort(ids)
    return FeatureCounts(ids[order], counts[order], squares[order])
