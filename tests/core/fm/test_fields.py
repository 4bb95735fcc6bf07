import json

import pytest

from spark_fm.core.fm.fields import Field, FieldLayout

USER, GENRES, AGE = (
    Field("user", 0, 3, columns=("userId",)),
    Field("genres", 5, 2, "set", ("genres",), one_per_row=False),
    Field("age", 7, 1, "numeric", ("age",)),
)
LAYOUT = FieldLayout((USER, GENRES, AGE), {0: "ann", 5: "Noir", 7: ""})


def test_field_numbers_of_features_between_and_beyond_fields():
    assert LAYOUT.field_numbers([0, 2, 3, 4, 5, 6, 7, 8, 2**62]).tolist() == [0, 0, -1, -1, 1, 1, 2, -1, -1]
    assert FieldLayout(()).field_numbers([3]).tolist() == [-1]


def test_labels():
    assert [LAYOUT.label(i) for i in (0, 1, 3, 5, 6, 7)] == [
        "user=ann", "user=#1", "#3", "genres=Noir", "genres=#1", "age",
    ]  # fmt: skip


def test_json_and_back():
    again = FieldLayout.of_json(json.loads(json.dumps(LAYOUT.to_json())), LAYOUT.names)
    assert again == LAYOUT


@pytest.mark.parametrize("fields", [[{"name": "user"}], [None], [{**LAYOUT.to_json()[0], "size": 0}]])
def test_other_json_is_refused(fields):
    with pytest.raises(ValueError, match="field"):
        FieldLayout.of_json(fields, {})


@pytest.mark.parametrize(
    "fields",
    [(GENRES, USER), (USER, Field("item", 2, 4)), (USER, Field("user", 3, 4)), (Field("none", 0, 0),)],
)
def test_fields_in_order_without_overlap(fields):
    with pytest.raises(ValueError, match="expected"):
        FieldLayout(fields)


def test_labels_of_many_and_names_without_a_field():
    layout = FieldLayout((USER,), {0: "ann", 9: "noir"})
    assert layout.labels([9, 0, 2, 8]) == ["noir", "user=ann", "user=#2", "#8"]
    assert FieldLayout(()).labels([]) == []


def test_layouts_from_labels():
    labels = {i: LAYOUT.label(i) for i in LAYOUT.names} | {9: "noir"}
    assert FieldLayout.of_labels(LAYOUT.fields, labels) == FieldLayout(
        LAYOUT.fields, {**LAYOUT.names, 9: "noir"}
    )


def test_names_of_some_features_and_of_two_layouts():
    assert LAYOUT.among([5, 6, 0]).names == {5: "Noir", 0: "ann"}
    older = FieldLayout((USER,), {0: "anna", 1: "bob"})
    assert LAYOUT.over(older) == FieldLayout(LAYOUT.fields, {**LAYOUT.names, 1: "bob"})
    assert LAYOUT.over(None) is LAYOUT


def test_number_of_a_field():
    assert LAYOUT.number_of("genres") == 1
    with pytest.raises(ValueError, match="there is no field 'genre'; the fields are: user, genres, age"):
        LAYOUT.number_of("genre")
