import re

import pytest
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
)

from spark_fm.engine.packing.columns import features_kind, field_of, quoted, training_columns
from spark_fm.engine.packing.input_columns import InputColumns


@pytest.fixture(scope="module")
def frame(spark):
    return spark.createDataFrame(
        [(Vectors.dense([1.0]), [1, 2], 1, "a", True, 2.0, 0.5)],
        ["vector", "ids", "y", "text", "held", "c", "a.b"],
    )


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        (VectorUDT(), "vector"),
        (ArrayType(ShortType()), "ids"),
        (ArrayType(IntegerType()), "ids"),
        (ArrayType(LongType()), "ids"),
        (ArrayType(FloatType()), "dense"),
        (ArrayType(DoubleType()), "dense"),
    ],
)
def test_kinds_of_features(data_type, kind):
    assert features_kind(data_type, "x") == kind


@pytest.mark.parametrize(
    "data_type", [StringType(), FloatType(), ArrayType(BooleanType()), ArrayType(StringType())]
)
def test_other_kinds_of_features_are_refused(data_type):
    sentence = (
        f"featuresCol: column 'x' has type {data_type.simpleString()}, expected a vector (pyspark.ml.linalg, as "
        "VectorAssembler makes), array<int> / array<bigint> of feature ids, "
        "struct<ids:array<bigint>,values:array<double>> of ids with values, or array<double> / array<float> of one "
        "value for each feature"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        features_kind(data_type, "x")


def test_missing_column_names_those_there_are(frame):
    sentence = "labelCol: there is no column 'rating'; the columns are: vector, ids, y, text, held, c, a.b"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        field_of(frame, "rating", "labelCol")


@pytest.mark.parametrize(("name", "expected"), [("a", "`a`"), ("a.b", "`a.b`"), ("a`b", "`a``b`")])
def test_quoted(name, expected):
    assert quoted(name) == expected


def test_columns_that_packing_reads(frame):
    selected, kind = training_columns(frame, InputColumns("vector", "y", "c", "held"))
    assert kind == "vector"
    assert [(f.name, f.dataType.simpleString()) for f in selected.schema if f.name != "features"] == [
        ("source", "int"),
        ("label", "double"),
        ("weight", "double"),
        ("validation", "boolean"),
    ]
    row = selected.first()
    assert (row.features, row.label, row.weight, row.validation) == (Vectors.dense([1.0]), 1.0, 2.0, True)


def test_columns_that_are_not_asked_for_are_filled_in(frame):
    selected, kind = training_columns(frame, InputColumns("ids", "y"))
    row = selected.first()
    assert kind == "ids"
    assert selected.schema["features"].dataType == frame.schema["ids"].dataType
    assert (row.features, row.weight, row.validation) == ([1, 2], 1.0, False)


@pytest.mark.parametrize("label", ["y", "held", "c", "a.b"])
def test_every_number_may_be_a_label(frame, label):
    assert isinstance(training_columns(frame, InputColumns("ids", label))[0].first().label, float)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (InputColumns("ids", "text"), "labelCol: column 'text' has type string, expected a number"),
        (
            InputColumns("ids", "y", weight="text"),
            "weightCol: column 'text' has type string, expected a number",
        ),
        (
            InputColumns("ids", "y", validation="y"),
            "validationIndicatorCol: column 'y' has type bigint, expected boolean",
        ),
    ],
)
def test_wrong_types_are_refused(frame, columns, sentence):
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        training_columns(frame, columns)


def test_dots_in_names_are_part_of_the_name(frame):
    dotted = frame.withColumn("my.ids", F.col("ids"))
    assert training_columns(dotted, InputColumns("my.ids", "a.b"))[0].first().label == 0.5


def test_source_is_the_partition_of_the_row_whichever_task_computes_it(spark):
    frame = spark.range(0, 6, 1, 3).select(F.array("id").alias("x"), F.col("id").alias("y"))
    selected, _ = training_columns(frame, InputColumns("x", "y"))
    expected = [(float(i), i // 2) for i in range(6)]
    for found in (selected, selected.coalesce(1)):
        assert sorted((row.label, row.source) for row in found.collect()) == expected
