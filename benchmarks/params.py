"""What is written from the params' definitions: getters, setters, and the constructors' arguments.

python -m benchmarks.params

Editors and type checkers see static code only, so it is written to files, as pyspark writes its shared params.
"""

from pathlib import Path
from typing import Any, get_args, get_type_hints

from pyspark.ml.param import Param, Params

from spark_fm import FMClassifier, FMRegressor
from spark_fm.base.params import FMEstimatorParams, FMParams

PACKAGE = Path(__file__).parent.parent / "spark_fm"
# Their getters say more than the param's value.
WITH_OTHER_GETTERS = {"regParamLinear", "regParamFactors", "regParamPrior", "regParamByField", "initialModel"}
# pyspark.ml's order, then ours in the order of their definition.
FIRST = [
    "featuresCol", "labelCol", "predictionCol", "probabilityCol", "rawPredictionCol", "factorSize",
    "fitIntercept", "fitLinear", "regParam", "miniBatchFraction", "initStd", "maxIter", "stepSize", "tol",
    "solver", "thresholds", "seed", "weightCol",
]  # fmt: skip
NOTE = "# Written by `python -m benchmarks.params` from params.py.\n"


def params_of(owner: type[Params]) -> list[str]:
    """Names of the params of a class, in the order of the constructors."""
    defined = [
        name
        for base in owner.__mro__
        for name, value in vars(base).items()
        if isinstance(value, Param) and not base.__module__.startswith("pyspark")
    ]
    inherited = [
        name for base in owner.__mro__ for name, value in vars(base).items() if isinstance(value, Param)
    ]
    names = list(dict.fromkeys([*defined, *inherited]))
    return [name for name in FIRST if name in names] + [name for name in names if name not in FIRST]


def type_of(owner: type[Params], name: str) -> str:
    """The type of a param's values, as it is written."""
    for base in owner.__mro__:
        if name in vars(base).get("__annotations__", {}):
            kind = get_args(get_type_hints(base, include_extras=True)[name])[0]
            plain = isinstance(kind, type) and not get_args(kind)
            return kind.__name__ if plain else str(kind).removeprefix("typing.").replace("List[", "list[")
    raise KeyError(name)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def getters(owner: type[Params]) -> str:
    """The file getters.py: of the params that are defined in this package."""
    text = f'"""The getters of the params."""\n\n{NOTE}\nfrom pyspark.ml.param import Params\n\n\n'
    text += 'class FMGetters(Params):\n    """``getX()`` for each param x: its value, or its default."""\n'
    own = [name for name in params_of(owner) if name in vars(owner) and name not in WITH_OTHER_GETTERS]
    for name in own:
        kind = type_of(owner, name)
        text += f'''
    def get{_capital(name)}(self) -> {kind}:
        """Gets the value of {name} or its default value."""
        value: {kind} = self.getOrDefault(self.getParam("{name}"))
        return value
'''
    return text


def setters(owner: type[Params]) -> str:
    """The file setters.py: of the params that both estimators have."""
    text = f'''"""The setters of the estimators' params, as pyspark.ml spells them."""

{NOTE}
from typing import Any, TypeVar

from spark_fm.base.params import FMEstimatorParams

S = TypeVar("S", bound="FMSetters")


class FMSetters(FMEstimatorParams):
    """``setX(value)`` for each param x of the estimators; returns the estimator itself."""
'''
    for name in params_of(owner):
        text += f'''
    def set{_capital(name)}(self: S, value: {type_of(owner, name)}) -> S:
        """Sets the value of {name}."""
        return self._set({name}=value)
'''
    return text


def constructor(estimator: Any) -> str:
    """The arguments of a constructor, a line each."""
    made, lines = estimator(), []
    for name in params_of(estimator):
        kind = type_of(estimator, name)
        if name == "initialModel":
            kind = made._model_class().__name__
        default = made.getOrDefault(name) if made.hasDefault(name) else None
        lines.append(f"        {name}: {kind}{' | None' * (default is None)} = {_literal(default)},\n")
    return "".join(lines)


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value).replace("1e-06", "1e-6")


def files() -> dict[Path, str]:
    """Every file that is written, and its text."""
    texts = {
        PACKAGE / "base" / "getters.py": getters(FMParams),
        PACKAGE / "base" / "setters.py": setters(FMEstimatorParams),
    }
    for module, estimator in (("regression", FMRegressor), ("classification", FMClassifier)):
        path = PACKAGE / f"{module}.py"
        begin, end = f"        *,\n        {NOTE}", "    ) -> None:\n"
        before, _, rest = path.read_text().partition(begin)
        after = rest[rest.index(end) :]
        texts[path] = before + begin + constructor(estimator) + after
    return texts


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
