"""Fields that no one told, on made tables that look like those that people have."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_fm.engine.encoding.infer import Inferred, infer_fields, inferred
from spark_fm.engine.encoding.look import separator_of

ROWS = 2000
Frame = dict[str, Any]


def some(rng: np.random.Generator, n: int, flat: float = 5.0) -> Any:
    """Numbers below n, some of them often."""
    weights = 1.0 / (flat + np.arange(n))
    return rng.permutation(n)[rng.choice(n, ROWS, p=weights / weights.sum())]


def ratings(rng: np.random.Generator) -> Frame:
    movies = np.sort(rng.choice(190_000, 400, replace=False))
    seconds = rng.integers(820_000_000, 1_500_000_000, ROWS)
    return {"userId": np.sort(some(rng, 200)), "movieId": movies[some(rng, 400)], "timestamp": seconds}


def without_names(rng: np.random.Generator) -> Frame:
    return dict(zip(("_c0", "_c1", "_c3"), ratings(rng).values(), strict=True))


def merged_by_pandas(rng: np.random.Generator) -> Frame:
    """An outer join makes doubles of integers."""
    user, item = some(rng, 300).astype(float), some(rng, 150) + 0.0
    user[::9] = np.nan
    return {
        "user_id": user,
        "item": item,
        "u": user,
        "age": rng.integers(16, 90, ROWS) + 0.0,
        "grams": user + 0.5,
    }


def clicks(rng: np.random.Generator) -> Frame:
    hashes = rng.integers(-(2**31), 2**31, 300)
    return {
        "ad": hashes[some(rng, 300)], "f7": hashes[some(rng, 100)], "C14": 15_000 + 7 * some(rng, 250),
        "hour": rng.integers(0, 24, ROWS), "bid": rng.lognormal(0, 1, ROWS), "device_type": rng.integers(0, 5, ROWS),
        "at": 1_700_000_000_000 + rng.integers(0, 10**9, ROWS), "impression": rng.permutation(ROWS) + 10**12,
    }  # fmt: skip


def orders(rng: np.random.Generator) -> Frame:
    return {
        "order_no": 10_000 + np.arange(ROWS), "customerNo": some(rng, 250), "amount_paid": rng.integers(1, 400, ROWS),
        "n_items": rng.geometric(0.02, ROWS), "unitPrice": rng.integers(99, 9999, ROWS) / 100.0,
        "rebate": 10 * rng.integers(0, 60, ROWS), "priority": rng.integers(1, 4, ROWS),
    }  # fmt: skip


def sensors(rng: np.random.Generator) -> Frame:
    return {
        "sensor": 1000 + some(rng, 60), "temperature": rng.integers(-20, 41, ROWS), "humid": rng.integers(20, 99, ROWS),
        "drift": rng.integers(-60, 60, ROWS), "volt": rng.normal(3.3, 0.1, ROWS), "firmware": ["1.0"] * ROWS,
        "time_ns": (1_600_000_000 + np.arange(ROWS) * 60) * 10**9,
    }  # fmt: skip


def houses(rng: np.random.Generator) -> Frame:
    return {
        "id": rng.choice(10**10, ROWS, replace=False), "bedrooms": rng.integers(1, 9, ROWS),
        "sqft_living": rng.integers(50, 500, ROWS) * 10 + 3, "lot": rng.integers(50, 5000, ROWS) * 10,
        "yr_built": rng.integers(1900, 2015, ROWS), "zipcode": 98_000 + some(rng, 70), "lat": rng.normal(47, 1, ROWS),
        "date": 20_140_000 + 100 * rng.integers(1, 13, ROWS) + rng.integers(1, 29, ROWS),
    }  # fmt: skip


def accesses(rng: np.random.Generator) -> Frame:
    return {
        "RESOURCE": some(rng, 500) * 37, "MGR_ID": some(rng, 300) + 2, "ROLE_FAMILY": some(rng, 60) + 117_000,
        "manager": np.where(rng.random(ROWS) < 0.1, -1, some(rng, 300)), "grade": some(rng, 90),
    }  # fmt: skip


def people(rng: np.random.Generator) -> Frame:
    return {
        "age": rng.integers(17, 90, ROWS), "hours-per-week": rng.integers(1, 99, ROWS),
        "capital-gain": np.where(rng.random(ROWS) < 0.9, 0, rng.integers(1, 99_999, ROWS)),
        "education": [f"e{i}" for i in some(rng, 16)], "married": rng.random(ROWS) < 0.5,
        "born": [f"19{i:02}-0{i % 9 + 1}-11" for i in some(rng, 90)],
    }  # fmt: skip


def movies(rng: np.random.Generator) -> Frame:
    genres, tags = ["Comedy", "Drama", "Film-Noir", "War", "Sci-Fi"], ["dark", "cult", "slow", "3 d"]
    texts = [
        "|".join(g for i, g in enumerate(genres) if number >> i & 1) or "(none)"
        for number in rng.integers(0, 32, ROWS)
    ]
    lists = [
        ", ".join(t for i, t in enumerate(tags) if n >> i & 1) or None for n in rng.integers(0, 16, ROWS)
    ]
    return {
        "title": [f"The {i}, Part {i % 3}" for i in range(ROWS)], "genres": texts, "tags": lists,
        "director": [f"Poe, {'ABC'[i % 3]}. {i}" for i in some(rng, 40)], "year": 1920 + some(rng, 100),
        "votes": rng.integers(1, 90_000, ROWS),
    }  # fmt: skip


def visits(rng: np.random.Generator) -> Frame:
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, ROWS), unit="s")
    gaps = pd.Series(times).where(rng.random(ROWS) < 0.9)
    return {
        "first_seen": gaps, "seen": times, "hour": rng.integers(0, 24, ROWS), "seen_hour": rng.integers(0, 3, ROWS),
        "uuid": [f"{i:032x}" for i in range(ROWS)], "bytes": rng.lognormal(9, 2, ROWS).astype(int), "none": None,
    }  # fmt: skip


def flights(rng: np.random.Generator) -> Frame:
    return {
        "carrier": [f"C{i}" for i in some(rng, 12)], "flight_num": some(rng, 700), "dep_delay": some(rng, 200) - 15,
        "distance": rng.integers(80, 3000, ROWS), "tailnum": [f"N{i}" for i in some(rng, 400)],
        "minutes_late": rng.integers(0, 90, ROWS), "month": rng.integers(1, 13, ROWS),
    }  # fmt: skip


# A letter for a kind: Categorical, Buckets, Numeric, Set, the parts of a Time, - for none; ? where values alone told.
WANTED: list[tuple[Callable[[np.random.Generator], Frame], dict[str, str]]] = [
    (ratings, {"userId": "C", "movieId": "C", "timestamp": "Tseconds"}),
    (without_names, {"_c0": "C?", "_c1": "C?", "_c3": "Tseconds"}),
    (merged_by_pandas, {"user_id": "C", "item": "C", "u": "C?", "age": "B", "grams": "N"}),
    (clicks, {"ad": "C", "f7": "C?", "C14": "C?", "hour": "C", "bid": "N", "device_type": "C", "at": "Tmilliseconds",
              "impression": "-"}),
    (orders, {"order_no": "-", "customerNo": "C", "amount_paid": "B", "n_items": "B", "unitPrice": "N", "rebate": "B?",
              "priority": "C"}),
    (sensors, {"sensor": "C", "temperature": "B", "humid": "B", "drift": "B?", "volt": "N", "firmware": "-",
               "time_ns": "Tnanoseconds"}),
    (houses, {"id": "-", "bedrooms": "C", "sqft_living": "B", "lot": "B?", "yr_built": "C?", "zipcode": "C",
              "lat": "N", "date": "-"}),
    (accesses, {"RESOURCE": "C", "MGR_ID": "C", "ROLE_FAMILY": "C?", "manager": "C", "grade": "C?"}),
    (people, {"age": "B", "hours-per-week": "B", "capital-gain": "B", "education": "C", "married": "C", "born": "-"}),
    (movies, {"title": "-", "genres": "S|", "tags": "S,", "director": "C", "year": "C?", "votes": "B"}),
    (visits, {"first_seen": "T", "seen": "T", "hour": "C", "seen_hour": "C", "uuid": "-", "bytes": "B", "none": "-"}),
    (flights, {"carrier": "C", "flight_num": "C", "dep_delay": "B", "distance": "B", "tailnum": "C",
               "minutes_late": "B", "month": "C"}),
]  # fmt: skip
TIMES = {"ratings": ["timestamp"], "without_names": ["_c3"], "clicks": ["at"], "sensors": ["time_ns"],
         "houses": ["date"], "visits": ["seen"]}  # fmt: skip


def told(found: Inferred) -> dict[str, str]:
    letters = {"categorical": "C", "buckets": "B", "numeric": "N", "set": "S", "date_parts": "T"}
    made = dict.fromkeys(found.left_out, "-")
    for spec in found.specs:
        name = spec.columns[0]
        more = spec.options.get("separator", "") + spec.options.get("unit", "")
        made[name] = letters[spec.kind] + more + ("?" if name in found.unsure else "")
    return made


@pytest.mark.parametrize(("table", "kinds"), WANTED, ids=[table.__name__ for table, _ in WANTED])
def test_tables(
    spark: SparkSession, table: Callable[[np.random.Generator], Frame], kinds: dict[str, str]
) -> None:
    frame = pd.DataFrame(table(np.random.default_rng(1)))
    schema = "none string" if "none" in frame else None
    rows = spark.createDataFrame(frame.drop(columns="none", errors="ignore"))
    found = inferred(rows.selectExpr("*", "CAST(NULL AS STRING) AS none") if schema else rows)
    assert told(found) == kinds
    assert found.times == TIMES.get(table.__name__, [])


def test_names_are_there_once_and_types_do_not_matter(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    rows = spark.range(300).selectExpr(
        "timestamp_seconds(id * 7777) AS at",
        "date_add(date'2024-01-01', int(id)) AS day",
        "int(id % 3) AS at_hour",
        "CAST(id % 40 AS DECIMAL(20, 0)) AS d",
        "CAST(id % 40 AS DECIMAL(20, 2)) AS whole",
        "CAST(id / 4 AS DECIMAL(20, 2)) AS quarters",
        "double('Infinity') * (1 - id % 2) AS x",
        "map('a', id) AS m",
        "binary(string(id)) AS b",
        "id AS label",
    )
    with caplog.at_level(logging.INFO, "spark_fm"):
        found = infer_fields(rows, exclude=["label"])
    assert [(spec.kind, spec.name) for spec in found] == [
        ("date_parts", "at_"),
        ("date_parts", "day"),
        ("categorical", "at_hour"),
        ("categorical", "d"),
        ("categorical", "whole"),
        ("numeric", "quarters"),
        ("numeric", "x"),
        ("weighted", "m"),
    ]
    assert "column 'b' is left out: its type is binary" in caplog.text
    assert "by their values alone, look at: 'd', 'whole'" in caplog.text
    assert infer_fields(rows.drop("m").limit(0)) == []


@pytest.mark.parametrize(
    ("texts", "separator"),
    [
        (["a|b", "b", "a", "c|a|b"] * 5, "|"),
        (["a; b", "b", "a;c;b"] * 5, ";"),
        (["x, y", "y", "x"] * 5, ","),
        (["Oslo, NO", "Rome, IT", "Pisa, IT"] * 9, ""),
        (["Great Cats, The", "Plain", "Thing, The"] * 9, ""),
        (["a fine day; and a long sentence that nobody would take for the elements of a list", "a"] * 9, ""),
        ([f"u{i}|v{i}" for i in range(50)], ""),
        ([], ""),
    ],
)
def test_lists_in_text(texts: list[str], separator: str) -> None:
    assert separator_of(texts) == separator
