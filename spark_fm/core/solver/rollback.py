"""When a round is taken back, and how training goes on then."""

import math
from dataclasses import replace

from spark_fm.core.fm.measure import Totals
from spark_fm.core.solver.plan import Plan

NO_RISE = 0.1


class Rise:
    """Tells whether a loss has clearly risen.

    Each part is compared with itself, because rows that were trained on lose their loss before others do; a part
    that is met for the first time is compared with the untrained parameters. Next to nothing is left of the loss of
    rows that are known by heart, that a warm-up has solved, or that the model to start from knows: what rises by less
    than a tenth of the loss of a ``constant``, of the untrained parameters, or of a part's first loss, has not risen.
    """

    def __init__(self, untrained: Totals | None, constant: float) -> None:
        self.untrained = untrained.mean if untrained else math.inf
        self._constant = constant
        self.lowest: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self._remembers = True

    def forget(self) -> None:
        """From now on compare with the untrained parameters only: under a stronger prior the loss of rows that
        were trained on rises, and should.
        """
        self.lowest.clear()
        self._remembers = False

    def seen(self, start: Totals, part: int, good: bool) -> bool:
        """Parameters that are the last ``good`` ones have not risen: there is nothing to go back to."""
        if start.rows == 0:
            return False
        # Rows that are met for the first time may simply be harder than those of the comparison.
        slack = 1.0 if part in self.lowest else 4.0
        allowed = 1.0 + slack * (0.25 + 4.0 / math.sqrt(start.rows))
        lowest = self.lowest.get(part, self.untrained)
        untrained = self.untrained if self.untrained < math.inf else 0.0
        first = max(self._first.get(part, 0.0), untrained, self._constant)
        most = max(lowest * allowed, lowest + NO_RISE * first)
        risen = not good and not start.mean <= most + 1e-9
        if not risen:
            if self._remembers and not self.lowest:
                # The untrained loss may come from fewer rows than a round's.
                known = self.untrained if self.untrained < math.inf else start.mean
                self.untrained = max(known, start.mean)
            if math.isfinite(start.mean):
                self._first.setdefault(part, start.mean)
            if self._remembers:
                self.lowest[part] = min(self.lowest.get(part, math.inf), start.mean)
        return risen


def more_careful(plan: Plan, merges: bool) -> Plan:
    """A doubled coupling where there is a merge to blame, up to 16; beyond that, and alone, half the step."""
    if merges and plan.damping < 16.0:
        return replace(plan, damping=2.0 * plan.damping)
    return replace(plan, step_size=0.5 * plan.step_size)
