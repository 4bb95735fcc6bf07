"""What files hold, told by their name and their first lines: the format, and how a text is read."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import JOB_ERRORS, collect

FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet",
    ".orc": "orc", ".avro": "avro",
}  # fmt: skip
# Their lines tell: text of whatever format.
TEXTS = (".txt", ".data", ".dat", ".tab", ".psv", ".log", ".libsvm", ".svm", ".libffm", ".ffm")
# Spark reads through them by the name.
COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")
BEGINNINGS = {b"PAR1": "parquet", b"ORC": "orc", b"Obj\x01": "avro"}
ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"\xfd7zXZ")
LATIN = "ISO-8859-1"

LINES, LONGEST = 200, 100_000
# In the order in which they are preferred; a blank is one only where nothing else is.
SEPARATORS = ("\t", ";", "|", "::", ",", " ")
CONSISTENT = 0.95
EMPTIES = ("NA", "N/A", "n/a", "NULL", "null", "\\N", "nan", "None", "none", "?", "-", "#N/A")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
A_VALUE = re.compile(r"\d{1,4}[-/.:]\d{1,2}([-/.:]\d{1,4})?([ T].*)?\Z|(?i:true|false|nan)\Z")
PAIR = r"\s+\d+:[-+.\deE]+"
LIBSVM = re.compile(rf"\s*[-+.\deE]+({PAIR})+\s*(#.*)?\Z")
LIBFFM = re.compile(r"\s*[-+.\deE]+(\s+\d+:\d+:[-+.\deE]+)+\s*\Z")


def suffix_of(path: str) -> str:
    """The end of a file's name that tells its format, without that of a compression."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    while suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def sniffed(spark: SparkSession, path: str, form: str = "") -> tuple[str, dict[str, Any]]:
    """The format of files (that given, if any), and the options by which Spark reads them.

    Raises
    ------
    ValueError
        When they are an archive, which Spark does not read.
    """
    form = form or FORMATS.get(suffix_of(path), "")
    if form not in ("", "csv", "json"):
        return form, {}
    head = _head(spark, path)
    if head and head[0].startswith(ARCHIVES):
        raise ValueError(
            f"TABLE: found an archive or a compressed file at {path}, expected text or a table; files that Spark "
            f"unpacks end in {', '.join(COMPRESSIONS)}"
        )
    form = form or next((of for start, of in BEGINNINGS.items() if head and head[0].startswith(start)), "")
    lines, encoding = _decoded(head)
    form = form or _format_of(lines)
    if form == "json":
        return form, {"inferTimestamp": True} | ({} if _is_json("".join(lines[:1])) else {"multiLine": True})
    return form, csv_options(lines) | encoding | {"inferSchema": True} if form == "csv" else {}


def _head(spark: SparkSession, path: str) -> list[bytes]:
    """The first lines of files; none where Spark can't read them, which reading them then tells."""
    start = F.substring(F.col("value").cast("binary"), 1, LONGEST).alias("line")
    try:
        rows = collect(spark.read.text(path).select(start).limit(LINES))
    except JOB_ERRORS:
        return []
    return [bytes(row["line"]).removeprefix(codecs.BOM_UTF8) for row in rows]


def _decoded(lines: Sequence[bytes]) -> tuple[list[str], dict[str, Any]]:
    """Lines as text, and the option that says how it is encoded where that is not UTF-8."""
    with suppress(UnicodeDecodeError):
        # A line that was cut may end within a letter.
        return [codecs.utf_8_decode(line, "strict", len(line) < LONGEST)[0] for line in lines], {}
    return [line.decode(LATIN) for line in lines], {"encoding": LATIN}


def _format_of(lines: Sequence[str]) -> str:
    some = [line for line in lines if line.strip()]
    if not some:
        return "parquet"
    if some[0].lstrip().startswith(("{", "[")):
        return "json"
    for form, pattern in (("libsvm", LIBSVM), ("libffm", LIBFFM)):
        if all(pattern.match(line) for line in some):
            return form
    return "csv"


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def csv_options(lines: Sequence[str]) -> dict[str, Any]:
    """Spark's options to read text with separators; quotes are those of RFC 4180 unless the lines show others."""
    whole = len(lines) < LINES
    # A backslash before a quote within a cell, and no quote that is doubled.
    escaped = any(re.search(r'\\"[^,;|\t]', line) for line in lines) and not any(
        '""' in line for line in lines
    )
    found: list[tuple[bool, bool, int, str, list[list[str]]]] = []
    for separator in SEPARATORS:
        for quoting in (True, False):
            records = _records(lines, separator, quoting, escaped, whole)
            width = len(records[0]) if records else 0
            fits = sum(len(record) == width for record in records)
            if width > 1 and fits >= CONSISTENT * len(records) and (separator != " " or not found):
                found.append((quoting, separator != " ", width, separator, records))
                break
    options: dict[str, Any] = {"header": False}
    if not found:
        records, quoting, separator = _records(lines, ",", True, escaped, whole), True, ","
    else:
        quoting, _, _, separator, records = max(found, key=lambda one: one[:3])
    options["header"] = _has_header(records)
    if separator != ",":
        options["sep"] = separator
    if not quoting:
        options["quote"] = ""
    elif not escaped:
        options["escape"] = '"'
    if any("\n" in cell for record in records for cell in record):
        options["multiLine"] = True
    if _is_spaced(lines, separator):
        options["ignoreLeadingWhiteSpace"] = True
    empty = _empty(records[1:] if options["header"] else records)
    return options | ({"nullValue": empty} if empty else {})


def _records(
    lines: Sequence[str], separator: str, quoting: bool, escaped: bool, whole: bool
) -> list[list[str]]:
    """The cells of the records that the lines hold; without the last one where more lines follow."""
    some = [line for line in lines if line]
    if len(separator) > 1 or not quoting:
        records = [line.split(separator) for line in some]
    else:
        reader = csv.reader(
            (line + "\n" for line in some),
            delimiter=separator,
            doublequote=not escaped,
            escapechar="\\" if escaped else None,
            skipinitialspace=separator != " ",
        )
        try:
            records = list(reader)
        except csv.Error:
            return []
    return records if whole or len(records) < 2 else records[:-1]


def _is_spaced(lines: Sequence[str], separator: str) -> bool:
    """Whether a blank stands behind the separators."""
    text = "\n".join(lines)
    there = text.count(separator)
    return separator != " " and there > 0 and text.count(f"{separator} ") >= CONSISTENT * there


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names the columns: no cell of it is a value, or is there again in its column."""
    if not records:
        return True
    first, *others = ([cell.strip() for cell in record] for record in records)
    # pandas writes no name over its index.
    names = first[1:] if first and not first[0] else first
    if not names or len({*names}) < len(names):
        return False
    if any(not name or NUMBER.match(name) or A_VALUE.match(name) for name in names):
        return False
    return not any(name == cell for other in others for name, cell in zip(first, other, strict=False) if name)


def _empty(records: Sequence[Sequence[str]]) -> str:
    """The word for an empty cell in columns whose other cells are numbers; "" where there is none."""
    found: Counter[str] = Counter()
    for column in zip(*records, strict=False):
        words = Counter(cell.strip() for cell in column if cell.strip() and not NUMBER.match(cell.strip()))
        if len(words) == 1 and words.total() < sum(bool(cell.strip()) for cell in column):
            found.update({word: often for word, often in words.items() if word in EMPTIES})
    return max(found, key=lambda word: found[word]) if found else ""
