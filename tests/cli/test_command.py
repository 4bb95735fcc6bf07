"""Flags, and the line that a failed job ends with."""

from pathlib import Path

import pytest
from pyspark.errors import AnalysisException

from spark_fm.cli.command import _overrides, _parser
from spark_fm.cli.errors import reason

CONFIG = ["--config", "job.toml"]


def overrides(*flags: str) -> dict[str, object]:
    return dict(_overrides(_parser("job", "A job.").parse_args([*CONFIG, *flags])))


def test_no_flags_override_nothing() -> None:
    assert overrides() == {}


def test_flags_override_their_keys() -> None:
    assert overrides("--model", "m", "--report", "r") == {"model.path": "m", "report.folder": "r"}


def test_a_path_takes_the_place_of_a_table() -> None:
    assert overrides("--input", "rows") == {"input.path": "rows", "input.table": ""}


def test_set_takes_toml_values_and_bare_words() -> None:
    found = overrides(
        "--set", "params.maxIter=3", "--set", "columns.label=click", "--set", 'columns.numeric=["a"]'
    )
    assert found == {"params.maxIter": 3, "columns.label": "click", "columns.numeric": ["a"]}


def test_set_without_an_equals_sign_is_an_error() -> None:
    with pytest.raises(ValueError, match="--set: found 'params', expected KEY=VALUE"):
        overrides("--set", "params")


JAVA = """An error occurred while calling o1.fit.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed
\tat org.apache.spark.Some.where(Some.scala:1)
Caused by: java.io.IOException: no space left
\tat java.base/java.io.Some.where(Some.java:1)
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("stepSize: found -1, expected more"), "stepSize: found -1, expected more"),
        (
            RuntimeError("[USER_RAISED_EXCEPTION] column 'f': row 3 is null SQLSTATE: P0001\n\nJVM trace"),
            "column 'f': row 3 is null",
        ),
        (
            AnalysisException("[PATH_NOT_FOUND] Path does not exist: file:/x. SQLSTATE: 42K03"),
            "[PATH_NOT_FOUND] Path does not exist: file:/x.",
        ),
        (Exception(JAVA), "no space left"),
        (Exception(JAVA.partition("Caused")[0]), "Job aborted due to stage failure: Task 0 failed"),
        (ValueError("weightCol: column 'w' is -1"), "columns.weight: column 'w' is -1"),
        (
            RuntimeError("column '__spark_fm_features': row 3 is null"),
            "the features made of columns.categorical, columns.numeric or fields: row 3 is null",
        ),
        (
            AnalysisException("[UNRESOLVED_COLUMN.X] A column with name `a.``b` cannot be resolved."),
            "input: there is no column 'a.`b', expected all columns that the model was trained on",
        ),
        (KeyError("x"), "KeyError: 'x' (--debug shows where)"),
        (FileNotFoundError(2, "No such file", str(Path("a"))), "[Errno 2] No such file: 'a'"),
    ],
)
def test_the_reason_is_one_line(error: Exception, line: str) -> None:
    assert reason(error) == line
