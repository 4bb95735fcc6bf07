"""What was counted of some rows, so that training can tell whether it meets the same ones."""

import re
from dataclasses import astuple, dataclass

from spark_fm.core.sparse.block import Block

INPUT_CHANGED = (
    "the input changed between two computations of it: {}; "
    "write it to a table, or checkpoint it, and fit that"
)


def what_changed(sentence: str) -> str | None:
    """What an :class:`InputChangedError` says that was found; None of another sentence."""
    before, after = map(re.escape, INPUT_CHANGED.split("{}"))
    found = re.fullmatch(f"{before}(.*){after}", sentence)
    return found and found.group(1)


class InputChangedError(RuntimeError):
    """The rows that training meets are not those that were counted."""

    def __init__(self, what: str) -> None:
        super().__init__(INPUT_CHANGED.format(what))


@dataclass(frozen=True)
class Census:
    """What was counted of some rows; adds up. The fingerprints are those of a block."""

    rows: int = 0
    nonzeros: int = 0
    fingerprint: int = 0
    features: int = 0

    @classmethod
    def of(cls, block: Block) -> "Census":
        """A block's."""
        return cls(block.rows, block.nonzeros, block.fingerprint, block.features_fingerprint)

    def __add__(self, other: "Census") -> "Census":
        return Census(*(mine + more for mine, more in zip(astuple(self), astuple(other), strict=True)))

    def check(self, counted: "Census", where: str) -> None:
        """Whether these are the rows that were counted.

        Raises
        ------
        InputChangedError
            When they are others.
        """
        if self == counted:
            return
        if (self.rows, self.nonzeros) == (counted.rows, counted.nonzeros):
            raise InputChangedError(f"found other labels or features in as many rows{where}")
        raise InputChangedError(
            f"found {self.rows} rows with {self.nonzeros} non-zeros{where}, "
            f"expected {counted.rows} with {counted.nonzeros}"
        )
