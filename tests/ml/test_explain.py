"""Explanations of single rows, explainCol, and what a model says of its fields."""

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressor
from spark_fm.base.explain import Explanation
from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.feature import FieldEncoder, categorical, numeric, set_of
from tests.ml.frames import one_hot
from tests.ml.test_fields import metadata_of
from tests.ml.test_streaming import streamed

LAYOUT = FieldLayout((Field("user", 0, 30), Field("film", 30, 100)), {i: f"n{i}" for i in range(120)})


@pytest.fixture(scope="module")
def rows(ratings):
    metadata = metadata_of(LAYOUT)
    return ratings.withColumn("features", F.col("features").alias("features", metadata=metadata))


@pytest.fixture(scope="module")
def model(rows):
    return FMRegressor(factorSize=3, maxIter=5, initStd=0.3, seed=1).fit(rows)


def test_a_readable_explanation(model):
    row = one_hot([3, 30 + 8], 130)
    explanation = model.explain(row)
    assert explanation.score == pytest.approx(model.predict(row), rel=1e-12)
    assert explanation.labels == {3: "user=n3", 38: "film=n38"}
    said = repr(explanation).splitlines()
    assert said[0].startswith("intercept: ")
    assert {line.split(": ")[0] for line in said[1:-1]} == {"user=n3", "film=n38", "user=n3 x film=n38"}
    assert said[-1] == f"score: {explanation.score:+.4g}"
    parts = [abs(part) for _, part in explanation.parts()]
    assert parts == sorted(parts, reverse=True)


def test_many_parts_end_in_the_sum_of_the_others():
    explanation = Explanation(1.0, {i: float(i) for i in range(20)}, {})
    assert explanation.lines(3) == [
        ("intercept", 1.0), ("#19", 19.0), ("#18", 18.0), ("#17", 17.0), ("17 others", sum(range(17))),
    ]  # fmt: skip
    # One other has a line of its own.
    assert [label for label, _ in explanation.lines(19)][-2:] == ["#1", "#0"]
    assert sum(part for _, part in explanation.lines(3)) == pytest.approx(explanation.score)


def test_pictures(model, tmp_path):
    model.explain(one_hot([3, 38], 130)).plot(tmp_path / "waterfall.png")
    model.plotFieldMatrix(str(tmp_path / "matrix.png"))
    for name in ("waterfall.png", "matrix.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_column_is_what_explain_says(model, rows):
    scored = model.copy().setExplainCol("why").transform(rows)
    assert scored.columns == [*rows.columns, "prediction", "why"]
    plain = model.transform(rows).collect()
    for row, other in zip(scored.collect(), plain, strict=True):
        assert row.prediction == other.prediction
        expected = model.explain(row.features).parts()
        assert [part.label for part in row.why] == [label for label, _ in expected]
        assert [part.contribution for part in row.why] == pytest.approx(
            [part for _, part in expected], rel=1e-9
        )
        total = model.intercept + sum(part.contribution for part in row.why)
        assert total == pytest.approx(row.prediction, rel=1e-9)


def test_so_many_parts_as_were_asked_for(spark, rows):
    model = FMRegressor(factorSize=3, maxIter=2, initStd=0.3, explainCol="why", explainTop=2).fit(rows)
    assert [len(row.why) for row in model.transform(rows).limit(3).collect()] == [2, 2, 2]
    # A param that is set later acts on the next transform.
    assert [len(row.why) for row in model.setExplainTop(1).transform(rows).limit(3).collect()] == [1, 1, 1]
    assert "why" not in model.setExplainCol("").transform(rows).columns


def test_features_without_names_and_ids(planted_model, fresh):
    found = planted_model.copy().setExplainCol("why").transform(fresh).limit(20).collect()
    for row in found:
        user, item = row.features
        assert {part.label for part in row.why} == {f"#{user}", f"#{item}", f"#{user} x #{item}"}


def test_the_column_alone(model, rows):
    quiet = model.copy().setPredictionCol("").setExplainCol("why")
    assert quiet.transform(rows).columns == [*rows.columns, "why"]


def test_the_column_of_a_classifier_is_of_log_odds(binary):
    model = FMClassifier(factorSize=3, maxIter=3, explainCol="why", explainTop=100_000, seed=1).fit(binary)
    scored = model.transform(binary)
    assert {"rawPrediction", "probability", "prediction", "why"} < set(scored.columns)
    for row in scored.limit(5).collect():
        total = model.intercept + sum(part.contribution for part in row.why)
        assert total == pytest.approx(row.rawPrediction[1], rel=1e-8)
    quiet = model.copy().setPredictionCol("").setProbabilityCol("").setRawPredictionCol("")
    assert set(quiet.transform(binary).columns) - set(binary.columns) == {"why"}


def test_evaluate_needs_no_reasons(model, rows):
    found = model.copy().setExplainCol("why").evaluate(rows)
    assert "why" not in found.predictions.columns
    assert found.rootMeanSquaredError == model.evaluate(rows).rootMeanSquaredError


def test_the_columns_name_must_be_new(model, rows):
    with pytest.raises(ValueError, match=r"Output column label already exists\."):
        model.copy().setExplainCol("label").transform(rows)
    with pytest.raises(ValueError, match=r"Output column prediction already exists\."):
        FMRegressor(explainCol="prediction").fit(rows)


def test_rows_that_can_not_be_scored(spark, model):
    frame = spark.createDataFrame([(Vectors.dense(1.0),), (one_hot([3, 38], 130),)], ["features"]).coalesce(1)
    kept = model.copy().setExplainCol("why").setHandleInvalid("keep").transform(frame).collect()
    assert kept[0].why is None
    assert np.isnan(kept[0].prediction)
    assert len(kept[1].why) == 3


def test_reasons_of_a_stream(spark, planted_model, fresh, tmp_path):
    fresh.write.parquet(str(tmp_path / "in"))
    source = spark.readStream.schema(fresh.schema).parquet(str(tmp_path / "in"))
    model = planted_model.copy().setExplainCol("why")
    found = streamed(model, source, "explained").select("features", "why").collect()
    expected = model.transform(fresh).select("features", "why").collect()
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_top_interactions(model):
    found = model.topInteractions(7)
    assert list(found.columns) == ["first", "second", "weight", "strength"]
    assert len(found) == 7
    assert found.strength.is_monotonic_decreasing
    assert all(label.startswith("user=") for label in found["first"])
    assert all(label.startswith("film=") for label in found["second"])
    i, j = (int(found[name][0].split("n")[-1]) for name in ("first", "second"))
    v, r = model.factors.toArray(), model._moments.root_mean_square
    where = {feature: row for row, feature in enumerate(model.weights.features.tolist())}
    assert found.weight[0] == pytest.approx(v[i] @ v[j], rel=1e-6)
    assert found.strength[0] == pytest.approx(abs(v[i] @ v[j]) * r[where[i]] * r[where[j]], rel=1e-5)
    assert model.topInteractions(7, ("film", "user")).equals(found)
    assert model.topInteractions(7, ("film", "film")).empty
    with pytest.raises(ValueError, match="there is no field 'genre'; the fields are: user, film"):
        model.topInteractions(7, ("user", "genre"))
    with pytest.raises(ValueError, match="topInteractions: found n 0, expected at least 1"):
        model.topInteractions(0)


def test_importance_and_matrix(model):
    found, matrix = model.importance(), model.fieldMatrix()
    assert list(found.columns) == ["field", "alone", "together", "share"]
    assert sorted(found.field) == ["film", "user"]
    assert found.share.sum() == pytest.approx(1.0)
    assert found.share.is_monotonic_decreasing
    assert list(matrix.columns) == list(matrix.index) == ["user", "film"]
    assert matrix.loc["user", "film"] == matrix.loc["film", "user"] == pytest.approx(found.together[0])
    assert matrix.loc["film", "film"] == pytest.approx(found.set_index("field").alone["film"])


def test_without_fields_pairs_are_numbers_and_importance_is_refused(planted_model):
    assert planted_model.topInteractions(1)["first"][0].startswith("#")
    for report in (planted_model.importance, planted_model.fieldMatrix):
        with pytest.raises(ValueError, match=f"^{report.__name__}: the model knows no fields"):
            report()


@pytest.mark.parametrize("output", ["ids", "pairs", "vector"])
def test_reasons_in_the_names_of_an_encoder(spark, output):
    kinds = ["Noir", "Comedy", "Drama"]
    rows = [(f"u{i % 7}", kinds[i % 3 : 2 + i % 2], float(i % 5), float(i % 7 - i % 3)) for i in range(140)]
    frame = spark.createDataFrame(
        rows, "user string, genres array<string>, age double, label double"
    ).coalesce(1)
    fields = [categorical("user"), set_of("genres")] + ([] if output == "ids" else [numeric("age")])
    encoded = FieldEncoder(fields=fields, outputType=output).fit(frame).transform(frame)
    model = FMRegressor(factorSize=2, maxIter=5, explainCol="why", explainTop=50).fit(encoded)
    assert [one.name for one in model.fields.fields] == ["user", "genres", "age"][: len(fields)]
    found = model.transform(encoded).collect()
    for row in found:
        total = model.intercept + sum(part.contribution for part in row.why)
        assert total == pytest.approx(row.prediction, rel=1e-9)
        assert f"user={row.user}" in {part.label for part in row.why}
        assert not any("#" in part.label for part in row.why)
    said = {label for row in found for part in row.why for label in part.label.split(" x ")}
    assert {f"genres={kind}" for kind in kinds} <= said
    assert ("age" in said) == (output != "ids")
    assert set(model.importance().field) == {one.name for one in model.fields.fields}
