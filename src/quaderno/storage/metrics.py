"""The node agent's figures in the form that Prometheus reads. Pure.

Summed over the people of this node: who they are is nobody's business who looks at a graph.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quaderno.storage.cache_disk import CacheDisk
from quaderno.storage.health import NOTICE_AT, Level
from quaderno.storage.states import State

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(people: Iterable[Mapping[str, Any]], disk: CacheDisk) -> bytes:
    """The metrics of people as `UserMounts.describe` describes them, and of the cache's disk."""
    registry = CollectorRegistry()
    registry.register(_People(list(people)))
    registry.register(_Disk(disk))
    return generate_latest(registry)


class _Disk(Collector):
    def __init__(self, disk: CacheDisk) -> None:
        self._disk = disk

    def collect(self) -> Iterator[Metric]:
        for name, text, value in (
            ("free", "Bytes free on the disk of the caches.", self._disk.free),
            ("ballast_missing", "Bytes of ballast given up.", self._disk.missing),
        ):
            yield GaugeMetricFamily(f"quaderno_storage_cache_disk_{name}_bytes", text, value)


class _People(Collector):
    def __init__(self, people: list[Mapping[str, Any]]) -> None:
        self._people = people

    def collect(self) -> Iterator[Metric]:
        yield self._by("state", "People whose mounts are in a state.", State)
        yield self._by("level", "People whose storage is at a level.", Level)
        pending = [person["pending"] for person in self._people]
        for name, text, value in (
            ("pending_files", "Files not uploaded yet.", sum(p["files"] for p in pending)),
            ("pending_bytes", "Bytes not uploaded yet.", sum(p["bytes"] for p in pending)),
            (
                "pending_oldest_seconds",
                "Age of the oldest file that is not uploaded; 0 when there is none.",
                max((p["oldest"] or 0 for p in pending), default=0),
            ),
            ("refused_files", "Files that the store refuses.", self._sum("refused", len)),
            ("rescued_files", "Files kept aside for their owners.", self._sum("rescued", int)),
            ("read_only_people", "People who cannot write now.", self._sum("read_only", int)),
            *self._quotas(),
        ):
            yield GaugeMetricFamily(f"quaderno_storage_{name}", text, value)

    def _quotas(self) -> Iterator[tuple[str, str, int]]:
        quotas = [quota for person in self._people if (quota := person["quota"])]
        limited = [quota for quota in quotas if quota["limit"]]
        near = [quota for quota in limited if quota["used"] >= NOTICE_AT * quota["limit"]]
        yield "used_bytes", "Bytes in personal buckets.", sum(quota["used"] for quota in quotas)
        yield "quota_bytes", "Sum of the quotas.", sum(quota["limit"] for quota in limited)
        yield "quota_near_people", "People who use 80 % of their quota or more.", len(near)
        yield (
            "quota_full_people",
            "People whose quota is used up.",
            sum(quota["full"] for quota in quotas),
        )

    def _by(self, label: str, text: str, values: Iterable[str]) -> Metric:
        """Every value, that a graph may go back to zero."""
        found = Counter(str(person[label]) for person in self._people)
        family = GaugeMetricFamily(f"quaderno_storage_people_by_{label}", text, labels=[label])
        for value in values:
            family.add_metric([str(value)], found[str(value)])
        return family

    def _sum(self, field: str, value: Any) -> int:
        return sum(value(person[field]) for person in self._people)
