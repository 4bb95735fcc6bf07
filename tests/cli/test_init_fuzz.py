"""What ``init`` writes, the jobs take: odd tables, from their files to recommendations.

The same examples every time. `make test-exhaustive` tries more; to search for new ones: HYPOTHESIS_PROFILE=thorough.
"""

import datetime as dt
import io
import re
import shutil
from contextlib import redirect_stderr
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_fm.cli import evaluate_main, main, recommend_main, score_main, train_main
from spark_fm.cli.config import load
from tests.ml.test_fuzz import RAW

NAMES = [
    "user", "Item", "a b", "a.b", "it's", 'a"b', "a`b", "größe", "🎬", "select", "1", "hour", "at_hour", "prediction",
    "Probability", "features", "label", "rating", "price", "id", "at", "weight", "is_valid", "x,y", "a;b", "a\\b", "#",
    "__THIS__", "${x}", "a=b", "[a]", "rank",
]  # fmt: skip
KINDS: dict[str, tuple[str, Any]] = {
    "words": ("string", lambda k: ["ann", "bob", 'c "d"', "e,f", " g", "", "007", "ü", "NA"][k % 9]),
    "lists": ("string", lambda k: ["a|b", "b", "a", "c|a|b"][k % 4]),
    "titles": ("string", lambda k: f"title {k}"),
    "digits": ("string", lambda k: f"0{k % 7}"),
    "days": ("string", lambda k: f"2024-01-{k % 28 + 1:02}"),
    "few": ("int", lambda k: k % 4),
    "ids": ("bigint", lambda k: k % 40 + 2**60),
    "unique": ("bigint", lambda k: k),
    "constant": ("int", lambda k: 7),
    "seconds": ("bigint", lambda k: 1_600_000_000 + k * 9000),
    "wholes": ("double", lambda k: [float(k % 5), float("nan")][k % 7 == 0]),
    "reals": ("double", lambda k: [k / 7, float("inf"), -1e300, float("nan")][(k % 11 == 0) * (k % 4)]),
    "floats": ("float", lambda k: k / 8),
    "decimals": ("decimal(12,2)", lambda k: Decimal(k % 9) / 4),
    "flags": ("boolean", lambda k: k % 3 == 0),
    "dates": ("date", lambda k: dt.date(2024, 1, 1) + dt.timedelta(days=k)),
    "times": ("timestamp", lambda k: dt.datetime(2024, 1, 1) + dt.timedelta(hours=k)),
    "nothing": ("string", lambda k: None),
    "arrays": ("array<string>", lambda k: [["a"], [], ["a", "b"], None][k % 4]),
    "maps": ("map<string,double>", lambda k: {"a": float(k % 3), "b": 1.0}),
    "bytes": ("binary", lambda k: b"a"),
}
NESTED = ("arrays", "maps", "bytes")
LABELS = ("few", "wholes", "flags", "decimals", "constant", "words", "digits")


@st.composite
def tables(draw: Any) -> tuple[str, str, list[tuple[str, str, int]], int]:
    """A format, the label, (name, kind, each how many rows is null) of the columns, and how many rows there are."""
    form = draw(st.sampled_from(["parquet", "csv", "json", "parquet"]))
    kinds = [kind for kind in KINDS if form == "parquet" or kind not in NESTED]
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique_by=str.lower))
    columns = [
        (name, draw(st.sampled_from(kinds)), draw(st.sampled_from([0, 0, 0, 1, 3, 10]))) for name in names
    ]
    columns[0] = (names[0], draw(st.sampled_from(LABELS)), draw(st.sampled_from([0, 0, 0, 4])))
    return form, names[0], columns, draw(st.sampled_from([0, 1, 2, 12, 60, 60, 150]))


def run(job: Any, arguments: list[str]) -> tuple[int, str]:
    """The exit status of a command, and the line that it ends with where it failed."""
    with redirect_stderr(io.StringIO()) as log:
        status = job(arguments)
    told = "".join(
        re.findall(r"^spark_fm: error: (.*)", log.getvalue(), re.MULTILINE | re.DOTALL)
    ).removesuffix("\n")
    assert bool(status) == bool(told)
    assert not RAW.search(told), told
    assert "--debug shows where" not in told, told
    return status, told


def check(spark: SparkSession, folder: Path, table: tuple[str, str, list[tuple[str, str, int]], int]) -> None:
    form, label, columns, rows = table
    shutil.rmtree(folder, ignore_errors=True)
    made = [
        tuple(None if gap and k % gap == 0 else KINDS[kind][1](k) for _, kind, gap in columns)
        for k in range(rows)
    ]
    schema = ", ".join(f"`{name.replace('`', '``')}` {KINDS[kind][0]}" for name, kind, _ in columns)
    options = {"header": "true", "escape": '"'} if form == "csv" else {}
    frame = spark.createDataFrame(made, schema).coalesce(1)
    frame.write.format(form).options(**options).save(str(folder / "rows"))
    job = folder / "job.toml"
    if run(main, ["init", str(folder / "rows"), "--format", form, "--label", label, "--out", str(job)])[0]:
        assert not job.exists()
        return
    flags = ["--config", str(job), "--model", str(folder / "model"), "--report", str(folder / "report")]
    flags += [
        "--set",
        "params.maxIter=2",
        "--set",
        "params.verbose=false",
        "--set",
        "compare.baselines=false",
        "--output",
        str(folder / "scored"),
    ]
    for each in (train_main, evaluate_main, score_main):
        assert run(each, flags) == (0, ""), each
    fields = load(str(job)).fields
    if len(fields) < 2:
        return
    one, other = fields[0]["column"], fields[1]["column"]
    for key, column in (("contexts", one), ("items", other)):
        spark.read.parquet(str(folder / "scored")).select(f"`{column.replace('`', '``')}`").write.parquet(
            str(folder / key)
        )
        flags += ["--set", f"recommend.{key}.path={folder / key}"]
    flags[flags.index("--output") + 1] = str(folder / "recommended")
    # A date or a list is no key, and null is none.
    run(
        recommend_main,
        [*flags, "--set", f"recommend.context='''{one}'''", "--set", f"recommend.item='''{other}'''"],
    )


@given(table=tables())
@settings(max_examples=5)
def test_odd_tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    check(spark, tmp_path_factory.getbasetemp() / "odd-tables", table)


@pytest.mark.exhaustive
@pytest.mark.timeout(3000)
@given(table=tables())
@settings(max_examples=150)
def test_many_odd_tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    check(spark, tmp_path_factory.getbasetemp() / "odd-tables", table)
