"""What a fit learns of a table: each field's values by frequency, and the edges of its buckets.

Spark counts the texts of the values and hashes them. The driver gets the hashes and the counts, and of the most
frequent values the text: a field of millions of values takes 16 bytes of the driver for each.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect_batches, persist, unpersist
from spark_fm.engine.encoding.canonical import key_of
from spark_fm.engine.encoding.fields import EncodedField, Vocabulary, laid_out
from spark_fm.engine.encoding.inputs import texts_of
from spark_fm.engine.packing.arrow import to_numpy
from spark_fm.engine.packing.columns import quoted

LongArray = npt.NDArray[np.int64]

ACCURACY = 0.001
MOST_SALTS = 4


def learned(
    dataset: DataFrame, fields: Sequence[EncodedField], max_names: int
) -> tuple[tuple[EncodedField, ...], int]:
    """The fields with what they learn, one after the other, and the salt of the hashes.

    Parameters
    ----------
    max_names : of how many values of a field, the most frequent ones, the text is kept
    """
    made = [_with_edges(dataset, one) if one.kind == "buckets" else one for one in fields]
    counting = [number for number, one in enumerate(made) if one.by_frequency]
    if not counting:
        return laid_out(made), 0
    counted = persist(
        reduce(DataFrame.unionAll, (_counted(dataset, number, made[number]) for number in counting))
    )
    try:
        for salt in range(MOST_SALTS):
            found = _vocabularies(counted, made, counting, salt)
            if found is not None:
                break
        else:
            raise ValueError("fields: found values with one hash again and again, expected no such table")
        named = _names(counted, counting, salt, max_names)
    finally:
        unpersist(counted)
    for number, vocabulary in found.items():
        names = named.get(number, {})
        values = []
        for key in vocabulary.keys[: min(vocabulary.kept, max_names)].tolist():
            if key not in names:
                break
            values.append(names[key])
        made[number] = replace(made[number], vocabulary=replace(vocabulary, values=tuple(values)))
    return laid_out(made), salt


def _counted(dataset: DataFrame, number: int, one: EncodedField) -> DataFrame:
    """How many rows each value of a field is in: (field int, text string, count bigint)."""
    texts = dataset.select(F.explode(texts_of(dataset, one)).alias("text")).where(F.col("text").isNotNull())
    counted = texts.groupBy("text").agg(F.count(F.lit(1)).alias("count"))
    if not one.keeps_rare:
        counted = counted.where(F.col("count") >= one.options["minCount"])
    return counted.select(F.lit(number).alias("field"), "text", "count")


def _vocabularies(
    counted: DataFrame, fields: Sequence[EncodedField], counting: Sequence[int], salt: int
) -> dict[int, Vocabulary] | None:
    """Each field's values, most frequent first and those as frequent by their hashes; None if two have one hash."""
    keys = counted.select("field", key_of(F.col("text"), salt).alias("key"), "count")
    batches = collect_batches(keys)
    numbers, hashes, counts = (
        np.concatenate([_whole(batch, name) for batch in batches]) if batches else np.empty(0, np.int64)
        for name in ("field", "key", "count")
    )
    found: dict[int, Vocabulary] = {}
    for number in counting:
        here = numbers == number
        mine, often = hashes[here], counts[here]
        if np.unique(mine).size < mine.size or (mine == -1).any():
            return None
        order = np.lexsort((mine, -often))
        kept = int((often >= fields[number].options["minCount"]).sum())
        found[number] = Vocabulary(mine[order], often[order], kept)
    return found


def _whole(batch: pa.RecordBatch, name: str) -> LongArray:
    made: LongArray = to_numpy(batch.column(name)).astype(np.int64)
    return made


def _names(
    counted: DataFrame, counting: Sequence[int], salt: int, max_names: int
) -> dict[int, dict[int, str]]:
    """Of each field the texts of the most frequent values, by their hashes."""
    if not max_names:
        return {}
    key = key_of(F.col("text"), salt)
    most = [
        counted.where(F.col("field") == number)
        .select("field", key.alias("key"), "text", "count")
        .orderBy(F.desc("count"), "key")
        .limit(max_names)
        for number in counting
    ]
    found: dict[int, dict[int, str]] = {}
    for batch in collect_batches(reduce(DataFrame.unionAll, most)):
        for row in batch.select(["field", "key", "text"]).to_pylist():
            found.setdefault(row["field"], {})[row["key"]] = row["text"]
    return found


def _with_edges(dataset: DataFrame, one: EncodedField) -> EncodedField:
    """A field of buckets with the quantiles between them; equal ones once."""
    n = one.options["n"]
    number = dataset.select(F.col(quoted(one.columns[0])).cast("double").alias("x"))
    finite = number.where(F.col("x").isNotNull() & ~F.isnan("x") & (F.abs("x") < float("inf")))
    edges = finite.approxQuantile("x", [i / n for i in range(1, n)], ACCURACY)
    return replace(one, edges=tuple(sorted({float(edge) for edge in edges})))
