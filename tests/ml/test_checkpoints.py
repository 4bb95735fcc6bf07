"""A fit whose driver died goes on from its checkpoint, and ends in the model that nothing disturbed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.tuning import ParamGridBuilder
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.engine.training import adagrad, gibbs_rounds, rounds, store
from tests.ml.frames import assert_same_weights

WAYS = {
    "RDD": {},
    "frames": {},
    "executors": {},
    "all rows": {"validationFraction": 0.0, "tol": 0.0},
    "validation rows": {"validationIndicatorCol": "held", "maxIter": 5, "stepSize": 0.5},
    "gibbs": {
        "solver": "gibbs",
        "maxIter": 9,
        "validationIndicatorCol": "held",
        "predictionStdCol": "std",
        "samplerFactorSize": 3,
    },
}


class DriverDied(BaseException):
    pass


@pytest.fixture(scope="module")
def rows(spark):
    user = F.pmod(F.xxhash64(F.lit(1), "id"), F.lit(40))
    item = F.pmod(F.xxhash64(F.lit(2), "id"), F.lit(30)) + 200
    frame = spark.range(0, 1200, 1, 4).select(
        "id", F.array(user.cast("int"), item.cast("int")).alias("features")
    )
    label = F.sin(F.col("features")[0] * 1.3) * F.cos(F.col("features")[1] * 0.9)
    return frame.select("features", label.alias("label"), (F.col("id") % 7 == 0).alias("held")).persist()


# Frames, and sums on the executors, differ from the others in their stores only.
LONG = ("frames", "executors")


@pytest.fixture(
    params=[pytest.param(way, marks=pytest.mark.exhaustive) if way in LONG else way for way in WAYS]
)
def way(request, monkeypatch):
    if request.param == "frames":
        monkeypatch.setattr(store, "is_connect", lambda spark: True)
    if request.param == "executors":
        monkeypatch.setattr(adagrad, "most_to_collect", lambda limits: 0)
    return request.param


def estimator(way="RDD", **params):
    settings = {"factorSize": 2, "maxIter": 4, "seed": 1, "numPartitions": 2, "roundsPerEpoch": 2}
    return FMRegressor(**{**settings, **WAYS[way], **params})


@pytest.fixture
def jobs(monkeypatch):
    """How many training jobs ran, and after how many the driver dies."""

    class Jobs:
        run, last = 0, 10**9

        def counted(self, job):
            def one(*args, **kwargs):
                if self.run >= self.last:
                    raise DriverDied
                self.run += 1
                return job(*args, **kwargs)

            return one

        def until(self, last):
            self.run, self.last = 0, last

    jobs = Jobs()
    monkeypatch.setattr(rounds.RoundsRunner, "_round", jobs.counted(rounds.RoundsRunner._round))
    monkeypatch.setattr(rounds.RoundsRunner, "level", jobs.counted(rounds.RoundsRunner.level))
    monkeypatch.setattr(gibbs_rounds._Rounds, "sweep", jobs.counted(gibbs_rounds._Rounds.sweep))
    monkeypatch.setattr(gibbs_rounds._Rounds, "refitted", jobs.counted(gibbs_rounds._Rounds.refitted))
    return jobs


@pytest.fixture
def left(jobs, rows, tmp_path, tmp_path_factory, died=[]):  # noqa: B006
    """The params of a fit that died, and its checkpoints; a copy for each test."""
    if not died:
        died.append(tmp_path_factory.mktemp("died"))
        die(jobs, 8, estimator(checkpointDir=str(died[0]), checkpointInterval=1), rows)
    shutil.copytree(died[0], tmp_path / "left")
    return {"checkpointDir": str(tmp_path / "left"), "checkpointInterval": 1}


def die(jobs, after, estimator, rows):
    jobs.until(after)
    with pytest.raises(DriverDied):
        estimator.fit(rows)
    jobs.until(10**9)


def test_the_same_fit_goes_on(rows, way, jobs, tmp_path):
    folder = tmp_path / "checkpoints"
    quiet = estimator(way).fit(rows)
    all_jobs = jobs.run
    again = estimator(way, checkpointDir=str(folder), checkpointInterval=1)
    for _ in range(2):
        die(jobs, all_jobs // 3 + 1, again, rows)
    if way == "gibbs":
        # After the last sweep, while the mean is refitted.
        die(jobs, 1, again, rows)
    model = again.fit(rows)
    assert 0 < jobs.run < all_jobs / 2
    assert_same_weights(model, quiet)
    for name in ("trainingLoss", "validationLoss", "bestEpoch", "stopReason"):
        np.testing.assert_array_equal(getattr(model.summary, name), getattr(quiet.summary, name))
    expected, found = (one.transform(rows).drop("features").toPandas() for one in (quiet, model))
    assert found.equals(expected)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"stepSize": 0.05}, "stepSize 0.1, expected 0.05"),
        ({"maxIter": 5}, "maxIter 4, expected 5"),
        ({"numPartitions": 3}, "numPartitions 2, expected 3"),
        ({"solver": "gibbs"}, "solver 'adagrad', expected 'gibbs'"),
        ({"weightCol": "weight"}, "other rows"),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(rows, left, params, named):
    weighted = rows.withColumn("weight", F.col("held").cast("double") + 1.0)
    with pytest.raises(ValueError, match=rf"^checkpointDir: .*{named}"):
        estimator(**left, **params).fit(weighted)


@pytest.mark.parametrize("label", ["label + 1.0", "if(held, -label, label)"])
def test_a_checkpoint_of_other_rows_is_refused(rows, left, label):
    with pytest.raises(ValueError, match=r"^checkpointDir: .* other rows;"):
        estimator(**left).fit(rows.withColumn("label", F.expr(label)))


def test_a_checkpoint_of_another_initial_model_is_refused(rows, left):
    first = estimator(maxIter=1).fit(rows)
    with pytest.raises(ValueError, match=r"^checkpointDir: .* other initialModel;"):
        estimator(initialModel=first, **left).fit(rows)


@pytest.fixture(scope="module")
def quiet(rows):
    return estimator().fit(rows)


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "both"])
def test_what_is_half_written_is_ignored(rows, quiet, left, damage):
    slots = sorted(
        (Path(left["checkpointDir"]) / "spark_fm-fit").iterdir(), key=lambda path: path.stat().st_mtime
    )
    assert len(slots) == 2
    for slot in slots if damage == "both" else slots[1:]:
        largest = max(slot.glob("*.parquet"), key=lambda path: path.stat().st_size)
        if damage == "empty":
            shutil.rmtree(slot)
            slot.mkdir()
        elif damage == "cut":
            largest.write_bytes(largest.read_bytes()[:-100])
        else:
            largest.unlink()
        for crc in slot.glob(".*.crc"):
            crc.unlink()
    assert_same_weights(estimator(**left).fit(rows), quiet)


def test_fits_on_shared_data_have_folders_of_their_own(rows, jobs, tmp_path):
    first = estimator(checkpointDir=str(tmp_path), checkpointInterval=1, maxIter=3, validationFraction=0.0)
    grid = ParamGridBuilder().addGrid(first.stepSize, [0.1, 0.2]).build()
    quiet = dict(first.copy({first.checkpointDir: ""}).fitMultiple(rows, grid))
    jobs.until(4)
    models = first.fitMultiple(rows, grid)
    with pytest.raises(DriverDied):
        next(models)
    jobs.until(4)
    with pytest.raises(DriverDied):
        next(models)
    assert len(list(tmp_path.iterdir())) == 2
    jobs.until(10**9)
    for index, model in first.fitMultiple(rows, grid):
        assert_same_weights(model, quiet[index])
    assert not list(tmp_path.iterdir())


def test_a_fit_in_one_task_needs_none(rows, tmp_path):
    estimator(numPartitions=1, roundsPerEpoch=1, checkpointDir=str(tmp_path), checkpointInterval=1).fit(rows)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_before_training(rows, jobs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^checkpointDir: .*/file"):
        estimator(checkpointDir=str(tmp_path / "file"), checkpointInterval=100).fit(rows)
    assert jobs.run == 0
