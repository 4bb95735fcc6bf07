"""What the demo does with Spark: fields, models, and recommendations with reasons."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm import FMRegressionModel, FMRegressor
from spark_fm.evaluation import timeSplit
from spark_fm.feature import FieldEncoder, FieldEncoderModel, buckets, categorical, date_parts, set_of

MATRIX = [categorical("user"), categorical("movie")]
FIELDS = [
    *MATRIX,
    set_of("genres", value="1/sqrt(n)"),
    date_parts("time", ["month", "weekday"]),
    buckets("visits", n=8),
]
CONTEXT, ITEM = ["user", "month", "weekday", "visits"], ["movie", "genres"]
K, REASONS, SIZE = 10, 3, 16
SCHEMA = (
    "time timestamp, user string, movie string, year int, genres array<string>, visits int, rating double"
)


@dataclass(frozen=True)
class Scored:
    """A model's name in the table of results, and its error on held-out events."""

    name: str
    rmse: float


@dataclass(frozen=True)
class Trained:
    """The encoder and the machine with all fields, the number of events to train on, and the models in comparison."""

    encoder: FieldEncoderModel
    fm: FMRegressionModel
    rows: int
    scores: list[Scored]


def train(spark: SparkSession, events: pd.DataFrame) -> Trained:
    """Train on the first nine tenths in time, and measure on the last."""
    rows = spark.createDataFrame(events, SCHEMA).coalesce(1)
    training, held_out = (part.persist() for part in timeSplit(rows, "time", (0.9, 0.1)))
    (sums,) = training.agg(F.avg("rating"), F.count("rating")).collect()
    scores = [Scored("the mean for all", _rmse(held_out.withColumn("prediction", F.lit(sums[0]))))]
    two = FieldEncoder(fields=MATRIX).fit(training)
    encoder = FieldEncoder(fields=FIELDS).fit(training)
    for name, encoding, size in (
        ("user + movie, biases only", two, 0),
        ("user + movie, matrix factorization", two, SIZE),
        ("all fields", encoder, SIZE),
    ):
        fm = FMRegressor(labelCol="rating", factorSize=size, seed=1).fit(encoding.transform(training))
        scores.append(Scored(name, _rmse(fm.transform(encoding.transform(held_out)))))
    return Trained(encoder, fm, sums[1], scores)


def _rmse(scored: DataFrame) -> float:
    found: float = scored.agg(F.sqrt(F.avg(F.pow(F.col("prediction") - F.col("rating"), 2)))).collect()[0][0]
    return found


def recommended(
    spark: SparkSession,
    trained: Trained,
    movies: pd.DataFrame,
    events: pd.DataFrame,
    moments: dict[str, datetime],
) -> dict[str, list[dict[str, Any]]]:
    """The best movies of each user at a moment that the user has not rated, with reasons."""
    visits = events["user"].value_counts()
    rows = [(user, moment, int(visits[user])) for user, moment in moments.items()]
    contexts = trained.encoder.encode(
        spark.createDataFrame(rows, "user string, time timestamp, visits int"), CONTEXT
    )
    items = trained.encoder.encode(spark.createDataFrame(movies[["movie", "genres"]]).coalesce(1), ITEM)
    seen = spark.createDataFrame(events.loc[events["user"].isin(list(moments)), ["user", "movie"]])
    found = trained.fm.recommend(contexts, items, K, exclude=seen, itemCol="movie", reasons=REASONS)
    return {
        row["user"]: [one.asDict(recursive=True) for one in row["recommendations"]] for row in found.collect()
    }


def explained(
    spark: SparkSession,
    trained: Trained,
    user: str,
    moment: datetime,
    visits: int,
    movie: str,
    genres: list[str],
) -> Any:
    """The parts of one score."""
    row = [(moment, user, movie, 0, genres, visits, 0.0)]
    (features,) = (
        trained.encoder.transform(spark.createDataFrame(row, SCHEMA)).select("features").collect()[0]
    )
    return trained.fm.explain(features)


def interactions(
    trained: Trained, field: str, values: list[str], other: str, columns: list[str]
) -> npt.NDArray[np.float64]:
    """What values of one field say together with those of another, <v_i, v_j>, less the means of rows and columns."""
    first, second = _vectors(trained, field, values), _vectors(trained, other, columns)
    return centred(np.einsum("if,jf->ij", first, second))


def centred(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A table whose rows and columns have the mean 0: what the two say together beyond what each says by itself."""
    centre: npt.NDArray[np.float64] = table.mean(0) + table.mean(1, keepdims=True) - table.mean()
    return table - centre


def opinions(trained: Trained, user: str, genres: list[str]) -> dict[str, float]:
    """How many stars each genre adds for a user, beside what it adds for all, less the mean of all genres."""
    found = (_vectors(trained, "genres", genres) @ _vectors(trained, "user", [user]).T)[:, 0]
    return dict(zip(genres, (found - found.mean()).tolist(), strict=True))


def _vectors(trained: Trained, field: str, values: list[str]) -> npt.NDArray[np.float64]:
    """The factors of some values of a field."""
    weights, fields = trained.fm.weights, trained.fm.fields
    assert fields is not None
    labels = {label: row for row, label in enumerate(fields.labels(weights.features))}
    rows = [labels[f"{field}={value}"] for value in values]
    return weights.factors[rows].astype(np.float64)
