"""How files are read that no one told of."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_fm.cli.config import Input
from spark_fm.cli.read import read
from spark_fm.cli.schema import with_schema
from spark_fm.cli.sniff import csv_options, sniffed, suffix_of

TITLES = ['"Great" Cats, The', '"Great" Cats, A', "Plain", "a\tb"]


def written(**form: Any) -> list[str]:
    """Rows as csv.writer writes them, as lines."""
    text = io.StringIO()
    writer = csv.writer(text, **form)
    writer.writerows(
        [["userId", "title", "rating"], *([k % 30, TITLES[k % 4], 1 + k % 5] for k in range(300))]
    )
    return text.getvalue().splitlines()[:200]


def lines(first: str, line: str) -> list[str]:
    return [*first.splitlines(), *(line.format(k=k, m=k % 3) for k in range(30))]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (written(), {"header": True, "escape": '"'}),
        (written(delimiter="\t"), {"header": True, "sep": "\t", "escape": '"'}),
        (written(doublequote=False, escapechar="\\"), {"header": True}),
        (lines("", "{k}\t{m}\t4\t88125094{m}"), {"header": False, "sep": "\t", "escape": '"'}),
        (lines("", "{k}::Film, A {k}::a|b"), {"header": False, "sep": "::", "escape": '"'}),
        (lines("a;b", "{k},5;2,{m}"), {"header": True, "sep": ";", "escape": '"'}),
        (lines("", "{k}|u{m}|a b"), {"header": False, "sep": "|", "escape": '"'}),
        (lines("a b c", "{k} {m} x"), {"header": True, "sep": " ", "escape": '"'}),
        (lines("id,at", "{k},2024-01-01 10:00:0{m}"), {"header": True, "escape": '"'}),
        (lines("", "u{m},i{m},yes"), {"header": False, "escape": '"'}),
        (lines(",user,n", "{k},u{m},{k}"), {"header": True, "escape": '"'}),
        (lines("true,user,n", "true,u{m},{k}"), {"header": False, "escape": '"'}),
        (
            lines("a, b", '{k}, "x, {m}"'),
            {"header": True, "escape": '"', "ignoreLeadingWhiteSpace": True},
        ),
        (lines("a,b", '{k},"two\nlines"'.replace("\n", "%")), {"header": True, "escape": '"'}),
        (lines("a\tb\nx\tNA", '{k}\t5" disk'), {"header": True, "sep": "\t", "escape": '"'}),
        (lines("a\tb\n1\tNA", "{k}\t{m}.5"), {"header": True, "sep": "\t", "escape": '"', "nullValue": "NA"}),
        (["a,b", *['1,"two', 'lines"'] * 9], {"header": True, "escape": '"', "multiLine": True}),
        (["a\tb", *['"open\t1', "x\t2"] * 9], {"header": True, "sep": "\t", "quote": ""}),
        (["name", "ann", "bob"], {"header": True, "escape": '"'}),
        (["a,b"], {"header": True, "escape": '"'}),
        ([], {"header": True, "escape": '"'}),
    ],
)
def test_text_with_separators(text: list[str], options: dict[str, Any]) -> None:
    assert csv_options(text) == options


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("a/b.csv.gz", ".csv"),
        ("u.data", ".data"),
        ("x.tsv.ZST", ".tsv"),
        ("a.b/c", ""),
        ("p.snappy.parquet", ".parquet"),
    ],
)
def test_suffixes(path: str, suffix: str) -> None:
    assert suffix_of(path) == suffix


LONG = "é" * 60_000
FILES: list[tuple[str, str, str]] = [
    ("r.csv.gz", "a,b\n1,007\n2,018\n", "csv"),
    ("u.data", "1\t2\t3\n4\t5\t6\n", "csv"),
    ("bom.tsv", "\ufeffa\tseat\tat\td\r\n1\t1D\t12:30\t2024-01-05\r\n2\t2F\t13:30\t2024-01-06\r\n", "csv"),
    ("latin.dat", "1::Amélie\n2::Brüno\n", "csv"),
    ("long.csv", f"a,b\nx{LONG},1\n", "csv"),
    ("inf.csv", "a,b\nInf,1.D\n0.5,2\n", "csv"),
    ("e.json", '{"u": "a", "at": "2024-01-05T10:00:00Z", "t": "12:30"}\n', "json"),
    ("all.json", '[{"u": "a"},\n{"u": "b"}]', "json"),
    ("part", '{"u": "a"}\n{"u": "b"}\n', "json"),
    ("a9a.txt", "-1 3:1 11:1\n+1 5:0.5\n", "libsvm"),
    ("train.ffm", "1 0:7:1 1:9:0.5\n0 0:8:1\n", "libffm"),
]  # fmt: skip
READ: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "r.csv.gz": ("`a` int, `b` string", [(1, "007"), (2, "018")]),
    "u.data": ("`_c0` int, `_c1` int, `_c2` int", [(1, 2, 3), (4, 5, 6)]),
    "bom.tsv": ("`a` int, `seat` string, `at` string, `d` date", []),
    "latin.dat": ("`_c0` int, `_c1` string", [(1, "Amélie"), (2, "Brüno")]),
    "long.csv": ("`a` string, `b` int", [(f"x{LONG}", 1)]),
    "inf.csv": ("`a` double, `b` string", [(float("inf"), "1.D"), (0.5, "2")]),
    "e.json": ("`at` timestamp, `t` string, `u` string", []),
    "all.json": ("`u` string", [("a",), ("b",)]),
    "part": ("`u` string", [("a",), ("b",)]),
    "a9a.txt": ("", []),
    "train.ffm": ("", [(1.0, ([7, 9], [1.0, 0.5])), (0.0, ([8], [1.0]))]),
}


@pytest.mark.parametrize(("name", "text", "form"), FILES, ids=[name for name, _, _ in FILES])
def test_files(spark: SparkSession, tmp_path: Path, name: str, text: str, form: str) -> None:
    path = tmp_path / name
    encoded = text.encode("latin-1" if name.startswith("latin") else "utf-8")
    path.write_bytes(gzip.compress(encoded) if name.endswith(".gz") else encoded)
    found, options = sniffed(spark, str(path))
    assert found == form
    source = Input(format=found, path=str(path), options=options)
    if form in ("csv", "json"):
        source = with_schema(spark, source)
    schema, rows = READ[name]
    assert source.schema == schema
    assert not rows or [tuple(row) for row in read(spark, source).collect()] == rows


def test_what_spark_can_not_unpack_is_told(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(ValueError, match=r"TABLE: found an archive or a compressed file at .*rows.csv"):
        sniffed(spark, str(tmp_path / "rows.csv"))
