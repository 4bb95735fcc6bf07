"""The jobs' configuration: TOML tables as dataclasses. One file serves all jobs.

conf/ratings.toml and conf/clicks.toml explain every key. Paths of input, model and output are Spark's: any file
system that it knows, relative ones from the working directory where that is the default file system.
report.folder is a folder of the machine that the job's driver runs on, relative to the working directory.
"""

import dataclasses
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

T = TypeVar("T")

DESCRIPTIONS: dict[Any, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    float | None: "a number",
    tuple[str, ...]: "a list of strings",
    dict[str, Any]: "a table",
    tuple[dict[str, Any], ...]: "a list of tables, each under its own [[...]]",
}


def _one_of(default: str, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class Input:
    """[input]: rows to read, from a path or a table; ``options`` are those of Spark's format."""

    format: str = "parquet"
    path: str = ""
    table: str = ""
    schema: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Columns:
    """[columns]: the label, and columns to encode or a ready ``features`` column, where there are no [[fields]].

    ``validation`` is a boolean column: true where a row chooses the number of epochs instead of being trained on.
    ``positive`` is the value of the label that classification counts as 1, every other one being 0; without it labels
    are 0 and 1. ``unlabelled`` says what becomes of rows without a label in training and evaluation: "error" refuses
    them, "skip" leaves them out. ``fill`` stands for an empty cell (null, NaN or an empty string) of a numeric column;
    without it one is an error. ``cold`` names a column that scores get where there are [[fields]]: true where a
    categorical field is missing or has a value that training has not met.
    """

    label: str = "label"
    positive: str = field(default="", metadata={"scalar": True})
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    fill: float | None = None
    features: str = ""
    weight: str = ""
    validation: str = ""
    unlabelled: str = _one_of("error", "error", "skip")
    encoder: str = _one_of("onehot", "onehot", "hash")
    numFeatures: int = 2**18
    cold: str = ""


@dataclass(frozen=True)
class Split:
    """[split]: the rows held out of training, on which train and evaluate measure.

    A fraction (0 in train: measure on none; in evaluate: on all), or where the boolean ``column`` is true. By ``kind``
    a fraction is drawn by a hash of the seed and of all columns but label, weight and validation (random), or is the
    last in ``time``, with ``user`` of each user's rows (time), or each user's last ``rows`` are held out (last).
    """

    kind: str = _one_of("random", "random", "time", "last")
    test: float = 0.2
    column: str = ""
    seed: int = 0
    time: str = ""
    user: str = ""
    rows: int = 1


@dataclass(frozen=True)
class Model:
    """[model]: where the fitted pipeline is; ``overwrite`` replaces a model, never a folder of other things."""

    path: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class Report:
    """[report]: the local folder for report.md, metrics.json and the picture."""

    folder: str = "output"


@dataclass(frozen=True)
class Output:
    """[output]: where scored rows go, a path or a table; the mode "errorifexists" is another word for "error"."""

    format: str = "parquet"
    path: str = ""
    table: str = ""
    mode: str = _one_of("error", "error", "errorifexists", "overwrite", "append", "ignore")
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Compare:
    """[compare]: models to train beside ours on the same rows.

    ``spark`` holds params of pyspark.ml's own Factorization Machine, which is trained when there are any.
    """

    baselines: bool = False
    spark: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recommend:
    """[recommend]: the ``k`` best items of each context, and so many ``reasons`` with each.

    ``contexts`` (users, or users with an hour, a device, ...) and ``items`` are rows to read, ``exclude`` pairs to
    leave out, each told as [input]; ``context`` and ``item`` are the columns of their keys. ``itemFields`` names the
    fields of the items where that can't be told by the columns. ``form`` is "list", a row for each context, or "rows",
    a row for each recommendation.
    """

    k: int = 10
    context: str = ""
    item: str = ""
    reasons: int = 0
    form: str = _one_of("list", "list", "rows")
    itemFields: tuple[str, ...] = ()
    contexts: Input = Input()
    items: Input = Input()
    exclude: Input = Input()


@dataclass(frozen=True)
class Config:
    """The whole file.

    ``fields`` are what the features are made of, as :func:`spark_fm.feature.FieldEncoder` takes them; ``params`` holds
    params of the estimator by name.
    """

    task: str = _one_of("", "regression", "classification")
    input: Input = Input()
    columns: Columns = Columns()
    fields: tuple[dict[str, Any], ...] = ()
    split: Split = Split()
    params: dict[str, Any] = field(default_factory=dict)
    model: Model = Model()
    report: Report = Report()
    output: Output = Output()
    compare: Compare = Compare()
    recommend: Recommend = Recommend()


def toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises
    ------
    ValueError
        Saying where it is not TOML.
    """
    parser = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return cast(dict[str, Any], parser.loads(text))


def load(path: str, overrides: Sequence[tuple[str, Any]] = ()) -> Config:
    """Read a file and lay ``overrides``, pairs of a dotted key and its value, over it.

    Raises
    ------
    ValueError
        In one sentence, when there is no such file, it is not TOML, or a key is unknown or of the wrong type.
    """
    if not Path(path).is_file():
        raise ValueError(f"--config: there is no file {path}")
    try:
        tables = toml(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    for key, value in overrides:
        _lay(tables, key.split("."), value)
    try:
        return parse(Config, tables)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def required(value: str, key: str, expected: str) -> str:
    """The value of a key that a job can't do without.

    Raises
    ------
    ValueError
        When it is empty.
    """
    if not value:
        raise ValueError(f"{key}: missing, expected {expected}")
    return value


def parse(cls: type[T], table: Mapping[str, Any], prefix: str = "") -> T:
    """A table as its dataclass.

    Raises
    ------
    ValueError
        Naming the key, what was found and what was expected.
    """
    fields = {f.name: f for f in dataclasses.fields(cast(Any, cls))}
    hints, values = get_type_hints(cls), {}
    for name, value in table.items():
        if name not in fields:
            raise ValueError(f"{prefix}{name}: unknown key, expected one of: {', '.join(fields)}")
        if fields[name].metadata.get("scalar"):
            value = _text(value)
        values[name] = _converted(value, hints[name], prefix + name)
        choices = fields[name].metadata.get("choices")
        if choices and value not in choices:
            raise ValueError(f"{prefix}{name}: found {value!r}, expected one of: {', '.join(choices)}")
    return cls(**values)


def _converted(value: Any, expected: Any, key: str) -> Any:
    if isinstance(expected, type) and dataclasses.is_dataclass(expected) and isinstance(value, dict):
        return parse(expected, value, key + ".")
    if expected in (float, float | None) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    for listed, kind in ((tuple[str, ...], str), (tuple[dict[str, Any], ...], dict)):
        if expected == listed and isinstance(value, list) and all(isinstance(v, kind) for v in value):
            return tuple(value)
    if expected == dict[str, Any] and isinstance(value, dict):
        return value
    if type(value) is expected:
        return value
    raise ValueError(f"{key}: found {value!r}, expected {DESCRIPTIONS.get(expected, 'a table')}")


def _text(value: Any) -> Any:
    """A boolean or a number as TOML writes it; all else as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _lay(tables: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        tables = tables.setdefault(name, {})
        if not isinstance(tables, dict):
            raise ValueError(f"--set: {'.'.join(names)} goes through {name}, which is not a table")
    tables[names[-1]] = value
