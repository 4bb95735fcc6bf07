"""Each notebook runs from top to bottom and gets the result that it speaks of."""

from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def test_quickstart(spark, capsys):
    names: dict[str, object] = {}
    exec((NOTEBOOKS / "quickstart.py").read_text(), names)
    assert "RMSE" in capsys.readouterr().out
    assert 0.2 < names["rmse"] < 0.5
