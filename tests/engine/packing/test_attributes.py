import json

import pytest
from pyspark.ml import Pipeline
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructField, StructType

from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.engine.packing.attributes import attributes_of, layout_of


def metadata_of(binary=(), numeric=()):
    """ml_attr with the names at consecutive ids: the binary ones first."""
    names = [*binary, *numeric]
    attrs = [{"idx": i, "name": name} for i, name in enumerate(names)]
    groups = {"binary": attrs[: len(binary)], "numeric": attrs[len(binary) :]}
    return {"ml_attr": {"num_attrs": len(names), "attrs": groups}}


def schema_of(metadata, **others):
    vector = StructField("features", VectorUDT(), metadata=metadata)
    return StructType([*(StructField(name, *of) for name, of in others.items()), vector])


def told(layout):
    """What there is of each field, and the labels of all named features."""
    return (
        [(one.name, one.first, one.size, one.one_per_row) for one in layout.fields],
        layout.labels(sorted(layout.names)),
    )


def test_fields_of_assembled_columns(spark):
    rows = [
        ("ann_x", "sci_fi", 1.5, [1.0, 2.0]),
        ("bob", "noir", 2.5, [1.0, 1.0]),
        ("x", "sci", 3.0, [0.0, 1.0]),
    ]
    frame = spark.createDataFrame(rows, "name string, kind string, age double, raw array<double>")
    stages = [
        StringIndexer(inputCols=["name", "kind"], outputCols=["n", "k"]),
        OneHotEncoder(inputCols=["n", "k"], outputCols=["user", "user_genre"], dropLast=False),
        VectorAssembler(inputCols=["user", "age", "both", "user_genre"], outputCol="features"),
    ]
    data = frame.withColumn("both", array_to_vector("raw"))
    found = layout_of(Pipeline(stages=stages).fit(data).transform(data).schema, "features")
    assert told(found) == (
        [("user", 0, 3, True), ("age", 3, 1, True), ("both", 4, 2, False), ("user_genre", 6, 3, True)],
        [
            "user=ann_x",
            "user=bob",
            "user=x",
            "age",
            "both=0",
            "both=1",
            "user_genre=noir",
            "user_genre=sci",
            "user_genre=sci_fi",
        ],
    )


def test_fields_without_the_columns_are_what_names_have_in_common():
    metadata = metadata_of(["user_id_ann", "user_id_bob_x", "film_a", "film_b"], ["age", "x_0", "x_1", "x_7"])
    assert told(layout_of(schema_of(metadata), "features")) == (
        [
            ("user_id", 0, 2, True),
            ("film", 2, 2, True),
            ("age", 4, 1, True),
            ("x", 5, 2, False),
            ("x_7", 7, 1, True),
        ],
        ["user_id=ann", "user_id=bob_x", "film=a", "film=b", "age", "x=0", "x=1", "x_7"],
    )


def test_a_single_one_hot_column_has_names_and_no_field():
    found = layout_of(schema_of(metadata_of(["new_york", "new_jersey", "boston"])), "features")
    assert told(found) == ([], ["new_york", "new_jersey", "boston"])


def test_a_number_is_told_from_a_vector_by_its_column():
    metadata = metadata_of(["is_new", "is_old"], ["x_0", "x_1"])
    flags = {name: (DoubleType(),) for name in ("is_new", "is_old", "x_0", "x_1")}
    found = layout_of(schema_of(metadata, **flags), "features")
    assert [one.name for one in found.fields] == ["is_new", "is_old", "x_0", "x_1"]


def test_a_column_that_was_assembled_twice_is_one_field():
    found = layout_of(schema_of(metadata_of(numeric=["age", "age"])), "features")
    assert told(found) == ([("age", 0, 1, True)], ["age", "age"])


def test_no_names_no_layout():
    assert layout_of(schema_of({"ml_attr": {"num_attrs": 16}}), "features") is None
    assert layout_of(schema_of({}), "features") is None
    assert attributes_of({"ml_attr": {"attrs": {"binary": [{"idx": 1}, {"name": "x"}]}}}) == []


def test_an_encoder_of_this_package_says_it_itself(spark):
    layout = FieldLayout((Field("user", 0, 4), Field("age", 4, 1, "numeric")), {0: "ann", 1: "user=", 4: ""})
    attrs = [{"idx": i, "name": layout.label(i)} for i in layout.names]
    metadata = {
        "spark_fm": {"fields": layout.to_json(), "num_features": 5},
        "ml_attr": {"num_attrs": 5, "attrs": {"binary": attrs[:2], "numeric": attrs[2:]}},
    }
    frame = spark.createDataFrame([([0, 4],)], "x array<int>")
    frame = frame.select(F.col("x").alias("features", metadata=json.loads(json.dumps(metadata))))
    assert layout_of(frame.schema, "features") == layout


def test_other_metadata_under_our_name_are_refused():
    with pytest.raises(ValueError, match="featuresCol: the metadata of column 'features' have no fields"):
        layout_of(schema_of({"spark_fm": {"fields": [{"name": "user"}]}}), "features")


def test_many_names_and_many_numbers():
    names = [f"user_{i}" for i in range(100_000)] + [f"film_{i}" for i in range(50_000)]
    schema = schema_of(metadata_of(names, [f"n{i}" for i in range(3000)]))
    found = layout_of(schema, "features")  # quadratic time would take minutes
    assert [one.size for one in found.fields[:3]] == [100_000, 50_000, 1]
    assert len(found.fields) == 1000
    assert len(found.names) == 153_000
