"""RankingEvaluator and recommendationMetrics beside definitions spelled out in numpy, and pyspark.ml's."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from pyspark.ml.evaluation import RankingEvaluator as SparkRankingEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.evaluation import RankingEvaluator, RankingMetrics, recommendationMetrics
from spark_fm.evaluation.ranking_metrics import METRICS


def of_user(gains, k, best=None):
    """The metrics of one ranking, whose gains are in the order of the ranks; ``best``: those of all relevant items."""
    gains = np.asarray(gains, float)
    best = np.sort(gains[gains > 0] if best is None else np.asarray(best, float))[::-1]
    hits, n = gains > 0, len(best)
    ranks = np.arange(1, len(gains) + 1)
    precision = np.cumsum(hits) / ranks

    def dcg(ordered):
        return sum(g / np.log2(r + 2) for r, g in enumerate(ordered[:k]))

    return {
        "ndcgAtK": dcg(gains) / dcg(best),
        "precisionAtK": hits[:k].sum() / k,
        "recallAtK": hits[:k].sum() / n,
        "meanAveragePrecision": precision[hits].sum() / n,
        "meanAveragePrecisionAtK": precision[:k][hits[:k]].sum() / min(n, k),
        "meanReciprocalRank": 1 / ranks[hits][0] if hits.any() else 0.0,
    }


def mean(of_users):
    return {name: np.mean([one[name] for one in of_users]) for name in METRICS}


def numbers(metrics):
    return {name: getattr(metrics, name) for name in METRICS}


@pytest.fixture(scope="module")
def arrays():
    """20 users of 1 to 30 rows, stars from 1 to 5; the scores are all different. User 3 has no star above 3."""
    random = np.random.default_rng(5)
    user = np.repeat(np.arange(20), random.integers(1, 30, 20))
    score = random.permutation(user.size) / 7.0
    stars = random.integers(1, 6, user.size)
    stars[user == 3] = 2
    return user, score, stars


@pytest.fixture(scope="module")
def scored(spark, arrays):
    rows = [(int(u), float(s), float(y)) for u, s, y in zip(*arrays, strict=True)]
    frame = spark.createDataFrame(rows, ["user", "prediction", "label"]).repartition(3).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("threshold", [0.0, 3.0])
def test_rows_are_ranked_by_user(scored, arrays, k, threshold):
    user, score, stars = arrays
    gains = np.where(stars > threshold, stars, 0)
    rankings = [gains[user == u][np.argsort(-score[user == u])] for u in range(20)]
    with_some = [one for one in rankings if one.any()]
    found = RankingEvaluator(k=k, relevanceThreshold=threshold).metrics(scored)
    assert numbers(found) == pytest.approx(mean([of_user(one, k) for one in with_some]))
    assert (found.users, found.usersLeftOut) == (len(with_some), 20 - len(with_some))
    assert found.usersLeftOut > 0 or threshold == 0.0
    assert found.coverage is None


def test_each_metric_by_name_and_larger_is_better(scored):
    evaluator = RankingEvaluator(k=3, relevanceThreshold=3)
    all_of_them = numbers(evaluator.metrics(scored))
    assert {name: evaluator.evaluate(scored, {evaluator.metricName: name}) for name in METRICS} == all_of_them
    assert len(set(all_of_them.values())) == len(METRICS)
    assert evaluator.isLargerBetter()


def test_ties_count_as_the_worst_of_their_orders(spark):
    scores, gains = [3.0, 2.0, 2.0, 2.0, 1.0, 1.0], [0.0, 2.0, 0.0, 1.0, 1.0, 0.0]
    rows = [("ann", s, g) for s, g in zip(scores, gains, strict=True)]
    frame = spark.createDataFrame(rows, ["user", "prediction", "label"])
    orders = [
        [gains[i] for i in order]
        for order in permutations(range(6))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    assert len(orders) == 12
    for k in (2, 3, 5):
        worst = {name: min(of_user(order, k)[name] for order in orders) for name in METRICS}
        assert numbers(RankingEvaluator(k=k).metrics(frame)) == pytest.approx(worst)


def test_rows_without_a_score_come_last(spark):
    rows = [("ann", float("nan"), 1.0), ("ann", None, 0.0), ("ann", -5.0, 0.0), ("ann", float("-inf"), 0.0)]
    frame = spark.createDataFrame(rows, "user string, prediction double, label double")
    assert RankingEvaluator().metrics(frame).meanReciprocalRank == 0.25


def test_scores_may_be_probabilities(spark):
    rows = [("ann", Vectors.dense(0.9, 0.1), 1), ("ann", Vectors.dense(0.2, 0.8), 0)]
    frame = spark.createDataFrame(rows, ["who", "probability", "label"])
    evaluator = RankingEvaluator(userCol="who", predictionCol="probability", metricName="meanReciprocalRank")
    assert evaluator.evaluate(frame) == 0.5


@pytest.fixture(scope="module")
def lists():
    """(user, items in order, items taken): pyspark's own example, and a user whose list is short."""
    return [
        (1, [1.0, 6.0, 2.0, 7.0, 8.0, 3.0, 9.0, 10.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]),
        (2, [4.0, 1.0, 5.0, 6.0, 2.0, 7.0, 3.0, 8.0, 9.0, 10.0], [1.0, 2.0, 3.0]),
        (3, [5.0, 4.0], [9.0, 4.0, 2.0]),
    ]


@pytest.mark.parametrize("k", [1, 3, 5, 15])
def test_lists_have_pysparks_numbers(spark, lists, k):
    recommended = spark.createDataFrame([(u, items) for u, items, _ in lists], ["user", "recommendations"])
    truth = spark.createDataFrame([(u, i) for u, _, taken in lists for i in taken], ["user", "item"])
    found = recommendationMetrics(recommended, truth, k=k)
    assert (found.users, found.usersLeftOut) == (3, 0)
    both = spark.createDataFrame([(items, taken) for _, items, taken in lists], ["prediction", "label"])
    for name in set(METRICS) - {"meanReciprocalRank"}:
        theirs = SparkRankingEvaluator(metricName=name, k=k)
        assert getattr(found, name) == pytest.approx(theirs.evaluate(both)), name
    assert found.meanReciprocalRank == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_lists_of_structs_with_labels(spark):
    """As recommendForAllUsers gives them; ann has no list, bob's list has an item twice, eve took nothing."""
    recommended = spark.createDataFrame(
        [
            ("bob", [(7, 0.9), (5, 0.8), (7, 0.7), (6, 0.6)]),
            ("cal", [(9, 0.5), (8, 0.4)]),
            ("eve", [(5, 0.1)]),
            ("fay", []),
        ],
        "who string, recommendations array<struct<film int, rating float>>",
    )
    taken = [
        ("bob", 6, 5.0),
        ("bob", 7, 3.0),
        ("bob", 7, 1.0),
        ("bob", 1, 4.0),
        ("ann", 5, 4.0),
        ("cal", 8, 0.0),
    ]
    truth = spark.createDataFrame(taken, "who string, film int, stars double")
    found = recommendationMetrics(recommended, truth, userCol="who", itemCol="film", labelCol="stars", k=4)
    bob = of_user([3.0, 0.0, 0.0, 5.0], 4, best=[5.0, 4.0, 3.0])
    nothing = dict.fromkeys(METRICS, 0.0)
    assert numbers(found) == pytest.approx(mean([bob, nothing]))
    assert (found.users, found.usersLeftOut) == (2, 3)
    strict = recommendationMetrics(
        recommended, truth, userCol="who", itemCol="film", labelCol="stars", relevanceThreshold=4.0, k=4
    )
    assert numbers(strict) == pytest.approx(of_user([0.0, 0.0, 0.0, 5.0], 4))


def test_coverage_is_the_part_of_the_catalogue_among_the_first_k(spark):
    recommended = spark.createDataFrame(
        [(1, ["a", "b", "c"]), (2, ["a", "x", None])], ["user", "recommendations"]
    )
    truth = spark.createDataFrame([(1, "b")], ["user", "item"])
    catalogue = spark.createDataFrame([(item,) for item in "abcdd"], ["item"])
    for k, expected in ((1, 1 / 4), (2, 2 / 4), (3, 3 / 4)):
        assert recommendationMetrics(recommended, truth, k=k, catalogue=catalogue).coverage == expected
    with pytest.raises(ValueError, match="catalogue: there are no items"):
        recommendationMetrics(recommended, truth, catalogue=catalogue.limit(0))


def test_metrics_compare_as_data():
    made = dict.fromkeys(METRICS, 0.5)
    assert RankingMetrics(1, 0, **made) == RankingMetrics(1, 0, **made) != RankingMetrics(2, 0, **made)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": "IF(prediction > 3, NULL, label)"}, "labelCol: column 'label' is null or NaN in"),
        ({"user": "IF(prediction > 3, NULL, user)"}, "userCol: column 'user' is null in"),
        ({"label": "0.0"}, "labelCol: none of 20 users has a relevant item"),
    ],
)
def test_rows_that_can_not_be_ranked_are_told(scored, change, sentence):
    changed = scored.withColumns({name: F.expr(value) for name, value in change.items()})
    with pytest.raises(ValueError, match=sentence):
        RankingEvaluator().evaluate(changed)


def test_columns_and_settings_that_are_wrong_are_told(spark, scored):
    with pytest.raises(ValueError, match="userCol: there is no column 'who'"):
        RankingEvaluator(userCol="who").evaluate(scored)
    with pytest.raises(ValueError, match="there are no rows to measure on"):
        RankingEvaluator().evaluate(scored.limit(0))
    with pytest.raises((TypeError, ValueError), match="k: found 0, expected an integer >= 1"):
        RankingEvaluator(k=0)
    truth = spark.createDataFrame([(1, "b", None)], "user int, item string, label double")
    lists = spark.createDataFrame([(1, ["b"])], ["user", "recommendations"])
    with pytest.raises(ValueError, match="k: found 0, expected an integer >= 1"):
        recommendationMetrics(lists, truth, k=0)
    with pytest.raises(ValueError, match="labelCol: column 'label' is null or NaN in 1 of 1 rows"):
        recommendationMetrics(lists, truth, labelCol="label")
    with pytest.raises(ValueError, match="itemCol: column 'item' is null in 1 of 1 rows"):
        recommendationMetrics(lists, truth.withColumn("item", F.lit(None).cast("string")))
    with pytest.raises(TypeError, match="column 'user' has type bigint, expected an array of items"):
        recommendationMetrics(lists, truth, recommendationsCol="user")


def test_saved_and_loaded(tmp_path):
    made = RankingEvaluator(metricName="recallAtK", k=3, userCol="who", relevanceThreshold=3.5)
    made.save(str(tmp_path / "e"))
    found = RankingEvaluator.load(str(tmp_path / "e"))
    assert (found.getMetricName(), found.getK(), found.getUserCol(), found.getRelevanceThreshold()) == (
        "recallAtK", 3, "who", 3.5,
    )  # fmt: skip
    same = RankingEvaluator().setMetricName("recallAtK").setK(3).setUserCol("who").setRelevanceThreshold(3.5)
    assert same.setPredictionCol("p").getPredictionCol() == "p"


def test_it_chooses_in_a_cross_validator(planted, persisted):
    before = persisted()
    estimator = FMRegressor(factorSize=4, seed=1)
    grid = ParamGridBuilder().addGrid(estimator.maxIter, [1, 12]).build()
    marked = planted.withColumn("user", F.col("features")[0])
    tuned = CrossValidator(
        estimator=estimator,
        estimatorParamMaps=grid,
        evaluator=RankingEvaluator(metricName="meanAveragePrecision"),
        numFolds=2,
        seed=1,
    ).fit(marked)
    assert tuned.avgMetrics[1] > tuned.avgMetrics[0]
    assert tuned.bestModel.getMaxIter() == 12
    assert persisted() == before
