"""The scripts in real spark-submit processes, as make demo and users run them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "conf" / "quickstart.toml")
# The JVM's second compiler costs a process of half a minute more than it gives.
FAST = ["--driver-java-options", "-XX:TieredStopAtLevel=1"]
# pyspark.ml's own Factorization Machine takes most of the demo's time.
QUICK = ["--set", "compare.spark.maxIter=2"]


def submit(job: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a script in ``folder``; nothing but the PATH tells spark-submit which Python to run.

    spark-submit writes what Python wrote to stderr to its own stdout: here the two are one.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK", "SPARK"))
    }
    bin_folder = str(Path(sys.executable).parent)
    environment["PATH"] = bin_folder + os.pathsep + environment["PATH"]
    return subprocess.run(
        [f"{bin_folder}/spark-submit", "--master", "local[2]", *FAST, str(ROOT / "jobs" / job), *flags],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, submit("train.py", folder, "--config", QUICKSTART, *QUICK)


def test_train(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, ran = trained
    assert ran.returncode == 0, ran.stdout
    assert "Traceback" not in ran.stdout
    # The progress bar with the losses, and a line for each step.
    assert "training=" in ran.stdout
    assert "spark_fm: train: " in ran.stdout
    assert "prediction" in ran.stdout
    metrics = json.loads((folder / "output/quickstart/metrics.json").read_text("utf-8"))
    ours, mean, biases, sparks = metrics["models"].values()
    # Factors say more than biases, and biases more than the mean.
    for name in ("rmse", "mae"):
        assert ours[name] < 0.92 * biases[name] < 0.9 * mean[name]
        assert ours[name] < sparks[name]
    assert (folder / "output/quickstart/report.md").exists()


def test_evaluate(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = trained
    ran = submit("evaluate.py", folder, "--config", QUICKSTART)
    assert ran.returncode == 0, ran.stdout
    results = folder / "output/quickstart"
    (found,) = json.loads((results / "evaluation.json").read_text("utf-8"))["models"].values()
    trained_with = json.loads((results / "metrics.json").read_text("utf-8"))["models"]
    assert found == pytest.approx(trained_with["spark_fm FMRegressor"])


def test_score(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = trained
    ran = submit("score.py", folder, "--config", QUICKSTART, "--set", "output.format=json")
    assert ran.returncode == 0, ran.stdout
    assert "spark_fm: rows: 20000" in ran.stdout
    parts = (folder / "output/quickstart/scored").glob("part-*.json")
    rows = [json.loads(line) for part in parts for line in part.read_text("utf-8").splitlines()]
    assert len(rows) == 20000
    assert set(rows[0]) == {"user", "movie", "rating", "prediction"}


def test_a_failure_on_an_executor_is_one_line_and_status_1(tmp_path: Path) -> None:
    """A row without ids is a mistake that only an executor sees."""
    (tmp_path / "rows.json").write_text(
        '{"ids": [1, 2], "rating": 3.0}\n{"ids": null, "rating": 1.0}\n', "utf-8"
    )
    flags = [
        "--input",
        "rows.json",
        "--set",
        "input.format=json",
        "--set",
        "input.schema=ids array<int>, rating double",
    ]
    flags += ["--set", "columns.categorical=[]", "--set", "columns.features=ids", "--set", "split.test=0"]
    ran = submit("train.py", tmp_path, "--config", QUICKSTART, *flags)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout
    assert "\tat " not in ran.stdout
    (line,) = [line for line in ran.stdout.splitlines() if "error" in line.lower()]
    assert line.startswith("spark_fm: error: ")
    assert "ids" in line
    assert "null" in line
    assert not (tmp_path / "output/quickstart/model").exists()
