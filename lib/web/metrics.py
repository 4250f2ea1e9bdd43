"""Figures for Prometheus; no label value is a client's text."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0)


class Metrics:
    """What one server counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._answers = Counter(
            "renal_http_requests_total", "Answers.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "renal_http_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._proposals = Counter("renal_proposals_total", "Proposals made.", ["model"], registry=self._registry)
        self._labels = Counter("renal_labels_saved_total", "Labels accepted.", registry=self._registry)
        self._logins = Counter("renal_logins_total", "Attempts to log in.", ["result"], registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answers.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def proposed(self, model: str) -> None:
        """Count a proposal of a model that exists."""
        self._proposals.labels(model).inc()

    def saved_label(self) -> None:
        """Count an accepted label."""
        self._labels.inc()

    def login(self, *, accepted: bool) -> None:
        """Count an attempt to log in."""
        self._logins.labels("accepted" if accepted else "refused").inc()

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Show a value that is read when the figures are."""
        Gauge(name, description, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All figures in Prometheus's format."""
        return generate_latest(self._registry)
