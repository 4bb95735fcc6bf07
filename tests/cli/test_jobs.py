"""The jobs inside this process, on its Spark session: classification with hashed columns, and failures."""

import json
import warnings
from pathlib import Path

import pytest
from pyspark.ml import Pipeline
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli import evaluate_main, score_main, train_main
from spark_fm.cli.config import Columns, Config
from spark_fm.cli.report import STOPPED
from spark_fm.cli.stages import encoders
from spark_fm.engine.training.solver import STOP_REASONS

CLICKS = """
task = "classification"
[input]
path = "{folder}/clicks"
[columns]
label = "click"
categorical = ["site", "advertiser"]
numeric = ["bid"]
encoder = "hash"
numFeatures = 4096
[split]
column = "is_last_day"
[params]
factorSize = 2
maxIter = 20
normalize = true
seed = 1
[model]
path = "{folder}/model"
[report]
folder = "{folder}/report"
[output]
format = "csv"
path = "{folder}/scored"
options = {{ header = true }}
[compare]
baselines = true
# Refused when its training begins.
[compare.spark]
stepSize = -1.0
"""


def clicks(spark: SparkSession) -> DataFrame:
    """Clicks on some pairs of site and advertiser, so that factors are needed; a fifth of them on the last day."""
    n = F.col("id")
    site, advertiser = n % 8, F.floor(n / 8) % 10
    likely = (site + advertiser) % 2 == 0
    return spark.range(1600).select(
        F.concat(F.lit("s"), site.cast("string")).alias("site"),
        advertiser.alias("advertiser"),
        (n % 3).alias("bid"),
        F.when(likely, n % 10 < 9).otherwise(n % 10 < 1).cast("int").alias("click"),
        (F.floor(n / 80) % 5 == 0).alias("is_last_day"),
    )


@pytest.fixture(scope="module")
def trained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clicks, a config and the model trained by it."""
    folder = tmp_path_factory.mktemp("clicks")
    clicks(spark).coalesce(2).write.parquet(str(folder / "clicks"))
    clicks(spark).drop("site").coalesce(1).write.parquet(str(folder / "half"))
    (folder / "job.toml").write_text(CLICKS.format(folder=folder), "utf-8")
    assert train_main(["--config", str(folder / "job.toml")]) == 0
    return folder


def test_training_reports_metrics_beside_those_of_other_models(trained: Path) -> None:
    found = json.loads((trained / "report" / "metrics.json").read_text("utf-8"))
    assert found["task"] == "classification"
    models = found["models"]
    assert list(models) == ["spark_fm FMClassifier", "mean of the training labels", "biases only"]
    assert all(model["rows"] == 320 for model in models.values())
    assert models["spark_fm FMClassifier"]["auc"] > 0.8 > models["biases only"]["auc"]
    assert models["mean of the training labels"]["auc"] == pytest.approx(0.5)
    assert models["spark_fm FMClassifier"]["calibration"] == pytest.approx(1.0, abs=0.2)
    report = (trained / "report" / "report.md").read_text("utf-8")
    assert "| spark_fm FMClassifier | 320 |" in report
    assert "learning_curve.png" in report
    assert (trained / "report" / "learning_curve.png").stat().st_size > 1000


def test_evaluation_of_the_saved_model_gives_the_same_metrics(trained: Path) -> None:
    assert evaluate_main(["--config", str(trained / "job.toml")]) == 0
    trained_with = json.loads((trained / "report" / "metrics.json").read_text("utf-8"))["models"]
    evaluated = json.loads((trained / "report" / "evaluation.json").read_text("utf-8"))["models"]
    (metrics,) = evaluated.values()
    assert metrics == pytest.approx(trained_with["spark_fm FMClassifier"])


def test_scores_are_numbers_beside_the_columns_of_the_input(spark: SparkSession, trained: Path) -> None:
    assert score_main(["--config", str(trained / "job.toml")]) == 0
    scored = spark.read.csv(str(trained / "scored"), header=True, inferSchema=True)
    assert scored.columns == [*clicks(spark).columns, "prediction", "probability"]
    assert scored.count() == 1600
    assert scored.where((F.col("probability") > 0.5) != (F.col("prediction") == 1.0)).count() == 0


def test_scores_can_go_to_a_table(spark: SparkSession, trained: Path) -> None:
    to_table = [
        "--set",
        "output.path=",
        "--set",
        "output.table=spark_fm_scored",
        "--set",
        "output.format=parquet",
    ]
    try:
        assert score_main(["--config", str(trained / "job.toml"), *to_table]) == 0
        assert spark.table("spark_fm_scored").count() == 1600
    finally:
        spark.sql("DROP TABLE IF EXISTS spark_fm_scored")


@pytest.mark.parametrize(("mode", "rows"), [("append", 3200), ("ignore", 3200), ("overwrite", 1600)])
def test_modes_of_the_output(spark: SparkSession, trained: Path, mode: str, rows: int) -> None:
    flags = [
        "--output",
        str(trained / "modes"),
        "--set",
        f"output.mode={mode}",
        "--set",
        "output.format=parquet",
    ]
    for _ in range(2):
        assert score_main(["--config", str(trained / "job.toml"), *flags]) == 0
    assert spark.read.parquet(str(trained / "modes")).count() == rows


@pytest.mark.parametrize("mode", ["error", "errorifexists"])
def test_an_output_that_is_there_is_refused_before_scoring(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    flags = ["--set", "output.format=json", "--set", f"output.mode={mode}", "--output", str(tmp_path / "new")]
    assert score_main(["--config", str(trained / "job.toml"), *flags]) == 0
    capsys.readouterr()
    assert score_main(["--config", str(trained / "job.toml"), *flags]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith('already exists, expected nothing there; output.mode = "overwrite" replaces it')


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--input", "{folder}/scored_rows"],
            "input: found a column 'prediction', which is the name of one that the",
        ),
        (
            ["--set", "split.column=never"],
            "split.column: column 'never' holds out none of 1600 rows, expected some",
        ),
        (["--set", "params.thresholds=[0.5]"], "params.thresholds: found [0.5], expected two numbers >= 0"),
        (
            ["--set", "params.seed=9223372036854775808"],
            "params.seed: found 9223372036854775808, expected an integer",
        ),
        (
            ["--set", "output.format=nope"],
            "output.format: Spark knows no format 'nope', expected one such as",
        ),
        (["--report", "{folder}/job.toml"], "report.folder: can't write to"),
        (["--output", "{folder}/never"], "output.path: found file:"),
        (["--model", "{folder}/job.toml/new"], "model.path: can't write to"),
        (
            ["--model", "{folder}", "--set", "model.overwrite=true", "--report", "r"],
            "input.path: found file:",
        ),
        (
            ["--model", "{folder}/others", "--set", "model.overwrite=true"],
            "model.path: found something other than a saved model at",
        ),
    ],
)
def test_training_is_refused_before_it_begins(
    spark: SparkSession,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    sentence: str,
) -> None:
    if not (trained / "others").exists():
        (trained / "others").mkdir()
        (trained / "others" / "thesis.txt").write_text("words", "utf-8")
        data = clicks(spark).withColumn("prediction", F.lit(1.0))
        data.coalesce(1).write.parquet(str(trained / "scored_rows"))
        clicks(spark).withColumn("never", F.lit(False)).coalesce(1).write.parquet(str(trained / "never"))
    monkeypatch.setattr(Pipeline, "fit", None)
    given = [flag.format(folder=trained) for flag in flags]
    where = ["--model", str(trained / "another"), "--input", str(trained / "never")]
    assert train_main(["--config", str(trained / "job.toml"), *where, *given]) == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not (trained / "another").exists()
    assert (trained / "others" / "thesis.txt").read_text("utf-8") == "words"


def test_rows_are_counted_and_a_split_by_few_combinations_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(tmp_path / "new"), "--set", "split.column=", "--set", "compare.baselines=false"]
    assert train_main(["--config", str(trained / "job.toml"), *flags, "--set", "params.maxIter=1"]) == 0
    written = capsys.readouterr().err
    assert "spark_fm: rows: 1600, of which" in written
    (line,) = [line for line in written.splitlines() if "differ in more than label" in line]
    assert "split.column" in line


def test_libsvm_with_another_number_of_features(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.txt").write_text("".join(f"{i % 2} {i % 3 + 1}:1\n" for i in range(60)), "utf-8")
    (tmp_path / "new.txt").write_text("0 1:1\n1 2:1\n", "utf-8")
    flags = ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "scored")]
    for key, value in {
        "columns.features": "features", "columns.categorical": "[]", "columns.numeric": "[]", "columns.label": "label",
        "input.format": "libsvm", "output.format": "parquet", "split.column": "", "split.test": "0",
    }.items():  # fmt: skip
        flags += ["--set", f"{key}={value}"]
    config = ["--config", str(trained / "job.toml"), *flags]
    assert train_main([*config, "--input", str(tmp_path / "rows.txt")]) == 0
    for job in (score_main, evaluate_main):
        assert job([*config, "--input", str(tmp_path / "new.txt")]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert "input: the vectors in column 'features' have 2 features, the model has 3" in line
        assert "input.options = { numFeatures = 3 }" in line
        assert (
            job([*config, "--input", str(tmp_path / "new.txt"), "--set", "input.options={ numFeatures = 3 }"])
            == 0
        )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "model.path: there is something at"),
        (["--model", "{new}", "--set", "columns.label=klick"], "columns.label: there is no column 'klick'"),
        (
            [
                "--model",
                "{new}",
                "--set",
                "columns.label=site",
                "--set",
                "columns.categorical=['advertiser']",
            ],
            "columns.label: found 's0' in column 'site', expected 0 or 1; columns.positive names",
        ),
        (
            ["--model", "{new}", "--set", "columns.label=bid"],
            "columns.numeric: found 'bid', which is the label or",
        ),
        (["--model", "{new}", "--input", "{new}.none"], "input.path: there is nothing at"),
        (["--model", "{new}", "--set", "params.factors=1"], "params.factors: unknown param, expected one of"),
        (
            ["--model", "{new}", "--report", "s3://bucket"],
            "report.folder: found s3://bucket, expected a local folder",
        ),
        (["--model", ""], "model.path: missing, expected a folder to save the model to"),
    ],
)
def test_a_failed_training_says_why_in_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    given = [flag.replace("{new}", str(tmp_path / "new")) for flag in flags]
    assert train_main(["--config", str(trained / "job.toml"), *given]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("spark_fm: error: ")
    assert sentence in last


def test_a_null_number_is_named(
    spark: SparkSession, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = clicks(spark).withColumn("bid", F.when(F.col("bid") > 0, F.col("bid")))
    rows.write.mode("overwrite").parquet(str(trained / "nulls"))
    flags = ["--input", str(trained / "nulls"), "--model", str(trained / "new")]
    assert train_main(["--config", str(trained / "job.toml"), *flags, "--set", "columns.encoder=onehot"]) == 1
    assert (
        "columns.numeric: column 'bid' is empty (null or NaN) in" in capsys.readouterr().err.splitlines()[-1]
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "already exists"),
        (["--output", ""], "output: found neither, expected a path or a table to write to"),
        (["--model", "{folder}/none", "--output", "{folder}/other"], "model.path: there is no model at"),
        (
            ["--output", "{folder}/other", "--input", "{folder}/half"],
            "input: there is no column 'site', expected all columns that the model was trained on",
        ),
    ],
)
def test_a_failed_scoring_says_why_in_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    (trained / "scored").mkdir(exist_ok=True)
    given = [flag.format(folder=trained) for flag in flags]
    assert score_main(["--config", str(trained / "job.toml"), *given]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("spark_fm: error: ")
    assert sentence in last


def test_a_pipeline_must_end_in_our_estimator(
    spark: SparkSession, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(trained / "encoders")
    stages = encoders(Config(columns=Columns(categorical=("site",), encoder="hash")), clicks(spark).schema)
    Pipeline(stages=stages).fit(clicks(spark)).write().overwrite().save(path)
    assert evaluate_main(["--config", str(trained / "job.toml"), "--model", path]) == 1
    assert "is a FeatureHasher, expected a Factorization Machine" in capsys.readouterr().err.splitlines()[-1]


def test_debug_shows_the_traceback_too(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    assert train_main(["--config", str(trained / "job.toml"), "--debug"]) == 1
    written = capsys.readouterr().err
    assert "Traceback" in written
    assert written.splitlines()[-1].startswith("spark_fm: error: model.path")
    assert warnings.showwarning is before


def test_report_of_a_model_that_no_epoch_improved(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(f"v{i % 400}", float(i * 7919 % 13)) for i in range(800)]
    spark.createDataFrame(rows, ["value", "label"]).coalesce(1).write.parquet(str(tmp_path / "rows"))
    (tmp_path / "job.toml").write_text(
        f"""
task = "regression"
[input]
path = "{tmp_path}/rows"
[columns]
categorical = ["value"]
[split]
test = 0.0
[params]
stepSize = 2.0
patience = 1
maxIter = 10
[model]
path = "{tmp_path}/model"
[report]
folder = "{tmp_path}/report"
""",
        "utf-8",
    )
    assert train_main(["--config", str(tmp_path / "job.toml")]) == 0
    assert "no epoch was better than the start" in (tmp_path / "report" / "report.md").read_text("utf-8")


def test_reports_know_every_reason_to_stop():
    assert set(STOPPED) == set(STOP_REASONS)
