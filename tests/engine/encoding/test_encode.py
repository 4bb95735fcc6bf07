from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.engine.encoding.encode import Encoding
from spark_fm.engine.encoding.fields import EncodedField, Vocabulary, laid_out

PLACES = {"unseen": "other", "rare": "other", "null": "other"}


def field(kind, options, vocabulary=None, edges=()):
    return EncodedField("f", kind, ("f",), options, vocabulary=vocabulary or Vocabulary(), edges=edges)


def encoded(one, *columns, first=10, valued=False):
    """Rows of (id, value), the field's features beginning at 10."""
    before = EncodedField("before", "hashed", ("b",), {"width": first - 1, "null": "other"})
    placed = laid_out([before, one])[1]
    indptr, ids, values, cold, _ = Encoding((placed,), ("f",), valued).encode(list(columns), len(columns[0]))
    values = values if values.size else np.ones(ids.size)
    rows = [
        [(int(i), round(float(x), 6)) for i, x in zip(ids[a:b], values[a:b], strict=True)]
        for a, b in pairwise(indptr)
    ]
    return rows, cold.tolist()


def longs(*values):
    return pa.array(values, pa.int64())


VALUES = Vocabulary(np.array([70, 80, 90]), np.array([5, 3, 1]), kept=2)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({}, [[(10, 1)], [(11, 1)], [(12, 1)], [(12, 1)], [(12, 1)]]),
        ({"unseen": "nothing"}, [[(10, 1)], [(11, 1)], [(12, 1)], [], [(12, 1)]]),
        ({"rare": "nothing"}, [[(10, 1)], [(11, 1)], [], [(12, 1)], [(12, 1)]]),
        ({"null": "nothing"}, [[(10, 1)], [(11, 1)], [(12, 1)], [(12, 1)], []]),
    ],
)
def test_places_of_rare_unseen_and_null(places, expected):
    one = field("categorical", {"minCount": 2, **PLACES, **places}, VALUES)
    rows, cold = encoded(one, longs(70, 80, 90, 33, -1))
    assert rows == expected
    assert cold == [False, False, True, True, True]


@pytest.mark.parametrize(("value", "of_two"), [("1", 1.0), ("1/n", 0.5), ("1/sqrt(n)", 0.707107)])
def test_sets_count_each_element_once_and_share_the_value(value, of_two):
    places = dict.fromkeys(PLACES, "nothing")
    one = field("set", {"minCount": 1, "width": None, "value": value, **places}, VALUES)
    column = pa.array([[80, 70, 80], [70], [], None, [33, -1]], pa.list_(pa.int64()))
    rows, cold = encoded(one, column)
    assert rows == [[(10, of_two), (11, of_two)], [(10, 1)], [], [], []]
    assert cold == [False, False, False, True, True]


@pytest.mark.parametrize("valued", [False, True])
@pytest.mark.parametrize(("value", "of_two"), [("1", 1.0), ("1/n", 0.5), ("1/sqrt(n)", 0.707107)])
def test_elements_of_a_set_that_share_a_feature_count_once(value, of_two, valued):
    column = pa.array([[70, 33, 44, 90], None, []], pa.list_(pa.int64()))
    one = field("set", {"minCount": 2, "width": None, "value": value, **PLACES}, VALUES)
    assert encoded(one, column, valued=valued)[0] == [[(10, of_two), (12, of_two)], [(12, 1)], []]
    hashes = pa.array([[3, 3, 7], [3]], pa.list_(pa.int64()))
    one = field("set", {"width": 8, "value": value, **PLACES})
    assert encoded(one, hashes, valued=valued)[0] == [[(13, of_two), (17, of_two)], [(13, 1)]]


def test_weighted_leaves_out_zeros_and_what_is_no_number():
    one = field("weighted", {"minCount": 1, "width": None, **dict.fromkeys(PLACES, "nothing")}, VALUES)
    keys = pa.array([[70, 80, 90], [70]], pa.list_(pa.int64()))
    values = pa.array([[0.5, float("nan"), 0.0], [None]], pa.list_(pa.float64()))
    assert encoded(one, keys, values)[0] == [[(10, 0.5)], []]


def test_numbers():
    column = pa.array([2.0, 0.0, None, float("nan"), float("inf"), -1.0])
    plain = field("numeric", {"transform": "none", "fill": None, "null": "nothing"})
    assert encoded(plain, column)[0] == [[(10, 2)], [], [], [], [], [(10, -1)]]
    other = field("numeric", {"transform": "log1p", "fill": None, "null": "other"})
    log = round(float(np.log(3)), 6)
    assert encoded(other, column)[0] == [[(10, log)], [], [(11, 1)], [(11, 1)], [(11, 1)], [(10, -0.693147)]]
    filled = field("numeric", {"transform": "none", "fill": 7, "null": "nothing"})
    assert encoded(filled, column)[0][2] == [(10, 7)]


def test_buckets_include_their_lower_edge():
    one = field("buckets", {"n": 3, "null": "other"}, edges=(1.0, 5.0))
    rows, _ = encoded(one, pa.array([0.0, 1.0, 4.9, 5.0, None]))
    assert rows == [[(10, 1)], [(11, 1)], [(11, 1)], [(12, 1)], [(13, 1)]]


def test_cycles_lie_on_a_circle():
    one = field("cyclic", {"part": "month", "null": "nothing"})
    rows, _ = encoded(one, longs(1, 4, 7, -1))
    assert rows == [[(11, 1)], [(10, 1), (11, 0)], [(10, 0), (11, -1)], []]
    every, _ = encoded(one, longs(*range(1, 13)))
    assert all(sum(x * x for _, x in row) == pytest.approx(1.0, abs=1e-5) for row in every)


def test_what_adds_up_does_so_in_one_order_however_long_the_row_is():
    """The sum of three numbers depends on their order; a long row is sorted in another way than a short one."""
    many = field("set", {"width": 64, "value": "1", **PLACES})
    marks = field("weighted", {"minCount": 1, "width": None, **PLACES}, VALUES)
    draw = np.random.default_rng(0)
    elements = pa.array([list(range(64))] * 50, pa.list_(pa.int64()))
    keys = pa.array([list(range(200, 240))] * 50, pa.list_(pa.int64()))
    numbers = pa.array(draw.normal(size=(50, 40)).tolist(), pa.list_(pa.float64()))
    alone = Encoding((laid_out([marks])[0],)).encode([keys, numbers], 50)
    both = Encoding(laid_out([many, replace(marks, name="marks")])).encode([elements, keys, numbers], 50)
    assert both.values[both.ids == 67].tolist() == alone.values.tolist()


def test_fields_without_a_known_value():
    fields = laid_out(
        [
            field("categorical", {"minCount": 2, **PLACES}, VALUES),
            replace(field("set", {"minCount": 2, "width": None, "value": "1", **PLACES}, VALUES), name="set"),
            replace(field("numeric", {"transform": "none", "fill": None, "null": "nothing"}), name="x"),
        ]
    )
    sets = pa.array([[70, 33], [33, 90], [], None], pa.list_(pa.int64()))
    made = Encoding(fields).encode([longs(70, 90, 33, -1), sets, pa.array([0.0, 1.0, float("nan"), None])], 4)
    assert made.unknown.tolist() == [
        [False, True, True, True],
        [False, True, True, True],
        [False, False, True, True],
    ]


def test_empty_batch():
    one = field("categorical", {"minCount": 2, **PLACES}, VALUES)
    assert encoded(one, longs()) == ([], [])
