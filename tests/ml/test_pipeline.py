import pytest
from chispa import assert_df_equality
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    MulticlassClassificationEvaluator,
    RegressionEvaluator,
)
from pyspark.ml.feature import FeatureHasher, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressionModel, FMRegressor


@pytest.fixture(scope="module")
def raw(spark):
    """Rows as they come: user and item names, a number, a rating and whether it is a good one."""
    rows = [
        (f"user{i % 7}", f"item{(i * i) % 11}", float(i % 5), float((i % 7) - (i % 5)), float(i % 7 > 3))
        for i in range(150)
    ]
    frame = spark.createDataFrame(rows, ["user", "item", "price", "rating", "good"]).coalesce(2).persist()
    yield frame
    frame.unpersist()


def one_hot_stages():
    return [
        StringIndexer(inputCols=["user", "item"], outputCols=["u", "i"], handleInvalid="keep"),
        OneHotEncoder(inputCols=["u", "i"], outputCols=["ux", "ix"]),
        VectorAssembler(inputCols=["ux", "ix", "price"], outputCol="features"),
    ]


def test_regressor_behind_an_indexer_an_encoder_and_an_assembler(raw):
    fm = FMRegressor(labelCol="rating", factorSize=2, maxIter=30, seed=1)
    scored = Pipeline(stages=[*one_hot_stages(), fm]).fit(raw).transform(raw)
    assert scored.columns[-1] == "prediction"
    assert RegressionEvaluator(labelCol="rating", metricName="r2").evaluate(scored) > 0.8


def test_regressor_behind_a_hasher_comes_back_with_its_pipeline(raw, tmp_path):
    hasher = FeatureHasher(inputCols=["user", "item", "price"], outputCol="features", numFeatures=1 << 18)
    pipeline = Pipeline(stages=[hasher, FMRegressor(labelCol="rating", factorSize=2, maxIter=30, seed=1)])
    model = pipeline.fit(raw)
    scored = model.transform(raw)
    assert RegressionEvaluator(labelCol="rating", metricName="r2").evaluate(scored) > 0.8
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    assert isinstance(loaded.stages[-1], FMRegressionModel)
    assert_df_equality(loaded.transform(raw).select("prediction"), scored.select("prediction"))
    pipeline.save(str(tmp_path / "pipeline"))
    assert Pipeline.load(str(tmp_path / "pipeline")).getStages()[-1].getFactorSize() == 2


def test_classifier_at_the_end_of_a_pipeline(raw, tmp_path):
    fm = FMClassifier(labelCol="good", factorSize=2, maxIter=30, seed=1)
    model = Pipeline(stages=[*one_hot_stages(), fm]).fit(raw)
    scored = model.transform(raw)
    assert BinaryClassificationEvaluator(labelCol="good").evaluate(scored) > 0.95
    accuracy = MulticlassClassificationEvaluator(labelCol="good", metricName="accuracy")
    assert accuracy.evaluate(scored) > 0.9
    assert MulticlassClassificationEvaluator(labelCol="good", metricName="logLoss").evaluate(scored) < 0.5
    model.save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    assert_df_equality(
        loaded.transform(raw).select("probability", "prediction"), scored.select("probability", "prediction")
    )


def test_values_that_the_indexer_has_not_met_are_unseen_features(raw):
    model = Pipeline(stages=[*one_hot_stages(), FMRegressor(labelCol="rating", factorSize=2, maxIter=5)]).fit(
        raw
    )
    stranger = raw.limit(1).withColumn("user", F.lit("nobody")).withColumn("price", F.lit(0.0))
    with_item = model.transform(stranger).first()
    fm = model.stages[-1]
    item = with_item.features.indices.tolist()
    assert with_item.prediction == pytest.approx(fm.predict(item), rel=1e-5)


def test_vectors_read_from_parquet_are_trained_on_and_scored(raw, tmp_path):
    """Spark hands them to Python in columnar form, which rows from elsewhere do not have."""
    vectors = Pipeline(stages=one_hot_stages()).fit(raw).transform(raw).select("features", "rating")
    path = str(tmp_path / "vectors")
    vectors.write.parquet(path)
    read = raw.sparkSession.read.parquet(path)
    model = FMRegressor(labelCol="rating", factorSize=2, maxIter=5, seed=1).fit(read)
    expected = sorted(row.prediction for row in model.transform(vectors.cache()).collect())
    assert sorted(row.prediction for row in model.transform(read).collect()) == pytest.approx(expected)
