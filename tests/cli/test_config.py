"""The configuration: what a file may say, and the sentence for what it may not."""

from pathlib import Path

import pytest

from spark_fm.cli.config import Columns, Config, load

EXAMPLES = sorted((Path(__file__).parents[2] / "conf").glob("*.toml"))

GOOD = """
task = "regression"
[columns]
label = "rating"
categorical = ["user", "movie"]
[split]
test = 0
[params]
maxIter = 3
"""


def written(folder: Path, text: str) -> str:
    path = folder / "job.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_tables_become_dataclasses_with_defaults(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD))
    assert config.columns == Columns(label="rating", categorical=("user", "movie"))
    assert config.split.test == 0.0
    assert isinstance(config.split.test, float)
    assert config.params == {"maxIter": 3}
    assert config.output == Config().output


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    assert load(str(path)).model.path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tusk = 1", "tusk: unknown key, expected one of: task, input, columns"),
        (
            "[columns]\nlable = 'a'",
            "columns.lable: unknown key, expected one of: label, positive, categorical",
        ),
        ("[split]\ntest = 'half'", "split.test: found 'half', expected a number"),
        ("[split]\ntest = true", "split.test: found True, expected a number"),
        ("[split]\nseed = 1.5", "split.seed: found 1.5, expected an integer"),
        ("[model]\noverwrite = 1", "model.overwrite: found 1, expected true or false"),
        ("[columns]\nnumeric = ['a', 1]", "columns.numeric: found ['a', 1], expected a list of strings"),
        ("[columns]\nfill = 'mean'", "columns.fill: found 'mean', expected a number"),
        ("[columns]\npositive = ['yes']", "columns.positive: found ['yes'], expected a string"),
        ("input = 'rows'", "input: found 'rows', expected a table"),
        ("params = 3", "params: found 3, expected a table"),
        ("fields = 3", "fields: found 3, expected a list of tables"),
        ("fields = ['user']", "fields: found ['user'], expected a list of tables"),
        ("[recommend]\nk = 'ten'", "recommend.k: found 'ten', expected an integer"),
        ("[recommend.items]\nfile = 'a'", "recommend.items.file: unknown key, expected one of: format, path"),
        ("task = 'ranking'", "task: found 'ranking', expected one of: regression, classification"),
        ("[columns]\nencoder = 'two'", "columns.encoder: found 'two', expected one of: onehot, hash"),
        ("[split]\nkind = 'later'", "split.kind: found 'later', expected one of: random, time, last"),
        ("task = ", "is not valid TOML"),
    ],
)
def test_errors_name_the_file_the_key_and_what_is_expected(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"job\.toml") as raised:
        load(path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "meant"), [("'yes'", "yes"), ("1", "1"), ("-1.5", "-1.5"), ("true", "true")]
)
def test_the_positive_label_may_be_any_value(tmp_path: Path, given: str, meant: str) -> None:
    assert load(written(tmp_path, f"[columns]\npositive = {given}")).columns.positive == meant


def test_a_fill_is_a_number_or_not_given(tmp_path: Path) -> None:
    assert load(written(tmp_path, GOOD)).columns.fill is None
    assert load(written(tmp_path, "[columns]\nfill = 0")).columns.fill == 0.0


@pytest.mark.parametrize("mode", ["error", "errorifexists", "overwrite", "append", "ignore"])
def test_modes_of_the_output(tmp_path: Path, mode: str) -> None:
    assert load(written(tmp_path, f"[output]\nmode = '{mode}'")).output.mode == mode


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ValueError, match=r"--config: there is no file nowhere\.toml"):
        load("nowhere.toml")


def test_overrides_replace_and_add_keys(tmp_path: Path) -> None:
    overrides = [("params.maxIter", 9), ("input.path", "rows"), ("columns.label", "stars")]
    config = load(written(tmp_path, GOOD), overrides)
    assert config.params["maxIter"] == 9
    assert config.input.path == "rows"
    assert config.columns.label == "stars"


def test_overrides_are_checked_as_the_file_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split\.tset: unknown key"):
        load(written(tmp_path, GOOD), [("split.tset", 0.5)])
    with pytest.raises(ValueError, match="task, which is not a table"):
        load(written(tmp_path, GOOD), [("task.name", 1)])
