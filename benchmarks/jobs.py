"""What Spark did while something ran: jobs, tasks, what was shuffled, and the seconds of CPU of all processes."""

import os
import time
from types import TracebackType
from typing import Any

import psutil

SECONDS_UNTIL_COUNTED = 0.5


class Work:
    """A context manager that counts, on classic Spark; seconds of CPU include the JVM and Spark's Python workers.

    The processes' start and the compiling of their first calls count too: warm the session up before.
    """

    def __init__(self, spark: Any) -> None:
        self._context = spark.sparkContext
        self.seconds = self.cpu = 0.0
        self.jobs = self.tasks = self.rows = self.megabytes = 0

    def columns(self, prefix: str) -> dict[str, object]:
        """Cells of a table."""
        return {
            f"{prefix} s": self.seconds,
            f"{prefix} CPU s": self.cpu,
            f"{prefix} jobs": self.jobs,
            f"{prefix} tasks": self.tasks,
            f"{prefix} rows shuffled": self.rows,
            f"{prefix} MB shuffled": self.megabytes,
        }

    def __enter__(self) -> "Work":
        self._stages, self._jobs = self._shuffled(), self._job_numbers()
        self._cpu, self._begun = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.cpu = cpu_seconds() - self._cpu
        time.sleep(SECONDS_UNTIL_COUNTED)  # Spark's listener comes after
        self.jobs = len(self._job_numbers() - self._jobs)
        new = [work for stage, work in self._shuffled().items() if stage not in self._stages]
        self.tasks, self.rows = sum(work[0] for work in new), sum(work[1] for work in new)
        self.megabytes = round(sum(work[2] for work in new) / 2**20)

    def _job_numbers(self) -> set[int]:
        jobs = self._context._jsc.sc().statusStore().jobsList(None)
        return {jobs.apply(i).jobId() for i in range(jobs.size())}

    def _shuffled(self) -> dict[tuple[int, int], tuple[int, int, int]]:
        """By stage: the tasks that have run, and the rows and bytes that they wrote for a shuffle."""
        java = self._context._gateway
        store = self._context._jsc.sc().statusStore()
        stages = store.stageList(None, False, False, java.new_array(java.jvm.double, 0), None)
        found = {}
        for i in range(stages.size()):
            stage = stages.apply(i)
            found[stage.stageId(), stage.attemptId()] = (
                stage.numCompleteTasks(),
                stage.shuffleWriteRecords(),
                stage.shuffleWriteBytes(),
            )
        return found


def cpu_seconds() -> float:
    """Of this process, its children, and those that have ended."""
    this, total = psutil.Process(os.getpid()), 0.0
    for process in (this, *this.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
