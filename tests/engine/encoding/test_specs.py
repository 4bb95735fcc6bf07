import pytest

from spark_fm.engine.encoding.specs import (
    buckets,
    categorical,
    cross,
    date_parts,
    numeric,
    set_of,
    spec_of,
    weighted,
)

ALL = [
    categorical("user", minCount=3, rare="nothing"),
    numeric("price", transform="log1p", fill=0.5),
    buckets("age", n=4),
    set_of("genres", value="1/sqrt(n)"),
    weighted("tags", width=100),
    date_parts("time", ["hour"], cyclic=True),
    cross("user", "hour", width=64),
]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.kind)
def test_plain_data_and_back(spec):
    assert spec_of(spec.to_dict()) == spec


def test_repr_is_what_one_types():
    made = categorical("user", minCount=3)
    assert repr(made) == "categorical('user', minCount=3)"
    assert eval(repr(set_of("genres", value="1/n"))) == set_of("genres", value="1/n")


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"kind": "onehot", "column": "a"}, "found the kind 'onehot'.*categorical"),
        ({"kind": "date_parts", "column": "a", "parts": [["hour"]]}, r"parts: found \[\['hour'\]\]"),
        ({"kind": ["set"], "column": "a"}, r"found the kind \['set'\]"),
        ({"kind": "categorical", "column": ""}, "expected the names of columns"),
        ({"kind": "categorical", "column": "a", "mincount": 3}, "no option 'mincount'.*minCount"),
        (
            {"kind": "categorical", "column": "a", "minCount": 0},
            "minCount: found 0, expected an integer from 1",
        ),
        ({"kind": "categorical", "column": "a", "minCount": True}, "minCount: found True"),
        ({"kind": "buckets", "column": "a", "n": 1}, "n: found 1"),
        ({"kind": "set", "column": "a", "value": "n"}, "value: found 'n', expected one of: 1, 1/n, 1/sqrt"),
        ({"kind": "set", "column": "a", "width": 8, "minCount": 2}, "one way: by hash or by frequency"),
        (
            {"kind": "numeric", "column": "a", "fill": float("nan")},
            "fill: found nan, expected a finite number",
        ),
        ({"kind": "date_parts", "column": "a", "parts": ["hours"]}, "expected a list of some of: hour"),
        ({"kind": "cross", "fields": ["a"]}, "expected the names of two fields"),
    ],
)
def test_what_is_refused(told, sentence):
    with pytest.raises(ValueError, match=sentence):
        spec_of(told)


def test_other_things_are_no_fields():
    with pytest.raises(TypeError, match="expected categorical"):
        spec_of("user")
