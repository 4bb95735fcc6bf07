"""Packed blocks to training partitions: deal the rows, and give each unit a dictionary of its own.

A row of the result is one block of a *unit*, the part of a partition's rows that one round visits, so a
round reads its own blocks only. Indices are positions in the unit's dictionary, which its first block carries:
positions in the union of all features, ascending. A unit without a dictionary uses the union itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.core.block import NO_FEATURES, Block, concatenate
from spark_fm.core.dictionary import Dictionary
from spark_fm.core.growing import Growing
from spark_fm.engine.jobs import collect
from spark_fm.engine.process import task
from spark_fm.engine.transport import Shipped

ROWS_TO_DEAL = 65_536
ROWS_A_BLOCK = 16_384

DEALT_DDL = "key bigint, partition int, part int, source int, number int, data binary"
DEALT = pa.schema(
    [
        ("key", pa.int64()),
        ("partition", pa.int32()),
        ("part", pa.int32()),
        ("source", pa.int32()),
        ("number", pa.int32()),
        ("data", pa.binary()),
    ]
)
PIECES = pa.schema([("partition", pa.int32()), ("part", pa.int32()), ("data", pa.binary())])
UNITS_DDL = "partition int, part int, number int, data binary"
UNITS = pa.schema(
    [
        ("partition", pa.int32()),
        ("part", pa.int32()),
        ("number", pa.int32()),
        ("data", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Union:
    """The ids of all features that occur, in the order of their positions. ``run`` names it for the workers' cache."""

    run: str
    features: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Deal:
    """How rows are dealt to partitions of ``parts`` units each; ``keys`` has each unit's shuffle key, by partition."""

    keys: list[int]
    parts: int
    held_out: float
    seed: int
    union: Shipped[Union]


# The dictionary of the last run that this worker process has seen: a worker deals many source partitions.
_dictionaries: dict[str, Dictionary] = {}


def _dictionary(union: Union) -> Dictionary:
    if union.run not in _dictionaries:
        _dictionaries.clear()
        _dictionaries[union.run] = Dictionary(union.features)
    return _dictionaries[union.run]


def partition_keys(spark: SparkSession, partitions: int) -> list[int]:
    """For each Spark partition an integer that hash partitioning sends there."""
    keys: dict[int, int] = {}
    tried = 16 * partitions
    while len(keys) < partitions:
        target = F.expr(f"cast(pmod(hash(id), {partitions}) as int)").alias("target")
        rows = collect(spark.range(tried).groupBy(target).agg(F.min("id").alias("key")))
        keys = {row["target"]: row["key"] for row in rows}
        tried *= 4
    return [keys[p] for p in range(partitions)]


def _blocks(batches: Iterator[pa.RecordBatch], names: tuple[str, str]) -> Iterator[tuple[int, int, Block]]:
    for batch in batches:
        first, second, data = (batch.column(name) for name in (*names, "data"))
        for i in range(batch.num_rows):
            yield first[i].as_py(), second[i].as_py(), Block.from_buffer(data[i].as_buffer())


@task
def deal(batches: Iterator[pa.RecordBatch], orders: Deal) -> Iterator[pa.RecordBatch]:
    """Deal each source partition's rows to all units, a random share each; indices become positions in the union.

    Validation rows go to part 0 of the partitions, which the first round of an epoch visits. When there are none and
    ``held_out`` > 0, that fraction of the rows becomes validation rows.
    """
    union: Dictionary | None = None
    known = Growing(np.empty(0, np.int32))
    waiting: list[Block] = []
    source = number = -1
    for here, number, block in _blocks(batches, ("source", "number")):
        union = union or _dictionary(orders.union.get())
        if here != source or sum(b.rows for b in waiting) >= ROWS_TO_DEAL:
            if waiting:
                yield _dealt(concatenate(waiting), source, number, orders)
            waiting = []
        if here != source:
            source, known = here, Growing(np.empty(0, np.int32))
        known.append(union.locate(block.features))
        waiting.append(replace(block, indices=known.view[block.indices], features=NO_FEATURES))
    if waiting:
        yield _dealt(concatenate(waiting), source, number + 1, orders)


def _dealt(block: Block, source: int, number: int, orders: Deal) -> pa.RecordBatch:
    keys, parts, held_out = orders.keys, orders.parts, orders.held_out
    random = np.random.default_rng([orders.seed, source, number, 0xDEA1])
    order = random.permutation(block.rows)
    flags = block.validation if block.validation.size else np.zeros(block.rows, np.bool_)
    if held_out > 0.0 and not block.validation.size:
        flags[order[: round(held_out * block.rows)]] = True
        block = replace(block, validation=flags)
    training = np.array_split(order[~flags[order]], len(keys))
    validation = np.array_split(order[flags[order]], len(keys) // parts)
    # Which unit gets the odd row must not be the same for every block.
    first = int(random.integers(len(training)))
    rows: list[dict[str, object]] = []
    for unit in range(len(training)):
        partition, part = divmod((unit + first) % len(training), parts)
        chosen = training[unit]
        if part == 0:
            chosen = np.concatenate([chosen, validation[partition]])
        if chosen.size:
            rows.append(
                {
                    "key": keys[partition * parts + part],
                    "partition": partition,
                    "part": part,
                    "source": source,
                    "number": number,
                    "data": block.take(chosen).to_bytes(),
                }
            )
    return pa.RecordBatch.from_pylist(rows, schema=DEALT)


@task
def join(batches: Iterator[pa.RecordBatch], own_dictionaries: bool) -> Iterator[pa.RecordBatch]:
    """Join the pieces of each unit to larger blocks.

    With ``own_dictionaries`` a unit's blocks wait until all are known; without, they stream.
    """
    unit, waiting, number = (-1, -1), list[Block](), 0
    for partition, part, block in _blocks(batches, ("partition", "part")):
        if (partition, part) != unit:
            yield from _unit(waiting, unit, number, own_dictionaries)
            unit, waiting, number = (partition, part), [], 0
        waiting.append(block)
        if not own_dictionaries and sum(b.rows for b in waiting) >= ROWS_A_BLOCK:
            yield from _unit(waiting, unit, number, own_dictionaries)
            waiting, number = [], number + 1
    yield from _unit(waiting, unit, number, own_dictionaries)


def _unit(
    pieces: list[Block], unit: tuple[int, int], number: int, own_dictionaries: bool
) -> Iterator[pa.RecordBatch]:
    if not pieces:
        return
    whole = concatenate(pieces)
    if own_dictionaries:
        dictionary = Dictionary()
        indices = dictionary.encode(whole.indices)
        features = dictionary.features()
        order = np.argsort(features)
        ranks = np.empty(order.size, np.int32)
        ranks[order] = np.arange(order.size, dtype=np.int32)
        whole = replace(whole, indices=ranks[indices], features=features[order])
    size = ROWS_A_BLOCK if own_dictionaries else whole.rows
    for first in range(0, whole.rows, size):
        block = whole if size >= whole.rows else whole.take(np.arange(first, min(first + size, whole.rows)))
        if first:
            block = replace(block, features=NO_FEATURES)
        row = {"partition": unit[0], "part": unit[1], "number": number, "data": block.to_bytes()}
        yield pa.RecordBatch.from_pylist([row], schema=UNITS)
        number += 1


def dealt_rows(packed: DataFrame, orders: Deal) -> DataFrame:
    """The pieces of all units (partition, part, data), hash-partitioned by their keys and in a fixed order."""
    blocks = packed.where(F.col("data").isNotNull()).select("source", "number", "data")
    dealt = blocks.mapInArrow(partial(deal, orders=orders), DEALT_DDL)
    ordered = dealt.repartition(len(set(orders.keys)), "key").sortWithinPartitions(
        "partition", "part", "source", "number"
    )
    return ordered.select("partition", "part", "data")
