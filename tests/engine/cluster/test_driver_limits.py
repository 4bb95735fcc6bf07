import pytest

from spark_fm import FMRegressor
from spark_fm.engine.cluster.driver_limits import (
    MEMORY,
    RESULT_SIZE,
    bytes_of,
    check_model_size,
    driver_limits,
    most_to_collect,
)
from spark_fm.engine.training import adagrad
from tests.ml.frames import planted_frame

GIB = 2**30


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1g", GIB),
        ("512m", GIB // 2),
        ("512MB", GIB // 2),
        ("2048", 2048),
        ("3kb", 3072),
        ("0", 0),
        ("7b", 7),
    ],
)
def test_sizes_are_those_of_spark(size, expected):
    assert bytes_of(size) == expected


def test_no_size_is_an_error():
    with pytest.raises(ValueError, match="maxResultSize: found 'much', expected a size like 1g"):
        bytes_of("much")


def test_limits_of_a_local_session(spark):
    limits = driver_limits(spark)
    assert limits.keys() == {RESULT_SIZE, MEMORY}
    assert limits[RESULT_SIZE] == GIB
    assert 2**26 < limits[MEMORY] < 2**40


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, GIB // 2),
        ({RESULT_SIZE: 4 * GIB, MEMORY: 8 * GIB}, GIB // 2),
        ({RESULT_SIZE: 600, MEMORY: GIB}, 300),
        ({MEMORY: 100}, 50),
    ],
)
def test_driver_collects_half_of_what_it_can_take(limits, expected):
    assert most_to_collect(limits) == expected


def test_model_that_fits_is_let_through():
    # 16 factors take 20 float32 each.
    check_model_size({RESULT_SIZE: 80_000}, 1000, 16)
    check_model_size({}, 10**12, 64)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            RESULT_SIZE,
            r"7.5 GiB, spark.driver.maxResultSize is 1 GiB: start Spark with .* of 9g or more",
        ),
        (
            MEMORY,
            r"7.5 GiB, half of spark.driver.memory is 1 GiB: start Spark with .* of 16g or more",
        ),
    ],
)
def test_model_that_does_not_fit_names_the_setting(name, sentence):
    with pytest.raises(ValueError, match=r"100,000,000 features that occur and 16 factors .* " + sentence):
        check_model_size({name: GIB}, 100_000_000, 16)


def test_fit_refuses_before_the_first_round(spark, monkeypatch):
    monkeypatch.setattr(adagrad, "driver_limits", lambda _: {RESULT_SIZE: 1000})
    with pytest.raises(ValueError, match="45 features that occur and 8 factors"):
        FMRegressor(numPartitions=2, maxIter=1).fit(planted_frame(spark, 400))
