"""A config for a table, by a look at it."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_fm.cli import evaluate_main, main, train_main
from spark_fm.cli.config import load, toml
from spark_fm.cli.draft import toml_of


@pytest.fixture(scope="module")
def events(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("init") / "events"
    spark.range(400).selectExpr(
        "concat('u', id % 20) AS `user name`",
        "concat('a \"film\"\\n', id % 12) AS film",
        "array('Noir', concat('g', id % 3)) AS genres",
        "id * 0.5 AS price",
        "timestamp_seconds(id * 100000) AS at",
        "if(id % 9 = 0, null, 1 + id % 5) AS rating",
        "if(id % 2 = 0, 'yes', 'no') AS bought",
        "concat('row ', id) AS line",
    ).where("rating IS NOT NULL").write.parquet(str(path))
    return path


def test_what_it_writes_is_a_job(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "new" / "job.toml"
    assert main(["init", str(events), "--out", str(job)]) == 0
    assert str(job) in capsys.readouterr().out
    config = load(str(job))
    assert (config.task, config.columns.label, config.input.path) == ("regression", "rating", str(events))
    assert [(field["kind"], field["column"]) for field in config.fields] == [
        ("categorical", "user name"),
        ("categorical", "film"),
        ("set", "genres"),
        ("numeric", "price"),
        ("date_parts", "at"),
        ("categorical", "bought"),
    ]
    assert (config.split.kind, config.split.time, config.params["solver"]) == ("time", "at", "auto")
    text = job.read_text("utf-8")
    assert "GUESSED by its name" in text
    assert '#   "line": string' in text
    flags = ["--config", str(job), "--model", str(tmp_path / "model"), "--report", str(tmp_path), "--set"]
    assert train_main([*flags, "params.maxIter=2"]) == 0
    assert evaluate_main([*flags, "params.maxIter=2"]) == 0


def test_a_label_that_is_told_and_has_two_values(events: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    assert main(["init", str(events), "--label", "bought", "--out", str(job), "--sample", "100"]) == 0
    config = load(str(job))
    assert (config.task, config.columns.label, config.columns.positive) == ("classification", "bought", "yes")
    assert "GUESSED by its name" not in job.read_text("utf-8")
    assert "a look at 100 rows" in job.read_text("utf-8")


def test_a_csv_gets_a_schema(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("site;it's clicked;n\na;0;1\nb;1;2\n", "utf-8")
    job = tmp_path / "job.toml"
    flags = ["--label", "it's clicked", "--option", "sep=;", "--out", str(job)]
    assert main(["init", str(tmp_path / "clicks.csv"), *flags]) == 0
    config = load(str(job))
    assert config.input.format == "csv"
    assert config.input.schema == "`site` string, `it's clicked` int, `n` int"
    assert config.input.options == {"header": True, "sep": ";", "escape": '"'}
    # One of two rows would be held out or none.
    assert config.split.test == 0.0
    assert (config.task, config.columns.positive) == ("classification", "")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["{events}", "--out", "{there}"], "--out: there is something at {there}, expected a new file"),
        (
            ["{events}", "--label", "stars"],
            "--label: there is no column 'stars'; the columns are: user name, film",
        ),
        (
            ["{events}", "--label", "line"],
            "--label: column 'line' has type string and 3 values or more, expected a",
        ),
        (
            ["{events}", "--label", "genres"],
            "--label: column 'genres' has type array<string>, expected a number",
        ),
        (["no_such_table"], "TABLE.table: there is no table no_such_table"),
        (["{events}/none.csv"], "TABLE.path: there is nothing at"),
        (["{events}", "--option", "sep"], "--option: found 'sep', expected KEY=VALUE"),
        (["{events}", "--sample", "0"], "--sample: found 0, expected at least 1"),
    ],
)
def test_what_it_refuses(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    there, job = tmp_path / "there.toml", tmp_path / "job.toml"
    there.write_text("mine", "utf-8")
    given = [flag.format(events=events, there=there) for flag in flags]
    assert main(["init", *(() if "--out" in given else ("--out", str(job))), *given]) == 1
    assert sentence.format(events=events, there=there) in capsys.readouterr().err.splitlines()[-1]
    assert there.read_text("utf-8") == "mine"
    assert not job.exists()


def test_no_column_may_be_a_label(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spark.range(3).write.parquet(str(tmp_path / "rows"))
    assert main(["init", str(tmp_path / "rows"), "--out", str(tmp_path / "job.toml")]) == 1
    assert (
        "--label: missing, and no column has the name of a label; expected one of: id"
        in capsys.readouterr().err
    )


TABLES = [
    # Two dates, and a column that has the name of a part of one.
    (
        "u STRING, created TIMESTAMP, birthday DATE, hour INT, label DOUBLE",
        "concat('u', id % 7), timestamp_seconds(id * 7200), date_add(date'2024-01-01', int(id % 90)), int(id % 24), "
        "id % 5",
        {"names": ["u", "created", "birthday", "hour"], "time": "created"},
    ),
    # Gaps in the time, in the labels and in names that the model adds.
    (
        "u STRING, at TIMESTAMP, prediction INT, sample_weight DOUBLE, is_valid BOOLEAN, label DOUBLE",
        "concat('u', id % 7), if(id % 10 = 0, null, timestamp_seconds(id * 7200)), id % 3, 1 + id % 2, id % 8 = 0, "
        "if(id % 3 = 0, double('NaN'), 1.0)",
        {"names": ["u", "at", "prediction"], "time": "", "unlabelled": "skip", "weight": "sample_weight",
         "validation": "is_valid", "predictionCol": "fm_prediction"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "sql", "wanted"), TABLES)
def test_what_it_writes_trains(
    spark: SparkSession, tmp_path: Path, schema: str, sql: str, wanted: dict[str, object]
) -> None:
    job, flags = tmp_path / "job.toml", ["--set", "params.maxIter=2"]
    spark.sql(f"SELECT {sql} FROM range(120)").toDF(
        *(one.split()[0] for one in schema.split(", "))
    ).selectExpr(
        *(f"CAST({one.split()[0]} AS {one.split()[1]})" for one in schema.split(", "))
    ).write.parquet(str(tmp_path / "rows"))
    assert main(["init", str(tmp_path / "rows"), "--out", str(job)]) == 0
    config = load(str(job))
    found = {
        "names": [field["column"] for field in config.fields],
        "time": config.split.time,
        "unlabelled": config.columns.unlabelled,
        "weight": config.columns.weight,
        "validation": config.columns.validation,
        "predictionCol": config.params.get("predictionCol"),
    }
    assert {key: found[key] for key in wanted} == wanted
    places = ["--model", str(tmp_path / "model"), "--report", str(tmp_path / "report")]
    assert train_main(["--config", str(job), *places, *flags]) == 0
    assert evaluate_main(["--config", str(job), *places, *flags]) == 0


@pytest.mark.parametrize("text", ["1 1:1 3:0.5\n0 2:1\n", "1 0:1:1 1:3:0.5\n0 0:2:1\n"])
def test_ready_features(spark: SparkSession, tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.txt").write_text(text * 30, "utf-8")
    job = tmp_path / "job.toml"
    assert main(["init", str(tmp_path / "rows.txt"), "--out", str(job)]) == 0
    config = load(str(job))
    assert (config.task, config.columns.features, config.fields) == ("classification", "features", ())
    places = ["--model", str(tmp_path / "model"), "--report", str(tmp_path / "report")]
    assert (
        train_main(["--config", str(job), *places, "--set", "params.maxIter=2", "--set", "split.test=0"]) == 0
    )


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT 1 label, 2 x FROM range(0)", "TABLE: there are no rows in"),
        ("SELECT 1 label, 'a' x", "TABLE: found no column to make a field of ('x': it has one value)"),
        ("SELECT 1 label", "TABLE: found no column to make a field of (there is no other)"),
        (
            "SELECT double('NaN') label, id % 3 x FROM range(9)",
            "--label: column 'label' is empty in all rows",
        ),
        (
            "SELECT id label, id __spark_fm_x FROM range(9)",
            "TABLE: found a column whose name begins with __spark_fm_, exp",
        ),
    ],
)
def test_tables_of_which_nothing_can_be_made(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, sentence: str
) -> None:
    spark.sql(sql).write.parquet(str(tmp_path / "rows"))
    assert main(["init", str(tmp_path / "rows"), "--out", str(tmp_path / "job.toml")]) == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main(["fit"]) == main([]) == 2
    found = capsys.readouterr()
    assert "{init,train,evaluate,score,recommend}" in found.out
    assert found.err.count("usage: spark-fm") == 2


@pytest.mark.parametrize(
    "value", ["", 'a"b\\', "line\nbreak\ttab\x7f\x00", "ü 🎬", True, 3, 0.25, ["a", "]"], -1e30]
)
def test_values_are_toml(value: object) -> None:
    assert toml(f"value = {toml_of(value)}") == {"value": value}
