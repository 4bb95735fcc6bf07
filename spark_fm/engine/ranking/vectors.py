"""The vectors phi and psi of rows that have the features of one side, made by the workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

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
from spark_fm.engine.packing.arrow import BadInputError, read_features
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.packing.input_columns import FeaturesKind
from spark_fm.engine.scoring.udf import as_rows

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

# Rows reach a worker up to 10,000 at a time: of so many bytes each, that is 80 MB.
BYTES_A_PACKET = 8192


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


@dataclass(frozen=True)
class Splitter:
    """A model on a worker, for rows of one side; ``num_features`` is the size that vectors must have."""

    weights: Weights
    num_features: int

    @cached_property
    def _table(self) -> npt.NDArray[np.float32]:
        return self.weights.table

    @cached_property
    def _dictionary(self) -> Dictionary | DenseDictionary:
        return dictionary_of(self.weights.features)

    def split(self, features: pa.Array, side: Side) -> tuple[DoubleArray, LongArray]:
        """The vectors of a column of features, float64 (rows, K + 2), and the ids of the features with parameters that
        occur in it, int64, ascending.

        Raises
        ------
        BadInputError
            When a row is null, malformed, or of another size than the model's.
        """
        sparse = read_features(features, side.kind, side.features)
        if side.kind != "ids" and sparse.size not in (-1, self.num_features):
            raise BadInputError(
                f"column {side.features!r}: vectors of size {sparse.size}, expected {self.num_features}, the number "
                "of features that the model was trained on"
            )
        positions = self._dictionary.locate(sparse.ids)
        sums = np.empty((len(features), self.weights.factors.shape[1]))
        own = np.empty(len(features))
        side_rows(self._table, sparse.indptr.astype(np.int32), positions, sparse.values, sums, own)
        known = self.weights.features[np.unique(positions[positions >= 0])]
        if side.name == "context":
            return context_vectors(sums, own, self.weights.intercept), known
        return item_vectors(sums, own), known


def _split_batch(
    batch: pa.RecordBatch, splitter: Shipped[Splitter], side: Side
) -> tuple[DoubleArray, LongArray]:
    """See :meth:`Splitter.split`."""
    if batch.column("key").null_count:
        raise BadInputError(f"column {side.key!r}: found null as the key of one of the {side.name}s")
    try:
        return splitter.get().split(batch.column("features"), side)
    except BadInputError as error:
        raise BadInputError(f"{side.name}s: {error}") from None


def binary_rows(matrix: DoubleArray, rows_a_value: int = 1) -> pa.Array:
    """A binary array, each value of which has so many rows of a float64 matrix; nothing is copied."""
    rows = matrix.shape[0]
    starts = np.append(np.arange(0, rows, rows_a_value), rows).astype(np.int32)
    offsets = starts * np.int32(8 * matrix.shape[1])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix))]
    return pa.Array.from_buffers(pa.binary(), starts.size - 1, buffers)


def matrix_of(values: pa.Array, width: int) -> DoubleArray:
    """The inverse of :func:`binary_rows`, also of slices; values are not null."""
    if not len(values) or not width:
        return np.empty((0, width))
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]]
    flat = np.frombuffer(data, np.float64, int(ends[1] - ends[0]) // 8, int(ends[0]))
    return flat.reshape(-1, width)


def _with_first(value: bytes, rows: int) -> pa.Array:
    """A value, and null for the other rows."""
    return pa.array([value] + [None] * (rows - 1), pa.binary())


def _failed(error: BadInputError, schema: pa.Schema) -> pa.RecordBatch:
    row = {name: None for name in schema.names} | {"error": str(error)}
    return pa.RecordBatch.from_pylist([row], schema=schema)


@task
def _row_vectors(
    batches: Iterator[pa.RecordBatch], splitter: Shipped[Splitter], side: Side
) -> Iterator[pa.RecordBatch]:
    for batch in (b for b in batches if b.num_rows):
        keys = batch.column("key")
        names = ["key", "vectors", "features", "error"]
        try:
            vectors, features = _split_batch(batch, splitter, side)
        except BadInputError as error:
            types = [keys.type, pa.binary(), pa.binary(), pa.string()]
            yield _failed(error, pa.schema(zip(names, types, strict=True)))
            return
        # One row tells for all of the batch which features there are: a task that meets it knows all items.
        told = _with_first(features.tobytes(), len(keys))
        columns = [keys, binary_rows(vectors), told, pa.nulls(len(keys), pa.string())]
        yield pa.RecordBatch.from_arrays(columns, names)


@task
def _packets(
    batches: Iterator[pa.RecordBatch], splitter: Shipped[Splitter], side: Side
) -> Iterator[pa.RecordBatch]:
    names = ["keys", "vectors", "features", "error"]
    for batch in (b for b in batches if b.num_rows):
        keys = batch.column("key")
        try:
            vectors, features = _split_batch(batch, splitter, side)
        except BadInputError as error:
            types = [pa.list_(keys.type), pa.binary(), pa.binary(), pa.string()]
            yield _failed(error, pa.schema(zip(names, types, strict=True)))
            return
        rows = max(1, BYTES_A_PACKET // (8 * vectors.shape[1]))
        data = binary_rows(vectors, rows)
        offsets = np.append(np.arange(0, len(keys), rows), len(keys)).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), keys)
        told = _with_first(features.tobytes(), len(data))
        yield pa.RecordBatch.from_arrays([lists, data, told, pa.nulls(len(data), pa.string())], names)


@task
def _arrays(
    batches: Iterator[pa.RecordBatch], splitter: Shipped[Splitter], side: Side
) -> Iterator[pa.RecordBatch]:
    names = ["key", "vector", "error"]
    for batch in (b for b in batches if b.num_rows):
        keys = batch.column("key")
        try:
            vectors, _ = _split_batch(batch, splitter, side)
        except BadInputError as error:
            types = [keys.type, pa.list_(pa.float64()), pa.string()]
            yield _failed(error, pa.schema(zip(names, types, strict=True)))
            return
        offsets = np.arange(len(keys) + 1, dtype=np.int32) * np.int32(vectors.shape[1])
        made = pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel()))
        yield pa.RecordBatch.from_arrays([keys, made, pa.nulls(len(keys), pa.string())], names)


def row_type(**columns: DataType) -> StructType:
    """The schema of nullable columns."""
    return StructType([StructField(name, kind) for name, kind in columns.items()])


def row_vectors(rows: DataFrame, splitter: Shipped[Splitter], side: Side) -> DataFrame:
    """The DataFrame (key, vectors, features, error): phi or psi of each row as bytes, and in some rows the ids of the
    features of many. A row with an error has nothing else.
    """
    found = row_type(
        key=rows.schema[side.key].dataType, vectors=BinaryType(), features=BinaryType(), error=StringType()
    )
    return side.columns(rows).mapInArrow(partial(_row_vectors, splitter=splitter, side=side), found)


def packets(rows: DataFrame, splitter: Shipped[Splitter], side: Side) -> DataFrame:
    """The DataFrame (keys, vectors, features, error): as :func:`row_vectors`, with many rows in each, ascending by key
    within a row and from row to row.
    """
    found = row_type(
        keys=ArrayType(rows.schema[side.key].dataType),
        vectors=BinaryType(),
        features=BinaryType(),
        error=StringType(),
    )
    ordered = side.columns(rows).orderBy("key")
    return ordered.mapInArrow(partial(_packets, splitter=splitter, side=side), found)


def is_right(error: Column) -> Column:
    """A condition that is always true, or raises the sentence of the row."""
    return F.when(error.isNull(), F.lit(True)).otherwise(F.raise_error(error).cast("boolean"))


def vector_column(rows: DataFrame, splitter: Shipped[Splitter], side: Side, output: str) -> DataFrame:
    """The keys, and a lazy column array<double> of phi or psi."""
    found = row_type(
        key=rows.schema[side.key].dataType, vector=ArrayType(DoubleType()), error=StringType()
    )
    made = side.columns(rows).mapInArrow(partial(_arrays, splitter=splitter, side=side), found)
    return made.where(is_right(F.col("error"))).select(
        F.col("key").alias(side.key), F.col("vector").alias(output)
    )
