"""Which features occur, how often, and how large their values are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.core.block import Block
from spark_fm.core.csr import count_occurrences
from spark_fm.core.dictionary import Dictionary
from spark_fm.engine.jobs import collect
from spark_fm.engine.process import task

COUNTS_DDL = "shard int, ids binary, counts binary, squares binary"
COUNTS = pa.schema(
    [("shard", pa.int32()), ("ids", pa.binary()), ("counts", pa.binary()), ("squares", pa.binary())]
)
LARGEST_INVERSE_SCALE = 1e30
DRIVER_COUNTS = 4_000_000

DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FeatureCounts:
    """Ids (int64), non-zeros and sums of squared values (float64) of each feature."""

    ids: LongArray
    counts: DoubleArray
    squares: DoubleArray

    @property
    def inverse_scale(self) -> npt.NDArray[np.float32]:
        """1 / root mean square of a feature's non-zero values: what training multiplies values by.

        1 for a feature without a value among the rows that were counted; at most 1e30, so that weights in the
        data's units stay within single precision.
        """
        some = self.squares > 0.0
        ratio = np.divide(self.counts, self.squares, out=np.ones(self.ids.size), where=some)
        return np.minimum(np.sqrt(ratio), LARGEST_INVERSE_SCALE).astype(np.float32)

    def take(self, rows: npt.NDArray[Any]) -> "FeatureCounts":
        """The given features, in the given order."""
        return FeatureCounts(self.ids[rows], self.counts[rows], self.squares[rows])

    def popular_first(self) -> "FeatureCounts":
        """The features in descending order of their counts, equal ones in ascending order of their ids.

        Popular features' parameters then lie together, which the processor's caches like, and have
        small numbers, which makes blocks short.
        """
        return self.take(np.lexsort((self.ids, -self.counts)))

    def to_row(self) -> dict[str, bytes]:
        """The columns ids, counts and squares of a row."""
        return {
            "ids": self.ids.tobytes(),
            "counts": self.counts.tobytes(),
            "squares": self.squares.tobytes(),
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "FeatureCounts":
        """What :meth:`to_row` has made a row of."""
        return cls(
            np.frombuffer(row["ids"], np.int64),
            np.frombuffer(row["counts"]),
            np.frombuffer(row["squares"]),
        )


class Counter:
    """Counts and squares by feature, in the order in which features are met."""

    def __init__(self) -> None:
        self.dictionary = Dictionary()
        self._counts = np.zeros(1024)
        self._squares = np.zeros(1024)

    def _make_room(self) -> None:
        lacking = len(self.dictionary) - self._counts.size
        if lacking > 0:
            more = np.zeros(max(lacking, self._counts.size))
            self._counts = np.concatenate([self._counts, more])
            self._squares = np.concatenate([self._squares, more])

    def count(self, block: Block) -> None:
        """Count the training rows of a block whose indices are positions in the dictionary."""
        self._make_room()
        count_occurrences(
            block.indptr, block.indices, block.values, block.validation, self._counts, self._squares
        )

    def add(self, counted: FeatureCounts) -> None:
        """Add the counts of other rows."""
        positions = self.dictionary.encode(counted.ids)
        self._make_room()
        self._counts[positions] += counted.counts
        self._squares[positions] += counted.squares

    def result(self) -> FeatureCounts:
        """The counts so far, in the order of the dictionary."""
        size = len(self.dictionary)
        return FeatureCounts(self.dictionary.features(), self._counts[:size], self._squares[:size])


@task
def split_counts(batches: Iterator[pa.RecordBatch], shards: int) -> Iterator[pa.RecordBatch]:
    """Counts of source partitions, split by id modulo ``shards``."""
    for batch in batches:
        for row in batch.to_pylist():
            counted = FeatureCounts.from_row(row)
            shard_of = counted.ids % shards
            for shard in range(shards):
                mine = counted.take(np.flatnonzero(shard_of == shard))
                if mine.ids.size:
                    yield pa.RecordBatch.from_pylist([{"shard": shard} | mine.to_row()], schema=COUNTS)


@task
def sum_counts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Counts of the same shard summed over source partitions."""
    counters: dict[int, Counter] = {}
    for batch in batches:
        for row in batch.to_pylist():
            counters.setdefault(row["shard"], Counter()).add(FeatureCounts.from_row(row))
    for shard, counter in counters.items():
        yield pa.RecordBatch.from_pylist([{"shard": shard} | counter.result().to_row()], schema=COUNTS)


def occurring_features(packed: DataFrame, sources: int, most: int) -> FeatureCounts:
    """The counts over a packed DataFrame, popular features first.

    ``most`` is the sum over the source partitions of how many features occur: when they are many,
    the executors add them up, so the driver gets each id once.
    """
    counted = packed.where(F.col("counts").isNotNull()).select("ids", "counts", "squares")
    if sources > 1 and most > DRIVER_COUNTS:
        shards = min(sources, -(-most // DRIVER_COUNTS) * 2)
        split = counted.mapInArrow(partial(split_counts, shards=shards), COUNTS_DDL)
        counted = split.repartition(shards, "shard").mapInArrow(sum_counts, COUNTS_DDL)
    total = Counter()
    for row in collect(counted):
        total.add(FeatureCounts.from_row(row))
    return total.result().popular_first()
