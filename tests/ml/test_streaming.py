import pytest
from chispa import assert_df_equality
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler

from spark_fm import FMClassifier, FMRegressor


def streamed(model, source, name):
    """All rows that a streaming query over ``source`` scores."""
    query = model.transform(source).writeStream.format("memory").queryName(name).start()
    try:
        query.processAllAvailable()
        return source.sparkSession.table(name)
    finally:
        query.stop()


def test_ids_of_a_stream_are_scored_as_in_a_batch(spark, planted_model, fresh, tmp_path):
    fresh.write.parquet(str(tmp_path / "in"))
    source = spark.readStream.schema(fresh.schema).parquet(str(tmp_path / "in"))
    assert source.isStreaming
    assert planted_model.transform(source).isStreaming
    found = streamed(planted_model, source, "scored_ids")
    assert found.count() == fresh.count()
    assert_df_equality(found, planted_model.transform(fresh), ignore_row_order=True, ignore_nullable=True)


@pytest.mark.parametrize("estimator", [FMRegressor, FMClassifier])
def test_vectors_of_a_stream_are_scored_behind_a_pipeline(spark, tmp_path, estimator):
    rows = [(float(i % 3), float(i % 4), float(i % 2)) for i in range(60)]
    batch = spark.createDataFrame(rows, ["a", "b", "label"]).coalesce(1)
    stages = [VectorAssembler(inputCols=["a", "b"], outputCol="features"), estimator(factorSize=2, maxIter=3)]
    model = Pipeline(stages=stages).fit(batch)
    batch.write.json(str(tmp_path / "in"))
    source = spark.readStream.schema(batch.schema).json(str(tmp_path / "in"))
    found = streamed(model, source, f"scored_{estimator.__name__}").select("a", "b", "prediction")
    expected = model.transform(batch).select("a", "b", "prediction")
    assert found.count() == 60
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)
