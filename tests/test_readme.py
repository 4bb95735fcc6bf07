"""The README's examples are run as they stand there."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_ten_lines_run(spark, capsys):
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    printed = capsys.readouterr().out
    assert "prediction" in printed
    assert "(3, 27)" in printed


def test_every_param_of_the_estimators_is_in_the_readme():
    from spark_fm import FMClassifier, FMRegressor

    text = README.read_text()
    names = {param.name for estimator in (FMClassifier(), FMRegressor()) for param in estimator.params}
    assert {name for name in names if f"`{name}`" not in text} == set()
