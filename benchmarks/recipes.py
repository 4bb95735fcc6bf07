"""The recipes of docs/recipes.md on MovieLens latest-small, split by time, beside pyspark.ml's ALS and means.

python -m benchmarks.recipes --data FOLDER

Of each user's ratings the first 80 % in time train, the others test. "untuned" is a fit as a user makes it.
"validated" is the best of some settings, and its number of epochs, on the last eighth of each user's training ratings;
it is trained again on all of them. Settings are two strengths of the prior, two of the penalty on factors, and of other
fields than user and item penalties as they are and thirty times as strong. ALS is validated likewise over twelve
settings; its best on the *test* rows is told too, which is more than anybody can have. An item that ALS has not met is
given its user's mean.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.common import parser, publish, show, spark_session, timed
from spark_fm import FMRegressor
from spark_fm.evaluation import timeSplit
from spark_fm.feature import FieldEncoder, FieldSpec, categorical, date_parts, numeric, set_of
from spark_fm.recipes import daysSinceFirst, eventsBefore, lastItem, ratedItems

WEEK = 7 * 86400
MOST_RATED = 50
SHARES, VALIDATION = (0.8, 0.2), (0.875, 0.125)
SETTINGS: list[dict[str, Any]] = [
    {"regParamPrior": prior, "regParamFactors": factors} for prior in (0.3, 1.0) for factors in (0.01, 0.05)
]
RANKS, REGULARISATIONS = (4, 8, 16), (0.05, 0.1, 0.2, 0.4)
STRONGER = 30.0  # penalty on the fields beside user and item
SHRUNK = 5.0


@dataclass(frozen=True)
class Recipe:
    """Fields, and params of the estimator."""

    name: str
    fields: list[FieldSpec]
    params: dict[str, Any] = field(default_factory=dict)


def recipes() -> list[Recipe]:
    """All that are measured."""
    user, item = categorical("user"), categorical("item")
    profile = [numeric(name) for name in ("userMean", "itemMean")]
    profile += [numeric(name, transform="log1p") for name in ("userCount", "itemCount")]
    past = numeric("eventsBefore", transform="log1p")
    rated = set_of("rated", value="1/sqrt(n)")
    time = [categorical("week"), numeric("daysSinceFirst", transform="log1p")]
    return [
        Recipe("linear regression", [user, item], {"factorSize": 0}),
        Recipe("polynomial of degree 2", profile),
        Recipe("matrix factorization", [user, item], {"fitLinear": False}),
        Recipe("non-negative MF", [user, item], {"fitLinear": False, "nonnegative": True}),
        Recipe("biased MF", [user, item]),
        Recipe("SVD++", [user, item, rated]),
        Recipe("attributes", [user, item, set_of("genres")]),
        Recipe("time", [user, item, *time]),
        Recipe("tags", [user, item, set_of("tags", value="1/sqrt(n)")]),
        Recipe("FPMC", [user, item, categorical("lastItem", null="nothing")]),
        Recipe("context", [user, item, past, *[date_parts("time", ["hour", "weekday"])]]),
        Recipe("attributes and context", [user, item, set_of("genres"), past]),
    ]


def events(spark: Any, folder: Path) -> DataFrame:
    """All ratings with what was known when they were given."""

    def read(name: str, schema: str) -> DataFrame:
        return spark.read.csv(str(folder / name), schema=schema, header=True)

    ratings = read("ratings.csv", "user int, item int, label double, seconds bigint")
    movies = read("movies.csv", "item int, title string, genres string")
    tags = read("tags.csv", "tagger int, tagged int, tag string, at bigint")
    movies = movies.select("item", F.split("genres", r"\|").alias("genres"))
    so_far = (
        ratings.join(tags, (ratings.item == tags.tagged) & (tags["at"] <= ratings.seconds))
        .groupBy("user", "item")
        .agg(F.collect_set(F.lower("tag")).alias("tags"))
    )
    rows = ratings.join(movies, "item", "left").join(so_far, ["user", "item"], "left")
    rows = rows.withColumn("week", F.floor(F.col("seconds") / WEEK))
    rows = rows.withColumn("time", F.timestamp_seconds("seconds"))
    rows = lastItem(rows, "user", "item", "seconds")
    return eventsBefore(daysSinceFirst(rows, "user", "seconds"), "user", "seconds")


def with_history(rows: DataFrame, history: DataFrame) -> DataFrame:
    """The rows with what their users and items have in the history: its items, numbers of ratings and shrunk means."""
    made = ratedItems(rows, "user", "item", history, timeCol="seconds", most=MOST_RATED)
    mean = float(history.agg(F.avg("label")).collect()[0][0])
    for key in ("user", "item"):
        count = F.count("label")
        shrunk = (F.sum("label") + SHRUNK * mean) / (count + SHRUNK)
        known = history.groupBy(key).agg(shrunk.alias(f"{key}Mean"), count.alias(f"{key}Count"))
        made = made.join(known, key, "left").fillna({f"{key}Mean": mean, f"{key}Count": 0})
    return made


def rmse(scored: DataFrame) -> float:
    """Of the column prediction."""
    return float(RegressionEvaluator(metricName="rmse").evaluate(scored))


def kept(rows: DataFrame, path: Path) -> DataFrame:
    """The rows from Parquet, in the cache: their long history of plans ends here."""
    rows.repartition(2, "user").sortWithinPartitions("user", "seconds", "item").write.parquet(str(path))
    read = rows.sparkSession.read.parquet(str(path)).persist()
    read.count()
    return read


@dataclass(frozen=True)
class Parts:
    """Training rows, and rows that come after them."""

    before: DataFrame
    after: DataFrame

    @classmethod
    def of(cls, rows: DataFrame, shares: tuple[float, float], folder: Path) -> "Parts":
        """By time, user by user, with what the training rows say of users and items."""
        before, after = timeSplit(rows, "seconds", shares, userCol="user", apart=["label"])
        known = kept(with_history(before, before), folder / "before")
        return cls(known, kept(with_history(after, known), folder / "after"))


def encoded(recipe: Recipe, parts: Parts) -> tuple[DataFrame, DataFrame, float]:
    """Features and label of both parts, cached, and the seconds that took."""

    def run() -> list[DataFrame]:
        encoder = FieldEncoder(fields=recipe.fields).fit(parts.before)
        made = [encoder.transform(rows).select("features", "label") for rows in (parts.before, parts.after)]
        for rows in made:
            rows.persist().count()
        return made

    (before, after), seconds = timed(run)
    return before, after, seconds


def settings(rows: DataFrame) -> list[dict[str, Any]]:
    """What is tried for encoded rows: where they have fields beside user and item, stronger penalties on these too."""
    fields = rows.schema["features"].metadata["spark_fm"]["fields"]
    others = {one["name"]: STRONGER for one in fields if one["name"] not in ("user", "item")}
    if len(others) in (0, len(fields)):
        return SETTINGS
    return [*SETTINGS, *(one | {"regParamByField": others} for one in SETTINGS)]


def validated(recipe: Recipe, parts: Parts) -> tuple[dict[str, Any], int]:
    """The setting and the number of epochs that are best on later rows."""
    before, after, _ = encoded(recipe, parts)
    marked = before.withColumn("later", F.lit(False)).union(after.withColumn("later", F.lit(True))).persist()
    found = []
    for setting in settings(before):
        estimator = FMRegressor(validationIndicatorCol="later", **recipe.params, **setting)
        summary = estimator.fit(marked).summary
        found.append((min(summary.validationLoss), setting, summary.bestEpoch))
    for rows in (before, after, marked):
        rows.unpersist()
    _, setting, epochs = min(found, key=lambda one: one[0])
    return setting, epochs


def measured(recipe: Recipe, parts: Parts, inner: Parts) -> dict[str, object]:
    """A row of the table."""
    train, test, encoding = encoded(recipe, parts)
    estimator = FMRegressor(**recipe.params)
    estimator.fit(train)  # the first fit of a kind compiles
    model, seconds = timed(lambda: estimator.fit(train))
    untuned = rmse(model.transform(test))
    setting, epochs = validated(recipe, inner)
    tuned = FMRegressor(maxIter=epochs, validationFraction=0.0, **recipe.params, **setting).fit(train)
    row: dict[str, object] = {
        "recipe": recipe.name,
        "fields": ", ".join(map(repr, recipe.fields)),
        "params": ", ".join(f"{name}={value}" for name, value in recipe.params.items()),
        "RMSE untuned": untuned,
        "RMSE validated": rmse(tuned.transform(test)),
        "encoding seconds": encoding,
        "fit seconds": seconds,
        "setting": ", ".join(f"{name}={value}" for name, value in setting.items()),
        "epochs": epochs,
    }
    train.unpersist()
    test.unpersist()
    show(str(row))
    return row


def als(parts: Parts, inner: Parts) -> list[dict[str, object]]:
    """pyspark.ml's ALS: each setting on the test rows, and the one that is best on later training rows."""
    from pyspark.ml.recommendation import ALS

    def fitted(some: Parts, rank: int, reg: float) -> tuple[float, float]:
        estimator = ALS(userCol="user", itemCol="item", ratingCol="label", rank=rank, regParam=reg, seed=1)
        model, seconds = timed(lambda: estimator.fit(some.before))
        scored = model.transform(some.after)
        known = F.when(F.isnan("prediction"), F.col("userMean")).otherwise(F.col("prediction").cast("double"))
        return rmse(scored.withColumn("prediction", known)), seconds

    fitted(inner, RANKS[0], REGULARISATIONS[0])  # the first fit of a session is slow
    rows: list[dict[str, object]] = []
    for rank in RANKS:
        for reg in REGULARISATIONS:
            validation, _ = fitted(inner, rank, reg)
            test, seconds = fitted(parts, rank, reg)
            rows.append(
                {"rank": rank, "regParam": reg, "validation RMSE": validation, "RMSE": test, "fit seconds": seconds}
            )  # fmt: skip
            show(str(rows[-1]))
    return rows


def baselines(parts: Parts) -> list[dict[str, object]]:
    """Constants: the mean of all, of the user, and of the item."""
    mean = parts.before.agg(F.avg("label")).collect()[0][0]
    columns: dict[str, Callable[[], Any]] = {
        "mean of all": lambda: F.lit(float(mean)),
        "mean of the item, shrunk": lambda: F.col("itemMean"),
        "mean of the user, shrunk": lambda: F.col("userMean"),
    }
    return [
        {"baseline": name, "RMSE": rmse(parts.after.withColumn("prediction", made()))}
        for name, made in columns.items()
    ]


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--data", type=Path, required=True, help="folder with ml-latest-small")
    options.add_argument("--recipes", nargs="+", choices=[one.name for one in recipes()], help="default: all")
    args = options.parse_args()
    spark, folder = spark_session(memory=args.memory), Path(tempfile.mkdtemp())
    try:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.conf.set("spark.sql.shuffle.partitions", "2")
        ratings = kept(events(spark, args.data / "ml-latest-small"), folder / "ratings")
        parts = Parts.of(ratings, SHARES, folder / "parts")
        own = parts.before.select("user", "item")
        inner = Parts.of(ratings.join(own, ["user", "item"]), VALIDATION, folder / "inner")
        about: list[dict[str, object]] = [
            {"training rows": parts.before.count(), "test rows": parts.after.count()}
        ]
        encoded(recipes()[0], inner)  # the first use of workers and of compiled functions is slow
        chosen = [one for one in recipes() if not args.recipes or one.name in args.recipes]
        made = [measured(one, parts, inner) for one in chosen]
        tables = [
            ("set", about),
            ("baselines", baselines(parts)),
            ("recipes", made),
            ("ALS", als(parts, inner)),
        ]
        publish("recipes", tables, args.output)
    finally:
        spark.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
