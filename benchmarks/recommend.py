"""The best items of all users, beside pyspark.ml's ALS and beside scoring every pair.

python -m benchmarks.recommend --users 100000 --items 20000 --factors 16

Both models are fitted to the same random ratings of all users and items, at the same rank. recommendForAllUsers of both
runs in turns, after an untimed run for some users; the ratio is that of the medians. All pairs of a sample of users are
scored with transform, and its seconds multiplied by how many times more pairs there are.
"""

import argparse
from statistics import median
from typing import Any

from benchmarks.common import parser, publish, show, spark_session, timed
from benchmarks.memory import PeakMemory

WARM_USERS = 1000
RATINGS_A_USER = 3


def run(frame: Any) -> None:
    """Compute all of a DataFrame."""
    frame.write.format("noop").mode("overwrite").save()


def sides(spark: Any, args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Users and items with their features, and random ratings in which all of them occur; cached."""
    users = spark.range(args.users).selectExpr("int(id) AS user", "array(int(id)) AS features")
    items = spark.range(args.items).selectExpr(
        "int(id) AS item", f"array(int({args.users} + id)) AS features"
    )
    rows = max(args.users * RATINGS_A_USER, args.items * RATINGS_A_USER)
    ratings = spark.range(rows).selectExpr(
        f"int(id % {args.users}) AS user",
        f"int(xxhash64(id) % {args.items} + IF(xxhash64(id) % {args.items} < 0, {args.items}, 0)) AS any",
        "id",
        "1 + 4 * rand(7) AS rating",
    )
    ratings = ratings.selectExpr("user", f"IF(id < {args.items}, int(id), any) AS item", "rating").selectExpr(
        "*", f"array(user, {args.users} + item) AS features"
    )
    made = [frame.persist() for frame in (users, items, ratings)]
    for frame in made:
        frame.count()
    return made[0], made[1], made[2]


def models(ratings: Any, args: argparse.Namespace) -> tuple[Any, Any]:
    """An FM and an ALS model of the same rank."""
    from pyspark.ml.recommendation import ALS

    from spark_fm import FMRegressor

    fm = FMRegressor(labelCol="rating", factorSize=args.factors, maxIter=2, seed=1, initStd=0.3).fit(ratings)
    als = ALS(userCol="user", itemCol="item", rank=args.factors, maxIter=2, seed=1).fit(ratings)
    return fm, als


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    """Rows of the table."""
    from spark_fm.recommendation import Recommender

    spark = spark_session(memory=args.memory)
    users, items, ratings = sides(spark, args)
    fm, als = models(ratings, args)
    recommender = Recommender(fm, users, items)
    ways = {
        "spark_fm": (recommender.recommendForAllUsers, recommender.recommendForUserSubset),
        "pyspark.ml ALS": (als.recommendForAllUsers, als.recommendForUserSubset),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, dict[str, object]] = {}
    some = users.limit(WARM_USERS).select("user")
    for _, for_some in ways.values():
        run(for_some(some, args.k))
    for _ in range(args.repeats):
        for name, (for_all, _) in ways.items():
            with PeakMemory() as peak:
                _, spent = timed(lambda for_all=for_all: run(for_all(args.k)))
            seconds[name].append(spent)
            memory[name] = peak.columns()
            show(f"{name}: {spent:.1f} s")
    pairs = users.withColumnRenamed("features", "of_user").crossJoin(
        items.withColumnRenamed("features", "of_item")
    )
    scored = fm.transform(
        pairs.where(f"user % {args.users // args.sample} = 0").selectExpr(
            "user", "item", "concat(of_user, of_item) AS features"
        )
    )
    run(scored.limit(100_000))
    sampled = scored.count()
    _, spent = timed(lambda: run(scored))
    seconds["transform of all pairs"] = [spent * args.users * args.items / sampled]
    # ALS has no Python workers: those that are there are idle.
    memory["pyspark.ml ALS"].pop("workers MB")
    ours = median(seconds["spark_fm"])
    return [
        {
            "pairs": f"{args.users:,} x {args.items:,}",
            "way": name,
            "seconds": median(found),
            "times spark_fm's": median(found) / ours,
            "nanoseconds a pair and core": median(found) * 2e9 / (args.users * args.items),
            **memory.get(name, {}),
        }
        for name, found in seconds.items()
    ]


def main() -> None:
    """Measure and publish."""
    made = parser(str(__doc__).splitlines()[0])
    made.add_argument("--users", type=int, default=100_000)
    made.add_argument("--items", type=int, default=20_000)
    made.add_argument("--factors", type=int, default=16)
    made.add_argument("--k", type=int, default=10)
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--sample", type=int, default=100, help="users whose pairs are scored one by one")
    args = made.parse_args()
    name = f"recommend-{args.users}x{args.items}"
    publish(name, [("recommendForAllUsers", measure(args))], args.output)


if __name__ == "__main__":
    main()
