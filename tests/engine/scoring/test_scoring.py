import re

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.packing.arrow import BadInputError
from spark_fm.engine.scoring import udf
from spark_fm.engine.scoring.explaining import Explainer
from spark_fm.engine.scoring.scoring import Scorer, with_raw_score
from tests.engine.batches import dense, id_lists, sparse, vectors
from tests.oracle import Oracle

ORACLE = Oracle.random(3, 6, 5)
KNOWN = np.array([0, 2, 3, 5])
WEIGHTS = Weights(KNOWN, ORACLE.w[KNOWN].astype(np.float32), ORACLE.v[KNOWN].astype(np.float32), ORACLE.w0)


def scorer():
    return Scorer(WEIGHTS, 6)


def scored(frame, kind, **options):
    return with_raw_score(frame, Shipped(None, scorer()), "x", kind, "z", **options)


def explained(frame, kind, top=3, **options):
    """The column of parts, of feature 0 named "a", 2 "c", 3 "d" and 5 "f"."""
    model = Scorer(WEIGHTS, 6, Explainer(pa.array(["a", "c", "d", "f"]), top))
    return with_raw_score(frame, Shipped(None, model), "x", kind, "z", parts="why", **options)


def expected_parts(row, top=3):
    """The largest parts of a {id: value} row."""
    kept = {i: x for i, x in row.items() if i in KNOWN}
    names = dict(zip(KNOWN.tolist(), "acdf", strict=True))
    parts = {names[i]: ORACLE.w[i] * x for i, x in kept.items()}
    for i in kept:
        for j in (j for j in kept if j > i):
            parts[f"{names[i]} x {names[j]}"] = ORACLE.v[i] @ ORACLE.v[j] * kept[i] * kept[j]
    return sorted(parts.items(), key=lambda part: -abs(part[1]))[:top]


def expected(*rows):
    """Scores of {id: value} rows; features 1 and 4 are unknown."""
    kept = [{i: x for i, x in row.items() if i in KNOWN} for row in rows]
    return pytest.approx(
        [ORACLE.score(list(row), np.array(list(row.values()))) for row in kept], rel=1e-5, abs=1e-6
    )


def test_vectors_are_scored():
    array = vectors(sparse(6, [0, 2], [1.0, 3.0]), dense(0.0, 0.0, 0.0, 2.0, 0.0, -1.0), sparse(6, [], []))
    found = scorer().score_column(array, "vector", "x").z
    assert list(found) == expected({0: 1.0, 2: 3.0}, {3: 2.0, 5: -1.0}, {})


def test_ids_are_scored_and_unknown_ones_contribute_nothing():
    found = scorer().score_column(id_lists([5, 0], [1, 2], [2**50], []), "ids", "x").z
    assert list(found) == expected({0: 1.0, 5: 1.0}, {2: 1.0}, {}, {})


def test_normalized_rows_are_scored_as_rows_of_length_one():
    # The unknown feature 1 counts for the length.
    found = scorer().score_column(vectors(sparse(6, [0, 1], [3.0, 4.0])), "vector", "x", normalize=True).z
    assert list(found) == expected({0: 0.6})


def test_no_rows_have_no_scores():
    assert scorer().score_column(vectors(), "vector", "x").z.size == 0


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
    found = scored(frame, "vector")
    assert found.columns == ["x", "z"]
    assert found.schema["z"].dataType.simpleString() == "double"
    assert [row.z for row in found.collect()] == expected({0: 1.0, 2: 3.0}, {3: 2.0, 5: -1.0}, {})


def test_column_of_ids(spark, way):
    frame = spark.createDataFrame([([5, 0],), ([1, 2],), ([],)], "x array<int>").coalesce(1)
    found = [row.z for row in scored(frame, "ids").collect()]
    assert found == expected({0: 1.0, 5: 1.0}, {2: 1.0}, {})


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        ("vector", Vectors.dense(1.0), "column 'x': vectors of size 1, expected 6"),
        ("vector", None, "column 'x': row 0 is null, expected features"),
        ("ids", None, "column 'x': row 0 is null, expected features"),
        ("ids", [3, None], "column 'x': row 0 has a null id, expected integers >= 0"),
        ("dense", [1.0, None], "column 'x': row 0 has a null value, expected numbers"),
        ("dense", [1.0], "column 'x': vectors of size 1, expected 6"),
    ],
)
def test_bad_row_raises_its_sentence_when_it_is_computed(spark, way, kind, value, sentence):
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.types import ArrayType, DoubleType, IntegerType, StructField, StructType

    data_type = {"vector": VectorUDT(), "ids": ArrayType(IntegerType()), "dense": ArrayType(DoubleType())}[
        kind
    ]
    frame = spark.createDataFrame([(value,)], StructType([StructField("x", data_type)]))
    with pytest.raises(PySparkException, match=re.escape(sentence) + ".*; handleInvalid = 'skip' or 'keep'"):
        scored(frame, kind).collect()


@pytest.mark.parametrize("bad", [[], [0], [3], [0, 1, 6], list(range(7))])
def test_rows_that_cannot_be_scored_are_skipped_or_kept(spark, way, bad):
    rows = [(n, [-1, 3] if n in bad else [5, 0]) for n in range(7)]
    frame = spark.createDataFrame(rows, "n int, x array<int>").coalesce(1)
    (good,) = scorer().score_column(id_lists([5, 0]), "ids", "x").z
    skipped = scored(frame, "ids", invalid="skip").collect()
    assert [(row.n, row.z) for row in skipped] == [(n, good) for n in range(7) if n not in bad]
    kept = scored(frame, "ids", invalid="keep").collect()
    assert [row.n for row in kept] == list(range(7))
    assert [n for n, row in enumerate(kept) if np.isnan(row.z)] == bad
    assert {row.z for row in kept if not np.isnan(row.z)} <= {good}


@pytest.mark.parametrize("element", ["double", "float"])
def test_column_of_arrays_of_numbers_is_one_of_dense_vectors(spark, way, element):
    frame = spark.createDataFrame([([0.0, 2.0, 0.0, 0.0, 0.0, -1.5],)], f"x array<{element}>")
    assert [row.z for row in scored(frame, "dense").collect()] == expected({5: -1.5})


def test_function_is_mentioned_once(spark):
    """Each mention would carry the model on Spark Connect."""
    frame = spark.createDataFrame([([5, 0],)], "x array<int>")
    plan = scored(frame, "ids")._jdf.queryExecution().analyzed().toString()
    assert plan.count("score(") + plan.count("arrow(") == 1


def test_rows_as_pandas_hands_them_over_are_the_same_arrow_rows():
    import pandas as pd

    array = vectors(sparse(6, [0, 2], [1.0, 3.0]), None, dense(1.0, 2.0))
    frame = pd.DataFrame(
        [row or dict.fromkeys(["type", "size", "indices", "values"]) for row in array.to_pylist()]
    )
    assert udf._read(frame, "vector").to_pylist() == array.to_pylist()
    assert udf._read(pd.Series([[1, 2], None, []]), "ids").to_pylist() == [[1, 2], None, []]
    assert udf._read(pd.Series([[1]]), "ids").type == pa.list_(pa.int64())
    assert udf._read(pd.Series([[1.5]]), "dense").type == pa.list_(pa.float64())


def test_column_of_pairs(spark, way):
    rows = [(([0, 2], [1.0, 3.0]),), (([5, 3, 5], [1.0, 2.0, -2.0]),), (([], []),), (([1], [9.0]),)]
    frame = spark.createDataFrame(rows, "x struct<ids:array<bigint>,values:array<double>>").coalesce(1)
    found = [row.z for row in scored(frame, "pairs").collect()]
    assert found == expected({0: 1.0, 2: 3.0}, {3: 2.0, 5: -1.0}, {}, {})


def test_pairs_that_are_null_raise_their_sentence(spark, way):
    frame = spark.createDataFrame([(None,)], "x struct<ids:array<bigint>,values:array<double>>")
    with pytest.raises(PySparkException, match="column 'x': row 0 is null, expected features"):
        scored(frame, "pairs").collect()


def test_column_of_parts(spark, way):
    rows = [{0: 1.0, 2: 3.0, 1: 7.0}, {0: 1.0, 2: -2.0, 3: 2.0, 5: -1.0}, {5: 2.0}, {}]
    frame = spark.createDataFrame([(Vectors.sparse(6, row),) for row in rows], ["x"]).coalesce(1)
    found = explained(frame, "vector")
    assert found.columns == ["x", "z", "why"]
    assert found.schema["why"].dataType.simpleString() == "array<struct<label:string,contribution:double>>"
    got = found.collect()
    assert [row.z for row in got] == expected(*rows)
    for row, one in zip(got, rows, strict=True):
        wanted = expected_parts(one)
        assert [part.label for part in row.why] == [label for label, _ in wanted]
        assert [part.contribution for part in row.why] == pytest.approx([c for _, c in wanted], rel=1e-6)


def test_parts_of_all_rows_add_up(spark, way):
    frame = spark.createDataFrame([([5, 0, 2, 3, 1],), ([2, 2, 0],)], "x array<int>").coalesce(1)
    for row in explained(frame, "ids", top=100).collect():
        total = sum(part.contribution for part in row.why)
        assert WEIGHTS.intercept + total == pytest.approx(row.z, rel=1e-12)


@pytest.mark.parametrize(("invalid", "kept"), [("skip", 1), ("keep", 2)])
def test_rows_without_a_score_have_no_parts(spark, way, invalid, kept):
    frame = spark.createDataFrame([([0],), ([-1],)], "x array<int>").coalesce(1)
    found = explained(frame, "ids", invalid=invalid).collect()
    assert len(found) == kept
    assert [part.label for part in found[0].why] == ["a"]
    assert [row.why for row in found[1:]] == [None] * (kept - 1)


def test_a_row_that_can_not_be_scored_raises_its_sentence_with_parts_too(spark, way):
    frame = spark.createDataFrame([([-1],)], "x array<int>")
    with pytest.raises(PySparkException, match="the negative index -1 among its ids"):
        explained(frame, "ids").collect()
