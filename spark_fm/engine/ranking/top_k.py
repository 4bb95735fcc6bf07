"""The best items of each context, without a row per pair.

Items are sorted by key and become packets of vectors, which go to every task; contexts are dealt to the tasks. A task
receives all packets before its contexts, and ranks the items for each batch of contexts that comes: neither side has to
fit into its memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, StringType, StructField, StructType

from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.core.fm.losses import sigmoids
from spark_fm.core.fm.top_k import TopK
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.hashing import ints_by_partition
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.arrow import BadInputError, to_numpy
from spark_fm.engine.packing.keys import key_as
from spark_fm.engine.ranking.catalogue import Catalogue, told_features
from spark_fm.engine.ranking.reasons import CONTRIBUTION, LABEL, REASONS, REASONS_TYPE, Rows, reasons_of
from spark_fm.engine.ranking.vectors import Side, Splitter, is_right, matrix_of, side_vectors

RECOMMENDATIONS, RATING = "recommendations", "rating"
COLUMNS = ("context", RECOMMENDATIONS, "error")
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
    reasons : how many reasons a recommendation gets; where there are some, the splitter has labels
    fields : of the features, as far as they are known
    """

    contexts: Side
    items: Side
    k: int
    width: int
    probability: bool
    reasons: int = 0
    fields: tuple[Field, ...] = ()

    @property
    def contexts_at_once(self) -> int:
        """For how many contexts a task has ratings in memory."""
        return max(1, min(MOST_CONTEXTS_AT_ONCE, MOST_RATINGS_AT_ONCE // (self.k * (1 + self.reasons))))


@dataclass(frozen=True)
class Exclude:
    """Pairs of keys that are left out, and the types in which they are compared with those of contexts and of items."""

    pairs: DataFrame
    context_type: DataType
    item_type: DataType


def _check_sides(catalogue_features: npt.NDArray[np.int64], batch: pa.RecordBatch, asked: Ranking) -> None:
    for features in told_features(batch):
        both = np.intersect1d(catalogue_features, features, assume_unique=True)
        if both.size:
            name = FieldLayout(asked.fields).label(int(both[0]))
            raise BadInputError(
                f"column {asked.items.features!r}: the feature {name} is among those of the contexts and of the items, "
                "expected each feature on one side: what both have would count twice"
            )


class _Task:
    """What a task knows: the items, once all have come."""

    def __init__(self, asked: Ranking, splitter: Shipped[Splitter] | None, key_type: pa.DataType) -> None:
        self.asked, self._splitter, self._key_type = asked, splitter, key_type
        self.catalogue = Catalogue(asked.width, key_type)

    @cached_property
    def _keys(self) -> pa.ChunkedArray:
        return self.catalogue.keys()

    @cached_property
    def _item_features(self) -> npt.NDArray[np.int64]:
        return self.catalogue.features()

    @cached_property
    def _items(self) -> Rows:
        return self.catalogue.details()

    def check(self, contexts: pa.RecordBatch) -> None:
        """See :func:`_check_sides`."""
        _check_sides(self._item_features, contexts, self.asked)

    def recommendations(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows (context, recommendations, error) of some contexts."""
        vectors = matrix_of(batch.column("vectors"), self.asked.width)
        excluded = self.catalogue.excluded(batch.column("excluded"))
        best = TopK(vectors, min(self.asked.k, len(self.catalogue)), excluded)
        for first, items in self.catalogue.tiles():
            best.visit(items, first)
        counts, positions, z = best.result()
        found = self._keys.take(pa.array(positions)).combine_chunks()
        ratings = sigmoids(z, 0.0) if self.asked.probability else z
        columns, names = [found, pa.array(ratings)], [self.asked.items.key, RATING]
        if self._splitter is not None:
            columns.append(self._reasons(batch, counts, positions, self._splitter.get()))
            names.append(REASONS)
        offsets = pa.array(np.append(0, np.cumsum(counts)).astype(np.int32))
        lists = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, names))
        return pa.RecordBatch.from_arrays(
            [batch.column("context"), lists, pa.nulls(batch.num_rows, pa.string())], list(COLUMNS)
        )

    def _reasons(
        self,
        batch: pa.RecordBatch,
        counts: npt.NDArray[np.int64],
        positions: npt.NDArray[np.int64],
        splitter: Splitter,
    ) -> pa.Array:
        contexts = Rows.of_arrow(batch.column("details"), np.ones(batch.num_rows, np.int64))
        pairs = np.repeat(np.arange(batch.num_rows), counts), positions
        return reasons_of(splitter.table, splitter.labels, contexts, self._items, pairs, self.asked.reasons)

    def failed(self, error: BadInputError, context_type: pa.DataType) -> pa.RecordBatch:
        """A row with a sentence."""
        fields = [(self.asked.items.key, self._key_type), (RATING, pa.float64())]
        fields += [(REASONS, REASONS_TYPE)] * (self._splitter is not None)
        columns = [
            pa.nulls(1, context_type), pa.nulls(1, pa.list_(pa.struct(fields))), pa.array([str(error)])
        ]  # fmt: skip
        return pa.RecordBatch.from_arrays(columns, list(COLUMNS))


@task
def _rank(
    batches: Iterator[pa.RecordBatch], asked: Ranking, splitter: Shipped[Splitter] | None
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: packets of all items first, then contexts; stops at the first error."""
    ranking: _Task | None = None
    for batch in (b for b in batches if b.num_rows):
        if ranking is None:
            ranking = _Task(asked, splitter, batch.schema.field("keys").type.value_type)
        try:
            errors = batch.column("error").drop_null()
            if len(errors):
                raise BadInputError(errors[0].as_py())
            packets = int(np.count_nonzero(to_numpy(batch.column("side")) == ITEM))
            ranking.catalogue.add(batch.slice(0, packets))
            contexts = batch.slice(packets)
            if contexts.num_rows:
                ranking.check(contexts)
            for start in range(0, contexts.num_rows, asked.contexts_at_once):
                yield ranking.recommendations(contexts.slice(start, asked.contexts_at_once))
        except BadInputError as error:
            yield ranking.failed(error, batch.schema.field("context").type)
            return


def _left_out(exclude: Exclude, asked: Ranking) -> DataFrame:
    """The DataFrame (left_out_of, excluded): the keys of all items that a context leaves out."""
    pairs = exclude.pairs.select(
        key_as(exclude.pairs, asked.contexts.key, exclude.context_type).alias("left_out_of"),
        key_as(exclude.pairs, asked.items.key, exclude.item_type).alias("one"),
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
    exclude: Exclude | None = None,
) -> DataFrame:
    """The DataFrame (key of the context, recommendations: array<struct<key of the item, rating: double>>), lazily.

    Each recommendation has the field reasons: array<struct<label: string, contribution: double>> where some are asked.

    Parameters
    ----------
    contexts, items : with the columns of ``asked``
    tasks : how many tasks rank at most
    exclude : with the columns of both keys
    """
    item_key, context_key = (
        rows.schema[side.key].dataType for rows, side in ((items, asked.items), (contexts, asked.contexts))
    )
    ranked = side_vectors(contexts, splitter, asked.contexts, "rows").withColumnRenamed("keys", "context")
    excluded_type = ArrayType(item_key if exclude is None else exclude.item_type)
    if exclude is None:
        ranked = ranked.withColumn("excluded", F.lit(None).cast(excluded_type))
    else:
        left_out = _left_out(exclude, asked)
        same = ranked["context"].cast(exclude.context_type) == left_out["left_out_of"]
        ranked = ranked.join(left_out, same, "left")
    of_items = side_vectors(items, splitter, asked.items, "packets").select(
        F.lit(ITEM).alias("side"),
        "keys",
        F.lit(None).cast(context_key).alias("context"),
        "vectors",
        "features",
        "details",
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
        "details",
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
    fields = [StructField(asked.items.key, item_key), StructField(RATING, DoubleType())]
    if asked.reasons:
        reason = [StructField(LABEL, StringType()), StructField(CONTRIBUTION, DoubleType())]
        fields.append(StructField(REASONS, ArrayType(StructType(reason))))
    kinds: list[DataType] = [context_key, ArrayType(StructType(fields)), StringType()]
    made = StructType([StructField(name, kind) for name, kind in zip(COLUMNS, kinds, strict=True)])
    rank = partial(_rank, asked=asked, splitter=splitter if asked.reasons else None)
    return (
        dealt.repartition(tasks, "place")
        .sortWithinPartitions("side", F.col("keys")[0])
        .drop("number", "contexts", "places", "place")
        .mapInArrow(rank, made)
        .where(is_right(F.col("error")))
        .select(F.col("context").alias(asked.contexts.key), RECOMMENDATIONS)
    )
