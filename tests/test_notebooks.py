"""Each notebook runs from top to bottom and gets the result that it speaks of."""

from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def test_quickstart(spark, capsys):
    names: dict[str, object] = {}
    exec((NOTEBOOKS / "quickstart.py").read_text(), names)
    assert "RMSE" in capsys.readouterr().out
    assert 0.2 < names["rmse"] < 0.5


def test_recipes(spark):
    names: dict[str, object] = {}
    exec((NOTEBOOKS / "recipes.py").read_text(), names)
    rmse = names["rmse"]
    assert rmse["attributes, time, sequence"] < rmse["attributes"] < rmse["linear regression"]
    assert abs(names["row"].prediction - names["by_hand"]) < 1e-6
    pairs, same = names["pairs"], names["same"]
    assert pairs[same].mean() < pairs[~same].mean() - 0.2
