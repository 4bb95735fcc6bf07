"""The updates of all partitions become sums: on the driver, or on the executors when they are many."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from spark_fm.core.fm.table import padded
from spark_fm.core.solver.adagrad.merge import Coupling, add_rows, apply_centre, apply_merge, sums_width
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.census import InputChangedError
from spark_fm.engine.training.round_task import TOTALS_SHARD, UPDATES, UPDATES_DDL, Round, updates_batch

DoubleArray = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """Updates of some rows of a shard; views into what has arrived.

    Attributes
    ----------
    partition : where they come from
    positions : uint16 (n,), rows of the shard
    sums : float32 (n, ...), packed rows or sums of :mod:`spark_fm.core.solver.adagrad.merge`
    """

    partition: int
    positions: npt.NDArray[np.uint16]
    sums: FloatArray


@dataclass(frozen=True)
class Updates:
    """What a round's tasks have sent, each in the order of the partitions."""

    totals: dict[int, DoubleArray]
    shards: dict[int, list[Piece]]

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> "Updates":
        """Sort out the rows of some batches; sums of floats depend on their order, so it is always the same.

        Raises
        ------
        InputChangedError
            When a chunk was visited twice.
        """
        totals: dict[int, DoubleArray] = {}
        shards: dict[int, list[Piece]] = {}
        for batch in batches:
            partitions, numbers = (batch.column(name).to_pylist() for name in ("partition", "shard"))
            positions, sums, total = (batch.column(name) for name in ("positions", "sums", "totals"))
            for i, (partition, shard) in enumerate(zip(partitions, numbers, strict=True)):
                if shard == TOTALS_SHARD:
                    if partition in totals:
                        raise InputChangedError(f"found the rows of partition {partition} twice")
                    totals[partition] = np.frombuffer(total[i].as_buffer())
                else:
                    rows = np.frombuffer(positions[i].as_buffer(), np.uint16)
                    changes = np.frombuffer(sums[i].as_buffer(), np.float32).reshape(rows.size, -1)
                    shards.setdefault(shard, []).append(Piece(partition, rows, changes))
        for pieces in shards.values():
            pieces.sort(key=lambda piece: piece.partition)
        return cls(dict(sorted(totals.items())), dict(sorted(shards.items())))


def sum_shard(pieces: Iterable[Piece], rows: int, width: int) -> DoubleArray:
    """The sums of a shard's rows: float64 (rows, width)."""
    sums = np.zeros((rows, width))
    for piece in pieces:
        add_rows(sums, piece.positions, piece.sums)
    return sums


@task
def _reduce(
    batches: Iterator[pa.RecordBatch], features: int, shard_size: int, width: int
) -> Iterator[pa.RecordBatch]:
    found = Updates.of(batches)
    for partition, totals in found.totals.items():
        row = {"partition": partition, "shard": TOTALS_SHARD, "totals": totals.tobytes()}
        yield pa.RecordBatch.from_pylist([row], schema=UPDATES)
    for shard, pieces in found.shards.items():
        sums = sum_shard(pieces, min(shard_size, features - shard * shard_size), width)
        touched = np.flatnonzero((sums != 0.0).any(axis=1)).astype(np.uint16)
        yield updates_batch(0, shard, touched, sums[touched].astype(np.float32))


def reduce_on_executors(updates: DataFrame, orders: Round) -> DataFrame:
    """Updates with one row per shard instead of one per shard and partition; totals pass through."""
    shards = -(-orders.features // orders.shard_size)
    width = sums_width(padded(orders.settings.factor_size), orders.scale.weighted)
    return updates.repartition(shards, "shard").mapInArrow(
        partial(_reduce, features=orders.features, shard_size=orders.shard_size, width=width), UPDATES_DDL
    )


def merged(
    table: FloatArray,
    updates: Updates,
    shard_size: int,
    coupling: Coupling,
    centre: DoubleArray,
    weighted: bool,
    threads: int,
) -> FloatArray:
    """A new table: the old one moved by the updates of all partitions, several shards at a time.

    ``centre`` is the sum of the partitions' own.
    """
    after: FloatArray = np.empty_like(table)
    np.copyto(after, table)

    def rows(shard: int) -> slice:
        return slice(shard * shard_size, (shard + 1) * shard_size)

    def merge(shard: int) -> DoubleArray:
        part = after[rows(shard)]
        sums = sum_shard(updates.shards[shard], part.shape[0], sums_width(centre.size - 3, weighted))
        return apply_merge(part, sums, coupling)

    def shift(shard: int) -> None:
        apply_centre(table[rows(shard)], after[rows(shard)], centre, moved)

    with ThreadPoolExecutor(threads) as pool:
        moved = sum(pool.map(merge, updates.shards), np.zeros(centre.size))
        list(pool.map(shift, updates.shards))
    return after
