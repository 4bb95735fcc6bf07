"""Each notebook runs from top to bottom and gets the result that it speaks of; the rendered ones are theirs."""

import json
import sys
import tempfile

import matplotlib.pyplot as plt
import mlflow
import pytest

from benchmarks.notebooks import HEAD, MOST_BYTES, NOTEBOOKS, cells

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))


@pytest.fixture
def run(spark, tmp_path, monkeypatch):
    """Runs a notebook, on Databricks where widgets are given; gives what it has defined."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    # pyspark takes a process without a main file, as those of xdist are, for a doctest of its own, and ends it.
    monkeypatch.setattr(sys, "ps1", "", raising=False)
    tracking = mlflow.get_tracking_uri()

    def run(name, **defined):
        exec((NOTEBOOKS / f"{name}.py").read_text(), defined)
        return defined

    yield run
    mlflow.set_tracking_uri(tracking)
    plt.close("all")


class Widgets:
    """What the notebooks use of Databricks' dbutils."""

    def __init__(self, **values):
        self.values, self.asked, self.widgets = values, [], self

    def text(self, name, default):
        self.asked.append(name)

    def get(self, name):
        return self.values.get(name, "")


def test_ratings_from_a_table_to_a_path(run, spark, tmp_path):
    rows = [(f"user {u}", f"film {i}", float((u + i) % 2)) for u in range(12) for i in range(20)]
    spark.createDataFrame(rows, "user string, film string, rating double").createOrReplaceTempView("rated")
    widgets = Widgets(input="rated", output=f"{tmp_path}/scored", model=f"{tmp_path}/kept")
    names = run("1_ratings", dbutils=widgets)
    assert widgets.asked == ["input", "output", "model"]
    assert names["rmse"][4] < 0.9 * names["rmse"][0]
    assert spark.read.parquet(f"{tmp_path}/scored").count() == names["test"].count()
    assert (tmp_path / "kept" / "stages").is_dir()


@pytest.mark.exhaustive
def test_clicks(run):
    names = run("2_clicks")
    rate, model, truth = names["results"].values()
    assert truth < model < rate
    assert names["model"].stages[-1].getFactorSize() == 4
    assert names["error"] < 0.05


@pytest.mark.exhaustive
def test_the_merge(run):
    names = run("3_merge")
    merged, mean = names["best"].values()
    assert max(merged.values()) < 1.01 * merged[1]
    assert mean[2] < 1.01 * merged[1]
    assert mean[16] > 1.5 * merged[16]
    assert max(names["through_spark"].values()) < 1.1 * merged[1]


def test_mlflow(run):
    names = run("4_mlflow")
    assert names["logged"].data.metrics["testRMSE"] < 0.5
    assert len(names["fits"]) == 5
    rows = names["rows"]
    assert [round(found, 6) for found in names["function"].predict(rows.toPandas())] == names["expected"]


def test_recipes(run):
    names = run("5_recipes")
    rmse = names["rmse"]
    assert rmse["attributes, time, sequence"] < rmse["attributes"] < rmse["linear regression"]
    assert abs(names["row"].prediction - names["by_hand"]) < 1e-6
    pairs, same = names["pairs"], names["same"]
    assert pairs[same].mean() < pairs[~same].mean() - 0.2


@pytest.mark.parametrize("name", NAMES)
def test_a_rendered_notebook_is_that_of_its_source(name):
    rendered = NOTEBOOKS / "rendered" / f"{name}.ipynb"
    notebook = json.loads(rendered.read_text())
    found = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert found == cells((NOTEBOOKS / f"{name}.py").read_text()), "run: make notebooks"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert any(cell["outputs"] for cell in code)
    assert rendered.stat().st_size <= MOST_BYTES


def test_each_rendered_notebook_has_a_source():
    assert sorted(path.stem for path in (NOTEBOOKS / "rendered").iterdir()) == NAMES


def test_what_is_no_notebook_of_databricks_is_refused():
    with pytest.raises(ValueError, match="found 'import os', expected '# Databricks notebook source'"):
        cells("import os\n")
    with pytest.raises(ValueError, match="found the magic '%pip install x', expected %md"):
        cells(f"{HEAD}# MAGIC %pip install x\n")
