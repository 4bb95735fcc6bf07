import datetime as dt
import json

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import Row
from pyspark.sql import functions as F

from spark_fm.core.fm.fields import FieldLayout
from spark_fm.feature import (
    FieldEncoder,
    FieldEncoderModel,
    buckets,
    categorical,
    cross,
    date_parts,
    hashed,
    infer_fields,
    numeric,
    set_of,
    weighted,
)
from spark_fm.regression import FMRegressor

DDL = """user string, movie int, genres array<string>, tags map<string,double>, time timestamp, price double,
label double, age int"""
ROWS = [
    ("ann", 1, ["Noir", "Drama"], {"a": 0.5, "b": 2.0}, dt.datetime(2024, 1, 1, 13), 3.5, 4.0, 30),
    ("bob", 2, ["Drama", "Drama"], {"a": 1.0}, dt.datetime(2024, 2, 3, 1), None, 3.0, 41),
    (None, 1, [], None, None, 0.0, 2.0, None),
    ("ann", 3, None, {"c": 1.0}, dt.datetime(2024, 1, 2, 13), float("nan"), 5.0, 22),
]
FIELDS = [
    categorical("user"),
    categorical("movie", minCount=2),
    set_of("genres", value="1/sqrt(n)"),
    weighted("tags"),
    date_parts("time", ["hour", "weekday"]),
    numeric("price", transform="log1p"),
    buckets("age", n=3),
    hashed("user", name="user hash", width=16),
    cross("user", "hour", width=64),
]


@pytest.fixture(scope="module")
def events(spark):
    return spark.createDataFrame(ROWS * 3, DDL).repartition(3)


@pytest.fixture(scope="module")
def model(events):
    return FieldEncoder(fields=FIELDS, coldCol="cold").fit(events)


def named(model, features):
    return {model.layout.label(i): round(x, 4) for i, x in zip(features.ids, features.values, strict=True)}


def test_features_by_name(spark, model):
    row = model.transform(spark.createDataFrame(ROWS[:1], DDL)).first()
    found = named(model, row.features)
    hashes = {name for name in found if name.startswith(("user hash", "user x hour"))}
    assert {name: x for name, x in found.items() if name not in hashes} == {
        "user=ann": 1.0, "movie=1": 1.0, "genres=Drama": 0.7071, "genres=Noir": 0.7071, "tags=a": 0.5, "tags=b": 2.0,
        "hour=13": 1.0, "weekday=Monday": 1.0, "price": 1.5041, "age=[30, inf)": 1.0,
    }  # fmt: skip
    assert len(hashes) == 2
    assert not row.cold


def test_unknown_values_have_their_places(spark, model):
    rows = [("zed", 9, ["X"], {"q": 1.0}, None, 1.0, 1.0, None)]
    row = model.transform(spark.createDataFrame(rows, DDL)).first()
    found = set(named(model, row.features))
    assert {"user=(other)", "movie=(other)", "hour=(other)", "age=(other)", "user x hour=(other)"} <= found
    assert not any(name.startswith(("genres", "tags")) for name in found)
    assert row.cold


def test_values_by_frequency_and_repr(model):
    assert model.values("user") == [("ann", 0, 6), ("bob", 1, 3)]
    assert model.values("movie")[0][::2] == ("1", 6)
    assert "ann, bob" in repr(model)
    with pytest.raises(ValueError, match="expected one of: user, movie, genres, tags"):
        model.values("price")


def test_one_value_whatever_its_type(spark):
    for column in (
        "cast(v as int)",
        "cast(v as bigint)",
        "cast(v as double)",
        "cast(v as string)",
        "cast(v as decimal(9,2))",
    ):
        train = spark.createDataFrame([(42,), (42,), (7,)], "v int").select(F.expr(column).alias("v"))
        made = FieldEncoder(fields=[categorical("v")]).fit(train)
        assert [value for value, _, _ in made.values("v")] == ["42", "7"]
        scored = made.transform(spark.createDataFrame([("42",), ("8",)], "v string"))
        assert [row.features for row in scored.collect()] == [[0], [2]]


def test_partitions_and_order_of_rows_change_nothing(events, model):
    again = FieldEncoder(fields=FIELDS, coldCol="cold").fit(events.orderBy(F.desc("label")).repartition(7))
    assert repr(again).split("\n", 1)[1] == repr(model).split("\n", 1)[1]


def test_all_fields_are_counted_in_the_jobs_of_one(spark, events):
    def jobs(fields):
        group = f"fit of {len(fields)} fields"
        spark.sparkContext.setJobGroup(group, group)
        try:
            FieldEncoder(fields=fields).fit(events)
        finally:
            spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
        return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    of_one = jobs([categorical("user")])
    assert 0 < of_one == jobs([categorical("user"), categorical("movie"), set_of("genres"), weighted("tags")])


@pytest.mark.parametrize("most", [1, 2, 4])
def test_names_are_those_of_the_most_frequent(spark, most):
    rows = [(user, movie) for user in "aabbbcd" for movie in (1, 1, 2)]
    frame = spark.createDataFrame(rows, "user string, movie int")
    made = FieldEncoder(fields=[categorical("user", minCount=4), categorical("movie")], maxNames=most).fit(
        frame
    )
    assert [made.values(name) for name in ("user", "movie")] == [
        [("b", 0, 9), ("a", 1, 6)][:most], [("1", 3, 14), ("2", 4, 7)][:most]
    ]  # fmt: skip


def test_vector_has_the_same_features(events, model):
    vectors = model.copy({model.outputType: "vector"}).transform(events).select("features", "cold", "label")
    pairs = model.transform(events).select("features", "cold", "label")

    def said(row, ids):
        found = {int(i): float(x) for i, x in zip(ids, row.features.values, strict=True)}
        return str((found, row.cold, row.label))

    as_vectors = sorted(said(row, row.features.indices) for row in vectors.collect())
    assert as_vectors == sorted(said(row, row.features.ids) for row in pairs.collect())
    assert vectors.schema["features"].metadata == pairs.schema["features"].metadata
    fitted = [FMRegressor(maxIter=3, seed=1).fit(frame) for frame in (vectors, pairs)]
    scores = [
        sorted(row.prediction for row in m.transform(f).collect())
        for m, f in zip(fitted, (vectors, pairs), strict=True)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_as_before_spark_had_arrow_udfs(events, model, monkeypatch):
    expected = sorted(map(str, model.transform(events).collect()))
    monkeypatch.delattr(F, "arrow_udf", raising=False)
    assert sorted(map(str, model.transform(events).collect())) == expected


def test_single_rows_are_explained_and_predicted_as_columns_are(events, model):
    encoded = model.transform(events)
    fitted = FMRegressor(factorSize=2, maxIter=3, seed=1).fit(encoded)
    for row in fitted.transform(encoded).collect():
        found = fitted.explain(row.features)
        assert found.score == pytest.approx(row.prediction, abs=1e-9)
        assert fitted.predict(row.features) == pytest.approx(row.prediction, abs=1e-9)
        assert set(found.labels.values()) <= set(named(model, row.features))


def test_single_rows_of_pairs_add_up_and_are_checked(events, model):
    fitted = FMRegressor(factorSize=2, maxIter=3, seed=1).fit(model.transform(events))
    once, twice = Row(ids=[0, 3], values=[3.0, 1.0]), Row(ids=[3, 0, 0], values=[1.0, 1.0, 2.0])
    assert fitted.predict(twice) == fitted.predict(once)
    with pytest.raises(ValueError, match="found 2 ids and 1 values, expected as many"):
        fitted.predict(Row(ids=[0, 1], values=[1.0]))
    with pytest.raises(ValueError, match="found the value nan, expected a finite number"):
        fitted.explain(Row(ids=[0], values=[float("nan")]))


def test_metadata_has_fields_and_attributes(events, model):
    told = model.transform(events).schema["features"].metadata
    assert told["ml_attr"]["num_attrs"] == model.numFeatures == told["spark_fm"]["num_features"]
    assert {"idx": 0, "name": "user=ann"} in told["ml_attr"]["attrs"]["binary"]
    assert [one["name"] for one in told["ml_attr"]["attrs"]["numeric"]] == ["price"]
    assert FieldLayout.of_json(told["spark_fm"]["fields"], model.layout.names) == model.layout


def test_pipeline_saved_and_loaded(events, tmp_path):
    fitted = Pipeline(stages=[FieldEncoder(fields=FIELDS), FMRegressor(maxIter=3)]).fit(events)
    path = str(tmp_path / "pipeline")
    fitted.write().save(path)
    fitted.write().overwrite().save(path)
    loaded = PipelineModel.load(path)
    assert repr(loaded.stages[0]) == repr(fitted.stages[0])
    before, after = (sorted(r.prediction for r in m.transform(events).collect()) for m in (fitted, loaded))
    assert before == after


def test_damage_is_told(model, tmp_path):
    path = tmp_path / "encoder"
    model.save(str(path))
    text = next((path / "metadata").glob("part-*"))
    metadata = json.loads(text.read_text())
    metadata["encoded"][0]["values"] += 1
    text.write_text(json.dumps(metadata))
    for crc in (path / "metadata").glob(".*.crc"):
        crc.unlink()
    with pytest.raises(ValueError, match="is damaged"):
        FieldEncoderModel.load(str(path))


def test_streams(spark, events, model, tmp_path):
    events.write.parquet(str(tmp_path / "in"))
    stream = spark.readStream.schema(events.schema).parquet(str(tmp_path / "in"))
    query = model.transform(stream).writeStream.format("memory").queryName("encoded").start()
    try:
        query.processAllAvailable()
    finally:
        query.stop()
    assert spark.table("encoded").count() == 12


def test_sides(events, model):
    side = model.encode(events.select("movie", "genres").distinct())
    assert {one.name for one in model.layout.fields if one.columns[0] in ("movie", "genres")} == {
        "movie",
        "genres",
    }
    assert all(
        {name.split("=")[0] for name in named(model, row.features)} <= {"movie", "genres"}
        for row in side.collect()
    )
    with pytest.raises(ValueError, match="expected some of: age, genres"):
        model.encode(events.select("label"))
    with pytest.raises(ValueError, match="only: found 'director'"):
        model.encode(events, only=["director"])


def test_names_are_kept_of_the_most_frequent_only(events):
    made = FieldEncoder(fields=[categorical("user"), categorical("movie")], maxNames=1).fit(events)
    assert [made.layout.label(i) for i in range(6)] == [
        "user=ann", "user=#1", "user=(other)", "movie=1", "movie=#1", "movie=#2",
    ]  # fmt: skip
    assert made.transform(events.where("user = 'bob'")).first().features[0] == 1


def test_inferred_fields(spark, events):
    found = infer_fields(events, exclude=["label"])
    assert [spec.kind for spec in found] == [
        "categorical", "categorical", "set", "weighted", "date_parts", "numeric", "categorical",
    ]  # fmt: skip
    wide = spark.range(200).select(
        F.col("id").alias("userId"), F.concat(F.lit("title "), "id").alias("title"), (F.col("id") * 3).alias("size"),
        F.lit(1).alias("one"), F.current_date().alias("day"),
    )  # fmt: skip
    kinds = {spec.columns[0]: spec.kind for spec in infer_fields(wide)}
    assert kinds == {"size": "buckets"}


def test_lists_in_text_and_numbers_that_count_time(spark):
    lists, arrays = (
        ["Noir| Drama|", None, "", "Drama|Noir|Drama", "War"],
        [["Noir", "Drama"], None, [], ["Drama", "Noir"], ["War"]],
    )
    seconds = [1_704_114_000, None, 0, -5, 1_704_200_400]
    rows = [
        Row(text=t, array=a, s=s, ms=None if s is None else s * 1000.0)
        for t, a, s in zip(lists, arrays, seconds, strict=True)
    ]
    frame = spark.createDataFrame(rows, "text string, array array<string>, s bigint, ms double")
    frame = frame.withColumn("at", F.timestamp_seconds("s"))
    other = set_of("text", separator="r(|^", name="odd")
    told = [
        set_of("text", separator="|"),
        date_parts("s", unit="seconds"),
        cross("hour", "weekday", width=99),
        other,
    ]
    again = [set_of("array", name="text"), date_parts("at"), cross("hour", "weekday", width=99), other]
    found, expected = (FieldEncoder(fields=fields).fit(frame) for fields in (told, again))
    wanted = [row.features for row in expected.transform(frame).collect()]
    assert [row.features for row in found.transform(frame).collect()] == wanted
    milliseconds = [told[0], date_parts("ms", unit="milliseconds"), *told[2:]]
    assert [
        row.features for row in FieldEncoder(fields=milliseconds).fit(frame).transform(frame).collect()
    ] == wanted
    for wrong, sentence in (
        (set_of("array", separator="|"), "column 'array' has type array<string>, expected a string"),
        (
            date_parts("text", unit="seconds"),
            "column 'text' has type string, expected a number, which counts",
        ),
    ):
        with pytest.raises(TypeError, match=sentence):
            FieldEncoder(fields=[wrong]).fit(frame)


@pytest.mark.parametrize("param", ["labelCol", "weightCol", "validationIndicatorCol"])
def test_what_is_predicted_is_no_field(spark, param):
    frame = spark.range(20).selectExpr(
        "string(id % 3) user", "double(id % 4) y", "1D + id % 3 w", "id % 5 = 0 v"
    )
    column = {"labelCol": "y", "weightCol": "w", "validationIndicatorCol": "v"}[param]
    columns = {"labelCol": "y", "weightCol": "w", "validationIndicatorCol": "v"}
    encoder = FieldEncoder(excludeCols=[name for name in "ywv" if name != column])
    sentence = f"{param}: found column '{column}', which field '{column}' of the features is made of too.*excludeCols"
    with pytest.raises(ValueError, match=sentence):
        Pipeline(stages=[encoder, FMRegressor(**columns)]).fit(frame)


@pytest.mark.parametrize(("form", "part"), [("pairs", "ids"), ("vector", "indices")])
def test_columns_of_odd_names(spark, form, part):
    frame = spark.createDataFrame(
        [("x", 1.0, "a"), ("y", 2.0, "b")], "`a.b` string, `c``d` double, `e'f` string"
    )
    fields = [categorical("a.b"), numeric("c`d"), set_of("g.h"), categorical("e'f")]
    frame = frame.withColumn("g.h", F.array("`a.b`"))
    made = FieldEncoder(fields=fields, outputCol="f.g", coldCol="i.j", outputType=form).fit(frame)
    encoded = made.transform(frame)
    assert encoded.columns == [*frame.columns, "f.g", "i.j"]
    found = {tuple(getattr(row["f.g"], part)) for row in encoded.collect()}
    assert found == {(0, 3, 4, 7), (1, 3, 5, 8)}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ([categorical("users")], "there is no column 'users'"),
        ([numeric("user")], "column 'user' has type string, expected a number"),
        ([set_of("user")], "column 'user' has type string, expected an array"),
        ([date_parts("user")], "column 'user' has type string, expected a date"),
        ([categorical("genres")], "column 'genres' has type array<string>, expected a string"),
        ([categorical("user"), hashed("user")], "two fields named 'user'"),
        ([cross("user", "hour")], "found no field 'user'"),
    ],
)
def test_what_is_refused(events, fields, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        FieldEncoder(fields=fields).fit(events)


def test_ids_without_values_are_refused_for_numbers(events):
    with pytest.raises(ValueError, match=r"outputType: found 'ids'.*field 'price'"):
        FieldEncoder(fields=[numeric("price")], outputType="ids").fit(events)


@pytest.mark.parametrize(
    ("params", "name"), [({"outputCol": "Price"}, "outputCol"), ({"coldCol": "age"}, "coldCol")]
)
def test_columns_are_never_replaced(events, params, name):
    made = FieldEncoder(fields=[categorical("user")], **params).fit(events)
    with pytest.raises(ValueError, match=f"{name}: there is already a column"):
        made.transform(events)


def test_two_columns_of_one_name_are_refused_before_anything_is_learned(events):
    with pytest.raises(ValueError, match="outputCol, coldCol: found 'Features' for both, expected two names"):
        FieldEncoder(fields=[categorical("user")], coldCol="Features").fit(events)


def test_constant_and_all_null_columns(spark):
    frame = spark.range(5).select(
        F.lit(None).cast("string").alias("none"), F.lit(1).alias("one"), F.lit(None).cast("double").alias("x")
    )
    made = FieldEncoder(
        fields=[categorical("none"), categorical("one"), numeric("x"), buckets("x", name="b")]
    ).fit(frame)
    assert {tuple(row.features.ids) for row in made.transform(frame).collect()} == {(0, 1, 5)}
