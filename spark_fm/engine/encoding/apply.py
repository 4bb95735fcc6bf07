"""A table's features as a lazy column: nothing runs until the user's action, so streams work too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, IntegerType, StructField, StructType

from spark_fm.core.fm.fields import FieldLayout
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.encoding.encode import Encoding
from spark_fm.engine.encoding.fields import NUMBERS, EncodedField
from spark_fm.engine.encoding.inputs import inputs_of
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.scoring.udf import VECTOR_FIELDS, as_rows, struct_column

OutputType = Literal["ids", "pairs", "vector"]
ENCODED = "__spark_fm_encoded"
INPUT = "__spark_fm_input"
MOST_FEATURES_OF_A_VECTOR = 2**31 - 1


@dataclass(frozen=True)
class Output:
    """What is added: a features column of a type, a column of cold rows ("": none), and a column of the numbers of the
    fields that a row has no known value in, array<int> ("": none).
    """

    column: str
    type: OutputType
    features: int
    cold: str = ""
    unknown: str = ""


def metadata_of(layout: FieldLayout, features: int) -> dict[str, Any]:
    """What the features column says of itself: its fields, and pyspark.ml's attributes for the names that are known."""
    numbers = {
        id for one in layout.fields if one.kind in NUMBERS for id in range(one.first, one.first + one.size)
    }
    attrs: dict[str, list[dict[str, Any]]] = {}
    for feature in sorted(layout.names):
        kind = "numeric" if feature in numbers else "binary"
        attrs.setdefault(kind, []).append({"idx": feature, "name": layout.label(feature)})
    return {
        "spark_fm": {"fields": layout.to_json(), "num_features": features},
        "ml_attr": {"attrs": attrs, "num_attrs": features},
    }


def with_features(
    dataset: DataFrame,
    encoding: Shipped[Encoding],
    fields: Sequence[EncodedField],
    salt: int,
    output: Output,
    layout: FieldLayout,
) -> DataFrame:
    """The rows with their features.

    Parameters
    ----------
    encoding : of the ``fields``, for the workers
    layout : of all features
    """
    inputs = [column for one in fields for column in inputs_of(dataset, one, salt)]
    metadata = metadata_of(layout, output.features)
    if output.type == "vector":
        return _with_vectors(dataset, encoding, inputs, output, metadata)
    valued = output.type == "pairs"
    values = "values:array<double>," if valued else ""

    def encode(array: pa.StructArray) -> pa.StructArray:
        indptr, ids, x, cold, unknown = encoding.get().encode(array.flatten(), len(array))
        parts = {"ids": _list(indptr, pa.array(ids))}
        if valued:
            parts["values"] = _list(indptr, pa.array(x if x.size else np.ones(ids.size)))
        parts["cold"] = pa.array(cold)
        if output.unknown:
            parts["unknown"] = _numbers(unknown)
        return pa.StructArray.from_arrays(list(parts.values()), list(parts))

    named = F.struct(*(column.alias(f"c{i}") for i, column in enumerate(inputs)))
    types = [field.dataType for field in dataset.select(*inputs).schema.fields]
    told = ",unknown:array<int>" if output.unknown else ""
    made = struct_column(encode, named, types, f"struct<ids:array<bigint>,{values}cold:boolean{told}>")
    found = F.col(ENCODED)
    features = (
        F.struct(found["ids"].alias("ids"), found["values"].alias("values")) if valued else found["ids"]
    )
    encoded = as_rows(dataset).withColumn(ENCODED, made)
    added = [features.alias(output.column, metadata=metadata)]
    added += [found[part].alias(name) for part, name in _asked(output).items()]
    return encoded.select(*(F.col(quoted(name)) for name in dataset.columns), *added)


def _asked(output: Output) -> dict[str, str]:
    """The names of the columns that are added besides the features."""
    return {part: name for part, name in (("cold", output.cold), ("unknown", output.unknown)) if name}


def _numbers(unknown: Any) -> pa.ListArray:
    """Of each row the numbers of the fields that are unknown."""
    _, fields = np.nonzero(unknown.T)
    return _list(np.concatenate([[0], np.cumsum(unknown.sum(axis=0))]), pa.array(fields.astype(np.int32)))


def _list(indptr: Any, flat: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(indptr.astype(np.int32)), flat)


def _with_vectors(
    dataset: DataFrame,
    encoding: Shipped[Encoding],
    inputs: list[Any],
    output: Output,
    metadata: dict[str, Any],
) -> DataFrame:
    """As vectors, which only mapInArrow can make of Arrow arrays: all columns pass through it."""
    # mapInArrow takes names for syntax: a dot is a field of a struct to it.
    kept = {f"{INPUT}_kept_{i}": field for i, field in enumerate(dataset.schema.fields)}
    size, asked = output.features, _asked(output)

    def encode(batches: Any) -> Any:
        for batch in batches:
            columns = batch.columns
            indptr, ids, x, cold, unknown = encoding.get().encode(columns[len(kept) :], batch.num_rows)
            rows = batch.num_rows
            arrays = [
                pa.array(np.zeros(rows, np.int8)),
                pa.array(np.full(rows, size, np.int32)),
                _list(indptr, pa.array(ids.astype(np.int32))),
                _list(indptr, pa.array(x if x.size else np.ones(ids.size))),
            ]
            vectors = pa.StructArray.from_arrays(arrays, fields=VECTOR_FIELDS)
            made = {"cold": pa.array(cold), "unknown": _numbers(unknown)}
            added = [vectors, *(made[part] for part in asked)]
            names = [*kept, INPUT, *(f"{INPUT}_{part}" for part in asked)]
            yield pa.RecordBatch.from_arrays([*columns[: len(kept)], *added], names)

    read = dataset.select(
        *(F.col(quoted(field.name)).alias(name) for name, field in kept.items()),
        *(column.alias(f"{INPUT}_{i}") for i, column in enumerate(inputs)),
    )
    schema = StructType([StructField(name, f.dataType, f.nullable, f.metadata) for name, f in kept.items()])
    schema = schema.add(StructField(INPUT, VectorUDT(), True, metadata))
    for part in asked:
        schema = schema.add(f"{INPUT}_{part}", BooleanType() if part == "cold" else ArrayType(IntegerType()))
    made = as_rows(read).mapInArrow(encode, schema)
    return made.select(
        *(F.col(name).alias(field.name) for name, field in kept.items()),
        F.col(INPUT).alias(output.column, metadata=metadata),
        *(F.col(f"{INPUT}_{part}").alias(name) for part, name in asked.items()),
    )
