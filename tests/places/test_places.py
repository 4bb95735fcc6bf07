"""What differs from place to place: where rows are kept between jobs, how models travel, and the jobs."""

import json
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from spark_fm import FitCallback, FMRegressionModel, FMRegressor
from spark_fm.cli import evaluate_main, score_main, train_main
from spark_fm.engine.cluster import broadcast
from spark_fm.engine.cluster.broadcast import is_connect
from spark_fm.engine.packing import dealing, packed_data
from spark_fm.engine.training import gibbs_task, rounds, single_task
from tests.places.smoke import predictions, ratings

# On each change on Spark Connect, by `make slices`.
pytestmark = [pytest.mark.exhaustive, pytest.mark.filterwarnings("ignore:maxIter")]
IN_ROUNDS = {"factorSize": 4, "maxIter": 3, "numPartitions": 2, "roundsPerEpoch": 2}
ESTIMATORS = {
    "one task": FMRegressor(factorSize=4, maxIter=3),
    "rounds": FMRegressor(**IN_ROUNDS),
    "sampled": FMRegressor(solver="gibbs", factorSize=2, maxIter=3, numPartitions=1),
    "sampled in rounds": FMRegressor(solver="gibbs", factorSize=2, maxIter=3, numPartitions=2, numChains=1),
}

JOB = """
task = "regression"
[input]
path = "{folder}/rows"
[columns]
label = "label"
categorical = ["user", "item"]
[params]
factorSize = 2
maxIter = 5
numPartitions = 2
{more}
[model]
path = "{folder}/model"
overwrite = true
[report]
folder = "{folder}/report"
[output]
format = "parquet"
path = "{folder}/scored"
"""


def same_weights(one, other):
    return all(
        np.array_equal(getattr(one.weights, name), getattr(other.weights, name))
        for name in ("features", "linear", "factors")
    )


def test_the_place_refuses_what_it_is_said_to(spark, place):
    frame = spark.range(3)
    if place != "serverless":
        assert frame.persist().unpersist().count() == 3
        return
    for refused in (frame.persist, frame.cache, frame.unpersist):
        with pytest.raises(PySparkException, match="NOT_SUPPORTED_WITH_SERVERLESS"):
            refused()
    with pytest.raises(PySparkException, match="CONFIG_NOT_AVAILABLE"):
        spark.conf.get("spark.sql.shuffle.partitions", "1")
    with pytest.raises(PySparkException, match="CONFIG_NOT_AVAILABLE"):
        spark.conf.set("spark.sql.shuffle.partitions", "1")


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore:cacheDir")
def test_a_folder_makes_the_same_model_and_is_removed(spark, tmp_path, name):
    data, folder = ratings(spark), tmp_path / "it's a cache"
    expected = ESTIMATORS[name].fit(data)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "cacheDir")
        found = ESTIMATORS[name].copy({ESTIMATORS[name].cacheDir: str(folder)}).fit(data)
    assert same_weights(found, expected)
    assert list(folder.iterdir()) == []


class Dies(FitCallback):
    """A driver that dies after an epoch, or counts them."""

    def __init__(self, after):
        self.after, self.epochs = after, 0

    def epoch(self, epoch):
        self.epochs += 1
        if self.epochs > self.after:
            raise ConnectionError


@pytest.mark.parametrize("name", ["rounds", "sampled in rounds"])
@pytest.mark.filterwarnings("ignore:cacheDir")
def test_a_fit_goes_on_from_its_checkpoint(spark, tmp_path, name):
    data, plain = ratings(spark), ESTIMATORS[name]
    expected = plain.fit(data)
    estimator = plain.copy({plain.checkpointDir: str(tmp_path), plain.checkpointInterval: 1})
    with pytest.raises(ConnectionError):
        estimator.setCallback(Dies(1)).fit(data)
    assert (tmp_path / "spark_fm-fit").exists()
    whole = Dies(100)
    assert same_weights(estimator.setCallback(whole).fit(data), expected)
    # All epochs are told of, those of the first fit too.
    assert whole.epochs == 3
    # Where a client reaches no file system, one file without rows may stay.
    assert not list(tmp_path.glob("spark_fm-fit/*/*"))


def waits(marker):
    """A function of mapInArrow that reads its rows, and then long does nothing but write to the marker."""

    def wait(batches, **_):
        # By value, whatever it needs: the tests are not on the workers.
        from time import sleep, time

        batches = list(batches)
        for _ in range(3000):
            with open(marker, "w") as file:
                file.write(str(time()))
            sleep(0.02)
        yield from batches

    return wait


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [("one task", packed_data, "pack"), ("one task", single_task, "train_all"), ("rounds", dealing, "deal"),
     ("rounds", rounds, "run_round"), ("sampled", gibbs_task, "sample_all")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:cacheDir")
def test_ctrl_c_ends_what_runs(spark, tmp_path, monkeypatch, name, module, function):
    data, marker = ratings(spark), tmp_path / "marker"
    expected = ESTIMATORS[name].fit(data)
    monkeypatch.setattr(module, function, waits(str(marker)))

    def interrupt():
        while not marker.exists():
            time.sleep(0.01)
        # Spark ends the worker of a cancelled task, unless the task has just begun: then it closes the connection.
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        ESTIMATORS[name].fit(data)
    stopped = time.time()
    monkeypatch.undo()
    # A round's task may have made its chunk before: Spark then leaves its worker to end by itself.
    while function != "run_round" and time.time() - marker.stat().st_mtime < 3:
        assert time.time() - stopped < 30, "the task runs on"
        time.sleep(0.5)
    assert same_weights(ESTIMATORS[name].fit(data), expected)


def test_a_folder_is_removed_after_a_failure(spark, tmp_path):
    data = ratings(spark).selectExpr("features", "if(label > 4, null, label) AS label")
    with pytest.raises(ValueError, match=r"column 'label': .* is null"):
        FMRegressor(**IN_ROUNDS, cacheDir=str(tmp_path / "cache")).fit(data)
    assert list((tmp_path / "cache").iterdir()) == []


def test_rounds_that_pack_again_are_warned_of(spark, place):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        FMRegressor(**IN_ROUNDS).fit(ratings(spark))
    assert any("cacheDir: this cluster refuses to cache" in str(one.message) for one in told) == (
        place == "serverless"
    )


@pytest.mark.filterwarnings("ignore:cacheDir")
def test_what_is_large_travels_as_a_file(spark, tmp_path, monkeypatch):
    """In fits, in scoring, in saving: on Spark Connect all goes as artifacts here, and the models are the same."""
    data = ratings(spark)
    expected = [estimator.fit(data) for estimator in ESTIMATORS.values()]
    scores = predictions(expected[1].transform(data))
    monkeypatch.setattr(broadcast, "MOST_IN_A_MESSAGE", 0)
    added = []
    if is_connect(spark):
        add = spark.addArtifacts
        monkeypatch.setattr(
            type(spark), "addArtifacts", lambda self, *paths, **how: added.append(add(*paths, **how))
        )
    found = [estimator.fit(data) for estimator in ESTIMATORS.values()]
    assert all(map(same_weights, found, expected))
    assert predictions(found[1].transform(data)) == scores
    found[1].save(str(tmp_path / "model"))
    assert predictions(FMRegressionModel.load(str(tmp_path / "model")).transform(data)) == scores
    users, items = (
        data.select(name, F.slice("features", first, 1).alias("features")).distinct()
        for first, name in ((1, "user"), (2, "item"))
    )
    expected_lists = expected[1].recommend(users, items, 2).collect()
    assert sorted(found[1].recommend(users, items, 2).collect()) == sorted(expected_lists)
    assert bool(added) == is_connect(spark)


@pytest.mark.filterwarnings("ignore:cacheDir")
def test_jobs(spark, tmp_path):
    ratings(spark).drop("features").coalesce(2).write.parquet(str(tmp_path / "rows"))
    config = tmp_path / "job.toml"
    config.write_text(JOB.format(folder=tmp_path, more=f'cacheDir = "{tmp_path}/cache"'), "utf-8")
    for job in (train_main, evaluate_main, score_main, train_main):
        assert job(["--config", str(config)]) == 0, job
    assert json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))["models"]
    assert "prediction" in spark.read.parquet(str(tmp_path / "scored")).columns
    assert list((tmp_path / "cache").iterdir()) == []
