"""Every way of making features against the table of docs/features.md: one value makes the same features, whatever the
type of its column, the session's time zone and its ANSI mode, from rows or from a stream, of all fields or of a side.
"""

import json
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest

from spark_fm.engine.encoding.fields import bucket_names
from spark_fm.feature import (
    FieldEncoder,
    FieldEncoderModel,
    buckets,
    categorical,
    cross,
    date_parts,
    hashed,
    numeric,
    set_of,
    weighted,
)
from tests import golden_encoder

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
    """Three values and a null, alone, in a set and as the key of a map."""
    cell = f"if(id < 3, CAST({value} AS {kind}), CAST(NULL AS {kind}))"
    return data.selectExpr("CAST(id AS INT) AS id", f"{cell} AS v").selectExpr(
        "id", "v", "array(v, v) AS s", "if(v IS NULL, NULL, map(v, 2D)) AS m"
    )


def encoded(model, rows):
    """Each row's ids, values and whether it is cold, by id."""
    return [told(row.features, row.cold) for row in model.transform(rows).orderBy("id").collect()]


def told(features, cold):
    return list(zip(features.ids, features.values, strict=True)), cold


def laid_together(model, rows, *sides):
    """As :func:`encoded`, each side of some columns encoded by itself."""
    found = [model.encode(rows.select("id", *side)).orderBy("id").collect() for side in sides]
    colds = [row.cold for row in model.transform(rows).orderBy("id").collect()]
    return [
        (sorted(pair for row in of_sides for pair in told(row.features, cold)[0]), cold)
        for *of_sides, cold in zip(*found, colds, strict=True)
    ]


@pytest.mark.parametrize("sort", COLUMNS)
def test_a_value_is_one_in_every_type_session_and_way(spark, sort):
    value, kinds = COLUMNS[sort]
    value, ids = value.replace("id", "CAST(id AS INT)"), spark.range(4)
    with session(spark, zone="Europe/Berlin", ansi="true"):
        learned = rows_of(ids, value, kinds[0])
        model = FieldEncoder(fields=FIELDS, coldCol="cold").fit(learned)
        kept = 2 if sort == "boolean" else 3
        assert [model.encoded[i].vocabulary.kept for i in (0, 2, 4)] == [kept] * 3
        before = encoded(model, learned)
        assert [cold for _, cold in before] == [False] * 3 + [True]
        assert laid_together(model, learned, ["v"], ["s", "m"]) == before
    with session(spark, zone="Asia/Tokyo", ansi="false"):
        for kind in kinds:
            assert encoded(model, rows_of(ids, value, kind)) == before, kind


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
        streamed = spark.table("one_value").orderBy("id").collect()
    assert [told(row.features, row.cold) for row in streamed] == encoded(model, rows)


@pytest.mark.parametrize("outcome", ["other", "nothing"])
@pytest.mark.parametrize("numbers", [True, False])
def test_features_of_two_sides_laid_together_are_those_of_the_whole_row(spark, outcome, numbers):
    """To the bit, for each kind, be there fields with values or none."""
    places = dict.fromkeys(("unseen", "rare", "null"), outcome)
    sets = [
        set_of(
            "tags",
            name=f"{value} {width}",
            value=value,
            **({"width": 3} if width else {"minCount": 3, **places}),
        )
        for value in (("1", "1/n", "1/sqrt(n)") if numbers else ("1",))
        for width in (False, True)
    ]
    valued = [
        numeric("age", name="number", null=outcome),
        weighted("marks", minCount=3, **places),
        weighted("marks", name="few", width=3),
        date_parts("at", ["hour"], name="cycle", cyclic=True, null=outcome),
    ]
    fields = [
        categorical("user", minCount=2, **places), date_parts("at", ["hour"]), buckets("age", n=3, null=outcome),
        cross("user", "hour", width=7), *(valued if numbers else []), *sets,
    ]  # fmt: skip
    rows = spark.range(12).selectExpr(
        "id", "if(id % 5 = 4, NULL, id % 4 * (id + 1) % 9) AS user", "if(id = 3, NULL, id / 7) AS age",
        "if(id = 5, NULL, timestamp_seconds(id * 10000)) AS at",
        "if(id = 6, NULL, transform(sequence(0, id % 9), i -> i * (id + 2))) AS tags",
        "map_from_arrays(transform(sequence(0, id), i -> i * (id + 1)), transform(sequence(0, id), i -> 1 / (i + 7))) "
        "AS marks",
    )  # fmt: skip
    model = FieldEncoder(fields=fields, coldCol="cold", outputType="pairs").fit(rows.where("id < 9"))
    assert laid_together(model, rows, ["user", "age", "at"], ["tags", "marks"]) == encoded(model, rows)


@pytest.mark.parametrize(
    ("learned", "found", "field"),
    [
        ("date_from_unix_date(id)", "timestamp_seconds(id)", categorical("v")),
        ("timestamp_seconds(id)", "CAST(id AS STRING)", hashed("v")),
        ("CAST(id AS STRING)", "timestamp_seconds(id)", categorical("v")),
        ("CAST(timestamp_seconds(id) AS TIMESTAMP_NTZ)", "timestamp_seconds(id)", categorical("v")),
        ("id", "date_from_unix_date(CAST(id AS INT))", categorical("v")),
        ("id", "id = 1", hashed("v")),
        ("array(id)", "array(timestamp_seconds(id))", set_of("v", width=9)),
        ("map(id = 1, 1)", "map(id, 1)", weighted("v", width=9)),
    ],
)
def test_values_of_another_sort_than_those_learned_are_refused(spark, learned, found, field):
    rows = spark.range(2).selectExpr("CAST(id AS INT) AS id")
    fields = [field] if field.kind in ("set", "weighted") else [field, cross("v", "v", width=9)]
    model = FieldEncoder(fields=fields).fit(rows.selectExpr(f"{learned} AS v"))
    other = rows.selectExpr(f"{found} AS v")
    sentence = rf"fields: column 'v' has type {other.schema['v'].dataType.simpleString()}, expected values of the sort"
    with pytest.raises(TypeError, match=sentence):
        model.transform(other)
    with pytest.raises(TypeError, match=sentence):
        model.encode(other, only=[field.name])


@pytest.mark.parametrize("value", ["X'00'", "INTERVAL '1' DAY", "INTERVAL '1' YEAR", "struct(1)", "array(1)"])
def test_types_that_hold_no_value_are_refused(spark, value):
    for cell, field in ((value, categorical("v")), (value, hashed("v")), (f"array({value})", set_of("v"))):
        with pytest.raises(
            TypeError, match=r"fields: column 'v' has type .*, expected .*a string, an integer"
        ):
            FieldEncoder(fields=[field]).fit(spark.range(1).selectExpr(f"{cell} AS v"))


def test_parts_of_times_stay_those_of_the_zone_of_the_fit(spark):
    rows = spark.range(48).selectExpr("id", "timestamp_seconds(1729900000 + 3600 * id) AS at")
    fields = [date_parts("at", ["hour", "weekday"]), date_parts("at", ["hour"], name="c", cyclic=True)]
    with session(spark, zone="Europe/Berlin"):
        model = FieldEncoder(fields=[*fields, cross("hour", "weekday")], coldCol="cold").fit(rows)
        here = encoded(model, rows)
        hours = [row[0] for row in rows.orderBy("id").selectExpr("hour(at)").collect()]
    assert [pairs[0][0] for pairs, _ in here] == hours
    with session(spark, zone="Asia/Tokyo", ansi="false"):
        other = FieldEncoder(fields=fields).fit(rows)
        assert {one.value for one in other.encoded}.isdisjoint(one.value for one in model.encoded)
        assert encoded(model, rows) == here


def test_padded_columns_of_tables_are_the_strings_before_the_blanks(spark):
    spark.sql("CREATE TABLE spark_fm_padded (id INT, v CHAR(5), s ARRAY<CHAR(5)>) USING parquet")
    try:
        spark.sql("INSERT INTO spark_fm_padded VALUES (0, 'ab', array('ab')), (1, 'c', array('c'))")
        fields = [categorical("v"), set_of("s", unseen="other"), hashed("v", name="hash")]
        padded = spark.table("spark_fm_padded")
        model = FieldEncoder(fields=fields, coldCol="cold", outputType="pairs").fit(padded)
        plain = padded.selectExpr("id", "trim(v) AS v", "transform(s, x -> trim(x)) AS s")
        assert encoded(model, plain) == encoded(model, padded)
        assert not any(cold for _, cold in encoded(model, plain))
    finally:
        spark.sql("DROP TABLE spark_fm_padded")


@pytest.mark.parametrize(
    ("edges", "second"),
    [
        ([1700011980.0, 1700023980.0, 1700035980.0], "[1700011980, 1700023980)"),
        ([20240106.0, 20240112.0], "[20240106, 20240112)"),
        ([1000000.125, 1000000.25], "[1000000.1, 1000000.2)"),
        ([0.5, 1.5], "[0.5, 1.5)"),
        ([1e22, 2e22], "[1e+22, 2e+22)"),
    ],
)
def test_names_of_buckets_tell_them_apart(edges, second):
    names = bucket_names(edges)
    assert len({*names}) == len(names) == len(edges) + 1
    assert names[1] == second


GOLDEN = Path(__file__).parent.parent / "data"


@pytest.mark.parametrize("version", [3, 4])
def test_saved_encoders_of_every_format_keep_their_meaning(spark, version, tmp_path):
    folder = GOLDEN / f"format-{version}" / "FieldEncoderModel"
    expected = json.loads((folder / "expected.json").read_text())
    model = FieldEncoderModel.load(str(folder))
    model.save(str(tmp_path / "again"))
    for loaded in (model, FieldEncoderModel.load(str(tmp_path / "again"))):
        assert [loaded.layout.label(id) for id in sorted(loaded.layout.names)] == expected["names"]
        for zone, rows in expected["features"].items():
            found = golden_encoder.features(loaded, spark, zone)
            assert [ids for ids, _ in found] == [ids for ids, _ in rows], zone
            values, before = ([*chain.from_iterable(x for _, x in some)] for some in (found, rows))
            assert values == pytest.approx(before)
    here, elsewhere = expected["features"].values()
    assert (here == elsewhere) == (version > 3)
