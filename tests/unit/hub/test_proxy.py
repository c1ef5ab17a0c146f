"""The hub's routes, as they are kept in the file that Traefik watches."""

from pathlib import Path

import yaml

from quaderno.hub.proxy import SharedFileHandler

ROUTES = {"http": {"routers": {"router_user": {"rule": "PathPrefix(`/user/ada/`)"}}}}


def test_routes_are_yaml_for_the_edge_and_kept_for_the_next_hub(tmp_path: Path) -> None:
    file = tmp_path / "hub.yaml"
    SharedFileHandler(str(file)).atomic_dump(ROUTES)
    assert yaml.safe_load(file.read_text()) == ROUTES
    assert SharedFileHandler(str(file)).load() == ROUTES
    assert file.stat().st_mode & 0o777 == 0o640


def test_routes_of_earlier_versions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text(yaml.safe_dump(ROUTES))
    handler = SharedFileHandler(str(file))
    handler.atomic_dump(handler.load())
    assert yaml.safe_load(file.read_text()) == ROUTES
