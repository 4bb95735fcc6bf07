"""Solver gibbs with more fields than user and movie: genres, tags, the week, and what the user has rated.

python -m benchmarks.sampler_fields --data FOLDER

MovieLens latest-small, a tenth of the ratings drawn at random for test, as in the set ml-latest-small. The movies that
a user has rated are the last 50 of the training rows, each of value 1 / sqrt(n); tags are those that the movie had been
given before the rating. All fits are untuned; AdaGrad is beside.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import parser, publish, show, spark_session, timed
from benchmarks.recipes import MOST_RATED, events, kept, rmse
from spark_fm import FMRegressor
from spark_fm.feature import FieldEncoder, FieldSpec, categorical, set_of
from spark_fm.recipes import ratedItems

FIELDS: dict[str, list[FieldSpec]] = {
    "user, movie": [],
    "user, movie, genres": [set_of("genres")],
    "user, movie, week": [categorical("week")],
    "user, movie, tags": [set_of("tags", value="1/sqrt(n)")],
    "user, movie, rated": [set_of("rated", value="1/sqrt(n)")],
    "all but rated": [set_of("genres"), categorical("week"), set_of("tags", value="1/sqrt(n)")],
    "all": [
        set_of("genres"),
        categorical("week"),
        set_of("tags", value="1/sqrt(n)"),
        set_of("rated", value="1/sqrt(n)"),
    ],
}
IDS: list[FieldSpec] = [categorical("user"), categorical("item")]


def parts(spark: Any, folder: Path, where: Path) -> tuple[Any, Any]:
    """Training and test rows, the same as those of the set ml-latest-small."""
    lines = (folder / "ratings.csv").read_text().splitlines()[1:]
    train = np.random.default_rng(42).random(len(lines)) < 0.9
    pairs = [(*map(int, line.split(",")[:2]), bool(one)) for line, one in zip(lines, train, strict=True)]
    split = spark.createDataFrame(pairs, "user int, item int, is_train boolean")
    rows = events(spark, folder).join(split, ["user", "item"])
    before = rows.where("is_train")
    with_rated = ratedItems(rows, "user", "item", before, timeCol="seconds", most=MOST_RATED)
    read = kept(with_rated, where)
    return read.where("is_train"), read.where("not is_train")


def measured(name: str, solver: str, size: int, train: Any, test: Any) -> dict[str, object]:
    """A row of the table."""
    params: dict[str, Any] = {"solver": solver, "factorSize": size}
    model, seconds = timed(lambda: FMRegressor(**params).fit(train))
    row: dict[str, object] = {
        "fields": name,
        "solver": solver,
        "factors": size,
        "RMSE": rmse(model.transform(test)),
        "fit seconds": seconds,
    }
    show(str(row))
    return row


def main() -> None:
    """Measure all lists of fields."""
    options = parser("solver gibbs with more fields")
    options.add_argument("--data", type=Path, required=True, help="folder with ml-latest-small")
    options.add_argument("--factors", type=int, nargs="+", default=[8, 16, 32])
    options.add_argument("--fields", nargs="+", choices=list(FIELDS), default=list(FIELDS))
    args = options.parse_args()
    spark, rows = spark_session(memory=args.memory), []
    with tempfile.TemporaryDirectory() as folder:
        train, test = parts(spark, args.data / "ml-latest-small", Path(folder) / "rows")
        for name in args.fields:
            encoder = FieldEncoder(fields=[*IDS, *FIELDS[name]]).fit(train)
            both = [encoder.transform(part).select("features", "label").persist() for part in (train, test)]
            for one in both:
                one.count()
            for size in args.factors:
                rows += [measured(name, solver, size, *both) for solver in ("gibbs", "adagrad")]
            for one in both:
                one.unpersist()
            # So that what is measured is kept where the rest fails.
            publish("sampler-fields", [("ml-latest-small with more fields", rows)], args.output)
        spark.stop()


if __name__ == "__main__":
    main()
