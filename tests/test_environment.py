import os
import stat

import pytest

from spark_fm import environment
from spark_fm.environment import java_problem, main


@pytest.fixture
def java(tmp_path):
    """Make a `bin/java` that prints a text; gives its JAVA_HOME."""

    def make(prints, mode=0o755):
        program = tmp_path / "bin" / "java"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{prints}\nEND\n")
        program.chmod(mode)
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    "text",
    ['openjdk version "17.0.12" 2024-07-16', 'openjdk version "21" 2023-09-19', 'java version "24.0.1"'],
)
def test_java_that_is_new_enough_is_no_problem(java, text):
    assert java_problem(java(text), None) is None


@pytest.mark.parametrize(
    ("text", "version"), [('java version "1.8.0_392"', 8), ('openjdk version "11.0.2" 2019-01-15', 11)]
)
def test_java_that_is_too_old_is_told(java, text, version):
    home = java(text)
    assert java_problem(home, None) == (
        f"Spark needs Java 17 or newer, found Java {version} ({home}/bin/java): "
        "install Java 17 or newer and put it on the PATH, or set JAVA_HOME to it"
    )


def test_no_java_is_told(tmp_path):
    assert java_problem(None, str(tmp_path)) == (
        "Spark needs Java 17 or newer and found none: "
        "install Java 17 or newer and put it on the PATH, or set JAVA_HOME to it"
    )


def test_java_home_without_java_is_told(tmp_path):
    assert f"but {tmp_path}/bin/java can't be run" in java_problem(str(tmp_path), None)


def test_java_that_does_not_run_is_told(java):
    home = java('openjdk version "17"', mode=stat.S_IRUSR)
    assert "can't be run" in java_problem(home, None)


def test_program_that_is_no_java_is_told(java):
    assert "does not tell its version" in java_problem(java("hello"), None)


def test_java_home_goes_before_the_path(java, tmp_path):
    home = java('openjdk version "11.0.2"')
    assert java_problem(None, os.path.join(home, "bin")) is not None
    assert "Java 11" in java_problem(home, "/nowhere")


def test_main_tells_the_problem_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(environment, "java_problem", lambda home, path: "no Java")
    assert main() == 1
    assert capsys.readouterr().err == "no Java\n"


def test_main_is_silent_without_a_problem(monkeypatch, capsys):
    monkeypatch.setattr(environment, "java_problem", lambda home, path: None)
    assert main() == 0
    assert capsys.readouterr().err == ""
