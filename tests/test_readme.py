"""The pages' examples run and print what stands there; tables and charts are those of the result files."""

import json
import re

import pytest

from benchmarks import examples, readme
from benchmarks.charts import Panel, dots, ticks

NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.mark.parametrize("page", examples.EXAMPLES, ids=lambda page: page.name)
def test_the_example_prints_what_the_page_shows(spark, tmp_path, page):
    ((code, shown),) = examples.EXAMPLE.findall(page.read_text())
    pictures = examples.EXAMPLES[page]
    printed = examples.run_example(code, spark, pictures, tmp_path)
    assert NUMBER.sub("", printed) == NUMBER.sub("", shown)
    found, expected = ([float(number) for number in NUMBER.findall(text)] for text in (printed, shown))
    # Another processor may round otherwise.
    assert found == pytest.approx(expected, abs=0.1001)
    for name in pictures:
        assert (tmp_path / name).stat().st_size > 1000
        assert (examples.ROOT / "docs" / name).exists()


def test_tables_and_charts_are_those_of_the_result_files():
    assert readme.stale() == [], "run: make docs"


def test_a_changed_number_is_noticed(monkeypatch, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- table: small -->\n| 1 |\n<!-- end -->\nafter\n")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "TABLES", {"small": lambda: "| 2 |"})
    monkeypatch.setattr(readme, "CHART", tmp_path / "peers.svg")
    assert readme.stale() == ["README.md", "peers.svg"]
    assert readme.wanted()[page] == "before\n<!-- table: small -->\n| 2 |\n<!-- end -->\nafter\n"


def test_result_files_say_how_they_came_about():
    for path in readme.RESULTS.glob("*"):
        assert path.suffix == ".json"
        made = readme.result(path.stem)
        assert re.match(r"python -m benchmarks\.|make [a-z]", made["command"])
        assert {"Python", "spark_fm", "pyspark"} <= made["versions"].keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"])
        assert made["machine"]
        assert made["tables"]


@pytest.mark.parametrize(("low", "high"), [(0.838, 1.014), (0.3206, 0.3249), (0.0, 1.0), (2.0, 17.0)])
def test_ticks_are_few_round_and_hold_all(low, high):
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 6
    assert marks[0] <= low < high <= marks[-1]


def test_a_chart_has_a_dot_for_each_point():
    drawn = dots([Panel("a < b", [("spark_fm", 0.1, "1 x"), ("peer", 0.2, "2 x")])], "spark_fm")
    assert drawn.count("<circle") == 2
    assert "a &lt; b" in drawn


def fit(model, loss, area, by):
    return {
        "model": model,
        "log-loss": loss,
        "AUC": area,
        "fit seconds": 2.0 * by,
        "times the first row's seconds": by,
    }


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Result files of a set that two tools were measured on."""
    about = {
        "command": "python -m benchmarks.quality",
        "date": "2026-01-01",
        "machine": "a machine, 2 cores",
        "versions": {"Python": "3.11"},
    }
    models = [
        fit("spark_fm, untuned", 0.3219, 0.9039, 1.0),
        fit("spark_fm, untuned, from vectors", 0.1, 0.99, 1.2),
        fit("pyspark FM, defaults", 0.9, 0.5, 9.0),
        fit("pyspark FM, stepSize 0.05", 0.3249, 0.9024, 17.4),
        {"model": "myfm", "note": "failed: MemoryError"},
    ]
    times = [
        {
            "model": "pyspark FM, stepSize 0.05",
            "quality": "log-loss 0.3249, the best of pyspark FM",
            "seconds": 34.8,
        },
        {
            "model": "spark_fm, untuned",
            "quality": "log-loss 0.3249, the best of pyspark FM",
            "seconds": 1.16,
            "epochs": 3,
            "times faster": 30.0,
        },
    ]
    data = {"name": "a9a", "rows": 32561, "metric": "log-loss", "factors": 8}
    tables = {"set": [data], "models": models, "time to quality": times}
    (tmp_path / "quality-a9a.json").write_text(json.dumps(about | {"tables": tables}))
    monkeypatch.setattr(readme, "RESULTS", tmp_path)


def test_quality_has_the_best_of_each_tool(measured):
    lines = readme.quality_table().splitlines()
    assert lines[2] == "| a9a (UCI Adult), 32,561 rows | log-loss | **0.3219** |  | 0.3249 |  |  |  |"
    assert lines[3] == "|  | AUC | **0.9039** |  | 0.9024 |  |  |  |"
    assert lines[4] == "|  | fit time | 1 x |  | 17 x |  |  |  |"
    assert "on 2026-01-01: a machine, 2 cores; Python 3.11." in lines[6]


def test_a_busy_machine_is_told(measured):
    made = readme.result("quality-a9a") | {readme.OTHERS: 0.31}
    assert "Other work took 31 % of the processors" in readme.provenance([made])
    assert "Other work" not in readme.provenance([made | {readme.OTHERS: 0.01}])
    assert "**Once only.**" in readme.provenance([made | {"note": "Once only."}])


def test_times_say_how_soon_it_was_as_good(measured):
    assert "| a9a | pyspark FM | log-loss 0.3249 | 1.16 | 3 | 0.033 x |" in readme.times_table()


def test_the_chart_has_the_models_of_the_table(measured):
    drawn = readme.chart()
    assert drawn.count("<circle") == 2
    assert "17 x the fit time" in drawn
