"""Ways to damage a saved folder, made from what is in it; and all that an instance is, to be compared."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BITS_A_FILE = 6
WRONG = [None, "x", -1, 1.5, [], {}, True]


@dataclass(frozen=True)
class Way:
    """One way to damage the folder that ``do`` is given."""

    name: str
    do: Callable[[Path], None]


def state(instance: Any) -> Any:
    """All that an instance is, as something that == compares bit for bit; of a pipeline its stages."""
    params = {p.name: v for p, v in instance.extractParamMap().items() if p.name != "initialModel"}
    if hasattr(instance, "stages"):
        return [state(stage) for stage in instance.stages]
    found = {"class": type(instance), "uid": instance.uid, "params": repr(params)}
    if hasattr(instance, "weights"):
        numbers = [instance.weights, instance._moments, instance._posterior]
        found["numbers"] = [_plain(one) for one in numbers]
        found["others"] = repr(
            (instance.numFeatures, instance.fields, instance.hasSummary and instance.summary)
        )
    if hasattr(instance, "encoded"):
        found["encoded"], found["salt"] = [_plain(one) for one in instance.encoded], instance.salt
    if hasattr(instance, "getInitialModel"):
        initial = instance.getInitialModel()
        found["initial"] = None if initial is None else state(initial)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if hasattr(value, "__dict__") or hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in getattr(value, "__dict__", {}).items()} or repr(value)
    return repr(value)


def ways(folder: Path, others: dict[str, Path]) -> Iterator[Way]:
    """Every way to damage a folder; ``others`` are other saved folders by their names."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield from _of_file(path.relative_to(folder), path)
    for path in sorted(p for p in folder.rglob("*") if p.is_dir()):
        yield from _of_folder(path.relative_to(folder))
    for path in sorted(folder.rglob("metadata/part-*")):
        yield from _of_metadata(path.relative_to(folder), json.loads(path.read_text()))
    for name, other in others.items():
        yield from _with_other(folder, name, other)
    yield Way("is a file", _a_file_in_its_place)
    yield Way("is empty", lambda here: _emptied(here))


def _of_file(name: Path, file: Path) -> Iterator[Way]:
    content, plain = file.read_bytes(), not file.name.startswith((".", "_"))

    def written(made: bytes, checked: bool = False) -> Callable[[Path], None]:
        def do(here: Path) -> None:
            (here / name).write_bytes(made)
            if not checked:
                _checksum_of(here / name).unlink(missing_ok=True)

        return do

    yield Way(f"{name} removed", lambda here: (here / name).unlink())
    yield Way(f"{name} emptied", written(b""))
    if not content:
        return
    yield Way(f"{name} truncated to half", written(content[: len(content) // 2]))
    yield Way(f"{name} truncated by one byte", written(content[:-1]))
    yield Way(f"{name} longer", written(content + b"\0more"))
    flips = random.Random(name.name.partition("-")[0])
    places = [0, len(content) - 1, *(flips.randrange(len(content)) for _ in range(BITS_A_FILE))]
    for place in places if plain else places[:2]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << flips.randrange(8)
        yield Way(f"{name} bit flipped in byte {place}", written(bytes(flipped)))
    if plain:
        flipped[len(content) // 3] ^= 1
        yield Way(f"{name} bit flipped beside its checksum", written(bytes(flipped), checked=True))
        renamed = name.with_name(f"_{name.name}")
        yield Way(f"{name} hidden", lambda here: (here / name).rename(here / renamed) and None)
        copied = name.with_name(f"part-9{name.suffix}")
        yield Way(f"{name} there twice", lambda here: shutil.copy(here / name, here / copied) and None)


def _of_folder(name: Path) -> Iterator[Way]:
    def renamed(here: Path) -> None:
        (here / name).rename(here / f"{name}-old")

    def a_file(here: Path) -> None:
        shutil.rmtree(here / name)
        (here / name).write_text("words")

    def more(here: Path) -> None:
        (here / name / "notes.txt").write_text("words\n")

    yield Way(f"{name} removed", lambda here: shutil.rmtree(here / name))
    yield Way(f"{name} emptied", lambda here: _emptied(here / name))
    yield Way(f"{name} renamed", renamed)
    yield Way(f"{name} is a file", a_file)
    yield Way(f"{name} has notes", more)


def _of_metadata(name: Path, metadata: dict[str, Any]) -> Iterator[Way]:
    def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
        def do(here: Path) -> None:
            found = json.loads((here / name).read_text())
            change(found)
            (here / name).write_text(json.dumps(found) + "\n")
            _checksum_of(here / name).unlink(missing_ok=True)

        return do

    for key, value in metadata.items():
        yield Way(f"{name} without {key}", changed(lambda m, key=key: m.pop(key)))
        for wrong in WRONG:
            if wrong != value:
                yield Way(
                    f"{name} {key} is {wrong!r}",
                    changed(lambda m, key=key, wrong=wrong: m.update({key: wrong})),
                )
        if isinstance(value, (int, float)):
            yield Way(f"{name} {key} + 1", changed(lambda m, key=key, v=value: m.update({key: v + 1})))
            yield Way(f"{name} {key} is NaN", changed(lambda m, key=key: m.update({key: float("nan")})))
            yield Way(f"{name} {key} is 10^30", changed(lambda m, key=key: m.update({key: 10**30})))
    for table in ("paramMap", "defaultParamMap", "summary"):
        inner = metadata.get(table) or {}
        for key in inner:
            yield Way(f"{name} {table} without {key}", changed(lambda m, t=table, key=key: m[t].pop(key)))
            yield Way(
                f"{name} {table}.{key} is []", changed(lambda m, t=table, key=key: m[t].update({key: []}))
            )
        yield Way(
            f"{name} {table} with more",
            changed(lambda m, t=table: m.update({t: {**(m.get(t) or {}), "more": 1}})),
        )
    for version in ("spark", "4", "", "3.5.0", "99.0.0"):
        yield Way(f"{name} of Spark {version!r}", changed(lambda m, v=version: m.update(sparkVersion=v)))
    for kind in ("os.system", "spark_fm.regression.Nothing", "pyspark.ml.feature.Binarizer", "x"):
        yield Way(f"{name} of class {kind}", changed(lambda m, kind=kind: m.update({"class": kind})))
    for what in ("[]", "null", "1", "{", '"words"', "{}", "{}\n{}", "\n", "[" * 100_000):
        yield Way(f"{name} has {what[:9]!r}", lambda here, what=what: _only(here / name, what))


def _with_other(folder: Path, name: str, other: Path) -> Iterator[Way]:
    def in_its_place(here: Path) -> None:
        shutil.rmtree(here)
        shutil.copytree(other, here)

    def metadata(here: Path) -> None:
        shutil.rmtree(here / "metadata")
        shutil.copytree(other / "metadata", here / "metadata")

    def metadata_beside(here: Path) -> None:
        for part in (other / "metadata").glob("part-*"):
            shutil.copy(part, here / "metadata")

    def data(here: Path) -> None:
        for mine, theirs in zip(_data(here), _data(other), strict=False):
            shutil.rmtree(mine)
            shutil.copytree(theirs, mine)

    def data_beside(here: Path) -> None:
        for mine, theirs in zip(_data(here), _data(other), strict=False):
            for part in theirs.glob("part-*"):
                shutil.copy(part, mine)

    if not name.startswith("another"):  # of the same class, so that nothing is wrong with it
        yield Way(f"{name} in its place", in_its_place)
    if (other / "metadata").is_dir():
        yield Way(f"metadata of {name}", metadata)
        yield Way(f"metadata of {name} beside its own", metadata_beside)
    if _data(other) and _data(folder):
        yield Way(f"data of {name}", data)
        yield Way(f"data of {name} beside its own", data_beside)


def _data(folder: Path) -> list[Path]:
    """The folders beside the metadata: a model's parameters, an estimator's initial model, pyspark.ml's data."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "metadata")


def _only(part: Path, text: str) -> None:
    part.write_text(text)
    _checksum_of(part).unlink(missing_ok=True)


def _checksum_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.crc")


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("words")
