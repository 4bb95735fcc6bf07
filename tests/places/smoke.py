"""What must work in every place: fit, score, save, overwrite, load, Pipeline, CrossValidator, streaming, recommending.

The ordinary tests run it on their Spark, ``make oldest`` on the oldest packages, ``make connect-test`` on a Spark
Connect server. As a script it needs spark_fm, pyspark and nothing else; the environment says which session it gets
(SPARK_REMOTE: one of Spark Connect).
"""

import logging
import math
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm import FMClassificationModel, FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.evaluation import (
    FMClassificationEvaluator,
    RankingEvaluator,
    leaveLastOut,
    recommendationMetrics,
    timeSplit,
)
from spark_fm.feature import FieldEncoder, categorical, set_of
from spark_fm.recommendation import Recommender

USERS, ITEMS, ROWS = 30, 20, 600


def ratings(spark: SparkSession) -> DataFrame:
    """Rows that a user's and an item's factors decide: user, item, features (ids), label, is_liked (0 or 1)."""
    draw = np.random.default_rng(0)
    users, items = draw.integers(0, USERS, ROWS), draw.integers(0, ITEMS, ROWS)
    taste, kind = draw.normal(size=(USERS, 2)), draw.normal(size=(ITEMS, 2))
    labels = 3.0 + (taste[users] * kind[items]).sum(axis=1)
    rows = [
        (f"u{user}", f"i{item}", [user, USERS + item], label, float(label > 3.0))
        for user, item, label in zip(users.tolist(), items.tolist(), labels.tolist(), strict=True)
    ]
    ddl = "user string, item string, features array<int>, label double, is_liked double"
    return spark.createDataFrame(rows, ddl)


def predictions(scored: DataFrame) -> list[float]:
    return [row.prediction for row in scored.select("prediction").collect()]


def squared_error(scored: DataFrame) -> float:
    rows = scored.select("label", "prediction").collect()
    return sum((row.label - row.prediction) ** 2 for row in rows) / len(rows)


def check_regression(spark: SparkSession, folder: str, partitions: int) -> None:
    data = ratings(spark)
    variance = data.agg(F.var_pop("label")).collect()[0][0]
    estimator = FMRegressor(factorSize=4, maxIter=15, numPartitions=partitions)
    model = estimator.fit(data)
    scored = model.transform(data)
    assert squared_error(scored) < 0.7 * variance
    path = f"{folder}/regression-{partitions}"
    model.save(path)
    model.write().overwrite().save(path)
    assert predictions(FMRegressionModel.load(path).transform(data)) == predictions(scored)
    estimator.save(f"{path}-estimator")
    assert FMRegressor.load(f"{path}-estimator").getMaxIter() == 15


def check_one_task(spark: SparkSession, folder: str) -> None:
    check_regression(spark, folder, 1)


def check_two_partitions(spark: SparkSession, folder: str) -> None:
    check_regression(spark, folder, 2)


def check_sampler(spark: SparkSession, folder: str) -> None:
    data, scored = ratings(spark), []
    for partitions in (1, 2):
        params = {
            "solver": "gibbs",
            "factorSize": 4,
            "maxIter": 10,
            "numPartitions": partitions,
            "numChains": 1,
        }
        model = FMRegressor(**params, predictionStdCol="deviation").fit(data)
        scored.append(predictions(model.transform(data)))
    # The same chain in one task and in rounds.
    assert max(abs(a - b) for a, b in zip(*scored, strict=True)) < 1e-3
    assert FMRegressor(solver="gibbs", factorSize=4, maxIter=3).fit(data).summary.chains == 2
    model.save(f"{folder}/sampled")
    loaded = FMRegressionModel.load(f"{folder}/sampled").transform(data)
    assert predictions(loaded) == scored[1]
    assert min(row.deviation for row in loaded.select("deviation").collect()) > 0.0


def check_classifier(spark: SparkSession, folder: str) -> None:
    data = ratings(spark).drop("label").withColumnRenamed("is_liked", "label")
    for partitions in (1, 2):
        model = FMClassifier(factorSize=4, maxIter=15, numPartitions=partitions).fit(data)
        rows = model.transform(data).select("label", "prediction", "probability").collect()
        assert sum(row.label == row.prediction for row in rows) > 0.7 * len(rows)
        assert all(math.isclose(sum(row.probability), 1.0) for row in rows)
        path = f"{folder}/classifier-{partitions}"
        model.save(path)
        loaded = FMClassificationModel.load(path)
        assert predictions(loaded.transform(data)) == [row.prediction for row in rows]


def encoded() -> list[Any]:
    """Stages that make vectors of user and item."""
    names = ["user", "item"]
    return [
        StringIndexer(inputCols=names, outputCols=[f"{name}_index" for name in names]),
        OneHotEncoder(
            inputCols=[f"{name}_index" for name in names], outputCols=[f"{name}_vector" for name in names]
        ),
        VectorAssembler(inputCols=[f"{name}_vector" for name in names], outputCol="vector"),
    ]


def check_pipeline(spark: SparkSession, folder: str) -> None:
    data = ratings(spark)
    model = Pipeline(stages=[*encoded(), FMRegressor(featuresCol="vector", maxIter=3)]).fit(data)
    path = f"{folder}/pipeline"
    model.save(path)
    model.write().overwrite().save(path)
    assert predictions(PipelineModel.load(path).transform(data)) == predictions(model.transform(data))


def check_encoder(spark: SparkSession, folder: str) -> None:
    data = ratings(spark).withColumn("likes", F.array("user", "item")).drop("features")
    fields = [categorical("user"), categorical("item", minCount=2), set_of("likes", value="1/sqrt(n)")]
    for output in ("auto", "vector"):
        encoder = FieldEncoder(fields=fields, outputType=output, coldCol="cold")
        model = Pipeline(stages=[encoder, FMRegressor(factorSize=4, maxIter=3)]).fit(data)
        path = f"{folder}/encoder-{output}"
        model.save(path)
        model.write().overwrite().save(path)
        loaded = PipelineModel.load(path)
        assert predictions(loaded.transform(data)) == predictions(model.transform(data))
        assert repr(loaded.stages[0]) == repr(model.stages[0])
        assert {name.split("=")[0] for name in loaded.stages[1].explain([0, USERS + 2]).labels.values()} == {
            "user", "item",
        }  # fmt: skip
        new = data.limit(1).withColumn("user", F.lit("nobody"))
        assert [row.cold for row in loaded.transform(new).collect()] == [True]
    assert model.stages[0].layout.label(USERS) == "user=(other)"


def check_reasons(spark: SparkSession, folder: str) -> None:
    data = ratings(spark)
    for partitions in (1, 2):
        estimator = FMRegressor(
            featuresCol="vector", factorSize=2, maxIter=15, explainCol="reasons", numPartitions=partitions,
            regParamByField={"user_vector": 2.0}, minFactorCount=2, nonnegative=True, validationFraction=0.0,
        )  # fmt: skip
        Pipeline(stages=[*encoded(), estimator]).fit(data).save(f"{folder}/reasons-{partitions}")
        model = PipelineModel.load(f"{folder}/reasons-{partitions}")
        fm, rows = model.stages[-1], model.transform(data).collect()
        assert [one.name for one in fm.fields.fields] == ["user_vector", "item_vector"]
        assert len(fm.topInteractions(3)) == 3
        for row in rows:
            made = sum(part.contribution for part in row.reasons)
            assert math.isclose(fm.intercept + made, row.prediction, rel_tol=1e-9)
        labels = {part.label for row in rows for part in row.reasons}
        assert labels
        assert not any("#" in label for label in labels)


def check_cross_validator(spark: SparkSession, folder: str) -> None:
    data = ratings(spark)
    estimator = FMRegressor(maxIter=3)
    grid = ParamGridBuilder().addGrid(estimator.factorSize, [0, 4]).build()
    model = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=RegressionEvaluator(), numFolds=2
    ).fit(data)
    assert len(model.avgMetrics) == 2
    model.save(f"{folder}/tuned")
    loaded = CrossValidatorModel.load(f"{folder}/tuned")
    assert predictions(loaded.transform(data)) == predictions(model.transform(data))


def check_evaluators(spark: SparkSession, folder: str) -> None:
    data = ratings(spark).drop("label").withColumnRenamed("is_liked", "label")
    estimator = FMClassifier(maxIter=15, factorSize=4, validationMetric="areaUnderROC")
    evaluator = FMClassificationEvaluator(metricName="groupAUC", groupCol="user")
    grid = ParamGridBuilder().addGrid(estimator.maxIter, [0, 15]).build()
    tuned = CrossValidator(estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2)
    model = tuned.fit(data)
    assert model.avgMetrics[1] > model.avgMetrics[0]
    model.save(f"{folder}/tuned-by-group")
    assert CrossValidatorModel.load(f"{folder}/tuned-by-group").getEvaluator().getGroupCol() == "user"
    evaluator.write().overwrite().save(f"{folder}/evaluator")
    evaluator.write().overwrite().save(f"{folder}/evaluator")
    assert FMClassificationEvaluator.load(f"{folder}/evaluator").getMetricName() == "groupAUC"
    scored = model.transform(data)
    for name in ("logLoss", "areaUnderROC", "expectedCalibrationError"):
        assert 0.0 < evaluator.setMetricName(name).evaluate(scored) < 1.0
    assert evaluator.calibrationCurve(scored)["rows"].sum() == ROWS
    ranking = RankingEvaluator(predictionCol="probability", k=3)
    assert 0.5 < ranking.evaluate(scored) <= 1.0
    lists = data.groupBy("user").agg(F.collect_list("item").alias("recommendations"))
    metrics = recommendationMetrics(lists, data, labelCol="label", k=ROWS, catalogue=data.select("item"))
    assert (metrics.recallAtK, metrics.coverage) == (1.0, 1.0)


def check_splits(spark: SparkSession, folder: str) -> None:
    data = ratings(spark).withColumn("at", F.timestamp_seconds(F.pmod(F.hash("label", "user"), F.lit(9999))))
    for train, test in (
        timeSplit(data, "at"),
        timeSplit(data, "at", userCol="user", apart=["label"]),
        leaveLastOut(data, "user", "at", apart=["label"]),
    ):
        assert train.columns == data.columns
        assert 0 < test.count() == ROWS - train.count() < 0.3 * ROWS


def check_streaming(spark: SparkSession, folder: str) -> None:
    data = ratings(spark)
    model = FMRegressor(maxIter=2).fit(data)
    data.write.parquet(f"{folder}/stream")
    source = spark.readStream.schema(data.schema).parquet(f"{folder}/stream")
    query = model.transform(source).writeStream.format("memory").queryName("smoke").start()
    try:
        query.processAllAvailable()
        found = predictions(spark.table("smoke"))
    finally:
        query.stop()
    assert sorted(found) == sorted(predictions(model.transform(data)))


def check_recommending(spark: SparkSession, folder: str) -> None:
    data = ratings(spark)
    model = FMRegressor(factorSize=4, maxIter=3).fit(data)
    users = data.select("user", F.slice("features", 1, 1).alias("features")).distinct()
    items = data.select("item", F.slice("features", 2, 1).alias("features")).distinct()
    seen = {(row.user, row.item) for row in data.collect()}
    recommender = Recommender(model, users, items)
    for row in recommender.recommendForAllUsers(3, exclude=data).collect():
        unseen = [f"i{i}" for i in range(ITEMS) if (row.user, f"i{i}") not in seen]
        z = {item: model.predict([int(row.user[1:]), USERS + int(item[1:])]) for item in unseen}
        best = sorted(unseen, key=lambda item: (-z[item], item))[:3]
        assert [one.item for one in row.recommendations] == best
    found = model.recommend(users, items, 2, reasons=2).collect()
    assert all(len(one.reasons) == 2 for row in found for one in row.recommendations)
    assert len(model.itemVectors(items).collect()) == ITEMS


CHECKS: list[Callable[[SparkSession, str], None]] = [
    check_one_task,
    check_two_partitions,
    check_sampler,
    check_classifier,
    check_pipeline,
    check_encoder,
    check_reasons,
    check_cross_validator,
    check_evaluators,
    check_splits,
    check_streaming,
    check_recommending,
]


def main() -> None:
    logging.basicConfig(format="smoke: %(message)s", stream=sys.stdout)
    logger = logging.getLogger("smoke")
    logger.setLevel(logging.INFO)
    spark = SparkSession.builder.getOrCreate()
    logger.info("Spark %s, Python %s, numpy %s", spark.version, sys.version.split()[0], np.__version__)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for check in CHECKS:
                check(spark, folder)
                logger.info("%s passed", check.__name__)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
