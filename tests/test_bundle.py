"""databricks.yml against the schema of Databricks' own package, and against what this project has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.jobs import Job

from spark_fm.cli import entry
from spark_fm.cli.config import load, toml

ROOT = Path(__file__).parent.parent
BUNDLE: dict[str, Any] = yaml.safe_load((ROOT / "databricks.yml").read_text())
JOBS: dict[str, Any] = BUNDLE["resources"]["jobs"]
SCRIPTS: dict[str, str] = toml((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.mark.parametrize("name", JOBS)
def test_jobs_are_what_databricks_takes(name):
    job = Job.from_dict(JOBS[name])
    assert [task.task_key for task in job.tasks] == ["train", "score"]
    assert [one.task_key for one in job.tasks[1].depends_on] == ["train"]
    for task in job.tasks:
        wheel = task.python_wheel_task
        assert wheel.package_name == "spark_fm"
        module, function = SCRIPTS[wheel.entry_point].split(":")
        assert (module, callable(getattr(entry, function))) == ("spark_fm.cli.entry", True)


def test_clusters_and_environments_exist_and_bring_the_wheel():
    classic, serverless = JOBS["train_and_score"], JOBS["train_and_score_serverless"]
    clusters = {one["job_cluster_key"] for one in classic["job_clusters"]}
    assert {task["job_cluster_key"] for task in classic["tasks"]} == clusters
    assert all(task["libraries"] == [{"whl": "dist/*.whl"}] for task in classic["tasks"])
    environments = {one["environment_key"]: one["spec"] for one in serverless["environments"]}
    assert {task["environment_key"] for task in serverless["tasks"]} == set(environments)
    assert all("dist/*.whl" in spec["dependencies"] for spec in environments.values())


def test_variables_that_are_used_are_declared():
    used = set(re.findall(r"\$\{var\.(\w+)\}", (ROOT / "databricks.yml").read_text()))
    assert used == set(BUNDLE["variables"])
    config = BUNDLE["variables"]["config"]["default"].removeprefix("${workspace.file_path}/")
    assert load(str(ROOT / config)).task == "regression"
    assert {name: one["mode"] for name, one in BUNDLE["targets"].items()} == {
        "dev": "development", "prod": "production"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["command", "train", "evaluate", "score", "recommend"])
@pytest.mark.parametrize("status", [0, 1])
def test_a_task_fails_where_the_job_does(name, status, monkeypatch):
    mains = {"command": "main", **{one: f"{one}_main" for one in ("train", "evaluate", "score", "recommend")}}
    monkeypatch.setattr(entry, mains[name], lambda argv: status)
    if status:
        with pytest.raises(SystemExit, match="1"):
            getattr(entry, name)()
    else:
        assert getattr(entry, name)() is None
