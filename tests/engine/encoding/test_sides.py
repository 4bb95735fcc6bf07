import pytest

from spark_fm.core.fm.fields import Field
from spark_fm.engine.encoding.sides import Keyed, Sides, sides_of

FIELDS = [
    Field(name, i, 1, "categorical", (name,)) for i, name in enumerate(("user", "film", "hour", "city"))
]


def users(*columns):
    return Keyed("user", columns)


def films(*columns):
    return Keyed("film", columns)


def test_sides_are_told_by_keys_and_columns():
    found = sides_of(FIELDS, users("user", "film", "hour"), films("film", "city"))
    assert found == Sides(["user", "hour"], ["film", "city"], [])


def test_what_both_tables_have_must_be_told():
    both = "user", "film", "hour", "city"
    with pytest.raises(
        ValueError, match=r"job\.itemFields: both .* of field 'hour' \(hour\), expected the names"
    ):
        sides_of(FIELDS, users(*both), films(*both), where="job.")
    told = sides_of(FIELDS, users(*both), films(*both), ["film", "city"])
    assert told == Sides(["user", "hour"], ["film", "city"], [])
    with pytest.raises(
        ValueError, match="itemFields: found 'genre', expected some of: user, film, hour, city"
    ):
        sides_of(FIELDS, users(*both), films(*both), ["genre"])


def test_a_field_of_no_table_is_left_out():
    assert sides_of(FIELDS, users("user", "city"), films("film")) == Sides(
        ["user", "city"], ["film"], ["hour"]
    )


@pytest.mark.parametrize("columns", [("user", "film"), ("user", "genre"), ("hour", "genre")])
def test_a_field_of_both_sides_is_none(columns):
    crossed = [*FIELDS[:2], Field("both", 4, 9, "cross", columns)]
    with pytest.raises(
        ValueError, match=r"field 'both': found columns of both sides \(.*\), expected fields of one"
    ):
        sides_of(crossed, users("user", "hour"), films("film", "genre"))


def test_a_field_of_both_keys_is_none_whatever_was_told():
    crossed, rated = [*FIELDS[:2], Field("both", 4, 9, "cross", ("user", "film"))], ("user", "film")
    with pytest.raises(ValueError, match="field 'both': found columns of both sides"):
        sides_of(crossed, users(*rated), films(*rated), ["film", "both"])


def test_the_table_of_both_keys_can_serve_for_both_sides():
    rated = "user", "film"
    assert sides_of(FIELDS[:2], users(*rated), films(*rated)) == Sides(["user"], ["film"], [])


def test_sides_without_a_field_are_refused():
    with pytest.raises(ValueError, match=r"^items: found the columns of no field, expected some of: user"):
        sides_of(FIELDS[:1], users("user"), films("film"))
