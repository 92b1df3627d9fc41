"""Metric families made at the moment of reading, out of values that somebody else keeps."""

from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from runtime.telemetry.catalogue import Kind, MetricSpec


def family(spec: MetricSpec, samples: Iterable[tuple[Sequence[str], float | None]]) -> Metric:
    """Return a counter's or gauge's family; a value of None is no sample.

    Raises:
        ValueError: A histogram cannot be made of single values.
    """
    match spec.kind:
        case Kind.COUNTER:
            made: CounterMetricFamily | GaugeMetricFamily = CounterMetricFamily(
                spec.name, spec.help, labels=spec.labels
            )
        case Kind.GAUGE:
            made = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
        case Kind.HISTOGRAM:
            raise ValueError(f"{spec.name} is a histogram")
    for labels, value in samples:
        if value is not None:
            made.add_metric(labels, value)
    return made
