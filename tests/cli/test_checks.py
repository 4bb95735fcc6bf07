"""What is refused before any row is read."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_fm.cli.checks import check_output_format, check_places, check_settings, report_folder
from spark_fm.cli.config import Columns, Compare, Config, Input, Model, Output, Report, Split
from spark_fm.cli.folders import inside, is_empty, qualified

HUGE = 2**63


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (Config(split=Split(seed=HUGE)), f"split.seed: found {HUGE}, expected an integer of 64 bits"),
        (
            Config(params={"seed": -HUGE - 1}),
            f"params.seed: found {-HUGE - 1}, expected an integer of 64 bits",
        ),
        (Config(compare=Compare(spark={"seed": HUGE})), "compare.spark.seed: found"),
        (
            Config(columns=Columns(numFeatures=0)),
            "columns.numFeatures: found 0, expected an integer from 1 to",
        ),
        (
            Config(columns=Columns(numFeatures=2**31)),
            "columns.numFeatures: found 2147483648, expected an integer",
        ),
        (Config(params={"thresholds": [0.5]}), "params.thresholds: found [0.5], expected two numbers >= 0"),
        (
            Config(params={"thresholds": [0.0, 0.0]}),
            "params.thresholds: found [0.0, 0.0], expected two numbers",
        ),
        (Config(params={"thresholds": [-1, 1]}), "params.thresholds: found [-1, 1], expected two numbers"),
        (Config(params={"thresholds": ["a", 1]}), "params.thresholds: found ['a', 1], expected two numbers"),
        (Config(params={"probabilityCol": ""}), "params.probabilityCol: found an empty name, expected"),
        (
            Config(model=Model(path="models/*")),
            "model.path: found 'models/*', expected the path of one folder",
        ),
        (Config(output=Output(path="a/{b}")), "output.path: found 'a/{b}', expected the path of one folder"),
        (
            Config(task="regression", columns=Columns(positive="yes")),
            "columns.positive: found 'yes', expected it with task = \"classification\" only",
        ),
        (Config(columns=Columns(fill=float("nan"))), "columns.fill: found nan, expected a finite number"),
        (
            Config(columns=Columns(numeric=("a", "a"))),
            "columns.numeric: found 'a' 2 times, expected each column once",
        ),
        (
            Config(columns=Columns(label="a", numeric=("a",))),
            "columns.numeric: found 'a', which is the label or the",
        ),
        (
            Config(fields=({"kind": "sets", "column": "a"},)),
            "fields: found the kind 'sets' in {'kind': 'sets', 'column': 'a'}, expected one of: cat",
        ),
        (
            Config(fields=({"kind": "categorical", "column": "a", "minCount": 0},)),
            "fields: categorical of 'a': minCount: found 0, expected an integer from 1 to",
        ),
        (
            Config(columns=Columns(label="a"), fields=({"kind": "buckets", "column": "a"},)),
            "fields: buckets of 'a', which is the label, the validation or the weight column, expected features",
        ),
        (
            Config(columns=Columns(fill=0.0), fields=({"kind": "numeric", "column": "a"},)),
            "columns.fill: found it beside [[fields]], expected fill in the field",
        ),
        (Config(split=Split(kind="time")), "split.time: missing, expected the column of the times for kind"),
        (
            Config(split=Split(kind="last", time="at")),
            'split.user: missing, expected the column of the users for kind = "last"',
        ),
        (
            Config(split=Split(kind="time", time="at", column="later")),
            "split.column: found 'later' beside kind = \"time\", expected one of them",
        ),
        (Config(split=Split(user="who")), "split.user: found 'who', expected it with kind = \"time\" or"),
        (Config(split=Split(rows=0)), "split.rows: found 0, expected an integer >= 1"),
    ],
)
def test_settings(config: Config, sentence: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  the sentences have what patterns would need escaped
        check_settings(config)
    assert str(raised.value).startswith(sentence)


def test_good_settings() -> None:
    check_settings(Config(params={"thresholds": [0.0, 1], "seed": HUGE - 1}, split=Split(seed=-HUGE)))


def places(folder: Path, **paths: str) -> Config:
    """A config of four places apart, some of them replaced."""
    given = {"input": "rows", "model": "model", "output": "scored", "report": "report"} | paths
    full = {key: str(folder / path) for key, path in given.items()}
    return Config(
        input=Input(path=full["input"]),
        model=Model(path=full["model"]),
        output=Output(path=full["output"]),
        report=Report(folder=full["report"]),
    )


def test_places_apart(spark: SparkSession, tmp_path: Path) -> None:
    check_places(spark, places(tmp_path))
    check_places(spark, places(tmp_path, report="."))
    check_places(spark, places(tmp_path, input="*.csv"))
    check_places(spark, Config(input=Input(table="rows")))


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (
            {"model": "rows"},
            "model.path: found file:.*/rows, which is the same as input.path .*, expected another place",
        ),
        ({"output": "./x/../model/"}, "output.path: found file:.*/model, which is the same as model.path"),
        ({"output": "rows"}, "output.path: found file:.*, which is the same as input.path"),
        ({"output": "model/scored"}, "output.path: found file:.*/model/scored, which is inside model.path"),
        ({"output": "."}, "(input|model).path: found file:.*, which is inside output.path"),
        ({"report": "model/report"}, "report.folder: found file:.*, which is inside model.path"),
        ({"report": "scored"}, "report.folder: found file:.*, which is the same as output.path"),
        ({"input": "mod*"}, "model.path: found file:.*/model, which is inside input.path"),
    ],
)
def test_a_place_used_twice(
    spark: SparkSession, tmp_path: Path, paths: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_places(spark, places(tmp_path, **paths))


def test_links_and_schemes_are_seen_through(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "rows")
    config = places(tmp_path, model="link")
    with pytest.raises(ValueError, match=r"model\.path: found .*, which is the same as input\.path"):
        check_places(spark, replace(config, input=Input(path=f"file://{tmp_path}/rows")))


@pytest.mark.parametrize("key", ["model", "output"])
def test_a_place_under_a_file(spark: SparkSession, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(
        ValueError, match=rf"{key}\.path: can't write to .*/file/new: .*/file is a file, expected"
    ):
        check_places(spark, places(tmp_path, **{key: "file/new"}))


def test_a_folder_that_may_not_be_written_to(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to all folders
    with pytest.raises(
        ValueError, match=r"model\.path: can't write to .*: .* may not be written to, expected"
    ):
        check_places(spark, places(tmp_path))


def test_an_unknown_file_system(spark: SparkSession, tmp_path: Path) -> None:
    config = replace(places(tmp_path), model=Model(path="nofs://bucket/model"))
    with pytest.raises(
        ValueError, match=r"model\.path: nofs://bucket/model can't be reached: No FileSystem for scheme"
    ):
        check_places(spark, config)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("s3://bucket", "report.folder: found s3://bucket, expected a local folder"),
        (
            "{folder}/file/report",
            r"report.folder: can't write to .* \(Not a directory\), expected a folder to write",
        ),
        ("{folder}/file", r"report.folder: can't write to .* \(File exists\), expected a folder to write to"),
    ],
)
def test_report_folders(tmp_path: Path, path: str, sentence: str) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ValueError, match=sentence):
        report_folder(path.format(folder=tmp_path))


def test_formats_of_the_output(spark: SparkSession) -> None:
    check_output_format(spark, "parquet")
    check_output_format(spark, "json")
    with pytest.raises(
        ValueError, match=r"output\.format: Spark knows no format 'nope', expected one such as"
    ):
        check_output_format(spark, "nope")


def test_empty_folders(spark: SparkSession, tmp_path: Path) -> None:
    assert is_empty(spark, str(tmp_path))
    (tmp_path / ".hidden").write_text("", "utf-8")
    assert not is_empty(spark, str(tmp_path))


def test_qualified_paths(spark: SparkSession) -> None:
    assert qualified(spark, "a/../b") == f"file:{Path.cwd()}/b"
    assert inside("file:/a/b", "file:/a")
    assert not inside("file:/ab", "file:/a")
