"""rclone killed, the store or all stopped: what people notice, which should be next to nothing."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from quaderno import supervisor
from tests.service import http_person
from tests.service.running import Hub, Service, wait_for
from tests.service.s3 import object_store

pytestmark = pytest.mark.usefixtures("adas_server")


def test_rclone_killed_under_a_running_server(service: Service) -> None:
    write = "open('/workarea/cloud_storage/ada/before.txt', 'w').write('before')"
    service.inside("ada", write)
    store = object_store(service, "ada")
    wait_for(lambda: store.read("ada", "before.txt"), 60, "the upload")
    for pid in _rclones(service):
        with suppress(ProcessLookupError):  # of somebody whose server has stopped
            os.kill(pid, signal.SIGKILL)
    read = "print(open('/workarea/cloud_storage/ada/before.txt').read())"
    wait_for(lambda: service.inside("ada", read, check=False) == (0, "before"), 60, "the mount")


def _rclones(service: Service) -> list[int]:
    mine = str(service.config.dir)
    found = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "rcd" in (words := process.info["cmdline"] or []) and mine in " ".join(words)
    ]
    assert found
    return found


def test_a_server_starts_without_the_store_and_gets_it_later(service: Service, hub: Hub) -> None:
    hub.stop("ada")
    # Which waits for no upload: mounts that are still there would serve the next server, too.
    wait_for(
        lambda: service.agent("/users/ada")["state"] == "UNMOUNTED", 60, "the end of the mounts"
    )
    supervisor.stop_component(service.config, "store")
    try:
        hub.start("ada")
        listing = "import os; print(sorted(os.listdir('/workarea/cloud_storage')))"
        assert "STORAGE_UNAVAILABLE.txt" in service.inside("ada", listing)[1]
        attempt = (
            "try: open('/workarea/cloud_storage/ada/lost.txt', 'w')\n"
            "except OSError as error: print(type(error).__name__)\n"
        )
        assert service.inside("ada", attempt)[1] in ("PermissionError", "OSError")
    finally:
        supervisor.restart_component(service.config, "store")
    wait_for(service.all_running, 120, "the store")
    read = "print(open('/workarea/cloud_storage/ada/before.txt').read())"
    wait_for(lambda: service.inside("ada", read, check=False) == (0, "before"), 60, "the files")
    # The mounts come one by one, and then it goes.
    wait_for(
        lambda: "STORAGE_UNAVAILABLE.txt" not in service.inside("ada", listing)[1], 60, "its end"
    )


def test_up_again_changes_nothing(service: Service) -> None:
    pids = {name: component.pid for name, component in service.status().items()}
    # What does not answer at once is waited for, and left as it is, too.
    wait_for(lambda: "already" in service.quaderno("up", "--detach").stdout, 60, "nothing to do")
    assert {name: component.pid for name, component in service.status().items()} == pids


def test_down_and_up_finds_everything(service: Service, hub: Hub) -> None:
    service.inside("ada", "open('/workarea/cloud_storage/ada/last.txt', 'w').write('last')")
    service.inside("ada", "open('/workarea/local/last.txt', 'w').write('last')")
    service.inside("ada", "open('/workarea/only-here.txt', 'w').write('last')")
    before = json.loads(service.quaderno("status", "--json", check=False).stdout)
    assert before["warnings"] == [], "the node's disks are as they should be"
    service.quaderno("down")
    answer = service.quaderno("status", "--json", check=False)
    assert answer.returncode == 1
    assert {entry["state"] for entry in json.loads(answer.stdout)["components"]} == {"stopped"}
    assert str(service.config.dir) not in Path("/proc/self/mountinfo").read_text()
    service.quaderno("up", "--detach")
    wait_for(lambda: not hub.running("ada"), 180, "the hub's notice")
    with http_person.logged_in(service, "ada") as client:
        page = client.get(f"{service.config.public_url}/user/ada/lab").text
    assert "because the operators of this service stopped all of it." in page
    assert "1 file (4 bytes) that existed only there was copied to" in page
    hub.start("ada")
    read = "print([open(f'/workarea/{p}/last.txt').read() for p in ('cloud_storage/ada', 'local')])"
    wait_for(
        lambda: service.inside("ada", read, check=False)[1] == "['last', 'last']", 60, "the files"
    )
