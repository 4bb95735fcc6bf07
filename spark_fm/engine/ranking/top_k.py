"""The best items of each context, without a row per pair.

Items are sorted by key and become packets of vectors, which go to every task; contexts are dealt to the tasks. A task
receives all packets before its contexts, and ranks the items for each batch of contexts that comes: neither side has to
fit into its memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StringType, StructField, StructType

from spark_fm.core.fm.losses import sigmoids
from spark_fm.core.fm.top_k import TopK
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.hashing import ints_by_partition
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.arrow import BadInputError
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.ranking.catalogue import Catalogue, told_features
from spark_fm.engine.ranking.vectors import Side, Splitter, is_right, matrix_of, side_vectors

RECOMMENDATIONS, RATING = "recommendations", "rating"
# A task receives all items: for fewer contexts that would be most of its work.
FEWEST_CONTEXTS_A_TASK = 128
MOST_CONTEXTS_AT_ONCE, MOST_RATINGS_AT_ONCE = 8192, 2**21
ITEM, CONTEXT = 0, 1


@dataclass(frozen=True)
class Ranking:
    """What is asked of the tasks.

    Attributes
    ----------
    contexts, items : the names of their columns
    k : how many items a context gets
    width : K + 2, the length of the vectors
    probability : whether a rating is 1 / (1 + exp(-z)) instead of z
    """

    contexts: Side
    items: Side
    k: int
    width: int
    probability: bool


def _check_sides(catalogue_features: npt.NDArray[np.int64], batch: pa.RecordBatch, asked: Ranking) -> None:
    for features in told_features(batch):
        both = np.intersect1d(catalogue_features, features, assume_unique=True)
        if both.size:
            raise BadInputError(
                f"column {asked.items.features!r}: feature {both[0]} is among those of the contexts and of the items, "
                "expected each feature on one side: what both have would count twice"
            )


def _recommendations(
    batch: pa.RecordBatch, catalogue: Catalogue, keys: pa.ChunkedArray, asked: Ranking
) -> pa.RecordBatch:
    """Rows (context, recommendations, error) of some contexts."""
    vectors = matrix_of(batch.column("vectors"), asked.width)
    best = TopK(vectors, min(asked.k, len(catalogue)), catalogue.excluded(batch.column("excluded")))
    for first, items in catalogue.tiles():
        best.visit(items, first)
    counts, positions, z = best.result()
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    found = keys.take(pa.array(positions)).combine_chunks()
    ratings = sigmoids(z, 0.0) if asked.probability else z
    pairs = pa.StructArray.from_arrays([found, pa.array(ratings)], [asked.items.key, RATING])
    lists = pa.ListArray.from_arrays(offsets, pairs)
    return pa.RecordBatch.from_arrays(
        [batch.column("context"), lists, pa.nulls(batch.num_rows, pa.string())],
        ["context", RECOMMENDATIONS, "error"],
    )


@task
def _rank(batches: Iterator[pa.RecordBatch], asked: Ranking) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: packets of all items first, then contexts; stops at the first error."""
    catalogue: Catalogue | None = None
    item_features: npt.NDArray[np.int64] | None = None
    step = max(1, min(MOST_CONTEXTS_AT_ONCE, MOST_RATINGS_AT_ONCE // asked.k))
    for batch in (b for b in batches if b.num_rows):
        key_type = batch.schema.field("keys").type.value_type
        catalogue = catalogue or Catalogue(asked.width, key_type)
        try:
            errors = batch.column("error").drop_null()
            if len(errors):
                raise BadInputError(errors[0].as_py())
            packets_here = int(np.count_nonzero(batch.column("side").to_numpy() == ITEM))
            catalogue.add(batch.slice(0, packets_here))
            contexts = batch.slice(packets_here)
            if not contexts.num_rows:
                continue
            if item_features is None:
                item_features = catalogue.features()
            _check_sides(item_features, contexts, asked)
            keys = catalogue.keys()
            for start in range(0, contexts.num_rows, step):
                yield _recommendations(contexts.slice(start, step), catalogue, keys, asked)
        except BadInputError as error:
            yield _error_row(str(error), batch.schema.field("context").type, key_type, asked)
            return


def _error_row(
    sentence: str, context_type: pa.DataType, key_type: pa.DataType, asked: Ranking
) -> pa.RecordBatch:
    pairs = pa.struct([(asked.items.key, key_type), (RATING, pa.float64())])
    columns = [pa.nulls(1, context_type), pa.nulls(1, pa.list_(pairs)), pa.array([sentence])]
    return pa.RecordBatch.from_arrays(columns, ["context", RECOMMENDATIONS, "error"])


def _left_out(exclude: DataFrame, asked: Ranking) -> DataFrame:
    """The DataFrame (left_out_of, excluded): the keys of all items that a context leaves out."""
    pairs = exclude.select(
        exclude[quoted(asked.contexts.key)].alias("left_out_of"),
        exclude[quoted(asked.items.key)].alias("one"),
    )
    return pairs.groupBy("left_out_of").agg(F.collect_set("one").alias("excluded"))


def _places(tasks: int, contexts: Column) -> Column:
    """As many of the places as the number of contexts deserves, an array."""
    wanted = F.ceil(contexts / FEWEST_CONTEXTS_A_TASK).cast("int")
    places = F.array(*(F.lit(place) for place in ints_by_partition(tasks)))
    return F.slice(places, F.lit(1), F.least(F.lit(tasks), F.greatest(F.lit(1), wanted)))


def recommendations(
    contexts: DataFrame,
    items: DataFrame,
    splitter: Shipped[Splitter],
    asked: Ranking,
    tasks: int,
    exclude: DataFrame | None = None,
) -> DataFrame:
    """The DataFrame (key of the context, recommendations: array<struct<key of the item, rating: double>>), lazily.

    Parameters
    ----------
    contexts, items : with the columns of ``asked``
    tasks : how many tasks rank at most
    exclude : the columns of both keys: pairs that are left out
    """
    item_key, context_key = (
        rows.schema[side.key].dataType for rows, side in ((items, asked.items), (contexts, asked.contexts))
    )
    ranked = side_vectors(contexts, splitter, asked.contexts, "rows").withColumnRenamed("keys", "context")
    excluded_type = ArrayType(item_key if exclude is None else exclude.schema[asked.items.key].dataType)
    if exclude is None:
        ranked = ranked.withColumn("excluded", F.lit(None).cast(excluded_type))
    else:
        left_out = _left_out(exclude, asked)
        ranked = ranked.join(left_out, ranked["context"] == left_out["left_out_of"], "left")
    of_items = side_vectors(items, splitter, asked.items, "packets").select(
        F.lit(ITEM).alias("side"),
        "keys",
        F.lit(None).cast(context_key).alias("context"),
        "vectors",
        "features",
        F.lit(None).cast(excluded_type).alias("excluded"),
        "error",
        F.lit(0).cast("bigint").alias("number"),
    )
    of_contexts = ranked.select(
        F.lit(CONTEXT).alias("side"),
        F.lit(None).cast(ArrayType(item_key)).alias("keys"),
        "context",
        "vectors",
        "features",
        "excluded",
        "error",
        F.monotonically_increasing_id().alias("number"),
    )
    counted = contexts.select(F.count(F.lit(1)).alias("contexts"))
    dealt = (
        of_items.unionAll(of_contexts)
        .crossJoin(F.broadcast(counted))
        .withColumn("places", _places(tasks, F.col("contexts")))
    )
    own = F.element_at("places", (F.pmod(F.xxhash64("number"), F.size("places")) + 1).cast("int"))
    dealt = dealt.withColumn(
        "place", F.explode(F.when(F.col("side") == ITEM, F.col("places")).otherwise(F.array(own)))
    )
    pair = StructType([StructField(asked.items.key, item_key), StructField(RATING, DoubleType())])
    made = StructType(
        [
            StructField("context", context_key),
            StructField(RECOMMENDATIONS, ArrayType(pair)),
            StructField("error", StringType()),
        ]
    )
    return (
        dealt.repartition(tasks, "place")
        .sortWithinPartitions("side", F.col("keys")[0])
        .drop("number", "contexts", "places", "place")
        .mapInArrow(partial(_rank, asked=asked), made)
        .where(is_right(F.col("error")))
        .select(F.col("context").alias(asked.contexts.key), RECOMMENDATIONS)
    )
