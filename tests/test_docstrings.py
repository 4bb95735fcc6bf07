"""Every public name says what it is."""

import importlib
import inspect
import pkgutil

import pytest

import spark_fm

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(spark_fm.__path__, "spark_fm.")
    if not found.name.rsplit(".", 1)[-1].startswith("_")
)


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
                if not inner.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield f"{name}.{inner}", member


@pytest.mark.parametrize("name", MODULES)
def test_public_names_have_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert [found for found, value in public(module) if not inspect.getdoc(value)] == []
