"""Documents agree with the repository: files that they name exist, and versions are the same everywhere."""

import re
from pathlib import Path

import pytest

import spark_fm
from spark_fm import FMClassifier, FMRegressor

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)|src=\"([^\"]+)\"")
# `core/solver/loop.py` for a file below spark_fm, `docs/merge.md` for one below the root.
FILE = re.compile(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|md|toml|txt|json|yml))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text()
    links = [found[0] or found[2] for found in LINK.findall(text)]
    inside = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in inside if not (page.parent / link).exists()] == []
    named = [name for name in FILE.findall(text) if not name.startswith("dist/")]
    assert [n for n in named if not (ROOT / n).exists() and not (ROOT / "spark_fm" / n).exists()] == []


def test_every_module_of_core_and_engine_is_in_the_picture():
    picture = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    words = set(re.findall(r"\w+", picture))
    for folder in (
        "base",
        "core/solver",
        "core/fm",
        "core/sparse",
        "engine/training",
        "engine/packing",
        "evaluation",
    ):
        modules = {path.stem for path in (ROOT / "spark_fm" / folder).glob("*.py")} - {"__init__"}
        assert modules - words == set(), folder


def test_every_param_is_told_of():
    text = (ROOT / "docs" / "params.md").read_text()
    names = {param.name for estimator in (FMClassifier(), FMRegressor()) for param in estimator.params}
    assert {name for name in names if f"| `{name}` |" not in text} == set()


def test_the_version_is_the_same_everywhere():
    version = spark_fm.__version__
    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1] == version
    latest = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert latest[1] == version
    assert latest[2] in (ROOT / "CITATION.cff").read_text()
