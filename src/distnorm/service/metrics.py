"""Counters of the service, in the text form that Prometheus reads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["BUCKETS", "Metrics"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ROUTES = (
    "/search", "/shift", "/bias", "/knn-service", "/indices-list", "/metadata", "/config",
    "/healthz", "/metrics", "/docs", "/openapi.json", "/session", "/learned", "/",
)  # fmt: skip
_TREES = ("/thumbnails/", "/static/", "/hubs", "/compare", "/map", "/learn")


@dataclass(eq=False)
class Metrics:
    """What was asked and answered; one route for all that is unknown, so that it stays small."""

    waiting: int = 0
    reloads: int = 0
    failed_reloads: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    buckets: Counter[float] = field(default_factory=Counter)
    seconds: float = 0.0
    began: float = field(default_factory=time.time)

    @contextmanager
    def request(self, path: str) -> Iterator[Callable[[int], None]]:
        """Count a request while it is in work; what is given is told its status."""
        start, route = time.perf_counter(), _route(path)
        self.waiting += 1

        def done(status: int) -> None:
            self.answers[route, status] += 1
            if route == "/search" and status == 200:
                took = time.perf_counter() - start
                self.seconds += took
                self.buckets[next((b for b in BUCKETS if took <= b), float("inf"))] += 1

        try:
            yield done
        finally:
            self.waiting -= 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """Everything, one metric per line; ``gauges`` are what others know."""
        lines = ["# TYPE distnorm_requests_total counter"]
        for (route, status), count in sorted(self.answers.items()):
            lines.append(f'distnorm_requests_total{{route="{route}",status="{status}"}} {count}')
        lines.append("# TYPE distnorm_search_seconds histogram")
        total = 0
        for bucket in (*BUCKETS, float("inf")):
            total += self.buckets[bucket]
            name = "+Inf" if bucket == float("inf") else f"{bucket:g}"
            lines.append(f'distnorm_search_seconds_bucket{{le="{name}"}} {total}')
        lines += [
            f"distnorm_search_seconds_sum {self.seconds:.6f}",
            f"distnorm_search_seconds_count {total}",
        ]
        own = {
            "requests_in_work": self.waiting,
            "reloads_total": self.reloads,
            "failed_reloads_total": self.failed_reloads,
            "start_time_seconds": self.began,
        }
        for name, value in {**own, **gauges}.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE distnorm_{name} {kind}", f"distnorm_{name} {value:.10g}"]
        return "\n".join(lines) + "\n"


def _route(path: str) -> str:
    if path in _ROUTES:
        return path
    return next((tree for tree in _TREES if path.startswith(tree)), "other")
