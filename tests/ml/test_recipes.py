"""Each recipe is the model that it is named after: its own formula, in plain loops, gives the FM's predictions."""

from collections.abc import Callable
from itertools import combinations
from math import log1p, sqrt
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.feature import FieldEncoder, FieldSpec, categorical, date_parts, numeric, set_of
from spark_fm.recipes import daysSinceFirst, lastItem, ratedItems

USERS, ITEMS, ROWS = 7, 9, 40
GENRES, TAGS = ("Noir", "Drama", "Western"), ("slow", "dark", "funny")
USER, ITEM = categorical("user"), categorical("item")


@pytest.fixture(scope="module")
def events(spark):
    """Ratings: user, item, genres, tag, seconds, day, label, what comes before; and three numbers x, y, z."""
    draw = np.random.default_rng(0)
    pairs = draw.permutation([(u, i) for u in range(USERS) for i in range(ITEMS)])[:ROWS].tolist()
    numbers = draw.normal(1.0, 2.0, (ROWS, 3)).tolist()
    rows = [
        (u, i, [g for k, g in enumerate(GENRES) if (i + 1) >> k & 1], TAGS[(u + i) % 3], 90_000 * n, *numbers[n],
         3.0 + (u * i) % 3 - 0.2 * (n % 4))
        for n, (u, i) in enumerate(pairs)
    ]  # fmt: skip
    columns = "user int, item int, genres array<string>, tag string, seconds bigint"
    numbers_and_label = "x double, y double, z double, label double"
    frame = spark.createDataFrame(rows, f"{columns}, {numbers_and_label}")
    frame = frame.withColumn("week", F.floor(F.col("seconds") / (7 * 86400)))
    frame = frame.withColumn("at", F.timestamp_seconds("seconds"))
    frame = ratedItems(
        daysSinceFirst(lastItem(frame, "user", "item", "seconds"), "user", "seconds"), "user", "item"
    )
    frame = frame.coalesce(1).persist()
    frame.count()
    yield frame
    frame.unpersist()


class Named:
    """The parameters of an FM by field and value: w a number, v a vector; 0 where there are none."""

    def __init__(self, model: Any, layout: Any) -> None:
        self.mean = model.intercept
        labels = [layout.label(i) for i in range(model.numFeatures)]
        self._linear = dict(zip(labels, model.linear.toArray(), strict=True))
        self._factors = dict(zip(labels, model.factors.toArray(), strict=True))
        self._none = np.zeros(model.factors.numCols)

    def w(self, field: str, value: Any = None) -> float:
        return float(self._linear.get(field if value is None else f"{field}={value}", 0.0))

    def v(self, field: str, value: Any = None) -> Any:
        return self._factors.get(field if value is None else f"{field}={value}", self._none)


def fitted(rows: DataFrame, fields: list[FieldSpec], **params: Any) -> tuple[Named, list[Row]]:
    """The parameters, and the scored rows; some rows have a user and an item that were not trained on."""
    encoder = FieldEncoder(fields=fields).fit(rows.where("user > 0 and item > 0"))
    given: dict[str, Any] = {
        "factorSize": 3,
        "maxIter": 4,
        "initStd": 0.5,
        "validationFraction": 0.0,
        "seed": 1,
    }
    model = FMRegressor(**(given | params)).fit(encoder.transform(rows.where("user > 0 and item > 0")))
    scored = model.transform(encoder.transform(rows)).drop("features").collect()
    return Named(model, encoder.layout), scored


def assert_is(formula: Callable[[Row, Named], float], found: tuple[Named, list[Row]]) -> None:
    named, scored = found
    predictions = [row.prediction for row in scored]
    assert np.std(predictions) > 0.05
    np.testing.assert_allclose(predictions, [formula(row, named) for row in scored], rtol=1e-9, atol=1e-9)


def pairs_of(vectors: list[Any]) -> float:
    """The sum of <a, b> over all pairs."""
    return float(sum(a @ b for a, b in combinations(vectors, 2)))


def test_linear_regression(events):
    def formula(row, p):
        return p.mean + p.w("user", row.user) + p.w("item", row["item"]) + p.w("x") * row.x

    assert_is(formula, fitted(events, [USER, ITEM, numeric("x")], factorSize=0))


def test_polynomial_of_degree_2(events):
    def formula(row, p):
        names = ("x", "y", "z")
        weights = {(a, b): p.v(a) @ p.v(b) for a, b in combinations(names, 2)}
        linear = sum(p.w(name) * row[name] for name in names)
        return p.mean + linear + sum(weights[a, b] * row[a] * row[b] for a, b in weights)

    assert_is(formula, fitted(events, [numeric("x"), numeric("y"), numeric("z")]))


def test_matrix_factorization(events):
    def formula(row, p):
        return p.mean + p.v("user", row.user) @ p.v("item", row["item"])

    assert_is(formula, fitted(events, [USER, ITEM], fitLinear=False))


def test_non_negative_matrix_factorization(events):
    def formula(row, p):
        user, film = p.v("user", row.user), p.v("item", row["item"])
        assert user.min() >= 0.0
        assert film.min() >= 0.0
        return p.mean + user @ film

    found = fitted(events, [USER, ITEM], fitLinear=False, nonnegative=True)
    assert_is(formula, found)
    scored = found[1]
    assert min(row.prediction for row in scored) >= found[0].mean


def biased(row: Row, p: Named) -> float:
    bias = p.mean + p.w("user", row.user) + p.w("item", row["item"])
    return float(bias + p.v("user", row.user) @ p.v("item", row["item"]))


def test_biased_mf(events):
    assert_is(biased, fitted(events, [USER, ITEM]))


def svdpp(row: Row, p: Named) -> float:
    """Koren's formula."""
    scale = 1.0 / sqrt(max(len(row.rated), 1))
    implicit = sum((p.v("rated", j) for j in row.rated), np.zeros(3))
    user = p.v("user", row.user) + scale * implicit
    bias = p.mean + p.w("user", row.user) + p.w("item", row["item"])
    return float(bias + p.v("item", row["item"]) @ user)


def beside_svdpp(row: Row, p: Named) -> float:
    """What the FM adds: the same for all items of a user with one set."""
    scale = 1.0 / sqrt(max(len(row.rated), 1))
    vectors = [p.v("rated", j) for j in row.rated]
    linear = scale * sum(p.w("rated", j) for j in row.rated)
    with_user = scale * sum(float(p.v("user", row.user) @ y) for y in vectors)
    return linear + with_user + scale**2 * pairs_of(vectors)


def test_svdpp(events):
    found = fitted(events, [USER, ITEM, set_of("rated", value="1/sqrt(n)")])
    assert_is(lambda row, p: svdpp(row, p) + beside_svdpp(row, p), found)
    named, scored = found
    assert max(abs(beside_svdpp(row, named)) for row in scored) > 0.01


def test_attributes(events):
    def formula(row, p):
        attributes = [p.v("genres", g) for g in row.genres]
        item = p.v("item", row["item"]) + sum(attributes, np.zeros(3))
        bias = p.mean + p.w("user", row.user) + p.w("item", row["item"])
        bias += sum(p.w("genres", g) for g in row.genres)
        within = pairs_of([p.v("item", row["item"]), *attributes])
        return bias + p.v("user", row.user) @ item + within

    assert_is(formula, fitted(events, [USER, ITEM, set_of("genres")]))


def test_time(events):
    def formula(row, p):
        days = log1p(row.daysSinceFirst)
        drift, week = p.v("daysSinceFirst") * days, p.v("week", row.week)
        bias = p.mean + p.w("user", row.user) + p.w("item", row["item"])
        bias += p.w("week", row.week) + p.w("daysSinceFirst") * days
        user, item = p.v("user", row.user) + drift, p.v("item", row["item"])
        return bias + user @ item + (user + item) @ week + p.v("user", row.user) @ drift

    fields = [USER, ITEM, categorical("week"), numeric("daysSinceFirst", transform="log1p")]
    assert_is(formula, fitted(events, fields))


def pitf(row: Row, p: Named) -> float:
    """How well a tag fits a user and an item."""
    tag = p.v("tag", row.tag)
    return float(p.v("user", row.user) @ tag + p.v("item", row["item"]) @ tag)


def test_pairwise_interaction_tensor_factorization(events):
    found = fitted(events, [USER, ITEM, categorical("tag")])
    assert_is(lambda row, p: biased(row, p) + p.w("tag", row.tag) + pitf(row, p), found)


def fpmc(row: Row, p: Named) -> float:
    """How well an item follows the last one of a user."""
    item = p.v("item", row["item"])
    return float(p.v("user", row.user) @ item + p.v("lastItem", row.lastItem) @ item)


def test_fpmc(events):
    def formula(row, p):
        bias = p.mean + p.w("user", row.user) + p.w("item", row["item"]) + p.w("lastItem", row.lastItem)
        return bias + fpmc(row, p) + p.v("user", row.user) @ p.v("lastItem", row.lastItem)

    assert_is(formula, fitted(events, [USER, ITEM, categorical("lastItem", null="nothing")]))


def test_context(events):
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

    def formula(row, p):
        told = [("user", row.user), ("item", row["item"]), ("hour", row["at"].hour)]
        told.append(("weekday", days[row["at"].weekday()]))
        return p.mean + sum(p.w(*one) for one in told) + pairs_of([p.v(*one) for one in told])

    assert_is(formula, fitted(events, [USER, ITEM, date_parts("at", ["hour", "weekday"])]))
