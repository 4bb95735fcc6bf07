"""Peak memory of a benchmark's processes, sampled while something runs."""

import os
from threading import Event, Thread
from types import TracebackType

import psutil

SECONDS_BETWEEN_SAMPLES = 0.1
JAVA = "java"


class PeakMemory:
    """A context manager that samples resident memory in MB: this process, its JVM, Spark's Python workers, and
    other child processes (a single-machine peer).

    Resident memory counts pages that processes share once for each, so workers' sums are upper bounds. A
    JVM's heap grows and does not shrink, so what is measured late in a session includes what came before.
    """

    def __init__(self) -> None:
        self.driver = self.jvm = self.workers = self.others = self.total = 0.0
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def columns(self) -> dict[str, object]:
        """Cells of a table of Spark jobs."""
        return {
            "driver Python MB": round(self.driver),
            "JVM MB": round(self.jvm),
            "workers MB": round(self.workers),
        }

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            self._sample()

    def _sample(self) -> None:
        this = psutil.Process(os.getpid())
        driver, jvm, workers, others = _resident([this]), 0.0, 0.0, 0.0
        for child in this.children():
            below = child.children(recursive=True)
            if _name(child) == JAVA:
                jvm, workers = jvm + _resident([child]), workers + _resident(below)
            else:
                others += _resident([child, *below])
        self.driver, self.jvm = max(self.driver, driver), max(self.jvm, jvm)
        self.workers, self.others = max(self.workers, workers), max(self.others, others)
        self.total = max(self.total, driver + jvm + workers + others)

    def __enter__(self) -> "PeakMemory":
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def _resident(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20
