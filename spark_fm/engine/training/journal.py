"""What the jobs of a fit in rounds said, written down, so that the fit can be run again up to there without them.

All else in a training loop follows from that: it is run again, and finds the answers in the journal. Of the parameters
only those are kept that the loop still holds.
"""

import weakref
import zlib
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.table import Parameters, columns_of
from spark_fm.core.solver.plan import Plan, Result
from spark_fm.engine.training.checkpoints import Checkpoints
from spark_fm.engine.training.rounds import RoundsRunner

SOLVER = "adagrad"
FloatArray = npt.NDArray[np.float32]


@dataclass
class Journal:
    """The entries so far, of which the first ``_known`` are from a checkpoint and have not been met again yet."""

    checkpoints: Checkpoints
    parallelism: tuple[int, int]
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _known: int = 0
    _next: int = 0
    _unwritten: int = 0
    _resumed: dict[int, FloatArray] = field(default_factory=dict)
    _tables: "weakref.WeakValueDictionary[int, FloatArray]" = field(
        default_factory=weakref.WeakValueDictionary
    )

    @classmethod
    def of(cls, checkpoints: Checkpoints, parallelism: tuple[int, int]) -> "Journal":
        """Go on with the journal of a checkpoint, or begin one. ``parallelism``: partitions and rounds per epoch."""
        found = checkpoints.resumed(SOLVER)
        if found is None:
            return cls(checkpoints, parallelism)
        entries = list(found.numbers["entries"])
        tables = {int(name): np.asarray(array, np.float32) for name, array in found.arrays.items()}
        return cls(checkpoints, parallelism, entries, len(entries), _resumed=tables)

    def round(
        self, state: Parameters, plan: Plan, job: Callable[[], Result[Parameters]]
    ) -> Result[Parameters]:
        """The result of a round: from the journal, or of the ``job``."""
        asked = zlib.crc32(repr(plan).encode())
        entry = self._met(asked)
        if entry is not None:
            return self._told(entry, state, plan)
        _check(state)
        result = job()
        number = len(self._entries)
        self._entries.append(
            {
                "asked": asked,
                "intercept": result.state.intercept.tolist(),
                "totals": [astuple(one) for one in (result.start, result.train, result.validation)],
                "finite": result.finite,
                "seconds": result.seconds,
            }
        )
        self._next += 1
        if result.state.table is not state.table:
            self._tables[number] = result.state.table
        self._unwritten += plan.train
        interval = self.checkpoints.interval
        if 0 < interval * self.parallelism[1] <= self._unwritten:
            self._write()
        return result

    def level(self, state: Parameters, job: Callable[[], Level]) -> Level:
        """A level: from the journal, or of the ``job``."""
        entry = self._met(0)
        if entry is not None:
            return Level.of_numbers(np.array(entry["level"]))
        _check(state)
        found = job()
        self._entries.append({"asked": 0, "level": found.numbers().tolist()})
        self._next += 1
        return found

    def _met(self, asked: int) -> dict[str, Any] | None:
        if self._next >= self._known:
            return None
        entry = self._entries[self._next]
        self._next += 1
        if entry["asked"] != asked:
            raise RuntimeError(
                f"checkpointDir: the checkpoint in {self.checkpoints.folder} does not fit this training; remove it"
            )
        return entry

    def _told(self, entry: dict[str, Any], state: Parameters, plan: Plan) -> Result[Parameters]:
        number, table = self._next - 1, state.table
        if plan.train:
            nothing = np.empty((0, columns_of(state.factor_size)), np.float32)
            table = self._resumed.pop(number, nothing)
            if table.size:
                self._tables[number] = table
        after = replace(state, table=table, intercept=np.array(entry["intercept"]))
        start, train, validation = (Totals(*one) for one in entry["totals"])
        return Result(after, start, train, validation, entry["finite"], dict(entry["seconds"]))

    def _write(self) -> None:
        """Write down the journal and the parameters that somebody still holds."""
        self._unwritten = 0
        numbers = {"entries": self._entries, "parallelism": self.parallelism}
        self.checkpoints.write(SOLVER, numbers, {str(number): one for number, one in self._tables.items()})


def _check(state: Parameters) -> None:
    if state.table.shape[0] != state.features.size:
        raise RuntimeError("checkpointDir: the checkpoint lacks parameters that training needs; remove it")


@dataclass(frozen=True)
class JournaledRunner:
    """A :class:`RoundsRunner` whose answers a journal knows, or takes down."""

    runner: RoundsRunner
    journal: Journal

    @property
    def rounds_per_epoch(self) -> int:
        """See :class:`spark_fm.core.solver.plan.Runner`."""
        return self.runner.rounds_per_epoch

    @property
    def merges(self) -> bool:
        """See :class:`spark_fm.core.solver.plan.Runner`."""
        return self.runner.merges

    @property
    def has_met_all(self) -> bool:
        """See :class:`RoundsRunner`."""
        return self.runner.has_met_all

    def warm_up(self, state: Parameters, plan: Plan, rows: int) -> Result[Parameters]:
        """See :class:`RoundsRunner`."""
        return self.journal.round(state, plan, lambda: self.runner.warm_up(state, plan, rows))

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """See :class:`RoundsRunner`."""
        return self.journal.round(state, plan, lambda: self.runner.run(state, plan))

    def level(self, state: Parameters, with_validation: bool) -> Level:
        """See :class:`RoundsRunner`."""
        return self.journal.level(state, lambda: self.runner.level(state, with_validation))
