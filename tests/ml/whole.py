"""All of the package in one small run, from rows to recommendations; as a script, what it comes to as JSON."""

import json
import sys
import tempfile
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.evaluation import (
    FMClassificationEvaluator,
    RankingEvaluator,
    leaveLastOut,
    recommendationMetrics,
    timeSplit,
)
from spark_fm.feature import FieldEncoder, FieldEncoderModel, buckets, categorical, date_parts, set_of
from spark_fm.recipes import lastItem, ratedItems
from spark_fm.recommendation import Recommender

ROWS, USERS, FILMS = 120, 8, 6
TAGS = np.array(["dark", "new", "short"])
FITS: dict[str, dict[str, Any]] = {
    "one task": {"numPartitions": 1},
    "rounds": {"numPartitions": 2},
    "sampled": {"solver": "gibbs", "numChains": 1, "numPartitions": 1, "predictionStdCol": "deviation"},
    "sampled in rounds": {"solver": "gibbs", "numChains": 1, "numPartitions": 2},
}


def events(spark: SparkSession) -> DataFrame:
    """Rows: id, user bigint, film string, tags, day, at timestamp, price decimal, rating, liked, weight."""
    draw = np.random.default_rng(0)
    user, film = draw.integers(0, USERS, ROWS), draw.integers(0, FILMS, ROWS)
    rating = 3.0 + draw.normal(size=USERS)[user] + draw.normal(size=FILMS)[film]
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "user": user,
            "film": [f"film {i}" for i in film],
            "tags": [TAGS[: 1 + i % 3].tolist() for i in film],
            "day": [date(2024, 1, 1) + timedelta(days=int(i)) for i in draw.integers(0, 90, ROWS)],
            "second": draw.permutation(ROWS) + 1_700_000_000,
            "price": draw.integers(1, 900, ROWS) / 100,
            "rating": rating,
            "weight": draw.integers(1, 4, ROWS).astype(float),
        }
    )
    return (
        spark.createDataFrame(frame)
        .coalesce(1)
        .withColumn("at", F.timestamp_seconds("second"))
        .withColumn("price", F.col("price").cast("decimal(8,2)"))
        .withColumn("liked", (F.col("rating") > 3.0).cast("double"))
    )


def run(spark: SparkSession, folder: str) -> dict[str, Any]:
    """What all of it comes to: numbers, and lists of them, by name."""
    rows, found = events(spark), {}
    test = timeSplit(rows, "at")[1]
    found["split"] = sorted(row.id for row in test.select("id").collect())
    found["last"] = sorted(row.id for row in leaveLastOut(rows, "user", "at")[1].select("id").collect())
    fields = [
        categorical("user"), categorical("film"), set_of("tags", value="1/n"), date_parts("day", parts=["weekday"]),
        buckets("price", n=3), set_of("rated"), categorical("lastItem"),
    ]  # fmt: skip
    columns = ratedItems(lastItem(rows, "user", "film", "at"), "user", "film")
    encoder = FieldEncoder(fields=fields, coldCol="cold").fit(columns)
    encoder.write().overwrite().save(f"{folder}/encoder")
    encoder = FieldEncoderModel.load(f"{folder}/encoder")
    encoded = encoder.transform(columns).coalesce(1).orderBy("id").persist()
    found["names"] = encoder.layout.labels(np.arange(encoder.numFeatures))
    found["features"] = [[list(r.features.ids), list(r.features["values"])] for r in encoded.collect()]
    vectors = encoder.copy({encoder.outputType: "vector"}).transform(columns).where("id < 5").orderBy("id")
    found["vectors"] = [row.features.toArray().tolist() for row in vectors.collect()]
    for name, params in FITS.items():
        model = FMRegressor(
            labelCol="rating", weightCol="weight", factorSize=2, maxIter=2, seed=1, explainCol="why", **params
        ).fit(encoded)
        weights = model.weights
        found[name] = [weights.intercept, weights.linear.tolist(), weights.factors.ravel().tolist()]
        if name == "sampled":
            scored = model.transform(encoded.where("id < 20")).orderBy("id").collect()
            found["deviation"] = [row.deviation for row in scored]
    model.write().overwrite().save(f"{folder}/model")
    model = FMRegressionModel.load(f"{folder}/model").setExplainCol("why")
    scored = model.transform(encoded).orderBy("id").collect()
    found["prediction"] = [row.prediction for row in scored]
    found["why"] = [_pairs(row.why) for row in scored[:9]]
    found["explain"] = repr(model.explain(scored[0].features))
    found["importance"] = model.importance().to_numpy().tolist()
    found["error"] = model.evaluate(encoded).rootMeanSquaredError
    classifier = FMClassifier(labelCol="liked", factorSize=2, maxIter=2, seed=1, numPartitions=1)
    scored = classifier.fit(encoded).transform(encoded).persist()
    for metric in ("logLoss", "areaUnderROC", "groupAUC", "expectedCalibrationError"):
        evaluator = FMClassificationEvaluator(metricName=metric, labelCol="liked", groupCol="user")
        found[metric] = evaluator.evaluate(scored)
    found["ranking"] = RankingEvaluator(predictionCol="probability", labelCol="liked").evaluate(scored)
    users = columns.groupBy("user").agg(F.max("day").alias("day"), F.max("price").alias("price"))
    films = rows.select("film", "tags").distinct()
    pipeline = Recommender(
        PipelineModel([encoder, model]), users, films, itemCol="film", itemFields=["film", "tags"]
    )
    seen = rows.where("id < 30").select(F.col("user").cast("int"), "film")
    best = pipeline.recommend(users, 3, exclude=seen, reasons=2).persist()
    found["best"] = sorted(
        [row.user, [[one.film, one.rating, _pairs(one.reasons)] for one in row.recommendations]]
        for row in best.collect()
    )
    metrics = recommendationMetrics(
        best, test.withColumn("user", F.col("user").cast("smallint")), itemCol="film"
    )
    found["metrics"] = [metrics.ndcgAtK, metrics.recallAtK, metrics.users]
    vectors = model.itemVectors(encoder.encode(films, ["film", "tags"]), "film")
    found["item vectors"] = sorted([row.film, row.vector] for row in vectors.collect())
    for frame in (encoded, scored, best):
        frame.unpersist()
    return found


def _pairs(parts: list[Any]) -> list[list[Any]]:
    return [[part.label, part.contribution] for part in parts]


def main() -> None:
    spark = SparkSession.builder.getOrCreate()
    try:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(json.dumps(run(spark, folder)) + "\n")
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
