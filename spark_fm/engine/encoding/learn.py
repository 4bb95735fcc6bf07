"""What a fit learns of a table: each field's values by frequency, and the edges of its buckets.

Spark counts the texts of all fields in one pass over the rows, and hashes them. The driver gets the hashes and the
counts, and of the most frequent values the text: a field of millions of values takes 16 bytes of the driver for each.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect_batches, persist, task_slots, unpersist
from spark_fm.engine.encoding.canonical import key_of
from spark_fm.engine.encoding.fields import EncodedField, Vocabulary, laid_out
from spark_fm.engine.encoding.inputs import texts_of
from spark_fm.engine.packing.arrow import to_numpy
from spark_fm.engine.packing.columns import quoted

LongArray = npt.NDArray[np.int64]

ACCURACY = 0.001
MOST_SALTS = 4
LEAST_TASKS = 8
LARGEST_COUNT = 2**63 - 1


def learned(
    dataset: DataFrame, fields: Sequence[EncodedField], max_names: int
) -> tuple[tuple[EncodedField, ...], int]:
    """The fields with what they learn, one after the other, and the salt of the hashes.

    Parameters
    ----------
    max_names : of how many values of a field, the most frequent ones, the text is kept
    """
    made = [_with_edges(dataset, one) if one.kind == "buckets" else one for one in fields]
    counting = [one for one in made if one.by_frequency]
    if not counting:
        return laid_out(made), 0
    counted = persist(_counted(dataset, counting))
    try:
        for salt in range(MOST_SALTS):
            found = _vocabularies(counted, counting, salt)
            if found is not None:
                break
        else:
            raise ValueError("fields: found values with one hash again and again, expected no such table")
        named = iter(_named(counted, found, salt, max_names))
    finally:
        unpersist(counted)
    return laid_out([replace(one, vocabulary=next(named)) if one.by_frequency else one for one in made]), salt


def _counted(dataset: DataFrame, counting: Sequence[EncodedField]) -> DataFrame:
    """How many rows each value of each field is in: (field int, its place; text string; count bigint)."""
    texts = dataset.select(F.inline(texts_of(dataset, counting))).where(F.col("text").isNotNull())
    counted = texts.groupBy("field", "text").agg(F.count(F.lit(1)).alias("count"))
    least = [1 if one.keeps_rare else one.options["minCount"] for one in counting]
    if max(least) > 1:
        counted = counted.where(F.col("count") >= _of_field(least))
    # Spark leaves what is persisted in all partitions of the shuffle: 200 small tasks take longer than counting.
    return counted.coalesce(max(LEAST_TASKS, task_slots(dataset.sparkSession, LEAST_TASKS)))


def _of_field(numbers: Sequence[int]) -> Column:
    """Of a number for each field, that of the row's field."""
    return F.get(F.array(*[F.lit(number).cast("bigint") for number in numbers]), F.col("field"))


def _vocabularies(counted: DataFrame, counting: Sequence[EncodedField], salt: int) -> list[Vocabulary] | None:
    """Each field's values, most frequent first and those as frequent by their hashes; None if two have one hash."""
    keys = counted.select("field", F.expr(key_of("text", salt)).alias("key"), "count")
    batches = collect_batches(keys)
    numbers, hashes, counts = (
        np.concatenate([_whole(batch, name) for batch in batches]) if batches else np.empty(0, np.int64)
        for name in ("field", "key", "count")
    )
    found = []
    for number, one in enumerate(counting):
        here = numbers == number
        mine, often = hashes[here], counts[here]
        if np.unique(mine).size < mine.size or (mine == -1).any():
            return None
        order = np.lexsort((mine, -often))
        kept = int((often >= one.options["minCount"]).sum())
        found.append(Vocabulary(mine[order], often[order], kept))
    return found


def _whole(batch: pa.RecordBatch, name: str) -> LongArray:
    made: LongArray = to_numpy(batch.column(name)).astype(np.int64)
    return made


def _named(counted: DataFrame, found: Sequence[Vocabulary], salt: int, max_names: int) -> list[Vocabulary]:
    """The vocabularies with the texts of their most frequent values."""
    sizes = [min(one.kept, max_names) for one in found]
    if not any(sizes):
        return list(found)
    lasts = [
        (int(one.counts[size - 1]), int(one.keys[size - 1])) if size else (LARGEST_COUNT, 0)
        for one, size in zip(found, sizes, strict=True)
    ]
    count, last_count = F.col("count"), _of_field([count for count, _ in lasts])
    as_frequent = (count == last_count) & (F.col("key") <= _of_field([key for _, key in lasts]))
    keys = counted.select("field", F.expr(key_of("text", salt)).alias("key"), "text", "count")
    texts: list[dict[int, str]] = [{} for _ in found]
    for batch in collect_batches(keys.where((count > last_count) | as_frequent).drop("count")):
        for number, key, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            texts[number][key] = text
    named = []
    for one, size, known in zip(found, sizes, texts, strict=True):
        # Where nothing is persisted and the input changes, a text may be missing: names end there.
        keys_known = takewhile(known.__contains__, one.keys[:size].tolist())
        named.append(replace(one, values=tuple(known[key] for key in keys_known)))
    return named


def _with_edges(dataset: DataFrame, one: EncodedField) -> EncodedField:
    """A field of buckets with the quantiles between them; equal ones once."""
    n = one.options["n"]
    number = dataset.select(F.col(quoted(one.columns[0])).cast("double").alias("x"))
    finite = number.where(F.col("x").isNotNull() & ~F.isnan("x") & (F.abs("x") < float("inf")))
    edges = finite.approxQuantile("x", [i / n for i in range(1, n)], ACCURACY)
    return replace(one, edges=tuple(sorted({float(edge) for edge in edges})))
