"""Any config ends in a job that is done, or in one line that says what is wrong with it.

The same examples every time. `make test-exhaustive` tries more; to search for new ones: HYPOTHESIS_PROFILE=thorough.
"""

import copy
import dataclasses
import io
import json
import math
import re
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.cli import evaluate_main, recommend_main, score_main, train_main
from spark_fm.cli.config import Config
from tests.ml.test_fuzz import RAW, ended_after

JOBS = {"train": train_main, "evaluate": evaluate_main, "score": score_main, "recommend": recommend_main}
BASES: dict[str, dict[str, Any]] = {
    "fields": {
        "task": "regression",
        "input": {"path": "{folder}/rows"},
        "columns": {"label": "rating"},
        "fields": [{"kind": "categorical", "column": "user"}, {"kind": "categorical", "column": "film"}],
        "params": {"factorSize": 2, "maxIter": 2},
        "split": {"test": 0.2},
        "model": {"path": "{folder}/fields", "overwrite": True},
        "report": {"folder": "{folder}/report"},
        "output": {"path": "{folder}/scored", "mode": "overwrite"},
        "recommend": {"context": "user", "item": "film", "k": 2},
    },
    "columns": {
        "task": "classification",
        "input": {"path": "{folder}/rows"},
        "columns": {"label": "liked", "categorical": ["user"], "numeric": ["age"], "fill": 0.0},
        "params": {"factorSize": 2, "maxIter": 2},
        "model": {"path": "{folder}/columns", "overwrite": True},
        "report": {"folder": "{folder}/report"},
        "output": {"path": "{folder}/scored", "mode": "overwrite"},
    },
}


def keys_of(cls: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all keys, those of tables too."""
    found = []
    for name, kind in get_type_hints(cls).items():
        found.append((*prefix, name))
        if dataclasses.is_dataclass(kind):
            found += keys_of(kind, (*prefix, name))
    return found


KEYS = keys_of(Config)
PARAMS = [
    ("params", name)
    for name in ("factorSize", "stepSize", "solver", "maxIter", "labelCol", "nothing", "seed")
]
FIELDS = [("fields", name) for name in ("kind", "column", "name", "minCount", "nothing", "value", "fields")]
values = st.sampled_from(
    [
        "", "x", "user", "film", "age", "rating", "liked", "tags", "when", "a.b`c", "/no/such/place", "{folder}/rows",
        "{folder}/empty", "{folder}/words", "{folder}/fields", "csv", "json", "parquet", "time", "last", "random",
        "hash",
        "yes", "gibbs", "cross", "set", "numeric", 0, 1, -1, 3, 10**20, 0.5, 2.0, -0.1, math.nan, math.inf, True, False,
        [], ["user"], ["film", "age"], ["user", "user"], [1], {}, {"a": 1}, {"header": True}, {"path": "{folder}/rows"},
    ]
)  # fmt: skip


@st.composite
def configs(draw: Any) -> tuple[str, str, dict[str, Any]]:
    """A job's name, the base's name and the changed config."""
    base = draw(st.sampled_from(sorted(BASES)))
    config = copy.deepcopy(BASES[base])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.one_of(st.sampled_from(KEYS), st.sampled_from(PARAMS), st.sampled_from(FIELDS)))
        change(config, place, draw(st.sampled_from(["set", "set", "drop", "misspelt"])), draw(values))
    return draw(st.sampled_from(sorted(JOBS))), base, config


def change(config: dict[str, Any], place: tuple[str, ...], how: str, value: Any) -> None:
    *tables, name = place
    at: Any = config
    for table in tables:
        at = at.setdefault(table, {}) if isinstance(at, dict) else at
        at = at[-1] if isinstance(at, list) and at and isinstance(at[-1], dict) else at
    if not isinstance(at, dict):
        return
    if how == "drop":
        at.pop(name, None)
    else:
        at[name if how == "set" else f"{name}s"] = value


def toml_of(value: Any) -> str:
    """A value as TOML writes it, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml_of(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value)


@pytest.fixture(scope="module")
def folder(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With rows, a model of each base, and things that are neither."""
    made = tmp_path_factory.mktemp("jobs")
    n = F.col("id")
    rows = spark.range(0, 150, 1, 1).select(
        F.concat(F.lit("u"), n % 7).alias("user"),
        (n % 11).alias("film"),
        (n % 5).cast("double").alias("rating"),
        (n % 2).cast("int").alias("liked"),
        F.when(n % 9 > 0, n % 30).alias("age"),
        F.array((n % 3).cast("string")).alias("tags"),
        F.timestamp_seconds(n * 1000).alias("when"),
    )
    rows.write.parquet(str(made / "rows"))
    (made / "empty").mkdir()
    (made / "words").write_text("words\n", "utf-8")
    for base, config in BASES.items():
        assert run("train", config, made) == (0, ""), base
    shutil.copytree(made / "fields", made / "kept fields")
    shutil.copytree(made / "columns", made / "kept columns")
    return made


def run(job: str, config: dict[str, Any], folder: Path) -> tuple[int, str]:
    """The exit status of a job and the line that it ends with where it failed."""
    text = "".join(f"{json.dumps(key)} = {toml_of(value)}\n" for key, value in config.items())
    path = folder / "job.toml"
    path.write_text(text.replace("{folder}", str(folder)), "utf-8")
    with redirect_stderr(io.StringIO()) as log, ended_after(120):
        status = JOBS[job](["--config", str(path)])
    told = re.findall(r"^spark_fm: error: (.*)", log.getvalue(), re.MULTILINE | re.DOTALL)
    return status, "".join(told).removesuffix("\n")


def check(folder: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    job, base, config = case
    shutil.rmtree(folder / base, ignore_errors=True)
    shutil.copytree(folder / f"kept {base}", folder / base)
    status, told = run(job, config, folder)
    assert status == bool(told)
    assert not RAW.search(told), told
    assert "--debug shows where" not in told, told


@given(case=configs())
@settings(max_examples=40)
def test_configs(folder: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    check(folder, case)


@pytest.mark.exhaustive
@pytest.mark.timeout(3000)
@given(case=configs())
@settings(max_examples=500)
def test_many_configs(folder: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    check(folder, case)
