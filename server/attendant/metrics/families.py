"""How collectors become text: their values are read once, and their names may be written more than once.

``prometheus_client`` makes an object of each sample and sorts its labels anew for every page. The text before a value
never changes, so that it is made once here, which costs a tenth. Series named ``_created`` are left out: nobody reads
them, and they are a fifth of a page.

A page is written in Prometheus's own text format or as OpenMetrics 1.0, which has the same samples, and exemplars
behind the buckets that have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]
Rows = Sequence[tuple[Labels, Sequence[str]]]
"""Label values of a series, and the text of each of its samples."""


def number(value: float) -> str:
    """A value as Prometheus writes it."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def read_rows(metric: MetricWrapperBase, *, exemplars: bool = False) -> Rows:
    """The series of a collector as they are now; with ``exemplars``, behind the buckets that have one. Safe from any
    thread."""
    children = metric._metrics.copy().items()
    if isinstance(metric, Histogram):
        read = _with_exemplars if exemplars else _histogram
        return [(tuple(labels), read(cast(Histogram, child))) for labels, child in children]
    return [(tuple(labels), [number(_first(child))]) for labels, child in children]


def _first(child: MetricWrapperBase) -> float:
    return next(iter(child._child_samples())).value


def _histogram(child: Histogram) -> list[str]:
    """Each bucket with those below it, the count, and the sum."""
    total, text, found = 0.0, "0.0", []
    for bucket in child._buckets:
        if count := bucket.get():
            total += count
            text = number(total)
        found.append(text)
    return [*found, text, number(child._sum.get())]


def _with_exemplars(child: Histogram) -> list[str]:
    texts = _histogram(child)
    for index, bucket in enumerate(child._buckets):
        exemplar = bucket.get_exemplar()
        if exemplar is not None:
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in exemplar.labels.items())
            texts[index] += f" # {{{labels}}} {number(exemplar.value)} {exemplar.timestamp}"
    return texts


class Family:
    """A name on the page, with the series of one collector.

    Args:
        name: as in the first argument of a collector; the collector's own if None.
        constant: labels that every series has besides.
    """

    def __init__(
        self, metric: MetricWrapperBase, name: str | None = None, constant: Mapping[str, str] | None = None
    ) -> None:
        self._name = (name or metric._name) + ("_total" if isinstance(metric, Counter) else "")
        self._header = header(self._name, str(metric._type), metric._documentation)
        self._open_header = opened(self._header)
        self._label_names = metric._labelnames
        self._constant = dict(constant or {})
        self._bounds = [number(bound) for bound in metric._upper_bounds] if isinstance(metric, Histogram) else []
        self._before: dict[Labels, list[str]] = {}

    def write(self, page: list[str], rows: Rows, *, openmetrics: bool = False) -> None:
        """Append the family's lines."""
        page.append(self._open_header if openmetrics else self._header)
        for labels, values in rows:
            before = self._before.get(labels)
            if before is None:
                before = self._before[labels] = self._texts(labels)
            for text, value in zip(before, values, strict=True):
                page.append(f"{text}{value}\n")

    def _texts(self, labels: Labels) -> list[str]:
        """What stands before each value of a series."""
        all_labels = {**dict(zip(self._label_names, labels, strict=True)), **self._constant}
        if not self._bounds:
            return [sample(self._name, all_labels)]
        return [
            *(sample(f"{self._name}_bucket", {**all_labels, "le": bound}) for bound in self._bounds),
            sample(f"{self._name}_count", all_labels),
            sample(f"{self._name}_sum", all_labels),
        ]


def header(name: str, kind: str, text: str) -> str:
    """The two lines above the samples of ``name``."""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


_HEADER = re.compile(r"^# HELP (\S+) (.*)\n# TYPE \1 (\S+)$", re.MULTILINE)


def opened(text: str) -> str:
    """A family, or a header, of Prometheus's format as OpenMetrics has it. There a counter's name lacks the ``_total``
    of its sample; one that has none is of an unknown type."""
    return _HEADER.sub(_opened, text)


def _opened(match: re.Match[str]) -> str:
    name, text, kind = match.groups()
    if kind == "counter" and not name.endswith("_total"):
        kind = "unknown"
    elif kind == "counter":
        name = name.removesuffix("_total")
    return header(name, kind, text.replace('"', r"\"")).rstrip("\n")


def sample(name: str, labels: Mapping[str, str]) -> str:
    """The line of a sample up to its value."""
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}} "


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def written(name: str, kind: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]) -> str:
    """A family of a few samples that no collector has."""
    return header(name, kind, text) + "".join(f"{sample(name, labels)}{value}\n" for labels, value in values)
