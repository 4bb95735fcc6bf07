"""`make oldest` tries what pyproject.toml promises."""

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_oldest_packages_tried_are_the_lower_bounds():
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    promised = {}
    for wanted in project["dependencies"] + project["optional-dependencies"]["spark"]:
        # Databricks 15.4 LTS has Python 3.11, which needs no tomli.
        found = re.match(r"(\w+)>=([\d.]+)", wanted)
        if "python_version" not in wanted:
            promised[found[1]] = found[2]
    pins = Path(__file__).with_name("oldest.txt").read_text("utf-8").splitlines()
    assert dict(line.split("==") for line in pins if not line.startswith("#")) == promised
