"""JupyterLab's settings and workspaces, in the bucket and in the person's next server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.lab_fixtures import Engine, Lab, node_binds
from tests.contract.node_fixtures import Node, running_node
from tests.contract.storage_fixtures import eventually

THEMES = "@jupyterlab/apputils-extension:themes"
IN_BUCKET = ".quaderno/lab"
THEMES_KEY = f"{IN_BUCKET}/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
LAYOUT_KEY = f"{IN_BUCKET}/workspaces/default-37a8.jupyterlab-workspace"
SOON = 60  # seconds


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("n")) as node:
        yield node


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open() as engine:
        yield engine


def set_themes(lab: Lab, **settings: Any) -> None:
    """As JupyterLab does when somebody chooses a theme."""
    body = {"raw": json.dumps(settings)}
    answer = lab.client.put(f"lab/api/settings/{THEMES}", json=body)
    assert answer.status_code == 204, answer.text


def themes(lab: Lab) -> Any:
    return lab.client.get(f"lab/api/settings/{THEMES}").json()["settings"]


def set_layout(lab: Lab, layout: str) -> None:
    """As JupyterLab does by itself whenever a tab opens, closes or moves."""
    body = {"data": {"layout": layout}, "metadata": {"id": "default"}}
    assert lab.client.put("lab/api/workspaces/default", json=body).status_code == 204


def layout(lab: Lab) -> Any:
    return lab.client.get("lab/api/workspaces/default").json()["data"].get("layout")


def in_s3(node: Node, key: str) -> Any:
    try:
        return json.load(node.s3("anna").get_object(Bucket="anna", Key=key)["Body"])
    except (ClientError, ValueError):
        return None


def gone(node: Node) -> None:
    node.release("anna")
    node.in_state("anna", "UNMOUNTED", SOON)


def test_settings_are_there_in_the_next_server(node: Node, engine: Engine) -> None:
    """On whatever node, and however the one before ended."""
    node.ready("anna")
    with engine.lab(volumes=node_binds(node)) as lab:
        set_themes(lab, theme="JupyterLab Dark")
        set_layout(lab, "three notebooks")
        eventually(lambda: in_s3(node, THEMES_KEY), SOON, "the settings are in S3")
        eventually(lambda: in_s3(node, LAYOUT_KEY), SOON, "the workspace is in S3")
        for key in (THEMES_KEY, LAYOUT_KEY):
            sent = [one.path for one in node.faults.changes() if one.path == f"/anna/{key}"]
            assert len(sent) == 1
        lab.container.kill("SIGKILL")
    gone(node)
    node.ready("anna")
    with engine.lab(volumes=node_binds(node)) as lab:
        eventually(lambda: themes(lab) == {"theme": "JupyterLab Dark"}, SOON, "the theme is here")
        eventually(lambda: layout(lab) == "three notebooks", SOON, "the workspace is here")


def test_a_server_that_begins_without_storage_replaces_nothing(node: Node, engine: Engine) -> None:
    node.ready("anna")
    store = node.s3("anna")
    kept = {"theme": "JupyterLab Dark", "theme-scrollbars": True}
    workspace = {"data": {"layout": "three notebooks"}, "metadata": {"id": "default"}}
    for key, content in {THEMES_KEY: kept, LAYOUT_KEY: workspace}.items():
        store.put_object(Bucket="anna", Key=key, Body=json.dumps(content).encode())
    gone(node)
    with engine.lab(volumes=node_binds(node)) as lab:
        assert (themes(lab), layout(lab)) == ({}, None)
        set_themes(lab, theme="JupyterLab Light")
        set_layout(lab, "nothing")
        node.ready("anna")
        both = kept | {"theme": "JupyterLab Light"}
        eventually(lambda: themes(lab) == both, SOON, "the earlier settings are here")
        eventually(lambda: in_s3(node, THEMES_KEY) == both, SOON, "and the new one is in S3")
        set_layout(lab, "nothing again")
        set_themes(lab, theme="JupyterLab Dark High Contrast")
        last = kept | {"theme": "JupyterLab Dark High Contrast"}
        eventually(lambda: in_s3(node, THEMES_KEY) == last, SOON, "what the page knew not stays")
        earlier = THEMES_KEY.replace("user-settings", "earlier")
        # Of two uploads at once, either may be first.
        eventually(lambda: in_s3(node, earlier) == kept, SOON, "what was there before is kept")
        assert in_s3(node, LAYOUT_KEY) == workspace


def test_settings_are_saved_once_the_mounts_are_back(node: Node, engine: Engine) -> None:
    node.ready("anna")
    with engine.lab(volumes=node_binds(node)) as lab:
        set_themes(lab, theme="JupyterLab Dark")
        eventually(lambda: in_s3(node, THEMES_KEY), SOON, "the settings are in S3")
        gone(node)
        set_themes(lab, theme="JupyterLab Light")
        node.ready("anna")
        light = {"theme": "JupyterLab Light"}
        eventually(lambda: in_s3(node, THEMES_KEY) == light, SOON, "the change is in S3")


def test_of_two_servers_the_later_change_stays(node: Node, engine: Engine) -> None:
    node.ready("anna")
    volumes = node_binds(node)
    with engine.lab(volumes=volumes) as first, engine.lab(volumes=volumes) as second:
        for lab, theme in ((first, "Dark"), (second, "Light"), (first, "Dark High Contrast")):
            chosen = {"theme": f"JupyterLab {theme}"}
            set_themes(lab, **chosen)
            eventually(lambda chosen=chosen: in_s3(node, THEMES_KEY) == chosen, SOON, theme)  # type: ignore[misc]
        only = {"", "themes.jupyterlab-settings"}  # directories have no name
        # A file that waited for its name may have been sent without it, and goes once it has that.
        eventually(
            lambda: {key.rpartition("/")[2] for key in node.keys_in_s3("anna", "anna")} <= only,
            SOON,
            "nothing else is there",
        )
