"""The benchmarks call what there is: each is imported, and those without Spark run on a small set."""

import importlib
import pkgutil

import numpy as np
import pytest

import benchmarks
from benchmarks import common, defaults, kernel, load, polynomial, recipe_tables, recipes, simulation, small
from benchmarks.sets import open_set
from benchmarks.small_sets import small_sets

MODULES = sorted(found.name for found in pkgutil.iter_modules(benchmarks.__path__))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return open_set("sample", None, tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("name", MODULES)
def test_each_can_be_imported(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__


@pytest.mark.parametrize("rule", ["this merge", "plain mean", "count-weighted mean"])
def test_the_simulation_learns_with_each_rule(sample, rule):
    found = simulation.curve(sample, 3, 4, rule)
    assert len(found) == 4
    assert found[-1] < found[0]


def test_an_untuned_fit_beside_a_tuned_one(sample):
    row, tried = defaults.compare(sample, [{"step_size": 0.1, "reg_prior": 0.3}])
    assert row["untuned"] >= 0.99 * tried[0]["best"]


def test_a_small_set_untuned_beside_fixed_strengths_and_linear_models():
    one = next(found for found in small_sets(None) if found.name == "pyspark's linear regression")
    train, test = one.draw(3)
    assert (train.label.size, test.label.size) == (400, 101)
    np.testing.assert_array_equal(train.take(np.arange(7, 9)).ids, train.ids[70:90])
    row = small.measured(one, 2)
    assert row["rows"] == 400
    assert min(row["untuned"], row["its metric"], row["linear"]) > 9.0
    assert max(row["untuned"], row["its metric"], row["linear"]) < 12.0
    assert "±" in row["untuned above linear, %"]


def test_the_kernel_is_timed():
    ids = np.random.default_rng(0).integers(0, 50, (100, 3))
    step, memory, features = kernel.nanoseconds(ids, 4, 1)
    assert step > 0.0
    assert memory > 0.0
    assert features == 50


def test_results_name_no_folder_of_this_machine(tmp_path, monkeypatch, capsys):
    given = [
        "x",
        "--sets",
        "a9a",
        "--data",
        "/somewhere/data",
        "--cache",
        "/tmp/c",
        "--output",
        str(tmp_path),
    ]
    monkeypatch.setattr("sys.argv", given)
    common.publish("small", [("models", [{"model": "ours", "RMSE": 0.5}]), ("none", [])], str(tmp_path))
    text = (tmp_path / "small.json").read_text()
    assert "--sets a9a --data FOLDER" in text
    assert "/somewhere" not in text
    assert str(tmp_path) not in text
    assert '"none"' not in text
    assert "| ours | 0.5 |" in capsys.readouterr().out


def test_the_work_of_others_is_told_from_our_own(monkeypatch):
    monkeypatch.setattr(load, "busy_seconds", iter([100.0, 130.0]).__next__)
    monkeypatch.setattr(load, "own_seconds", iter([0.0, 10.0]).__next__)
    monkeypatch.setattr(load, "perf_counter", iter([0.0, 20.0]).__next__)
    monkeypatch.setattr(load.os, "cpu_count", lambda: 2)
    assert load.OthersLoad().share() == pytest.approx(0.5)


def test_our_own_seconds_are_some_of_all():
    assert 0.0 < load.own_seconds() < load.busy_seconds()


def test_the_polynomial_has_the_scores_of_the_fm_and_is_drawn():
    rows = [polynomial.measured(n, 4, 1) for n in (5, 80)]
    assert max(row["apart"] for row in rows) < 1e-5
    assert [row["polynomial parameters"] for row in rows] == [16, 3241]
    drawn = recipe_tables.polynomial_chart({"tables": {"seconds": rows}})
    assert drawn.count("<circle") == 4
    assert "nan" not in drawn


def test_rows_of_the_recipes_know_what_was_before_only(spark, tmp_path):
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,7,4.0,100\n1,8,2.0,86500\n2,7,3.0,300\n"
    )
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n7,Seven (1995),Crime|Thriller\n8,Eight,Drama\n"
    )
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n2,7,Dark,200\n2,7,late,400\n")
    events = recipes.events(spark, tmp_path)
    rows = events.sort("user", "item").collect()
    assert [row.tags for row in rows] == [None, None, ["dark"]]
    assert [row.lastItem for row in rows] == [None, 7, None]
    assert [row.daysSinceFirst for row in rows] == [0.0, 1.0, 0.0]
    assert rows[0].genres == ["Crime", "Thriller"]
    made = recipes.with_history(events.where("user = 2"), events.where("user = 1")).collect()[0]
    assert (made.rated, made.userCount, made.itemCount) == ([], 0, 1)
    assert made.userMean == pytest.approx(3.0)
    assert made.itemMean == pytest.approx((4.0 + 5 * 3.0) / 6)
