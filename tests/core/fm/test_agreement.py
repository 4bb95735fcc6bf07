"""Features are the same by their names and their fields' checksums, and are followed where they have moved."""

import numpy as np
import pytest

from spark_fm.core.fm.agreement import difference, followed, is_as_numbered
from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.core.fm.optimizer_state import OptimizerState
from spark_fm.core.fm.weights import Weights


def layout(**fields):
    """Fields in order: of a string a feature for each letter, of a tuple (size, value, checksum) no names."""
    made, names, first = [], {}, 0
    for name, told in fields.items():
        if isinstance(told, str):
            made.append(Field(name, first, len(told)))
            names |= {first + i: value for i, value in enumerate(told)}
        else:
            size, value, checksum = told
            made.append(Field(name, first, size, value=value, checksum=checksum))
        first += made[-1].size
    return FieldLayout(tuple(made), names)


USERS = layout(user="abc", item="xy")
CHECKED = FieldLayout((Field("user", 0, 9, value="1", checksum="1f"),), {0: "a", 1: "b"})


def checked(checksum="1f", value="1", names=("a", "b"), first=0, size=9):
    return FieldLayout(
        (Field("user", first, size, value=value, checksum=checksum),), dict(enumerate(names, first))
    )


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (USERS, USERS),
        (USERS, layout(user="abc", item="xy", hour="123")),  # what the model doesn't know contributes nothing
        (layout(user="abc", item="xy", hour="123"), USERS),
        (USERS.among([0, 4]), USERS),
        # Names of pyspark.ml's encoders, whose fields were found otherwise.
        (USERS, FieldLayout((), {0: "user_a", 4: "item_y"})),
        (
            FieldLayout((Field("a", 0, 2),), {0: "b_x", 1: "b_y"}),
            FieldLayout((Field("a_b", 0, 2),), {0: "x"}),
        ),
        (layout(user=(5, None, None)), layout(user=(5, "1", "1f"))),  # an earlier version's, without names
        (CHECKED, checked(names=("a",))),
        (CHECKED, checked(names=("x", "y"))),  # the checksum tells, not names
        (FieldLayout(()), USERS),
    ],
)
def test_the_same_features(model, column):
    assert difference(model, column) == ""


@pytest.mark.parametrize(
    ("model", "column", "told"),
    [
        (
            USERS,
            layout(user="acb", item="xy"),
            "feature 1 is 'user=b' in the model and 'user=c' in the column",
        ),
        (
            USERS,
            layout(item="xy", user="abc"),
            "feature 0 is 'user=a' in the model and 'item=x' in the column",
        ),
        (
            USERS,
            FieldLayout((), {3: "item_y"}),
            "feature 3 is 'item=x' in the model and 'item_y' in the column",
        ),
        (
            layout(user=(5, "1", "1f")),
            layout(user=(4, "1", "2f")),
            "features 0 to 4 are field 'user' in the model, and features 0 to 3 are field 'user' in the column",
        ),
        (
            layout(a=(2, None, None), user=(5, None, None)),
            layout(a=(2, "1", "1f"), item=(5, "1", "2f")),
            "features 2 to 6 are field 'user' in the model, and features 2 to 6 are field 'item' in the column",
        ),
        (
            layout(price=(1, "x", "1f")),
            layout(price=(1, "log1p(x)", "1f")),
            "the values of field 'price' are x in the model and log1p(x) in the column",
        ),
        (
            FieldLayout((Field("age", 0, 1, value="x"),), {0: ""}),
            FieldLayout((Field("age", 0, 1, value="y"),), {0: ""}),
            "the values of field 'age' are x in the model and y in the column",
        ),
        (
            CHECKED,
            checked("2f"),
            "field 'user' has, behind the same names, other features in the model than in the column",
        ),
        (
            CHECKED,
            checked("2f", names=("b", "a")),
            "feature 0 is 'user=a' in the model and 'user=b' in the column",
        ),
    ],
)
def test_other_features(model, column, told):
    assert difference(model, column) == told
    assert not is_as_numbered(model, np.arange(3), column)


def test_a_field_that_has_gone_is_not_as_numbered():
    both = np.arange(5)
    assert is_as_numbered(USERS, both, layout(user="abc", item="xy", hour="1"))
    assert not is_as_numbered(USERS, both, layout(user="abc"))
    assert is_as_numbered(USERS, both[:3], layout(user="abc"))
    assert is_as_numbered(
        USERS, both, FieldLayout((), {0: "user_a", 1: "user_b", 2: "user_c", 3: "item_x", 4: "item_y"})
    )


@pytest.mark.parametrize(
    ("model", "features", "column", "ids"),
    [
        (USERS, [0, 1, 2, 3, 4], layout(user="dca", item="yx"), [2, -1, 1, 4, 3]),
        (USERS, [0, 2, 4], layout(item="zzzxy"[3:], hour="1", user="abc"), [3, 5, 1]),
        (USERS, [1, 3], layout(item="x"), [-1, 0]),
        (USERS, [], layout(item="x"), []),
        # One name in two fields is two features.
        (layout(a="xy", b="xy"), [0, 1, 2, 3], layout(b="yx", a="xy"), [2, 3, 1, 0]),
        # Behind another field, features without names: what has not changed keeps its order.
        (CHECKED, [0, 5, 8], checked(first=4), [4, 9, 12]),
        (layout(user=(5, None, None)), [1, 4], layout(age=(1, "x", "2f"), user=(5, "1", "1f")), [2, 5]),
        # Without fields.
        (FieldLayout((), {1: "ann", 3: "bob"}), [1, 3], FieldLayout((), {0: "bob", 7: "cem"}), [-1, 0]),
        # A feature that has no parameters needs no name.
        (layout(user="ab").among([1]), [1], layout(user="ba"), [0]),
    ],
)
def test_features_are_followed(model, features, column, ids):
    np.testing.assert_array_equal(followed(model, np.array(features, np.int64), column), ids)


@pytest.mark.parametrize(
    ("model", "column", "told"),
    [
        (CHECKED, checked("2f"), r"field 'user' has other features now, .* \(2 of 9 in the column\)"),
        (checked(names=("a",)), layout(user="ab"), r"field 'user' has other features now"),
        (USERS, checked("2f", names=("b", "a"), size=3), r"field 'user' has other features now"),
        (layout(user="aa"), layout(user="ab"), r"field 'user' has other features now"),
        (layout(user="ab"), layout(user="aa"), r"field 'user' has other features now"),
        (CHECKED, checked(value="x"), "the values of field 'user' are 1 in the model and x in the column"),
        (FieldLayout((), {0: "ann"}), FieldLayout((), {0: "bob"}), "neither a field nor a name"),
    ],
)
def test_what_can_not_be_followed_exactly_is_told(model, column, told):
    with pytest.raises(ValueError, match=told):
        followed(model, np.arange(2), column)


def test_parameters_under_other_ids():
    weights = Weights(
        np.array([2, 5, 7]),
        np.array([0.2, 0.5, 0.7], np.float32),
        np.array([[2.0], [5.0], [7.0]], np.float32),
        3.0,
        OptimizerState(np.array([[0.2, 2.0], [0.5, 5.0], [0.7, 7.0]], np.float32), 0.1),
    )
    found = weights.renumbered(np.array([9, -1, 4]))
    np.testing.assert_array_equal(found.features, [4, 9])
    np.testing.assert_array_equal(found.linear, np.array([0.7, 0.2], np.float32))
    np.testing.assert_array_equal(found.factors, [[7.0], [2.0]])
    np.testing.assert_array_equal(found.optimizer.roots, np.array([[0.7, 7.0], [0.2, 2.0]], np.float32))
    assert (found.intercept, found.optimizer.intercept) == (3.0, 0.1)
