"""Every public name says what it is, and every public class shows it."""

import dataclasses
import functools
import importlib
import inspect
import pkgutil

import pytest

import spark_fm
from spark_fm.base.evaluated import FMClassificationSummary, FMRegressionSummary
from spark_fm.base.explain import Explanation
from spark_fm.base.summary import FMTrainingSummary
from spark_fm.evaluation import FMClassificationEvaluator, RankingEvaluator, RankingMetrics

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(spark_fm.__path__, "spark_fm.")
    if not found.name.rsplit(".", 1)[-1].startswith("_")
)

PROPERTIES = (property, functools.cached_property)


def public(module):
    """Classes, functions and methods that are defined in a module and don't begin with an underscore."""
    for name, value in vars(module).items():
        value = getattr(value, "py_func", value)
        if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for inner, member in vars(value).items():
                member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                if not inner.startswith("_") and (
                    inspect.isfunction(member) or isinstance(member, PROPERTIES)
                ):
                    yield f"{name}.{inner}", member


def documented(value):
    """Whether there is a docstring that somebody wrote: dataclasses and named tuples make their own."""
    found = inspect.getdoc(value) or ""
    makes_one = dataclasses.is_dataclass(value) or hasattr(value, "_fields")
    return bool(found) and not (makes_one and found.startswith(f"{value.__name__}("))


@pytest.mark.parametrize("name", MODULES)
def test_public_names_have_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert [found for found, value in public(module) if not documented(value)] == []


def test_what_is_looked_at():
    """Methods, properties of both kinds and class methods count; made docstrings do not."""
    names = {found for found, _ in public(importlib.import_module("spark_fm.base.evaluated"))}
    assert {"FMRegressionSummary", "FMRegressionSummary.residuals", "FMRegressionSummary.r2"} <= names

    @dataclasses.dataclass
    class Made:
        number: int

    assert Made.__doc__.startswith("Made(")
    assert not documented(Made)


@pytest.mark.parametrize("estimator", [spark_fm.FMRegressor, spark_fm.FMClassifier])
def test_params_have_docs_getters_and_setters(estimator):
    made = estimator()
    assert [param.name for param in made.params if not param.doc] == []
    names = [param.name[0].upper() + param.name[1:] for param in made.params]
    for kind in ("get", "set"):
        methods = {name: getattr(estimator, f"{kind}{name}", None) for name in names}
        assert [name for name, method in methods.items() if not inspect.getdoc(method)] == []


@pytest.mark.parametrize(
    "public_class",
    [getattr(spark_fm, name) for name in spark_fm.__all__]
    + [FMTrainingSummary, FMRegressionSummary, FMClassificationSummary, Explanation]
    + [FMClassificationEvaluator, RankingEvaluator, RankingMetrics],
)
def test_public_classes_have_an_example(public_class):
    assert ">>> " in public_class.__doc__
    assert "+SKIP" not in public_class.__doc__
