"""Start-up checks: what would stop Quaderno on this machine, found before anything starts.

A check yields findings; each has an id that stays the same, one line that says what is wrong and
one that says what to do. `error` means that `quaderno up` cannot succeed. What is wrong in
quaderno.yaml alone is found earlier, when it is read (`config.load`). A module for each subject.
"""

from collections.abc import Callable, Iterator

from quaderno.checks import addresses, database, disk, engine, machine, network
from quaderno.checks.finding import Finding
from quaderno.config import Config

__all__ = ["CHECKS", "Finding", "run"]

CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    machine.check_root,
    engine.check_engine,
    engine.check_engine_group,
    machine.check_fuse,
    disk.check_description_disk,
    disk.check_disk,
    disk.check_local_quota,
    machine.check_memory,
    machine.check_cpu,
    machine.check_open_files,
    network.check_forwarding,
    network.check_firewall,
    engine.check_image_builder,
    disk.check_reachable,
    network.check_ports,
    network.check_outgoing_ports,
    network.check_network,
    addresses.check_public_url,
    addresses.check_tls_files,
    addresses.check_sites,
    database.check_pg_dump,
)


def run(config: Config) -> list[Finding]:
    """Everything found, errors first."""
    found = [finding for check in CHECKS for finding in check(config)]
    return sorted(found, key=lambda finding: finding.level)
