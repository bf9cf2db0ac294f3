"""What a server has done, in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

Contract: numbers of one process; with several workers each answers for itself, and says its process id.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Metrics"]

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Metrics:
    """Counters since the process began.

    Attributes
    ----------
    answers
        By status and cause ("" where nothing went wrong).
    sent
        Bytes of bodies.
    running
        Requests under way.
    """

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    sent: int = 0
    running: int = 0
    broken: int = 0
    began: float = field(default_factory=time.time)
    _seconds: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    _total: float = 0.0

    def record(self, status: int, cause: str, sent: int, seconds: float) -> None:
        """Count an answer."""
        self.answers[status, cause] += 1
        self.sent += sent
        self._total += seconds
        slot = next((i for i, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))
        self._seconds[slot] += 1

    def text(self, memory: int) -> str:
        """Return the page of metrics. `memory`: bytes of answers that are held now."""
        return "\n".join([*self._lines(memory), ""])

    def _lines(self, memory: int) -> Iterator[str]:
        pid = f'pid="{os.getpid()}"'
        yield "# HELP refmaker_requests_total Answers by status and cause."
        yield "# TYPE refmaker_requests_total counter"
        for (status, cause), count in sorted(self.answers.items()):
            yield f'refmaker_requests_total{{{pid},status="{status}",cause="{cause}"}} {count}'
        for name, kind, help_, value in (
            ("refmaker_sent_bytes_total", "counter", "Bytes of bodies sent.", self.sent),
            ("refmaker_broken_answers_total", "counter", "Answers that ended before their length.", self.broken),
            ("refmaker_requests_running", "gauge", "Requests under way.", self.running),
            ("refmaker_held_bytes", "gauge", "Bytes of answers in memory.", memory),
            ("refmaker_start_time_seconds", "gauge", "When the process began.", round(self.began, 3)),
        ):
            yield f"# HELP {name} {help_}"
            yield f"# TYPE {name} {kind}"
            yield f"{name}{{{pid}}} {value}"
        yield from self._histogram(pid)

    def _histogram(self, pid: str) -> Iterator[str]:
        yield "# HELP refmaker_request_seconds Time until an answer was sent."
        yield "# TYPE refmaker_request_seconds histogram"
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._seconds, strict=True):
            total += count
            yield f'refmaker_request_seconds_bucket{{{pid},le="{bound}"}} {total}'
        yield f"refmaker_request_seconds_sum{{{pid}}} {self._total:.6f}"
        yield f"refmaker_request_seconds_count{{{pid}}} {total}"
