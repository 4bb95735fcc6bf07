"""Which features occur, how often, and how their values are distributed."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.sparse.block import Block
from spark_fm.core.sparse.csr import count_occurrences
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.core.sparse.growable import GrowableArray
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task

COLUMNS = ("ids", "counts", "means", "spreads", "weights")
COUNTS_DDL = ", ".join(["shard int, source int", *(f"{name} binary" for name in COLUMNS)])
COUNTS = pa.schema(
    [("shard", pa.int32()), ("source", pa.int32())] + [(name, pa.binary()) for name in COLUMNS]
)
DRIVER_COUNTS = 4_000_000
NO_DOUBLES = np.empty(0)


def counts_row(counted: FeatureCounts) -> dict[str, bytes]:
    """The columns ids, counts, means, spreads and weights of a row; the last is empty where all weights are 1."""
    made = {name: getattr(counted, name).tobytes() for name in COLUMNS[:-1]}
    return made | {"weights": b"" if counted.summed is None else counted.summed.tobytes()}


def counts_of_row(row: dict[str, Any]) -> FeatureCounts:
    """What :func:`counts_row` has made a row of."""
    counts, means, spreads, weights = (np.frombuffer(row[name]) for name in COLUMNS[1:])
    summed = weights if row["weights"] else None
    return FeatureCounts(np.frombuffer(row["ids"], np.int64), counts, means, spreads, summed)


class Counter:
    """Counts, means, spreads and, once a row's weight is not 1, weights by feature, in the order in which features are
    met.
    """

    def __init__(self) -> None:
        self.dictionary = Dictionary()
        self._sums = [GrowableArray(np.zeros(1024)) for _ in range(3)]
        self._room = 0

    def _arrays(self) -> list[Any]:
        lacking = len(self.dictionary) - self._room
        if lacking > 0:
            for array in self._sums:
                array.append(np.zeros(lacking))
            self._room += lacking
        return [array.view for array in self._sums]

    def _weigh(self) -> None:
        """From now on keep the weights apart from the counts."""
        if len(self._sums) == 3:
            self._sums.append(GrowableArray(np.zeros(1024)))
            self._sums[-1].append(self._sums[0].view)

    def count(self, block: Block) -> None:
        """Count the training rows of a block whose indices are positions in the dictionary."""
        if block.weight.size:
            self._weigh()
        counts, means, spreads, *weights = self._arrays()
        count_occurrences(
            block.indptr, block.indices, block.values, block.weight, block.validation, counts, means, spreads,
            weights[0] if weights else NO_DOUBLES,
        )  # fmt: skip

    def add(self, counted: FeatureCounts) -> None:
        """Add the counts of other rows (T. Chan et al., COMPSTAT 1982)."""
        at = self.dictionary.encode(counted.ids)
        if counted.summed is not None:
            self._weigh()
        counts, means, spreads, *weights = self._arrays()
        before, more = (weights[0] if weights else counts)[at], counted.weights
        both = before + more
        both[both == 0.0] = 1.0
        off = counted.means - means[at]
        spreads[at] += counted.spreads + off * off * before * more / both
        means[at] += off * more / both
        counts[at] += counted.counts
        if weights:
            weights[0][at] += more

    def result(self) -> FeatureCounts:
        """The counts so far, in the order of the dictionary."""
        return FeatureCounts(self.dictionary.features(), *self._arrays())


@task
def split_counts(batches: Iterator[pa.RecordBatch], shards: int) -> Iterator[pa.RecordBatch]:
    """Counts of source partitions, split by id modulo ``shards``."""
    for batch in batches:
        for row in batch.to_pylist():
            counted = counts_of_row(row)
            shard_of = counted.ids % shards
            for shard in range(shards):
                mine = counted.take(np.flatnonzero(shard_of == shard))
                if mine.ids.size:
                    numbers = {"shard": shard, "source": row["source"]}
                    yield pa.RecordBatch.from_pylist([numbers | counts_row(mine)], schema=COUNTS)


@task
def sum_counts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Counts of the same shard summed over source partitions."""
    counters: dict[int, Counter] = {}
    rows = [row for batch in batches for row in batch.to_pylist()]
    for row in sorted(rows, key=lambda row: (row["shard"], row["source"])):
        counters.setdefault(row["shard"], Counter()).add(counts_of_row(row))
    for shard, counter in counters.items():
        numbers = {"shard": shard, "source": shard}
        yield pa.RecordBatch.from_pylist([numbers | counts_row(counter.result())], schema=COUNTS)


def occurring_features(packed: DataFrame, sources: int, most: int) -> FeatureCounts:
    """The counts over a packed DataFrame, popular features first.

    ``most`` is the sum over the source partitions of how many features occur: when they are many,
    the executors add them up, so the driver gets each id once.
    """
    counted = packed.where(F.col("counts").isNotNull()).select("source", *COLUMNS)
    if sources > 1 and most > DRIVER_COUNTS:
        shards = min(sources, -(-most // DRIVER_COUNTS) * 2)
        split = counted.mapInArrow(partial(split_counts, shards=shards), COUNTS_DDL)
        counted = split.repartition(shards, "shard").mapInArrow(sum_counts, COUNTS_DDL)
    total = Counter()
    # Sums of floats depend on their order, so it is always the same.
    for row in sorted(collect(counted), key=lambda row: row["source"]):
        total.add(counts_of_row(row))
    return total.result().popular_first()
