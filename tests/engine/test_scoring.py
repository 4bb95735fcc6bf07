import re

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm.core.weights import Weights
from spark_fm.engine import udf
from spark_fm.engine.arrow import BadInputError
from spark_fm.engine.scoring import Scorer, raw_score
from spark_fm.engine.transport import Shipped
from tests.engine.batches import dense, id_lists, sparse, vectors
from tests.oracle import Oracle

ORACLE = Oracle.random(3, 6, 5)
KNOWN = np.array([0, 2, 3, 5])
WEIGHTS = Weights(KNOWN, ORACLE.w[KNOWN].astype(np.float32), ORACLE.v[KNOWN].astype(np.float32), ORACLE.w0)


def scorer(normalize=False):
    return Scorer(WEIGHTS, 6, normalize)


def expected(*rows):
    """Scores of {id: value} rows; features 1 and 4 are unknown."""
    kept = [{i: x for i, x in row.items() if i in KNOWN} for row in rows]
    return pytest.approx(
        [ORACLE.score(list(row), np.array(list(row.values()))) for row in kept], rel=1e-5, abs=1e-6
    )


def test_vectors_are_scored():
    array = vectors(sparse(6, [0, 2], [1.0, 3.0]), dense(0.0, 0.0, 0.0, 2.0, 0.0, -1.0), sparse(6, [], []))
    found = scorer().score_column(array, "vector", "x")
    assert list(found) == expected({0: 1.0, 2: 3.0}, {3: 2.0, 5: -1.0}, {})


def test_ids_are_scored_and_unknown_ones_contribute_nothing():
    found = scorer().score_column(id_lists([5, 0], [1, 2], [2**50], []), "ids", "x")
    assert list(found) == expected({0: 1.0, 5: 1.0}, {2: 1.0}, {}, {})


def test_normalized_rows_are_scored_as_rows_of_length_one():
    # The unknown feature 1 counts for the length.
    found = scorer(normalize=True).score_column(vectors(sparse(6, [0, 1], [3.0, 4.0])), "vector", "x")
    assert list(found) == expected({0: 0.6})


def test_no_rows_have_no_scores():
    assert scorer().score_column(vectors(), "vector", "x").size == 0


def test_vectors_of_another_size_are_refused():
    sentence = (
        "column 'x': vectors of size 2, expected 6, the number of features that the model was trained on"
    )
    with pytest.raises(BadInputError, match=f"^{re.escape(sentence)}$"):
        scorer().score_column(vectors(dense(1.0, 2.0)), "vector", "x")


@pytest.fixture(params=["arrow", "pandas"])
def way(request, monkeypatch):
    """Both ways to a column: the Arrow UDF of Spark 4.1, and the pandas UDF before it."""
    if request.param == "pandas":
        monkeypatch.delattr(F, "arrow_udf", raising=False)
    elif not hasattr(F, "arrow_udf"):
        pytest.skip("this version of Spark has no Arrow UDFs")
    return request.param


def test_column_of_vectors(spark, way):
    rows = [
        (Vectors.sparse(6, [0, 2], [1.0, 3.0]),),
        (Vectors.dense(0, 0, 0, 2, 0, -1),),
        (Vectors.sparse(6, {}),),
    ]
    frame = spark.createDataFrame(rows, ["x"]).coalesce(1)
    column = raw_score(frame["x"], Shipped(None, scorer()), "vector", "x")
    found = frame.select(column.alias("z"))
    assert found.schema["z"].dataType.simpleString() == "double"
    assert [row.z for row in found.collect()] == expected({0: 1.0, 2: 3.0}, {3: 2.0, 5: -1.0}, {})


def test_column_of_ids(spark, way):
    frame = spark.createDataFrame([([5, 0],), ([1, 2],), ([],)], "x array<int>").coalesce(1)
    column = raw_score(frame["x"], Shipped(None, scorer()), "ids", "x")
    found = [row.z for row in frame.select(column.alias("z")).collect()]
    assert found == expected({0: 1.0, 5: 1.0}, {2: 1.0}, {})


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        ("vector", Vectors.dense(1.0), "column 'x': vectors of size 1, expected 6"),
        ("vector", None, "column 'x': row 0 is null, expected features"),
        ("ids", None, "column 'x': row 0 is null, expected features"),
        ("ids", [3, None], "column 'x': row 0 has a null id, expected integers >= 0"),
    ],
)
def test_bad_row_raises_its_sentence_when_it_is_computed(spark, way, kind, value, sentence):
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.types import ArrayType, IntegerType, StructField, StructType

    data_type = VectorUDT() if kind == "vector" else ArrayType(IntegerType())
    frame = spark.createDataFrame([(value,)], StructType([StructField("x", data_type)]))
    scored = frame.select(raw_score(frame["x"], Shipped(None, scorer()), kind, "x").alias("z"))
    with pytest.raises(PySparkException, match=re.escape(sentence)):
        scored.collect()


def test_rows_as_pandas_hands_them_over_are_the_same_arrow_rows():
    import pandas as pd

    array = vectors(sparse(6, [0, 2], [1.0, 3.0]), None, dense(1.0, 2.0))
    frame = pd.DataFrame(
        [row or dict.fromkeys(["type", "size", "indices", "values"]) for row in array.to_pylist()]
    )
    assert udf._vectors(frame).to_pylist() == array.to_pylist()
    assert udf._ids(pd.Series([[1, 2], None, []])).to_pylist() == [[1, 2], None, []]
    assert udf._ids(pd.Series([[1]])).type == pa.list_(pa.int64())
