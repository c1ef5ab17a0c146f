"""How far a store is behind the other site's: read from SeaweedFS, shown by `quaderno status`."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from quaderno import config as quaderno_config
from quaderno.cli import app
from quaderno.config import Config, generate
from quaderno.storage import replication_lag
from quaderno.storage.replication_lag import Lag
from tests.ports import free_ports

MEMBERS = [
    {"name": name, "address": f"http://{name}.example.org", "store": f"{name}.example.org:8020"}
    for name in ("bari", "cnaf")
]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    data = yaml.safe_load(quaderno_config.dump(generate(tmp_path, first_port=free_ports())))
    data["sites"] |= {"name": "bari", "members": MEMBERS}
    (tmp_path / "quaderno.yaml").write_text(yaml.safe_dump(data))
    return quaderno_config.load(tmp_path)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is there answers at once, unless the machine is busy."""
    monkeypatch.setattr(replication_lag, "_WITHIN", 60)


@contextmanager
def answering(port: int, text: str) -> Iterator[None]:
    """A server that says `text` whatever it is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def seaweedfs(seconds_ago: float) -> str:
    nanoseconds = (time.time() - seconds_ago) * 1e9
    return (
        "# TYPE SeaweedFS_filerSync_sync_offset gauge\n"
        f'SeaweedFS_filerSync_sync_offset{{sourceFiler="a",targetFiler="b"}} {nanoseconds}\n'
    )


def gauge(exposition: bytes, name: str = "behind_seconds") -> float | None:
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }
    return values.get(f"quaderno_replication_{name}")


def test_the_last_word_is_remembered(config: Config) -> None:
    async def story() -> None:
        lag = Lag(config, lambda: 3)
        assert gauge(await lag.exposition()) is None
        assert gauge(await lag.exposition(), "owed_objects") == 3
        with answering(config.ports.replication_metrics, seaweedfs(seconds_ago=40)):
            exposition = await lag.exposition()
        assert b"SeaweedFS_filerSync_sync_offset{" in exposition
        assert 40 <= (gauge(exposition) or 0) < 90
        # SeaweedFS's program is started again, and has heard nothing yet.
        with answering(config.ports.replication_metrics, "SeaweedFS_filerSync_sync_offset 0\n"):
            assert gauge(await lag.exposition()) is not None
        assert (gauge(await lag.exposition()) or 0) >= 40

    asyncio.run(story())


def status(config: Config) -> tuple[dict[str, Any], str]:
    """As JSON, and as text in one line."""
    command = ["status", "--dir", str(config.dir)]
    as_json, text = (CliRunner().invoke(app, [*command, *more]) for more in (["--json"], []))
    return json.loads(as_json.output), " ".join(text.output.split())


@pytest.mark.parametrize(
    ("behind", "owed", "shown", "warned"),
    [
        (1.26, 0, "1.3 s", False),
        (None, 2, "not known 2 of its objects wait for room", False),
        (replication_lag.WARN_AFTER, 0, "60", True),
    ],
)
def test_status_says_it(
    config: Config, behind: float | None, owed: int, shown: str, warned: bool
) -> None:
    with answering(config.ports.replication, json.dumps({"behind": behind, "owed": owed})):
        found, text = status(config)
    assert found["replication"] == {"source": "cnaf", "behind": behind, "owed": owed}
    assert ("wait for room" in text) == bool(owed)
    assert f"the store is behind that of cnaf: {shown}" in text
    told = [line for line in found["warnings"] if "behind that of cnaf" in line]
    assert (len(told), "warning this site's store" in text) == (warned, warned)


def test_status_where_it_does_not_answer_or_is_not(config: Config, tmp_path: Path) -> None:
    found, text = status(config)
    assert found["replication"] == {"source": "cnaf", "behind": None, "owed": 0}
    assert "not known" in text
    single = tmp_path / "single"
    CliRunner().invoke(app, ["init", "--dir", str(single), "--port", str(free_ports())])
    found, text = status(quaderno_config.load(single))
    assert found["replication"] is None
    assert "behind" not in text
