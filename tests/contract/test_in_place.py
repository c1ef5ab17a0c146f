"""Notebooks edited where they are kept: what a save sends to the store, and what else it writes."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.lab_fixtures import Engine, Lab, node_binds
from tests.contract.node_fixtures import Node, as_user, running_node
from tests.contract.storage_fixtures import eventually, limit

Record = Callable[[str, object], None]
SAVES, SIZE = 20, 70_000  # bytes
NOTEBOOK = "cloud_storage/anna/notebook.ipynb"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("n")) as node:
        yield node


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open() as engine:
        yield engine


@pytest.fixture(scope="module")
def lab(node: Node, engine: Engine) -> Iterator[Lab]:
    """Anna's JupyterLab, with her files mounted."""
    node.ready("anna")
    with engine.lab(volumes=node_binds(node)) as lab:
        yield lab


# --- saving


def notebook(text: str) -> dict[str, Any]:
    """A notebook with one cell."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "one",
        "metadata": {},
        "outputs": [],
        "source": text,
    }
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def save(lab: Lab, path: str, text: str) -> dict[str, Any]:
    """As JupyterLab saves; what the server says of the file then."""
    model = {"type": "notebook", "format": "json", "content": notebook(text)}
    answer = lab.client.put(f"api/contents/{path}", json=model, timeout=60)
    assert answer.is_success, answer.text
    return dict(answer.json())


def read(lab: Lab, path: str) -> str:
    """The text in a notebook's cell, as JupyterLab opens it."""
    answer = lab.client.get(f"api/contents/{path}", timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["content"]["cells"][0]["source"])


def in_s3(store: Any, key: str) -> str:
    """The same of the object; empty while there is none that is whole."""
    try:
        content = json.load(store.get_object(Bucket="anna", Key=key)["Body"])
    except (ClientError, ValueError):
        return ""
    return "".join(content["cells"][0]["source"])


def test_a_save_is_one_upload_and_keeps_its_time(
    node: Node, lab: Lab, record_property: Record
) -> None:
    store, seconds, uploads = node.s3("anna"), [], []
    save(lab, NOTEBOOK, "new")
    eventually(lambda: in_s3(store, "notebook.ipynb") == "new", 60, "the notebook is in S3")
    for number in range(SAVES):
        text, before = f"# {number}\n" + "x" * SIZE, len(node.faults.changes("/anna/"))
        began = time.monotonic()
        saved = save(lab, NOTEBOOK, text)
        seconds.append(time.monotonic() - began)
        eventually(
            lambda text=text: in_s3(store, "notebook.ipynb") == text,  # type: ignore[misc]
            60,
            "the notebook is in S3",
        )
        sent = node.faults.changes("/anna/")[before:]
        # On a slow machine the copy that guards the save is uploaded, too, and deleted.
        assert {request.method for request in sent} <= {"PUT", "DELETE"}, sent
        uploads.append(sum(request.method == "PUT" for request in sent))
        assert uploads[-1] <= 2, sent
        assert time_shift(lab, saved) <= 0.1
    record_property("median_seconds_of_a_save", statistics.median(seconds))
    record_property("uploads_of_a_save", statistics.mean(uploads))
    assert statistics.median(seconds) <= limit(0.1, 30)


def time_shift(lab: Lab, saved: dict[str, Any]) -> float:
    """By how much the file's time is another than after saving, in seconds; JupyterLab asks
    before the next save, and at half a second says that the file changed on disk."""
    now = lab.client.get(f"api/contents/{saved['path']}", params={"content": 0}).json()
    times = [datetime.fromisoformat(model["last_modified"]) for model in (saved, now)]
    return abs((times[1] - times[0]).total_seconds())


def test_a_server_that_dies_while_it_saves_leaves_a_whole_notebook(node: Node, lab: Lab) -> None:
    save(lab, "cloud_storage/anna/whole.ipynb", "whole")
    lab.run(
        '! python -c "\n'
        "import os, signal\n"
        "from jupyter_server.services.contents.fileio import atomic_writing\n"
        "with atomic_writing('cloud_storage/anna/whole.ipynb') as file:\n"
        "    file.write('{')\n"
        "    file.flush()\n"
        '    os.kill(os.getpid(), signal.SIGKILL)"'
    )
    assert lab.run("cat cloud_storage/anna/whole.ipynb") == "{"
    assert read(lab, "cloud_storage/anna/whole.ipynb") == "whole"
    store = node.s3("anna")
    eventually(lambda: in_s3(store, "whole.ipynb") == "whole", 60, "the whole one is in S3")


# --- checkpoints


def checkpoint(lab: Lab, path: str) -> None:
    """As JupyterLab makes one when somebody saves, or restores it when asked to."""
    assert lab.client.post(f"api/contents/{path}/checkpoints").status_code == 201


def restore(lab: Lab, path: str) -> None:
    (found,) = lab.client.get(f"api/contents/{path}/checkpoints").json()
    answer = lab.client.post(f"api/contents/{path}/checkpoints/{found['id']}")
    assert answer.status_code == 204, answer.text


def directory(lab: Lab, path: str) -> None:
    assert lab.client.put(f"api/contents/{path}", json={"type": "directory"}).is_success


def test_checkpoints_are_beside_no_notebook_and_shared_by_none(node: Node, lab: Lab) -> None:
    places = ["cloud_storage/anna/one", "cloud_storage/anna/two"]
    for place in places:
        directory(lab, place)
        save(lab, f"{place}/same.ipynb", f"of {place}")
        checkpoint(lab, f"{place}/same.ipynb")
        save(lab, f"{place}/same.ipynb", "later")
    for place in places:
        restore(lab, f"{place}/same.ipynb")
        assert read(lab, f"{place}/same.ipynb") == f"of {place}"
    assert lab.run("find cloud_storage examples -name '*checkpoint*'") == ""
    eventually(lambda: node.state("anna")["pending"]["files"] == 0, 60, "all is uploaded")
    assert [key for key in node.keys_in_s3("anna", "anna") if "checkpoint" in key] == []


def test_checkpoints_go_where_their_directory_goes(lab: Lab) -> None:
    old, new = "cloud_storage/anna/before", "cloud_storage/anna/after"
    directory(lab, old)
    save(lab, f"{old}/notebook.ipynb", "first")
    save(lab, f"{old}/notebook.ipynb", "second")
    assert lab.client.patch(f"api/contents/{old}", json={"path": new}).is_success
    restore(lab, f"{new}/notebook.ipynb")
    assert read(lab, f"{new}/notebook.ipynb") == "first"
    for path in (f"{new}/notebook.ipynb", new):
        assert lab.client.delete(f"api/contents/{path}").status_code == 204
    assert (
        lab.run("ls local/.quaderno/checkpoints/cloud_storage/anna | grep -c after || true") == "0"
    )


def test_checkpoints_outlive_a_server_as_their_notebooks_do(node: Node, engine: Engine) -> None:
    node.ready("anna")
    kept, passing = "cloud_storage/anna/kept.ipynb", "passing.ipynb"
    for text in ("first", "second"):
        with engine.lab(volumes=node_binds(node)) as lab:
            for path in (kept, passing):
                save(lab, path, text)
                restore(lab, path)
            assert (read(lab, kept), read(lab, passing)) == ("first", text)


def test_checkpoints_stay_inside_the_work_area(lab: Lab) -> None:
    outside = lab.client.get("api/contents/..%2f..%2fetc/passwd/checkpoints")
    assert outside.status_code == 404


# --- what else Jupyter writes

KERNEL = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel()
client.execute_interactive("print(6 * 7)", store_history=True)
client.stop_channels()
manager.shutdown_kernel()
"""


def test_databases_are_in_local_and_never_in_the_bucket(node: Node, lab: Lab) -> None:
    save(lab, "cloud_storage/anna/trusted.ipynb", "trusted")
    assert lab.run(f"cd cloud_storage/anna && python -c '{KERNEL}' 2>/dev/null") == "42"
    assert lab.run("ls local/.quaderno").split() == ["checkpoints", "ipython", "trust"]
    assert "6 * 7" in lab.run("ipython -c '%history -g 6'")
    hidden = lab.run("find cloud_storage/anna -name '.*' ! -name '.quaderno'")
    assert hidden == ""


@pytest.mark.parametrize("trouble", ["full", "fills", "read-only"])
def test_nothing_fails_for_want_of_room_in_local(engine: Engine, trouble: str) -> None:
    """Notebooks are opened and saved, with checkpoints, and kernels run."""
    mode = "ro" if trouble == "read-only" else "rw"
    local = f"{mode},size=128k,uid=1000,gid=100,mode=0700"
    path = "cloud_storage/notebook.ipynb"
    fill = "! dd if=/dev/zero of=local/fill bs=1k count=1000 2>/dev/null"
    command = f"{fill}; exec quaderno-singleuser" if trouble == "full" else "quaderno-singleuser"
    with engine.lab(command=["sh", "-c", command], tmpfs={"/workarea/local": local}) as lab:
        save(lab, path, "first")
        if trouble == "fills":
            lab.run(fill)
        for text in ("second", "x" * SIZE):
            save(lab, path, text)
            checkpoint(lab, path)
        save(lab, path, "last")
        restore(lab, path)
        assert read(lab, path) == "x" * SIZE
        assert lab.run(f"python -c '{KERNEL}' 2>/dev/null") == "42"


# --- what is refused

REFUSED = """
import errno, json, os, shutil, sys, time

def write(path): open(path, "w").close()
def append(path): open(path, "a").close()

theirs, new = "scratch/bob/of-bob.txt", "scratch/bob/new"
attempts = {
    "write": lambda: write(new),
    "write at the top": lambda: write("scratch/new"),
    "overwrite": lambda: write(theirs),
    "append": lambda: append(theirs),
    "truncate": lambda: os.truncate(theirs, 1),
    "unlink": lambda: os.unlink(theirs),
    "mkdir": lambda: os.mkdir(new),
    "rmdir": lambda: os.rmdir("scratch/bob/directory"),
    "rename": lambda: os.rename(theirs, new),
    "rename a directory": lambda: os.rename("scratch/bob", "scratch/carol"),
    "move out": lambda: shutil.move(theirs, "anna/taken.txt"),
    "move out to one's own": lambda: shutil.move(theirs, "scratch/anna/taken.txt"),
    "move in": lambda: shutil.move("anna/mine.txt", new),
    "move in from one's own": lambda: shutil.move("scratch/anna/mine.txt", new),
    "chmod": lambda: os.chmod(theirs, 0o777),
    "utime": lambda: os.utime(theirs),
    "symlink": lambda: os.symlink("of-bob.txt", new),
    "write to one's own": lambda: write("scratch/anna/new"),
}
results = {}
for name, attempt in attempts.items():
    began = time.monotonic()
    try:
        attempt()
        results[name] = ["done", time.monotonic() - began]
    except OSError as error:
        results[name] = [errno.errorcode[error.errno], time.monotonic() - began]
print(json.dumps(results))
"""


def test_what_is_refused_in_scratch_is_refused_here(node: Node, record_property: Record) -> None:
    """At once, by the kernel: the store is not asked to change anything."""
    node.s3("bob").put_object(Bucket="scratch", Key="bob/of-bob.txt", Body=b"bob's")
    node.s3("bob").put_object(Bucket="scratch", Key="bob/directory/file.txt", Body=b"bob's")
    root = node.ready("anna")
    node.refresh("anna")
    as_user("for d in ('anna', 'scratch/anna'): open(d + '/mine.txt', 'w').write('mine')", root)
    eventually(lambda: node.state("anna")["pending"]["files"] == 0, 60, "all is uploaded")
    results = json.loads(as_user(REFUSED, root))
    own = results.pop("write to one's own")
    assert own[0] == "done"
    assert {name: result[0] for name, result in results.items()} == dict.fromkeys(results, "EROFS")
    slowest = max(result[1] for result in results.values())
    record_property("slowest_refusal_seconds", slowest)
    assert slowest <= limit(0.05, 30)
    eventually(lambda: "anna/new" in node.keys_in_s3("anna", "scratch"), 60, "one's own is in S3")
    eventually(lambda: node.state("anna")["pending"]["files"] == 0, 60, "all is uploaded")
    others = [one for one in node.faults.changes("/scratch/") if "/scratch/anna" not in one.path]
    assert others == []
    assert as_user("print(open('scratch/bob/of-bob.txt').read())", root) == "bob's"
    assert as_user("print(open('anna/mine.txt').read())", root) == "mine"
