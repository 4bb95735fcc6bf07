"""The README's example runs and prints what stands there; tables and charts are those of the result files."""

import re

import pytest

from benchmarks import readme
from benchmarks.charts import Panel, dots, ticks

NUMBER = re.compile(r"-?\d+\.\d+")


def test_the_example_prints_what_the_readme_shows(spark, tmp_path):
    ((code, shown),) = readme.EXAMPLE.findall((readme.ROOT / "README.md").read_text())
    printed = readme.run_example(code, spark, tmp_path / "curve.png")
    assert NUMBER.sub("", printed) == NUMBER.sub("", shown)
    found, expected = ([float(number) for number in NUMBER.findall(text)] for text in (printed, shown))
    # Another processor may round otherwise.
    assert found == pytest.approx(expected, abs=0.1001)
    assert (tmp_path / "curve.png").stat().st_size > 1000


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
        assert made["command"].startswith("python -m benchmarks.")
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
