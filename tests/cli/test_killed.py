"""The train job's driver is killed in the midst of a fit, and the same command is run again."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from tests.cli.test_spark_submit import FAST, ROOT

pytestmark = pytest.mark.slow
EPOCHS = 12
CONFIG = """
task = "regression"
[input]
path = "${{generated_ratings}}"
[columns]
label = "rating"
categorical = ["user", "movie"]
[split]
test = 0.2
seed = 1
[params]
factorSize = 4
maxIter = {epochs}
tol = 0.0
seed = 1
numPartitions = 2
roundsPerEpoch = 2
checkpointInterval = 1
checkpointDir = "{checkpoints}"
[model]
path = "{folder}/model"
[report]
folder = "{folder}"
"""


def train(folder: Path, checkpoints: str) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    config = folder / "job.toml"
    config.write_text(CONFIG.format(folder=folder, checkpoints=checkpoints, epochs=EPOCHS), "utf-8")
    command = [f"{Path(sys.executable).parent}/spark-submit", "--master", "local[2]", *FAST]
    command += [str(ROOT / "jobs/train.py"), "--config", str(config)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_once_there_is(running: "subprocess.Popen[str]", written: Path) -> None:
    """Its JVM and its Python."""
    end = time.monotonic() + 200
    while not written.exists():
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.01)
    jvm = psutil.Process(running.pid)
    # The JVM's end may be that of its Python processes.
    for one in [jvm, *jvm.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    assert running.wait() == -signal.SIGKILL


def test_the_same_command_goes_on_and_ends_in_the_same_model(spark: SparkSession, tmp_path: Path) -> None:
    undisturbed, folder, checkpoints = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "checkpoints"
    whole = train(undisturbed, "")
    kill_once_there_is(train(folder, str(checkpoints)), checkpoints / "spark_fm-fit" / "even" / "_SUCCESS")
    assert not (folder / "model").exists()
    again = train(folder, str(checkpoints))
    for running in (whole, again):
        told = running.communicate()[0]
        assert running.returncode == 0, told
    assert "going on from the checkpoint in" in told
    assert not list(checkpoints.iterdir())
    expected, found = (PipelineModel.load(f"{one}/model").stages[-1] for one in (undisturbed, folder))
    for name in ("features", "linear", "factors"):
        np.testing.assert_array_equal(getattr(found.weights, name), getattr(expected.weights, name))
    metrics = [
        json.loads((one / "metrics.json").read_text("utf-8"))["models"] for one in (undisturbed, folder)
    ]
    assert metrics[0] == metrics[1]
