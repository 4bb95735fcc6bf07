"""A function of Arrow arrays as a lazy column: an Arrow UDF, or before Spark 4.1 a pandas UDF around it."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import ArrayType, DataType, DoubleType, UserDefinedType

from spark_fm.engine.packing.input_columns import FeaturesKind

SCORE_FIELDS = "z:double,error:string"
PARTS_FIELDS = ",labels:array<string>,contributions:array<double>"
DEVIATION_FIELD = ",deviation:double"
Score = Callable[[pa.Array], pa.StructArray]

VECTOR_FIELDS = [
    pa.field("type", pa.int8()),
    pa.field("size", pa.int32()),
    pa.field("indices", pa.list_(pa.int32())),
    pa.field("values", pa.list_(pa.float64())),
]
PAIR_FIELDS = [pa.field("ids", pa.list_(pa.int64())), pa.field("values", pa.list_(pa.float64()))]


def as_rows(dataset: DataFrame) -> DataFrame:
    """The same DataFrame, but never in columnar form where it has vectors.

    Spark from 4.2 on hands what it reads from Parquet to Python as it is, and fails on columns of a user-defined
    type. A condition that it can't compute beforehand makes it form rows.
    """
    has_columnar_input = hasattr(F, "arrow_udf") and dataset.sparkSession.version >= "4.2"
    if has_columnar_input and any(isinstance(f.dataType, UserDefinedType) for f in dataset.schema):
        return dataset.where(F.spark_partition_id() >= 0)
    return dataset


def score_struct(
    score: Score, features: Column, kind: FeaturesKind, explained: bool = False, deviates: bool = False
) -> Column:
    """The column struct<z: double, error: string> that ``score`` makes of a features column; where scores are
    ``explained``, with labels: array<string> and contributions: array<double>; where it ``deviates``, with deviation:
    double.
    """
    arrow_udf = getattr(F, "arrow_udf", None)
    made_type = f"struct<{SCORE_FIELDS}{PARTS_FIELDS * explained}{DEVIATION_FIELD * deviates}>"
    if arrow_udf is None:
        made = _with_pandas_udf(score, kind, made_type)
    else:
        made = _with_arrow_udf(score, arrow_udf, made_type)
    plain = F.unwrap_udt(features) if arrow_udf is None and kind == "vector" else features
    return made(plain)


def struct_column(
    function: Callable[[pa.StructArray], pa.StructArray],
    columns: Column,
    types: Sequence[DataType],
    result: str,
) -> Column:
    """The struct column of the DDL type ``result`` that a function makes of a struct column of the given types.

    These are bigint, double, and arrays of them.
    """
    arrow_udf = getattr(F, "arrow_udf", None)
    if arrow_udf is not None:
        return _with_arrow_udf(function, arrow_udf, result)(columns)
    arrow_types = [_arrow_type(one) for one in types]

    def pandas(frame: Any) -> pd.DataFrame:
        arrays = [pa.Array.from_pandas(frame.iloc[:, i], type=one) for i, one in enumerate(arrow_types)]
        made = function(pa.StructArray.from_arrays(arrays, [f"c{i}" for i in range(len(arrays))]))
        told: pd.DataFrame = pd.DataFrame(
            {field.name: made.field(field.name).to_pandas() for field in made.type}
        )
        return told

    return _pandas_udf(pandas, result)(columns)


def _arrow_type(kind: DataType) -> pa.DataType:
    if isinstance(kind, ArrayType):
        return pa.list_(_arrow_type(kind.elementType))
    return pa.float64() if isinstance(kind, DoubleType) else pa.int64()


def _with_arrow_udf(score: Score, arrow_udf: Any, result: str) -> Callable[[Column], Column]:
    def arrow(array: pa.Array) -> pa.Array:
        return score(array)

    made: Callable[[Column], Column] = arrow_udf(arrow, result)
    return made


def _with_pandas_udf(score: Score, kind: FeaturesKind, made_type: str) -> Callable[[Column], Column]:
    def pandas(found: Any) -> pd.DataFrame:
        scored = score(_read(found, kind))
        frame: pd.DataFrame = pd.DataFrame(
            {field.name: scored.field(field.name).to_pandas() for field in scored.type}
        )
        return frame

    return _pandas_udf(pandas, made_type)


def _pandas_udf(function: Callable[[Any], pd.DataFrame], result: str) -> Callable[[Column], Column]:
    with warnings.catch_warnings():
        # Spark 3.5 would rather have type hints, which must resolve from this module's names on the workers.
        warnings.simplefilter("ignore", UserWarning)
        # The number is PandasUDFType.SCALAR, whose name newer versions of Spark call deprecated.
        made: Callable[[Column], Column] = pandas_udf(function, result, 200)
    return made


def _read(found: Any, kind: FeaturesKind) -> pa.Array:
    """The column in Arrow form, from the pandas form of Spark: a series of arrays, or a frame of a struct's fields."""
    if kind in ("ids", "dense"):
        return pa.Array.from_pandas(found, type=pa.list_(pa.int64() if kind == "ids" else pa.float64()))
    fields, first = (VECTOR_FIELDS, "type") if kind == "vector" else (PAIR_FIELDS, "ids")
    arrays = [pa.Array.from_pandas(found[field.name], type=field.type) for field in fields]
    missing = pa.array(found[first].isna().to_numpy())
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=missing)
