"""Every kind of bad input ends in a sentence that names the column, what was found and what was expected."""

import re
import warnings

import pytest
from pyspark.errors import PySparkException
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressor
from tests.ml.frames import IDS, one_hot, unchecked

INF, NAN = float("inf"), float("nan")
AT = r"in partition \d+, row \d+ "
FINITE = r", expected a finite number of at most 3\.4e\+38"

FULL = "features array<int>, label double, c double, held boolean"
GOOD = ([1, 2], 1.0, 1.0, False)
BAD_ROWS = {
    "null features": ((None, 1.0, 1.0, False), f"column 'features': {AT}is null, expected features"),
    "null id": (
        ([1, None], 1.0, 1.0, False),
        f"column 'features': {AT}has a null id, expected integers >= 0",
    ),
    "negative id": (
        ([4, -2], 1.0, 1.0, False),
        rf"column 'features': {AT}has the negative index -2 among its ids \[4, -2\], expected >= 0",
    ),
    "null label": (([1], None, 1.0, False), f"column 'label': {AT}is null, expected a label"),
    "NaN label": (([1], NAN, 1.0, False), f"column 'label': {AT}has the label nan{FINITE}"),
    "infinite label": (([1], -INF, 1.0, False), f"column 'label': {AT}has the label -inf{FINITE}"),
    "null weight": (([1], 1.0, None, False), f"column 'c': {AT}is null, expected a weight"),
    "NaN weight": (([1], 1.0, NAN, False), f"column 'c': {AT}has the weight nan{FINITE}"),
    "infinite weight": (([1], 1.0, INF, False), f"column 'c': {AT}has the weight inf{FINITE}"),
    "negative weight": (([1], 1.0, -0.5, False), rf"column 'c': {AT}has the weight -0\.5, expected >= 0"),
    "null validation": (([1], 1.0, 1.0, None), f"column 'held': {AT}is null, expected true or false"),
}
BAD_VECTORS = {
    "null": (None, f"column 'features': {AT}is null, expected features"),
    "NaN": (Vectors.sparse(4, [2], [NAN]), f"column 'features': {AT}has the value nan at index 2{FINITE}"),
    "infinity": (
        Vectors.dense(1.0, 0.0, 0.0, -INF),
        f"column 'features': {AT}has the value -inf at index 3{FINITE}",
    ),
    "too large for float32": (
        Vectors.sparse(4, [2], [1e39]),
        rf"column 'features': {AT}has the value 1e\+39 at index 2{FINITE}",
    ),
    "unsorted": (
        unchecked(4, [3, 1], [1.0, 2.0]),
        rf"column 'features': {AT}has the unsorted index 1 among its indices \[3, 1\], "
        "expected ascending indices without duplicates",
    ),
    "duplicate": (
        unchecked(4, [1, 1], [1.0, 2.0]),
        rf"column 'features': {AT}has the duplicate index 1 among its indices \[1, 1\], "
        "expected ascending indices without duplicates",
    ),
    "negative": (
        unchecked(4, [-1, 1], [1.0, 2.0]),
        rf"column 'features': {AT}has the negative index -1 among its indices \[-1, 1\], expected >= 0",
    ),
    "beyond the size": (
        unchecked(4, [1, 4], [1.0, 2.0]),
        rf"column 'features': {AT}has the index 4 among its indices \[1, 4\], "
        "expected less than the vector's size 4",
    ),
    "another size": (
        Vectors.dense(1.0, 2.0),
        rf"column 'features': vectors of different sizes: {AT}has 4, row \d+ has 2, expected one size",
    ),
}


@pytest.fixture(scope="module")
def good(spark):
    return spark.createDataFrame([GOOD] * 3, FULL)


def fit_error(estimator, frame, kind=ValueError):
    with pytest.raises(kind) as found:
        estimator.fit(frame)
    return str(found.value)


@pytest.mark.parametrize(("row", "sentence"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_bad_rows(spark, persisted, row, sentence):
    frame = spark.createDataFrame([GOOD, GOOD, row], FULL).coalesce(1)
    before = persisted()
    found = fit_error(FMRegressor(weightCol="c", validationIndicatorCol="held"), frame)
    assert re.fullmatch(sentence, found)
    assert "row 2 " in found
    assert persisted() == before


@pytest.mark.parametrize(("vector", "sentence"), BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_bad_vectors(spark, vector, sentence):
    rows = [(Vectors.sparse(4, [1], [1.0]), 1.0), (vector, 1.0)]
    frame = spark.createDataFrame(rows, ["features", "label"]).coalesce(1)
    assert re.fullmatch(sentence, fit_error(FMRegressor(), frame))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0.0, 1.0, 2.0], f"column 'label': {AT}has the label 2, expected 0 or 1"),
        ([0.5, 1.0, 0.0], rf"column 'label': {AT}has the label 0\.5, expected 0 or 1"),
        (
            [1.0, -1.0, 1.0],
            rf"column 'label': {AT}has the label -1, expected 0 or 1; "
            r"for labels -1 and 1 use \(col\('label'\) \+ 1\) / 2",
        ),
        ([NAN, 1.0, 0.0], f"column 'label': {AT}has the label nan{FINITE}"),
    ],
)
def test_labels_that_are_no_classes(spark, labels, sentence):
    frame = spark.createDataFrame([([1], y) for y in labels], IDS).coalesce(1)
    assert re.fullmatch(sentence, fit_error(FMClassifier(), frame))


def test_the_hint_about_labels_of_minus_one_works(spark):
    frame = spark.createDataFrame([([i % 3], -1.0 if i % 2 else 1.0) for i in range(10)], IDS)
    converted = frame.withColumn("label", (F.col("label") + 1) / 2)
    assert FMClassifier(maxIter=1).fit(converted).summary.rows == 10


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (
            {"featuresCol": "x"},
            "featuresCol: there is no column 'x'; the columns are: features, label, c, held",
        ),
        ({"labelCol": "y"}, "labelCol: there is no column 'y'; the columns are: features, label, c, held"),
        ({"weightCol": "w"}, "weightCol: there is no column 'w'; the columns are: features, label, c, held"),
        (
            {"validationIndicatorCol": "v"},
            "validationIndicatorCol: there is no column 'v'; the columns are: features, label, c, held",
        ),
    ],
)
@pytest.mark.parametrize("estimator", [FMRegressor, FMClassifier])
def test_missing_columns(good, estimator, params, sentence):
    assert fit_error(estimator(**params), good) == sentence


@pytest.mark.parametrize(
    ("column", "kind", "params", "sentence"),
    [
        ("features", "string", {}, "featuresCol: column 'features' has type string, expected a vector"),
        (
            "features",
            "array<boolean>",
            {},
            "featuresCol: column 'features' has type array<boolean>, expected a",
        ),
        (
            "features",
            "array<string>",
            {},
            "featuresCol: column 'features' has type array<string>, expected a",
        ),
        ("label", "string", {}, "labelCol: column 'label' has type string, expected a number"),
        ("c", "string", {"weightCol": "c"}, "weightCol: column 'c' has type string, expected a number"),
        (
            "held",
            "int",
            {"validationIndicatorCol": "held"},
            "validationIndicatorCol: column 'held' has type int, expected boolean",
        ),
        (
            "held",
            "string",
            {"validationIndicatorCol": "held"},
            "validationIndicatorCol: column 'held' has type string, expected boolean",
        ),
    ],
)
def test_wrong_types(good, column, kind, params, sentence):
    frame = good.withColumn(
        column, F.col(column).cast("string").cast(kind) if kind == "string" else F.col(column).cast(kind)
    )
    assert fit_error(FMRegressor(**params), frame, TypeError).startswith(sentence)


def test_vectors_of_different_sizes_in_different_partitions(spark):
    frames = [
        spark.createDataFrame([(Vectors.sparse(size, [1], [1.0]), 1.0)], ["features", "label"])
        for size in (4, 5)
    ]
    sentence = "column 'features': vectors of different sizes: 4 and 5, expected one size"
    assert fit_error(FMRegressor(), frames[0].union(frames[1])) == sentence


@pytest.mark.parametrize("estimator", [FMRegressor, FMClassifier])
def test_empty_dataframe(good, persisted, estimator):
    before = persisted()
    sentence = "the DataFrame is empty, expected at least one row to train on"
    assert fit_error(estimator(), good.limit(0)) == sentence
    assert persisted() == before


def test_no_row_left_to_train_on(good):
    sentence = "validationIndicatorCol: column 'held' is true in all 3 rows, so no row is left to train on"
    frame = good.withColumn("held", F.lit(True))
    assert fit_error(FMRegressor(validationIndicatorCol="held"), frame) == sentence


def test_weights_that_are_all_zero(good):
    sentence = f"weightCol: column 'c' is 0 in all {good.count()} rows, expected a positive weight"
    assert fit_error(FMRegressor(weightCol="c"), good.withColumn("c", F.lit(0.0))) == sentence


def test_error_of_the_first_partition_wins(spark):
    rows = [([1], 1.0), ([1], NAN), ([1], 1.0), (None, 1.0)]
    frame = spark.createDataFrame(rows, IDS).repartitionByRange(2, F.col("label"))
    found = {fit_error(FMRegressor(), frame) for _ in range(2)}
    assert len(found) == 1


def test_good_rows_train_without_any_warning(good):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        FMRegressor(weightCol="c", validationIndicatorCol="held", maxIter=1).fit(good)


# Scoring: lazy, so what only the data tell is raised by the action.

SCORING = {
    "null": (None, "column 'features': row 0 is null, expected features"),
    "another size": (
        one_hot([1], 131),
        "column 'features': vectors of size 131, expected 130, the number of features that the model was trained on",
    ),
    "NaN": (
        Vectors.sparse(130, [5], [NAN]),
        "column 'features': row 0 has the value nan at index 5, expected a finite",
    ),
    "unsorted": (
        unchecked(130, [5, 3], [1.0, 1.0]),
        "row 0 has the unsorted index 3 among its indices [5, 3]",
    ),
}


@pytest.mark.parametrize(("vector", "sentence"), SCORING.values(), ids=SCORING.keys())
def test_bad_vectors_at_scoring(spark, rating_model, vector, sentence):
    frame = spark.createDataFrame([(one_hot([1], 130), 1), (vector, 2)], ["features", "n"])
    scored = rating_model.transform(frame.where("n = 2"))
    with pytest.raises(PySparkException, match=re.escape(sentence)):
        scored.collect()


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (None, "column 'features': row 0 is null, expected features"),
        ([-1, 3], "column 'features': row 0 has the negative index -1 among its ids [-1, 3], expected >= 0"),
    ],
)
def test_bad_ids_at_scoring(spark, planted_model, row, sentence):
    frame = spark.createDataFrame([(row, 1.0)], IDS)
    with pytest.raises(PySparkException, match=re.escape(sentence)):
        planted_model.transform(frame).collect()


def test_bad_row_fails_whichever_output_is_asked_for(spark, binary_model):
    scored = binary_model.transform(spark.createDataFrame([(Vectors.dense(1.0),)], ["features"]))
    for name in ("rawPrediction", "probability", "prediction"):
        with pytest.raises(PySparkException, match="vectors of size 1, expected 692"):
            scored.select(name).collect()


def test_filtered_rows_are_not_scored(spark, planted_model):
    frame = spark.createDataFrame([([1, 30], 1.0), (None, 2.0)], IDS)
    assert planted_model.transform(frame.where("features is not null")).count() == 1


def test_missing_features_column_at_scoring(planted_model, fresh):
    sentence = "featuresCol: there is no column 'features'; the columns are: label"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        planted_model.transform(fresh.drop("features"))


def test_wrong_features_type_at_scoring(planted_model, fresh):
    with pytest.raises(TypeError, match="featuresCol: column 'features' has type double, expected a vector"):
        planted_model.transform(fresh.withColumn("features", F.col("label")))
