"""The jobs with a split by time: train and evaluate measure on the same rows."""

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.cli import evaluate_main, train_main

JOB = """
task = "regression"
[input]
path = "{folder}/rows"
[columns]
label = "rating"
categorical = ["user", "movie"]
[split]
kind = "time"
time = "at"
test = 0.2
[params]
factorSize = 2
maxIter = 3
[model]
path = "{folder}/model"
overwrite = true
[report]
folder = "{folder}/report"
"""


@pytest.fixture(scope="module")
def folder(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 ratings of 12 users, half of them at times that are others' too; some without a time in `gaps`."""
    folder = tmp_path_factory.mktemp("by-time")
    n = F.col("id")
    at = F.timestamp_seconds(F.when(n % 2 == 0, n % 40 * 1000).otherwise(n * 60))
    rating = (n % 12 % 3 + n % 17 % 2).alias("rating")
    for name, time in (("rows", at), ("gaps", F.when(n > 0, at))):
        rows = spark.range(600, numPartitions=3)
        rows = rows.select((n % 12).alias("user"), (n % 17).alias("movie"), time.alias("at"), rating)
        rows.write.parquet(str(folder / name))
    (folder / "job.toml").write_text(JOB.format(folder=folder), "utf-8")
    return folder


def metrics_of(path: Path) -> dict[str, float]:
    (found, *_) = json.loads(path.read_text("utf-8"))["models"].values()
    return dict(found)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({}, None),
        ({"user": "user"}, 120),
        ({"kind": "last", "user": "user", "rows": "2"}, 24),
    ],
)
def test_train_and_evaluate_measure_on_the_same_rows(
    folder: Path, keys: dict[str, str], rows: int | None
) -> None:
    flags = ["--config", str(folder / "job.toml")]
    for key, value in keys.items():
        flags += ["--set", f"split.{key}={value}"]
    assert train_main(flags) == 0
    assert evaluate_main(flags) == 0
    trained, evaluated = (
        metrics_of(folder / "report" / name) for name in ("metrics.json", "evaluation.json")
    )
    assert evaluated == pytest.approx(trained)
    assert trained["rows"] == (rows or pytest.approx(120, abs=15))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--input", "{folder}/gaps"],
            "split.time: column 'at' is null or NaN in 1 of 600 rows, expected a time in each",
        ),
        (["--set", "split.time=when"], "split.time: there is no column 'when'"),
        (["--set", "split.user=who"], "split.user: there is no column 'who'"),
        (["--set", "split.kind=last"], "split.user: missing, expected the column of the users"),
    ],
)
def test_what_can_not_be_split_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    given = [flag.format(folder=folder) for flag in flags]
    assert train_main(["--config", str(folder / "job.toml"), "--model", str(folder / "other"), *given]) == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]
