"""What a registry or a text in Prometheus's format says, as a mapping."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(registry: CollectorRegistry, name: str, labels: Mapping[str, str] | None = None) -> float | None:
    samples = samples_of(generate_latest(registry).decode())
    return samples.get((name, frozenset((labels or {}).items())))
