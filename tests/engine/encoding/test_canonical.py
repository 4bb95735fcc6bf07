"""The table of docs/features.md: which cells, of whatever type, are one value, and which are not."""

import pytest
from pyspark.sql import functions as F

from spark_fm.engine.encoding.canonical import part_of, sort_of, text_of, text_of_any_number
from spark_fm.engine.packing.columns import quoted

ONE_VALUE = {
    "42": ["42", "42L", "42Y", "42.00BD", "CAST(42 AS DECIMAL(38, 18))", "42D", "42F", "'42'"],
    "0": ["0", "0D", "-0D", "-0F", "CAST(0 AS DECIMAL(38, 18))", "'0'"],
    "-7": ["-7", "-7D", "CAST(-7 AS DECIMAL(9, 3))", "-7F"],
    "100": ["100", "1E2D", "CAST(100 AS DECIMAL(38, 18))", "CAST(100 AS DECIMAL(3, 0))"],
    "33333332": ["33333332", "33333332F", "33333332D"],
    "9007199254740993": ["9007199254740993L", "CAST('9007199254740993' AS DECIMAL(38, 18))"],
    "9007199254740994": ["9007199254740994L", "9007199254740994D", "CAST('9007199254740994' AS DECIMAL(16, 0))"],
    "1152921504606846976": ["1152921504606846976L", "1152921504606846976D", "CAST(1152921504606846976L AS FLOAT)"],
    "-9223372036854775808": ["CAST('-9223372036854775808' AS BIGINT)", "-9223372036854775808D"],
    "18446744073709551616": ["18446744073709551616BD", "18446744073709551616D", "CAST(18446744073709551616D AS FLOAT)"],
    "100000000000000000000": ["100000000000000000000BD", "1E20D", "CAST(1E20D AS DECIMAL(38, 2))"],
    "-99999999999999991611392": ["-99999999999999991611392BD", "-1E23D"],
    "0.1": ["0.1BD", "0.1D", "0.1F", "CAST(0.1 AS DECIMAL(38, 18))", "CAST(0.1 AS DECIMAL(38, 38))", "'0.1'"],
    "0.10000000149011612": ["CAST(0.1F AS DOUBLE)"],
    "-19.99": ["-19.99BD", "-19.99D", "-19.99F"],
    "12345678.5": ["12345678.5D", "12345678.500BD"],
    "4503599627370495.5": ["4503599627370495.5D", "4503599627370495.5BD"],
    "0.0000001": ["0.0000001BD", "1E-7D", "1E-7F", "CAST(0.0000001 AS DECIMAL(38, 18))"],
    "-0.00012345": ["-0.00012345D", "-0.00012345F", "-0.00012345BD"],
    "0.3333333333333333": ["1D / 3D", "0.3333333333333333BD"],
    "1.0E300": ["1E300D"],
    "1.25E-200": ["1.25E-200D"],
    "Infinity": ["double('Infinity')", "float('Infinity')", "'Infinity'"],
    "true": ["true", "'true'"],
    "2024-02-29": ["DATE'2024-02-29'", "'2024-02-29'"],
    "2024-02-29 00:00:00": ["TIMESTAMP_NTZ'2024-02-29 00:00:00'", "'2024-02-29 00:00:00'"],
    "2024-02-29 00:00:00Z": ["timestamp_seconds(1709164800)"],
    # Clocks in Berlin show 02:30 at both.
    "2024-10-27 00:30:00Z": ["timestamp_seconds(1729989000)"],
    "2024-10-27 01:30:00.5Z": ["timestamp_micros(1729992600500000)"],
    "1883-11-18 17:00:00.000001Z": ["timestamp_micros(-2717650799999999)"],
    "+10000-01-01": ["date_add(DATE'9999-12-31', 1)"],
    "": ["''"],
    "ab": ["'ab'", "CAST('ab' AS CHAR(5))", "CAST('ab' AS VARCHAR(5))"],
    # Characters are what counts: these are one string each, and none of them a number.
    "ab ": ["'ab '"], "AB": ["'AB'"], "007": ["'007'"], "42.0": ["'42.0'"], "+42": ["'+42'"], " 42": ["' 42'"],
    "é": ["'é'"], "e\N{COMBINING ACUTE ACCENT}": ["'e\N{COMBINING ACUTE ACCENT}'"],
    "null": ["'null'"], "NaN": ["'NaN'"],
    None: ["CAST(NULL AS INT)", "double('NaN')", "float('NaN')", "CAST(NULL AS STRING)", "CAST(NULL AS TIMESTAMP)"],
}  # fmt: skip
CELLS = [(text, cell) for text, cells in ONE_VALUE.items() for cell in cells]
SETTINGS = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.preserveCharVarcharTypeInfo")


@pytest.fixture(params=[("Europe/Berlin", "true", "true"), ("+05:45", "false", "true")], ids=" ".join)
def session(spark, request):
    # Spark 3.5 has no preserveCharVarcharTypeInfo.
    before = {name: spark.conf.get(name, None) for name in SETTINGS}
    for name, value in zip(SETTINGS, request.param, strict=True):
        spark.conf.set(name, value)
    yield spark
    for name, value in before.items():
        if value is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, value)


def test_cells_of_one_value_have_one_text(session):
    """Spark must not compute any of it beforehand, in other code than that of rows."""
    rows = session.range(1).select(
        *(F.expr(f"if(id = 0, {cell}, NULL)").alias(str(i)) for i, (_, cell) in enumerate(CELLS))
    )
    kinds = [field.dataType for field in rows.schema.fields]
    texts = rows.select(*(F.expr(text_of(quoted(str(i)), kind)) for i, kind in enumerate(kinds))).collect()[0]
    assert [(cell, found) for (_, cell), found in zip(CELLS, texts, strict=True)] == [
        (cell, text) for text, cell in CELLS
    ]


def test_the_jobs_text_of_any_number_is_the_same(session):
    numbers = [
        (text, cell)
        for text, cell in CELLS
        if text is not None and "timestamp" not in cell and "CHAR" not in cell
    ][::2]
    rows = session.range(1).select(
        *(F.expr(f"if(id = 0, {cell}, NULL)").alias(str(i)) for i, (_, cell) in enumerate(numbers))
    )
    texts = rows.select(*(F.expr(text_of_any_number(quoted(str(i)))) for i in range(len(numbers)))).collect()[
        0
    ]
    assert [(cell, found) for (_, cell), found in zip(numbers, texts, strict=True)] == [
        (cell, text) for text, cell in numbers
    ]


def test_parts_of_times_are_those_of_the_named_zone(session):
    cells = {
        "timestamp_seconds(1729989000)": [2, 6, 27, 43, 10],
        "timestamp_seconds(1735687800)": [0, 2, 1, 1, 1],
        "TIMESTAMP_NTZ'2024-12-31 23:30:00'": [23, 1, 31, 1, 12],
        "DATE'2024-12-31'": [None, 1, 31, 1, 12],
    }
    parts = ("hour", "weekday", "day", "week", "month")
    for cell, expected in cells.items():
        row = session.range(1).select(F.expr(f"if(id = 0, {cell}, NULL)").alias("t"))
        kind = row.schema["t"].dataType
        asked = [part for part in parts if sort_of(kind) != "date" or part != "hour"]
        found = row.select(*(F.expr(part_of("t", kind, part, "Europe/Berlin")) for part in asked)).collect()[
            0
        ]
        assert list(found) == [x for x in expected if x is not None], cell
