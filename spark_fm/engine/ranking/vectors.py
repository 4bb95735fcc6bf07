"""The vectors phi and psi of rows that have the features of one side, made by the workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, DoubleType, StringType, StructField, StructType

from spark_fm.core.fm.sides import context_vectors, item_vectors, side_rows
from spark_fm.core.fm.weights import Weights
from spark_fm.core.sparse.dictionary import DenseDictionary, Dictionary, dictionary_of
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.arrow import BadInputError, read_known, to_numpy
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.packing.input_columns import FeaturesKind
from spark_fm.engine.ranking.reasons import Rows
from spark_fm.engine.scoring.udf import as_rows

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

# Rows reach a worker up to 10,000 at a time: of so many bytes each, that is 80 MB.
BYTES_A_PACKET = 8192
COLUMNS = ("keys", "vectors", "features", "details", "error")
Form = Literal["rows", "arrays", "packets"]


@dataclass(frozen=True)
class Side:
    """What the rows of contexts, or of items, are: the names of their columns of keys and of features."""

    name: Literal["context", "item"]
    key: str
    features: str
    kind: FeaturesKind

    def columns(self, rows: DataFrame) -> DataFrame:
        """The DataFrame (key, features)."""
        plain = as_rows(rows)
        return plain.select(
            rows[quoted(self.key)].alias("key"), rows[quoted(self.features)].alias("features")
        )


class Split(NamedTuple):
    """Some rows of a side: their vectors, float64 (rows, K + 2); the ids of the features with parameters that occur in
    them, int64, ascending; and the rows themselves.
    """

    vectors: DoubleArray
    features: LongArray
    rows: Rows


@dataclass(frozen=True)
class Splitter:
    """A model on a worker, for rows of one side.

    ``num_features`` is the size that vectors must have. Where reasons are asked for, ``labels`` names the features that
    have parameters, in their order.
    """

    weights: Weights
    num_features: int
    labels: pa.Array | None = None

    @cached_property
    def table(self) -> npt.NDArray[np.float32]:
        """The parameters, as kernels read them."""
        return self.weights.table

    @cached_property
    def _dictionary(self) -> Dictionary | DenseDictionary:
        return dictionary_of(self.weights.features)

    def split(self, features: pa.Array, side: Side) -> Split:
        """What a column of features is as a side.

        Raises
        ------
        BadInputError
            When a row is null, malformed, or of another size than the model's.
        """
        sparse = read_known(features, side.kind, side.features, self.num_features)
        positions = self._dictionary.locate(sparse.ids)
        sums = np.empty((len(features), self.weights.factors.shape[1]))
        own = np.empty(len(features))
        side_rows(self.table, sparse.indptr.astype(np.int32), positions, sparse.values, sums, own)
        if side.name == "context":
            vectors = context_vectors(sums, own, self.weights.intercept)
        else:
            vectors = item_vectors(sums, own)
        known = self.weights.features[np.unique(positions[positions >= 0])]
        return Split(vectors, known, Rows.known(sparse.indptr, positions, sparse.values))


def _split_batch(batch: pa.RecordBatch, splitter: Shipped[Splitter], side: Side) -> Split:
    """See :meth:`Splitter.split`."""
    if batch.column("key").null_count:
        raise BadInputError(f"column {side.key!r}: found null as the key of one of the {side.name}s")
    try:
        return splitter.get().split(batch.column("features"), side)
    except BadInputError as error:
        raise BadInputError(f"{side.name}s: {error}") from None


def binary_rows(matrix: DoubleArray, rows_a_value: int = 1) -> pa.Array:
    """A binary array, each value of which has so many rows of a float64 matrix; nothing is copied."""
    offsets = to_numpy(_offsets(matrix.shape[0], rows_a_value)) * np.int32(8 * matrix.shape[1])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix))]
    return pa.Array.from_buffers(pa.binary(), offsets.size - 1, buffers)


def matrix_of(values: pa.Array, width: int) -> DoubleArray:
    """The inverse of :func:`binary_rows`, also of slices; values are not null."""
    if not len(values) or not width:
        return np.empty((0, width))
    _, offsets, data = values.buffers()
    # Spark's option useLargeVarTypes gives offsets of 64 bits.
    wide = pa.types.is_large_binary(values.type)
    ends = np.frombuffer(offsets, np.int64 if wide else np.int32)[
        [values.offset, values.offset + len(values)]
    ]
    flat = np.frombuffer(data, np.float64, int(ends[1] - ends[0]) // 8, int(ends[0]))
    return flat.reshape(-1, width)


def _offsets(rows: int, step: int) -> pa.Array:
    """Where lists begin that have so many of some rows each."""
    return pa.array(np.append(np.arange(0, rows, step), rows).astype(np.int32))


def _vectors_of(keys: pa.Array, vectors: DoubleArray, form: Form, step: int) -> tuple[pa.Array, pa.Array]:
    """The columns of keys and of vectors."""
    rows, width = vectors.shape
    if form == "arrays":
        return keys, pa.ListArray.from_arrays(_offsets(rows * width, width), pa.array(vectors.ravel()))
    if form == "rows":
        return keys, binary_rows(vectors)
    return pa.ListArray.from_arrays(_offsets(rows, step), keys), binary_rows(vectors, step)


@task
def _vectors(
    batches: Iterator[pa.RecordBatch], splitter: Shipped[Splitter], side: Side, form: Form
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: stops at the first bad batch."""
    for batch in (b for b in batches if b.num_rows):
        keys = batch.column("key")
        try:
            split = _split_batch(batch, splitter, side)
        except BadInputError as error:
            types = [column.type for column in _vectors_of(keys.slice(0, 0), np.empty((0, 1)), form, 1)]
            nulls = [pa.nulls(1, kind) for kind in (*types, pa.binary(), pa.binary())]
            yield pa.RecordBatch.from_arrays([*nulls, pa.array([str(error)])], list(COLUMNS))
            return
        step = max(1, BYTES_A_PACKET // (8 * split.vectors.shape[1])) if form == "packets" else 1
        columns = _vectors_of(keys, split.vectors, form, step)
        rows = len(columns[0])
        # One row tells which features there are in all of the batch: whoever meets it knows those of all items.
        told = pa.array([split.features.tobytes()] + [None] * (rows - 1), pa.binary())
        details = pa.nulls(rows, pa.binary())
        if splitter.get().labels is not None:
            details = split.rows.to_arrow(step)
        yield pa.RecordBatch.from_arrays(
            [*columns, told, details, pa.nulls(rows, pa.string())], list(COLUMNS)
        )


def side_vectors(rows: DataFrame, splitter: Shipped[Splitter], side: Side, form: Form) -> DataFrame:
    """The DataFrame (keys, vectors, features, details, error), lazily.

    Parameters
    ----------
    form : "rows" for a key, and its vector as bytes; "arrays" for a key, and its vector as array<double>; "packets" for
        arrays of keys, and the bytes of as many vectors, ascending by key within a packet and from packet to packet

    In some rows ``features`` has the ids of the features of many, as bytes. ``details`` has the non-zeros of the rows
    where the splitter has labels. A row with an ``error`` has nothing else.
    """
    key_type = rows.schema[side.key].dataType
    chosen = side.columns(rows)
    kinds: list[DataType] = [
        ArrayType(key_type) if form == "packets" else key_type,
        ArrayType(DoubleType()) if form == "arrays" else BinaryType(),
        BinaryType(),
        BinaryType(),
        StringType(),
    ]
    made = StructType([StructField(name, kind) for name, kind in zip(COLUMNS, kinds, strict=True)])
    ordered = chosen.orderBy("key") if form == "packets" else chosen
    return ordered.mapInArrow(partial(_vectors, splitter=splitter, side=side, form=form), made)


def is_right(error: Column) -> Column:
    """A condition that is always true, or raises the sentence of the row."""
    return F.when(error.isNull(), F.lit(True)).otherwise(F.raise_error(error).cast("boolean"))


def vector_column(rows: DataFrame, splitter: Shipped[Splitter], side: Side, output: str) -> DataFrame:
    """The keys, and a lazy column array<double> of phi or psi."""
    made = side_vectors(rows, splitter, side, "arrays").where(is_right(F.col("error")))
    return made.select(F.col("keys").alias(side.key), F.col("vectors").alias(output))
