"""The jobs with [[fields]], from training to recommendations."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.cli import evaluate_main, recommend_main, score_main, train_main
from spark_fm.cli.config import Recommend
from spark_fm.cli.recommend import recommended

JOB = """
task = "regression"
[input]
path = "{folder}/events"
[columns]
label = "stars"
[[fields]]
kind = "categorical"
column = "user.id"
[[fields]]
kind = "categorical"
column = "film"
[[fields]]
kind = "set"
column = "genres"
value = "1/sqrt(n)"
[[fields]]
kind = "date_parts"
column = "at"
parts = ["weekday"]
[split]
test = 0.1
[params]
factorSize = 2
maxIter = 30
seed = 1
explainCol = "why"
[model]
path = "{folder}/model"
overwrite = true
[report]
folder = "{folder}/report"
[output]
path = "{folder}/out"
mode = "overwrite"
[compare]
baselines = true
[recommend]
k = 3
context = "user.id"
item = "film"
reasons = 2
[recommend.contexts]
path = "{folder}/users"
[recommend.items]
path = "{folder}/films"
[recommend.exclude]
path = "{folder}/seen"
"""
# Even users like films of even numbers, which are funny.
USERS, FILMS = 12, 20


@pytest.fixture(scope="module")
def folder(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with events, users, films, what was seen, a config, and the model trained by it."""
    folder = tmp_path_factory.mktemp("films")
    film = F.col("film") % 2
    genres = F.when(film == 0, F.array(F.lit("Comedy"), F.lit("Short"))).otherwise(F.array(F.lit("Noir")))
    n = F.col("id")
    events = (
        spark.range(USERS * FILMS * 2, numPartitions=2)
        .select((n % USERS).alias("user.id"), (F.floor(n / USERS) % FILMS).alias("film"), n)
        .withColumn("genres", genres)
        .withColumn("at", F.timestamp_seconds(n * 40_000))
        .withColumn("stars", 3.0 + F.when(F.col("`user.id`") % 2 == F.col("film") % 2, 1.0).otherwise(-1.0))
    )
    events.drop("id").write.parquet(str(folder / "events"))
    events.select("`user.id`", "at").where("id < 5").write.parquet(str(folder / "users"))
    # Rows of events: each film is there many times.
    events.select("film", "genres").write.parquet(str(folder / "films"))
    events.select("`user.id`", "film").where("film < 4").write.parquet(str(folder / "seen"))
    (folder / "job.toml").write_text(JOB.format(folder=folder), "utf-8")
    assert train_main(["--config", str(folder / "job.toml")]) == 0
    return folder


def flags(folder: Path, *keys: str) -> list[str]:
    return ["--config", str(folder / "job.toml"), *(part for key in keys for part in ("--set", key))]


def test_fields_from_training_to_scores(folder: Path, spark: SparkSession) -> None:
    assert evaluate_main(flags(folder)) == 0
    trained, evaluated = (
        next(iter(json.loads((folder / "report" / name).read_text("utf-8"))["models"].values()))
        for name in ("metrics.json", "evaluation.json")
    )
    assert evaluated == pytest.approx(trained)
    assert trained["rmse"] < 0.5
    assert score_main([*flags(folder), "--output", str(folder / "scored")]) == 0
    scored = spark.read.parquet(str(folder / "scored"))
    assert scored.columns == ["user.id", "film", "genres", "at", "stars", "prediction", "why"]
    assert all("=" in part.label for part in scored.first().why)
    report = (folder / "report" / "report.md").read_text("utf-8")
    assert all(f"| {name} |" in report for name in ("user.id", "film", "genres", "weekday"))


def test_the_best_films_of_each_user_with_reasons(folder: Path, spark: SparkSession) -> None:
    assert recommend_main(flags(folder)) == 0
    found = {row[0]: row.recommendations for row in spark.read.parquet(str(folder / "out")).collect()}
    assert sorted(found) == [0, 1, 2, 3, 4]
    for user, best in found.items():
        assert len({one.film for one in best}) == 3
        assert all(one.film % 2 == user % 2 and one.film >= 4 and one.rating > 3.5 for one in best)
        assert all("=" in reason.label for one in best for reason in one.reasons)


def test_a_row_for_each_recommendation(folder: Path, spark: SparkSession) -> None:
    keys = ("recommend.form=rows", "recommend.reasons=0", "output.format=csv", "output.options.header=true")
    assert recommend_main([*flags(folder, *keys), "--output", str(folder / "flat")]) == 0
    found = spark.read.csv(str(folder / "flat"), header=True, inferSchema=True)
    assert found.columns == ["user.id", "rank", "film", "rating"]
    assert [row["rank"] for row in found.where("`user.id` = 2").orderBy("rank").collect()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["recommend.context="], "recommend.context: missing, expected the column of the contexts' keys"),
        (["recommend.item=movie"], "recommend.item: there is no column 'movie'"),
        (
            ["recommend.items.path="],
            "recommend.items.path: missing, expected a path to read, or recommend.items.",
        ),
        (["recommend.exclude.path={folder}/films"], "recommend.exclude: there is no column 'user.id'"),
        (["recommend.k=0"], "recommend.k: found 0, expected an integer of at least 1"),
        (
            ["recommend.itemFields=['genre']"],
            "recommend.itemFields: found 'genre', expected some of: user.id, film",
        ),
        (
            ["output.path={folder}/films"],
            "output.path: found file:{folder}/films, which is the same as recommend.items",
        ),
    ],
)
def test_what_can_not_be_recommended(
    folder: Path, capsys: pytest.CaptureFixture[str], keys: list[str], sentence: str
) -> None:
    given = [key.format(folder=folder) for key in keys]
    assert recommend_main(flags(folder, *given)) == 1
    assert sentence.format(folder=folder) in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"context": "Rank", "form": "rows"},
            "recommend.context: found 'Rank', which is the name of one that",
        ),
        ({"item": "rank", "form": "rows"}, "recommend.item: found 'rank', which is the name of one that"),
        ({"item": "reasons", "reasons": 2}, "recommend.item: found 'reasons', which is the name of one that"),
        (
            {"context": "rating", "form": "rows"},
            "recommend.context: found 'rating', which is the name of one",
        ),
        ({"item": "user"}, "recommend.context, recommend.item: found 'user' for both, expected two names"),
    ],
)
def test_keys_have_no_name_of_what_is_written(spark: SparkSession, asked: Any, sentence: str) -> None:
    given = Recommend(**{"context": "user", "item": "film"} | asked)
    contexts, items = (spark.range(1).toDF(name) for name in (given.context, given.item))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        recommended(PipelineModel([]), given, contexts, items)


def test_a_sampled_model_tells_deviations_and_cold_rows(
    folder: Path, spark: SparkSession, tmp_path: Path
) -> None:
    given = [
        'params.solver="gibbs"',
        "params.maxIter=20",
        'params.predictionStdCol="deviation"',
        'columns.cold="cold"',
    ]
    own = [*flags(folder, *given), "--model", str(tmp_path / "model"), "--report", str(tmp_path / "report")]
    assert train_main(own) == 0
    known = spark.read.parquet(str(folder / "events")).limit(20)
    new = known.withColumn("film", F.lit(77))
    known.union(new).write.parquet(str(tmp_path / "rows"))
    scoring = ["--input", str(tmp_path / "rows"), "--output", str(tmp_path / "scored")]
    assert score_main([*own, *scoring]) == 0
    scored = spark.read.parquet(str(tmp_path / "scored"))
    assert scored.columns[-4:] == ["prediction", "why", "deviation", "cold"]
    assert scored.groupBy("cold").count().orderBy("cold").collect() == [(False, 20), (True, 20)]
    assert scored.where("deviation <= 0").count() == 0
    report = (tmp_path / "report" / "report.md").read_text("utf-8")
    assert (
        "Stopped after 20 sweeps: as many sweeps were drawn as maxIter says; the model is the mean of 2"
        in report
    )


def test_cold_rows_need_fields(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = (folder / "job.toml").read_text("utf-8")
    start, end = job.index("[[fields]]"), job.index("[split]")
    columns = '[columns]\nlabel = "stars"\ncategorical = ["film"]\ncold = "cold"\n'
    alone = job[:start].replace('[columns]\nlabel = "stars"\n', columns) + job[end:]
    (folder / "alone.toml").write_text(alone, "utf-8")
    assert train_main(["--config", str(folder / "alone.toml")]) == 1
    assert "columns.cold: found 'cold', expected it beside [[fields]] only" in capsys.readouterr().err
