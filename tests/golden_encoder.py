"""Saves a small fitted encoder, for the versions to come: ``python -m tests.golden_encoder tests/data/format-N``.

To be run once, by the first version of a new format of encoders. The tests of later versions load the folder and expect
the features that were written beside the encoder.
"""

import json
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

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

FITTED, ELSEWHERE = "Europe/Berlin", "Asia/Tokyo"
# What a value of each type is made of: columns whose texts formats have written in different ways among them.
LEARNED = """
    id,
    concat('u', id % 4) AS user,
    timestamp_micros(1704110400000000 + 3600000000 * (id % 7) + id % 2) AS slot,
    date_add(DATE '2024-01-01', CAST(id % 3 AS INT)) AS day,
    CAST(id % 3 * 0.5 AS DECIMAL(9, 2)) AS price,
    element_at(array(42.0D, 0.1D, 1e20D, 0.00001D, 12345678.5D), CAST(id % 5 + 1 AS INT)) AS x,
    array('all', concat('t', id % 2), concat('only', id)) AS tags,
    map('a', 0.5D, concat('b', id % 2), 2.0D) AS marks,
    1700000000 + 60 * id AS clock
"""
NEW = """
    id + 100,
    if(id = 0, NULL, 'new') AS user,
    timestamp_micros(1704110400000000 + 86400000000 * id) AS slot,
    DATE '1999-12-31' AS day,
    CAST(0.5 AS DECIMAL(9, 2)) AS price,
    if(id = 0, double('NaN'), 1e-5D) AS x,
    array('all', 'p', 'q', 'r', 'p') AS tags,
    map('p', 0.25D, 'q', 1.5D, 'a', 1.0D) AS marks,
    0L AS clock
"""
FIELDS = [
    categorical("user", minCount=6, rare="nothing"),
    categorical("slot"),
    hashed("slot", name="slot hash", width=64),
    categorical("day"),
    categorical("price"),
    hashed("price", name="price hash", width=64),
    categorical("x"),
    set_of("tags", minCount=3, rare="other", unseen="other"),
    set_of("tags", name="share", value="1/n", minCount=3, rare="other", unseen="other"),
    weighted("marks", unseen="other"),
    date_parts("slot", ["hour", "weekday"]),
    date_parts("slot", ["hour"], name="cycle", cyclic=True),
    numeric("x", name="number", transform="log1p"),
    buckets("clock", n=4),
    cross("user", "hour", width=64),
    cross("slot", "user", width=64),
]


def events(spark: SparkSession) -> DataFrame:
    """22 rows that the encoder learns, and 2 with other values, by id."""
    new = spark.range(2).selectExpr(*_columns(NEW))
    return spark.range(22).selectExpr(*_columns(LEARNED)).union(new).coalesce(1)


def _columns(text: str) -> list[str]:
    return [line.strip().removesuffix(",") for line in text.strip().splitlines()]


def features(model: FieldEncoderModel, spark: SparkSession, zone: str) -> list[list[list[float]]]:
    """Each row's ids and values, encoded in a session of a time zone."""
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        rows = model.transform(events(spark)).orderBy("id").collect()
    finally:
        spark.conf.set("spark.sql.session.timeZone", str(before))
    return [[list(row.features.ids), list(row.features.values)] for row in rows]


def main() -> None:
    folder = Path(sys.argv[1]).absolute() / "FieldEncoderModel"
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", FITTED)
    model = FieldEncoder(fields=FIELDS, coldCol="cold", maxNames=20).fit(events(spark).where("id < 100"))
    model.save(str(folder))
    expected = {
        "features": {zone: features(model, spark, zone) for zone in (FITTED, ELSEWHERE)},
        "names": [model.layout.label(id) for id in sorted(model.layout.names)],
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    for checksums in folder.rglob(".*.crc"):
        checksums.unlink()
    spark.stop()


if __name__ == "__main__":
    main()
