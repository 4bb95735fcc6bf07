"""Places: which chunks a run has, and which of them travel and arrive together."""

from dataclasses import dataclass

Chunk = tuple[int, int]

# So many rows are shuffled without a thought; more of them should have so many of the user's rows each, if what then
# arrives together has not more non-zeros than a worker has room for.
FEW_SHUFFLED = 10_000
FEWEST_ROWS_SHUFFLED = 64
MOST_NONZEROS_TOGETHER = 2**25


@dataclass(frozen=True)
class Places:
    """The chunks of a run, by (partition, part).

    A partition has ``parts`` chunks, of which a round visits one. Validation rows lie in chunks of their own, which the
    first round of every epoch measures: they count as further partitions, of the one part after all others.

    ``together`` parts of a partition, a *bundle*, are dealt as one and cut where they arrive. A chunk of validation
    rows is a bundle of its own.
    """

    partitions: int
    parts: int
    validation: int
    together: int = 1

    def training(self, part: int) -> list[Chunk]:
        """The chunks that a round trains."""
        return [(partition, part) for partition in range(self.partitions)]

    def validating(self) -> list[Chunk]:
        """The chunks of validation rows."""
        return [(self.partitions + chunk, self.parts) for chunk in range(self.validation)]

    def all(self) -> list[Chunk]:
        """All chunks, in the order of their numbers."""
        chunks = [(partition, part) for partition in range(self.partitions) for part in range(self.parts)]
        return chunks + self.validating()

    def bundles(self) -> list[list[Chunk]]:
        """All chunks by what travels together, in the order of their numbers."""
        firsts = range(0, self.parts, self.together)
        return [
            [(partition, part) for part in range(first, min(first + self.together, self.parts))]
            for partition in range(self.partitions)
            for first in firsts
        ] + [[chunk] for chunk in self.validating()]

    def within_bundle(self, chunk: Chunk) -> int:
        """How many chunks of its bundle come before a chunk."""
        return chunk[1] % self.together if chunk[0] < self.partitions else 0


def parts_together(partitions: int, parts: int, rows: int, nonzeros: int, pieces: int) -> int:
    """How many parts of a partition are best dealt as one, where so many ``pieces`` of sources have all the rows."""
    chunks = partitions * parts
    if pieces * chunks <= FEW_SHUFFLED:
        return 1
    wanted = -(-FEWEST_ROWS_SHUFFLED * pieces * chunks // max(rows, 1))
    most = MOST_NONZEROS_TOGETHER * chunks // max(nonzeros, 1)
    return max(1, min(wanted, most, parts))
