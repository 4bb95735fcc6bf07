"""What a field says of its features, besides their names."""

from dataclasses import replace

import numpy as np
import pytest

from spark_fm.engine.encoding.fields import EncodedField, Vocabulary

PLACES = {"unseen": "other", "rare": "other", "null": "other", "minCount": 1}
USERS = EncodedField(
    "user",
    "categorical",
    ("user",),
    PLACES,
    vocabulary=Vocabulary(np.array([5, 3, 9]), np.array([4, 2, 1]), 2, ("a",)),
)
HOUR = EncodedField(
    "hour", "date_part", ("at",), {"part": "hour", "null": "other", "zone": "UTC"}, ("timestamp",)
)
HASHED = EncodedField("hash", "hashed", ("user",), {"width": 8, "null": "other"})


def test_a_checksum_is_of_the_values_that_have_features():
    counts = np.array([4, 2, 1])
    keys = {
        "more rare ones": Vocabulary(np.array([5, 3]), counts[:2], 2, ("a", "b")),
        "in another order": Vocabulary(np.array([3, 5, 9]), counts, 2),
        "more": Vocabulary(np.array([5, 3, 9]), counts, 3),
    }
    sums = {name: replace(USERS, vocabulary=one).checksum for name, one in keys.items()}
    renamed = replace(USERS, name="reader", columns=("uid",), first=7)
    assert sums["more rare ones"] == renamed.checksum == USERS.checksum
    assert len({USERS.checksum, *sums.values()}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HASHED, replace(HASHED, options={"width": 9, "null": "other"})),
        (HASHED, replace(HASHED, format=3)),
        (
            replace(HOUR, kind="buckets", edges=(0.1,)),
            replace(HOUR, kind="buckets", edges=(0.1 + 1e-17 * 2,)),
        ),
        (HOUR, replace(HOUR, options=HOUR.options | {"part": "weekday"})),
        (USERS, replace(USERS, kind="set")),
    ],
)
def test_checksums_that_differ(one, other):
    assert one.checksum != other.checksum


def test_what_values_are():
    def number(transform):
        return EncodedField("x", "numeric", ("x",), {"transform": transform, "null": "nothing"})

    tags = EncodedField("tags", "set", ("tags",), PLACES | {"value": "1/n"})
    assert [one.value for one in (USERS, HASHED, tags, number("none"), number("log1p"))] == [
        "1", "1", "1/n", "x", "log1p(x)",
    ]  # fmt: skip
    assert HOUR.value == "1 by the clocks of UTC"
    assert replace(HOUR, sorts=("date",)).value == "1"
    of_seconds = replace(HOUR, sorts=("number",), options=HOUR.options | {"unit": "seconds"})
    assert of_seconds.value == HOUR.value
    crossed = {"width": 8, "value": "1", "zone": "UTC", "units": ["seconds", None]}
    assert EncodedField("c", "cross", ("at",), crossed, ("number",)).value == HOUR.value
    assert replace(HOUR, kind="cyclic").value == "sin, cos by the clocks of UTC"
    assert replace(HOUR, format=3, sorts=(), options={"part": "hour", "null": "other"}).value is None
