"""Every way of making features against the table of docs/features.md: one value makes the same features, whatever the
type of its column, the session's time zone and its ANSI mode, from rows or from a stream, of all fields or of a side.
"""

from contextlib import contextmanager

import pytest

from spark_fm.feature import (
    FieldEncoder,
    categorical,
    cross,
    hashed,
    set_of,
    weighted,
)

WIDTH = 2**30
# Each field reads the value in another way; what an encoder learned of one row is told from what it did not by "other".
FIELDS = [
    categorical("v"),
    hashed("v", name="hash", width=WIDTH),
    set_of("s", unseen="other"),
    set_of("s", name="s hash", width=WIDTH),
    weighted("m", unseen="other"),
    weighted("m", name="m hash", width=WIDTH),
    cross("v", "hash", width=WIDTH),
]
NUMBERS = ["INT", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL(9, 2)", "DECIMAL(38, 18)", "STRING"]
# Of each sort of values: how a few of them are written, and the types that hold them.
COLUMNS = {
    "whole": ("id * 21 - 21", NUMBERS),
    "fraction": ("id / 4 + 0.1BD", ["DOUBLE", "FLOAT", "DECIMAL(9, 3)", "DECIMAL(38, 18)"]),
    "small": ("(id + 1) * 0.0000001BD", ["DOUBLE", "FLOAT", "DECIMAL(38, 18)"]),
    "long": ("9007199254740992L + 2 * id", ["BIGINT", "DOUBLE", "DECIMAL(38, 18)", "STRING"]),
    "large": ("CAST((id + 1) * 1E20D AS DECIMAL(38, 0))", ["DECIMAL(38, 0)", "DOUBLE", "DECIMAL(38, 2)"]),
    "boolean": ("id = 1", ["BOOLEAN", "STRING"]),
    "date": ("date_from_unix_date(id)", ["DATE", "STRING"]),
    # The hours that Berlin's clocks show twice.
    "timestamp": ("timestamp_seconds(1729989000 + 1800 * id)", ["TIMESTAMP"]),
    "timestamp_ntz": ("CAST(date_from_unix_date(id) AS TIMESTAMP_NTZ)", ["TIMESTAMP_NTZ", "STRING"]),
    "string": ("element_at(array('007', 'A ', ''), id + 1)", ["STRING", "VARCHAR(9)"]),
}


@contextmanager
def session(spark, **settings):
    names = {"zone": "spark.sql.session.timeZone", "ansi": "spark.sql.ansi.enabled"}
    before = {names[key]: spark.conf.get(names[key]) for key in settings}
    for key, value in settings.items():
        spark.conf.set(names[key], value)
    try:
        yield spark
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def rows_of(data, value, kind):
    """Three values, a null, and a fourth value that the encoder has not learned."""
    cell = f"if(id < 3, CAST({value} AS {kind}), CAST(NULL AS {kind}))"
    return data.selectExpr("CAST(id AS INT) AS id", f"{cell} AS v").selectExpr(
        "id", "v", "array(v, v) AS s", "if(v IS NULL, NULL, map(v, 2D)) AS m"
    )


def made(model, rows):
    return [
        (list(row.features.ids), list(row.features.values), row.cold)
        for row in rows_by_id(model.transform(rows))
    ]


def rows_by_id(rows):
    return rows.orderBy("id").collect()


@pytest.mark.parametrize("sort", COLUMNS)
def test_a_value_is_one_in_every_type_session_and_way(spark, sort):
    value, kinds = COLUMNS[sort]
    value, ids = value.replace("id", "CAST(id AS INT)"), spark.range(4)
    with session(spark, zone="Europe/Berlin", ansi="true"):
        learned = rows_of(ids, value, kinds[0])
        model = FieldEncoder(fields=FIELDS, coldCol="cold").fit(learned)
        assert (
            [model.encoded[i].vocabulary.kept for i in (0, 2, 4)] == [3, 3, 3]
            if sort != "boolean"
            else [2, 2, 2]
        )
        before = made(model, learned)
        assert [cold for _, _, cold in before] == [False] * 3 + [True]
        sides = (
            rows_by_id(model.encode(learned.select("id", "v"))),
            rows_by_id(model.encode(learned.select("id", "s", "m"))),
        )
        together = [
            sorted(zip([*a.features.ids, *b.features.ids], [*a.features.values, *b.features.values]))
            for a, b in zip(*sides)
        ]
        assert together == [list(zip(ids, values)) for ids, values, _ in before]
    with session(spark, zone="Asia/Tokyo", ansi="false"):
        for kind in kinds:
            assert made(model, rows_of(ids, value, kind)) == before, kind


def test_a_value_is_one_in_a_stream(spark, tmp_path):
    value = COLUMNS["timestamp"][0]
    rows = rows_of(spark.range(4).coalesce(1), value, "TIMESTAMP")
    rows.write.parquet(str(tmp_path / "rows"))
    with session(spark, zone="Europe/Berlin"):
        model = FieldEncoder(fields=FIELDS, coldCol="cold").fit(rows)
    with session(spark, zone="Asia/Tokyo"):
        stream = spark.readStream.schema(rows.schema).parquet(str(tmp_path / "rows"))
        query = model.transform(stream).writeStream.format("memory").queryName("one_value").start()
        try:
            query.processAllAvailable()
        finally:
            query.stop()
        streamed = rows_by_id(spark.table("one_value"))
    assert [(list(row.features.ids), list(row.features.values), row.cold) for row in streamed] == made(
        model, rows
    )
