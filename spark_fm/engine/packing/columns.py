"""Which columns of a DataFrame training reads, and the checks that need only its schema."""

from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NumericType,
    ShortType,
    StructField,
    StructType,
)

from spark_fm.engine.packing.input_columns import FeaturesKind, InputColumns


def field_of(dataset: DataFrame, name: str, param: str) -> StructField:
    """The schema's field of a column.

    Raises
    ------
    ValueError
        When there is no such column.
    """
    for field in dataset.schema.fields:
        if field.name == name:
            return field
    found = ", ".join(dataset.columns) or "none"
    raise ValueError(f"{param}: there is no column {name!r}; the columns are: {found}")


def features_kind(data_type: DataType, name: str) -> FeaturesKind:
    """Whether a features column holds vectors, arrays of feature ids, ids with values, or arrays of numbers, which are
    dense vectors.

    Raises
    ------
    TypeError
        When it holds anything else.
    """
    if isinstance(data_type, VectorUDT):
        return "vector"
    if isinstance(data_type, ArrayType) and isinstance(
        data_type.elementType, (ShortType, IntegerType, LongType)
    ):
        return "ids"
    if isinstance(data_type, ArrayType) and isinstance(data_type.elementType, (FloatType, DoubleType)):
        return "dense"
    if isinstance(data_type, StructType) and _is_pairs(data_type):
        return "pairs"
    raise TypeError(
        f"featuresCol: column {name!r} has type {data_type.simpleString()}, expected a vector "
        "(pyspark.ml.linalg, as VectorAssembler makes), array<int> / array<bigint> of feature ids, "
        "struct<ids:array<bigint>,values:array<double>> of ids with values, or "
        "array<double> / array<float> of one value for each feature"
    )


def _is_pairs(data_type: StructType) -> bool:
    types = [field.dataType for field in data_type.fields]
    return (
        data_type.names == ["ids", "values"]
        and all(isinstance(one, ArrayType) for one in types)
        and [type(one.elementType) for one in types if isinstance(one, ArrayType)] == [LongType, DoubleType]
    )


def number_of(dataset: DataFrame, name: str, param: str) -> Column:
    """A column of numbers or booleans, as double.

    Raises
    ------
    ValueError, TypeError
        When there is no such column, or it holds something else.
    """
    data_type = field_of(dataset, name, param).dataType
    if not isinstance(data_type, (NumericType, BooleanType)):
        raise TypeError(f"{param}: column {name!r} has type {data_type.simpleString()}, expected a number")
    return dataset[quoted(name)].cast("double")


def quoted(name: str) -> str:
    """A column name as SQL quotes it: dots and backticks lose their meaning."""
    return "`" + name.replace("`", "``") + "`"


def training_columns(dataset: DataFrame, columns: InputColumns) -> tuple[DataFrame, FeaturesKind]:
    """The DataFrame (source int, features, label double, weight double, validation boolean) that packing reads.

    ``source`` is the row's partition, which names it whichever task computes it and however often: a task's own number
    is another one behind a ``coalesce``.

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of the wrong type.
    """
    kind = features_kind(field_of(dataset, columns.features, "featuresCol").dataType, columns.features)
    features = dataset[quoted(columns.features)]
    label = number_of(dataset, columns.label, "labelCol")
    weight = number_of(dataset, columns.weight, "weightCol") if columns.weight else F.lit(1.0)
    validation = F.lit(False)
    if columns.validation:
        data_type = field_of(dataset, columns.validation, "validationIndicatorCol").dataType
        if not isinstance(data_type, BooleanType):
            raise TypeError(
                f"validationIndicatorCol: column {columns.validation!r} has type "
                f"{data_type.simpleString()}, expected boolean"
            )
        validation = dataset[quoted(columns.validation)]
    return (
        dataset.select(
            F.spark_partition_id().alias("source"),
            features.alias("features"),
            label.alias("label"),
            weight.alias("weight"),
            validation.alias("validation"),
        ),
        kind,
    )
