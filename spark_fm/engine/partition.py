"""Packed blocks to training partitions: deal the rows, localise the ids, count the features.

A row of the result is one block of a *unit*, the part of a partition's rows that one round visits. Each
unit has its own dictionary, so a round reads its own blocks only.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.core.block import Block, concatenate
from spark_fm.core.dictionary import Dictionary
from spark_fm.engine.jobs import collect
from spark_fm.engine.process import task

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
UNITS_DDL = "partition int, part int, number int, data binary"
UNITS = pa.schema(
    [
        ("partition", pa.int32()),
        ("part", pa.int32()),
        ("number", pa.int32()),
        ("data", pa.binary()),
    ]
)


def partition_keys(spark: SparkSession, partitions: int) -> list[int]:
    """For each partition an integer that Spark's hash partitioning sends there."""
    keys: dict[int, int] = {}
    tried = 16 * partitions
    while len(keys) < partitions:
        target = F.expr(f"cast(pmod(hash(id), {partitions}) as int)").alias("target")
        rows = collect(spark.range(tried).groupBy(target).agg(F.min("id").alias("key")))
        keys = {row["target"]: row["key"] for row in rows}
        tried *= 4
    return [keys[p] for p in range(partitions)]


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[dict[str, int], Block]]:
    for batch in batches:
        data = batch.column("data")
        names = [
            n for n in batch.schema.names if n != "data" and n in ("partition", "part", "source", "number")
        ]
        columns = {n: batch.column(n) for n in names}
        for i in range(batch.num_rows):
            yield (
                {n: c[i].as_py() for n, c in columns.items()},
                Block.from_buffer(data[i].as_buffer()),
            )


def _batch(rows: list[dict[str, object]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=schema)


@task
def deal(
    batches: Iterator[pa.RecordBatch], keys: list[int], parts: int, held_out: float, seed: int
) -> Iterator[pa.RecordBatch]:
    """Deal each source partition's rows to all units, a random share each.

    Validation rows go to part 0 of the partitions, which the first round of an epoch visits. When there are none and
    ``held_out`` > 0, that fraction of the rows becomes validation rows.
    """
    waiting: list[Block] = []
    place: dict[str, int] = {}
    for place, block in _blocks(batches):
        waiting.append(block)
        if sum(b.rows for b in waiting) >= ROWS_TO_DEAL:
            yield _dealt(concatenate(waiting), place, keys, parts, held_out, seed)
            waiting = []
    if waiting:
        yield _dealt(concatenate(waiting), place, keys, parts, held_out, seed)


def _dealt(
    block: Block, place: dict[str, int], keys: list[int], parts: int, held_out: float, seed: int
) -> pa.RecordBatch:
    source, number = place["source"], place["number"]
    random = np.random.default_rng([seed, source, number, 0xDEA1])
    order = random.permutation(block.rows)
    flags = block.validation if block.validation.size else np.zeros(block.rows, np.bool_)
    if held_out > 0.0 and not block.validation.size:
        flags[order[: round(held_out * block.rows)]] = True
        block = Block(
            block.indptr, block.indices, block.values, block.label, block.weight, flags, block.features
        )
    training = np.array_split(order[~flags[order]], len(keys) * parts)
    validation = np.array_split(order[flags[order]], len(keys))
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
                    "key": keys[partition],
                    "partition": partition,
                    "part": part,
                    "source": source,
                    "number": number,
                    "data": block.take(chosen).to_bytes(),
                }
            )
    return _batch(rows, DEALT)


@task
def localise(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join the pieces of each unit to larger blocks whose indices are positions in the unit's dictionary."""
    unit, number, waiting = (-1, -1), 0, list[Block]()
    dictionary = Dictionary()
    for place, block in _blocks(batches):
        here = (place["partition"], place["part"])
        if here != unit or sum(b.rows for b in waiting) >= ROWS_A_BLOCK:
            if waiting:
                yield _localised(waiting, unit, number, dictionary)
                number += 1
            waiting = []
        if here != unit:
            unit, number, dictionary = here, 0, Dictionary()
        waiting.append(block)
    if waiting:
        yield _localised(waiting, unit, number, dictionary)


def _localised(
    blocks: list[Block], unit: tuple[int, int], number: int, dictionary: Dictionary
) -> pa.RecordBatch:
    block = concatenate(blocks)
    known = len(dictionary)
    indices = dictionary.encode(block.indices)
    features = dictionary.features()[known:] if len(dictionary) > known else block.features[:0]
    local = Block(block.indptr, indices, block.values, block.label, block.weight, block.validation, features)
    row = {"partition": unit[0], "part": unit[1], "number": number, "data": local.to_bytes()}
    return _batch([row], UNITS)


def into_units(packed: DataFrame, keys: list[int], parts: int, held_out: float, seed: int) -> DataFrame:
    """The units of a packed DataFrame, hash-partitioned by ``key`` and in a fixed order."""
    dealt = packed.select("source", "number", "data").mapInArrow(
        partial(deal, keys=keys, parts=parts, held_out=held_out, seed=seed), DEALT_DDL
    )
    ordered = dealt.repartition(len(keys), "key").sortWithinPartitions(
        "partition", "part", "source", "number"
    )
    return ordered.select("partition", "part", "source", "number", "data").mapInArrow(localise, UNITS_DDL)
