"""Where the units of a run lie between its rounds, and how a round runs over them.

Classic Spark keeps them in an RDD: a block is there an array of bytes, which two copies bring to the Python worker.
From a persisted DataFrame it takes about nine, through rows and Arrow: a fifth of an epoch over two million rows. But
Spark Connect has DataFrames only, and reducing on the executors needs their shuffle.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa
from pyspark import RDD, StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_fm.engine.jobs import collect_batches, persist, plain_errors, small_batches
from spark_fm.engine.partition import PIECES, UNITS_DDL, join
from spark_fm.engine.reduce import reduce_on_executors
from spark_fm.engine.worker import UPDATES_DDL, Round, run_round


class Units(Protocol):
    """The units of a run, persisted."""

    def updates(self, orders: Round) -> list[pa.RecordBatch]:
        """What :func:`spark_fm.engine.worker.run_round` says of all partitions, of the first alone in a warm-up."""
        ...

    def release(self) -> None:
        """Give back the memory."""
        ...


@dataclass(frozen=True)
class RddUnits:
    """Units as partitions of an RDD: number ``partition * parts + part``, of record batches."""

    rdd: "RDD[pa.RecordBatch]"
    partitions: int
    parts: int

    @classmethod
    def of(cls, dealt: DataFrame, partitions: int, parts: int, own_dictionaries: bool) -> "RddUnits":
        """From dealt rows, each unit in a Spark partition of its own."""
        with plain_errors():
            rows = dealt.rdd
        joined = rows.mapPartitions(partial(_joined, own_dictionaries=own_dictionaries))
        return cls(joined.persist(StorageLevel.MEMORY_AND_DISK_DESER), partitions, parts)

    def updates(self, orders: Round) -> list[pa.RecordBatch]:
        """See :class:`Units`."""
        partitions = 1 if orders.is_warm_up else self.partitions
        units = [partition * self.parts + orders.plan.part for partition in range(partitions)]
        with plain_errors():
            return self.rdd.context.runJob(self.rdd, partial(run_round, orders=orders), units)

    def release(self) -> None:
        """See :class:`Units`."""
        self.rdd.unpersist()


def _joined(rows: Iterable[Row], own_dictionaries: bool) -> Iterator[pa.RecordBatch]:
    batches = (pa.RecordBatch.from_pylist([row.asDict()], schema=PIECES) for row in rows)
    return join(batches, own_dictionaries)


@dataclass(frozen=True)
class FrameUnits:
    """Units as the rows of a DataFrame; ``on_executors``: the updates are summed there."""

    frame: DataFrame
    on_executors: bool

    @classmethod
    def of(cls, dealt: DataFrame, own_dictionaries: bool, on_executors: bool) -> "FrameUnits":
        """From dealt rows, in a fixed order."""
        joined = dealt.mapInArrow(partial(join, own_dictionaries=own_dictionaries), UNITS_DDL)
        return cls(persist(joined), on_executors)

    def updates(self, orders: Round) -> list[pa.RecordBatch]:
        """See :class:`Units`; where the executors sum, it is their sums."""
        chosen = self.frame.where(F.col("part") == orders.plan.part)
        if orders.is_warm_up:
            chosen = chosen.where(F.col("partition") == 0)
        updates = chosen.select("partition", "number", "data").mapInArrow(
            partial(run_round, orders=orders), UPDATES_DDL
        )
        if self.on_executors and orders.plan.train:
            updates = reduce_on_executors(updates, orders.features, orders.shard_size, orders.width)
        with small_batches(self.frame.sparkSession):
            return collect_batches(updates)

    def release(self) -> None:
        """See :class:`Units`."""
        self.frame.unpersist()
