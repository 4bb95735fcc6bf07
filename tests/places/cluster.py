"""The jobs on a standalone cluster, with spark_fm on the workers in each way that people use.

python cluster.py FOLDER [--archive ARCHIVE] [--zip ZIP --bare PYTHON]

This Python has spark_fm. ARCHIVE is a packed environment; ZIP the package for --py-files, and PYTHON one that has what
spark_fm needs, but not spark_fm itself. train, evaluate and score run by spark-submit on a cluster of two workers, and
on local[2]; the saved models must be the same, bit for bit. The status is 1 where they are not, or a job
fails.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from standalone import SPARK, Cluster

JOBS = Path(__file__).parents[2] / "jobs"
CONFIG = """
task = "regression"
[input]
path = "{folder}/ratings"
[columns]
label = "rating"
categorical = ["user", "movie"]
[params]
factorSize = 4
maxIter = 3
validationFraction = 0.0
seed = 1
numPartitions = {partitions}
solver = "{solver}"
[model]
path = "{folder}/{name}/model"
[report]
folder = "{folder}/{name}"
[output]
path = "{folder}/{name}/scored"
"""
FITS = (("adagrad", 1), ("adagrad", 2), ("gibbs", 2))
logger = logging.getLogger("cluster")


def write_ratings(folder: Path) -> None:
    """Four Parquet files, each a partition wherever they are read."""
    (folder / "ratings").mkdir(parents=True)
    rows = [(f"u{i % 37}", f"m{i * 7 % 23}", 1.0 + (i % 37 + i * 7 % 23) % 5) for i in range(4000)]
    for part in range(4):
        frame = pd.DataFrame(rows[part::4], columns=["user", "movie", "rating"])
        frame.to_parquet(folder / "ratings" / f"part-{part}.parquet")


def submit(job: str, config: Path, master: str, python: str, flags: list[str]) -> None:
    """spark-submit a job.

    Raises
    ------
    subprocess.CalledProcessError
        When it fails.
    """
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.default.parallelism": "2",
        "spark.sql.files.minPartitionNum": "4",
    }
    command = [str(SPARK / "bin" / "spark-submit"), "--master", master, *flags]
    for name, value in settings.items():
        command += ["--conf", f"{name}={value}"]
    environment = os.environ | {
        "SPARK_HOME": str(SPARK), "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": sys.executable
    }  # fmt: skip
    with config.with_suffix(f".{job}.log").open("wb") as log:
        subprocess.run(
            [*command, str(JOBS / f"{job}.py"), "--config", str(config)], env=environment, stdout=log, stderr=log,
            check=True,
        )  # fmt: skip


def model_of(folder: Path) -> tuple[int, float, int]:
    """The checksum of a saved pipeline's machine, its intercept and how many features it knows."""
    lines = [
        json.loads(line)
        for path in (folder / "model" / "stages").glob("*/metadata/part-*")
        for line in path.read_text().splitlines()
    ]
    (machine,) = [line for line in lines if str(line["class"]).startswith("spark_fm.regression")]
    return machine["checksum"], machine["intercept"], machine["numFeatures"]


def run(folder: Path, name: str, master: str, python: str, flags: list[str]) -> list[tuple[int, float, int]]:
    """All fits with one way of installation; their models."""
    made = []
    for solver, partitions in FITS:
        place = f"{name}-{solver}-{partitions}"
        config = folder / f"{place}.toml"
        config.write_text(
            CONFIG.format(folder=folder, name=place, solver=solver, partitions=partitions), "utf-8"
        )
        for job in ("train", "evaluate", "score"):
            submit(job, config, master, python, flags)
        scored = sum(pd.read_parquet(one).shape[0] for one in (folder / place / "scored").glob("*.parquet"))
        if scored != 4000:
            raise RuntimeError(f"{place}: found {scored} scored rows, expected 4000")
        made.append(model_of(folder / place))
        logger.info("%s: %s", place, made[-1])
    return made


def main() -> int:
    """Compare all ways."""
    logging.basicConfig(format="cluster: %(message)s", stream=sys.stdout, level=logging.INFO)
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--archive")
    options.add_argument("--zip")
    options.add_argument("--bare")
    asked = options.parse_args()
    folder = asked.folder
    ways: dict[str, tuple[str, list[str]]] = {"installed": (sys.executable, [])}
    if asked.archive:
        ways["archive"] = ("./environment/bin/python", ["--archives", f"{asked.archive}#environment"])
    if asked.zip:
        ways["zip"] = (asked.bare, ["--py-files", asked.zip])
    write_ratings(folder)
    expected = run(folder, "local", "local[2]", sys.executable, [])
    with Cluster(folder / "cluster") as cluster:
        found = {name: run(folder, name, cluster.url, *way) for name, way in ways.items()}
    different = [name for name, models in found.items() if models != expected]
    for name in different:
        logger.error("%s: found other models than on local[2]: %s, %s", name, found[name], expected)
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
