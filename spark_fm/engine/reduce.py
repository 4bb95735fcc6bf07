"""The updates of all partitions become sums: on the driver, or on the executors when they are many."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from spark_fm.core.compile import compiled
from spark_fm.engine.process import task
from spark_fm.engine.worker import TOTALS_SHARD, UPDATES, UPDATES_DDL

DoubleArray = npt.NDArray[np.float64]


@compiled
def _add_rows(
    sums: DoubleArray, positions: npt.NDArray[np.int32], first: int, more: npt.NDArray[np.float32]
) -> None:
    for i in range(positions.size):
        row = positions[i] - first
        for f in range(sums.shape[1]):
            sums[row, f] += float(more[i, f])


def sum_shard(pieces: Iterable[tuple[bytes, bytes]], first: int, rows: int, width: int) -> DoubleArray:
    """The sums of one shard: float64 (rows, width), from (positions, sums) of each partition in turn."""
    sums = np.zeros((rows, width))
    for positions, more in pieces:
        _add_rows(
            sums,
            np.frombuffer(positions, np.int32),
            first,
            np.frombuffer(more, np.float32).reshape(-1, width),
        )
    return sums


@task
def _reduce(
    batches: Iterator[pa.RecordBatch], features: int, shard_size: int, width: int
) -> Iterator[pa.RecordBatch]:
    pieces: dict[int, list[tuple[int, bytes, bytes]]] = {}
    for batch in batches:
        for row in batch.to_pylist():
            if row["shard"] == TOTALS_SHARD:
                yield pa.RecordBatch.from_pylist([row], schema=UPDATES)
            else:
                piece = (row["partition"], row["positions"], row["sums"])
                pieces.setdefault(row["shard"], []).append(piece)
    for shard, mine in pieces.items():
        first = shard * shard_size
        rows = min(shard_size, features - first)
        # In the order of the partitions, whichever arrived first: sums of floats depend on it.
        ordered = [(positions, sums) for _, positions, sums in sorted(mine, key=lambda p: p[0])]
        sums = sum_shard(ordered, first, rows, width)
        touched = np.flatnonzero((sums != 0.0).any(axis=1)).astype(np.int32)
        row = {
            "partition": 0,
            "shard": shard,
            "positions": (touched + np.int32(first)).tobytes(),
            "sums": sums[touched].astype(np.float32).tobytes(),
        }
        yield pa.RecordBatch.from_pylist([row], schema=UPDATES)


def reduce_on_executors(
    updates: DataFrame, shards: int, features: int, shard_size: int, width: int
) -> DataFrame:
    """Updates with one row per shard instead of one per shard and partition; totals pass through."""
    return updates.repartition(shards, "shard").mapInArrow(
        partial(_reduce, features=features, shard_size=shard_size, width=width), UPDATES_DDL
    )


def totals_of(rows: list[dict[str, Any]]) -> dict[int, DoubleArray]:
    """The totals of each partition, in the order of the partitions."""
    found = {r["partition"]: np.frombuffer(r["totals"]) for r in rows if r["shard"] == TOTALS_SHARD}
    return dict(sorted(found.items()))


def shards_of(rows: list[dict[str, Any]]) -> dict[int, list[tuple[bytes, bytes]]]:
    """(positions, sums) by shard, in the order of the partitions."""
    shards: dict[int, list[tuple[bytes, bytes]]] = {}
    updates = (r for r in rows if r["shard"] != TOTALS_SHARD)
    for row in sorted(updates, key=lambda r: (r["shard"], r["partition"])):
        shards.setdefault(row["shard"], []).append((row["positions"], row["sums"]))
    return shards
