"""The base image, run as the hub runs it: what people find inside, and what must not be there."""

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.models.containers import Container
from docker.models.networks import Network

from quaderno import config as configuration
from quaderno.errors import HostError
from quaderno.images import build, host, parent
from quaderno.storage import buckets
from tests.contract.hub_api import HubApi, environment
from tests.contract.lab_fixtures import CONFINED, bridge, client_of, gateway
from tests.contract.storage_fixtures import Hub, Issuer, Store, new_config
from tests.serving import serving


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base image's reference, built if it is not of this state of the sources."""
    config = configuration.generate(tmp_path_factory.mktemp("image"))
    build.build_base(config, print)
    return build.base_reference(config)


@pytest.fixture
def run(engine: docker.DockerClient, image: str) -> Iterator[Callable[..., Container]]:
    """Starts containers as the hub does."""
    with ExitStack() as stack:

        def run(command: list[str] | None = None, **options: Any) -> Container:
            container = engine.containers.create(image, command, **{**CONFINED, **options})
            stack.callback(container.remove, force=True, v=True)
            container.start()
            return container

        yield run


@pytest.fixture
def shell(run: Callable[..., Container]) -> Callable[..., str]:
    """Runs a command in a new container; its output, once it succeeded."""

    def shell(command: str, **options: Any) -> str:
        container = run(["sh", "-c", command], **options)
        status = container.wait(timeout=300)["StatusCode"]
        output = str(container.logs().decode())
        assert status == 0, output
        return output

    return shell


# --- building


def test_building_again_does_nothing(image: str, tmp_path: Path) -> None:
    lines: list[str] = []
    build.build_base(configuration.generate(tmp_path), lines.append)
    assert lines == [f"image {image} is up to date"]


def test_a_failed_build_shows_its_last_lines(tmp_path: Path, image: str) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image} AS system\nRUN seq 1000 1030 && echo cause >&2 && false\n"
        "FROM system AS base\n"
    )
    lines: list[str] = []
    log = tmp_path / "log"
    with pytest.raises(HostError, match="quaderno/failing could not be built") as caught:
        build.build(tmp_path, "quaderno/failing", {}, log, lines.append)
    assert str(log) in caught.value.hint
    assert "1000" in log.read_text()
    assert lines[0] == "installing Debian packages"
    assert len(lines) <= 1 + 15
    assert any("cause" in line for line in lines)


def test_a_build_from_a_base_image_that_is_not_here_says_where_to_find_its_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM quaderno/base:of-no-version\nRUN true\n")
    with pytest.raises(HostError, match="quaderno/failing could not be built") as caught:
        build.build(tmp_path, "quaderno/failing", {}, tmp_path / "log", print)
    assert "quaderno image list" in caught.value.hint


def test_parent_is_made_where_no_registry_has_it(
    engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent, "PARENT", "quaderno-test/none-has-this:1")
    with monkeypatch.context() as without, pytest.raises(HostError, match="without mmdebstrap"):
        without.setenv("PATH", str(tmp_path))
        parent.ensure_parent(engine, tmp_path / "log", tmp_path)
    try:
        made = parent.ensure_parent(engine, tmp_path / "log", tmp_path)
        assert made == "made from Debian's packages"
        release = engine.containers.run(parent.PARENT, ["cat", "/etc/os-release"], remove=True)
        assert b"bookworm" in release
        assert parent.ensure_parent(engine, tmp_path / "log", tmp_path) == "present"
    finally:
        engine.images.remove(parent.PARENT, force=True)


# --- what is inside


def test_labels_and_size(engine: docker.DockerClient, image: str) -> None:
    attributes = engine.images.get(image).attrs
    labels = attributes["Config"]["Labels"]
    assert labels["quaderno.contract"] == "1"
    assert labels["org.opencontainers.image.version"] == image.rpartition(":")[2]
    assert re.fullmatch("[0-9a-f]{64}", labels["quaderno.source"])
    assert attributes["Size"] < 1_500_000_000


def test_the_user_and_the_places(shell: Callable[..., str]) -> None:
    output = shell(
        "whoami; id -u; id -g; pwd; echo $HOME; ls; touch new local/new ~/new; "
        "grep -E 'CapEff|NoNewPrivs' /proc/self/status; stat -c %U:%G . local examples"
    )
    assert output.split() == [
        *("jovyan", "1000", "100", "/workarea", "/home/jovyan"),
        *("cloud_storage", "examples", "local"),
        *("CapEff:", "0000000000000000", "NoNewPrivs:", "1"),
        *["jovyan:users"] * 3,
    ]


def test_read_only_binds_and_root_owned_files_stay_so(
    shell: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("kept")
    tmp_path.chmod(0o777)
    volumes = {str(tmp_path): {"bind": "/workarea/cloud_storage", "mode": "ro"}}
    command = "cat cloud_storage/kept; ! touch cloud_storage/new 2>&1; ! touch /etc/quaderno/new"
    assert "Read-only file system" in shell(command, volumes=volumes)


def test_scientific_python(shell: Callable[..., str]) -> None:
    modules = (
        "boto3 h5py ipywidgets matplotlib.pyplot numpy pandas pyarrow.parquet s3fs scipy.optimize"
    )
    shell(f"python -W error::ImportWarning -c 'import {', '.join(modules.split())}'")
    shell("command -v git curl less nano vi rsync ps tini oidc-token rclone jupyterhub-singleuser")
    assert "jupyterlab" in shell("jupyter labextension list 2>&1")


def test_programs_are_compiled_and_locales_known(shell: Callable[..., str]) -> None:
    """As packages of PyPI ask for where they come without a wheel."""
    shell(
        "printf '#include <Python.h>\n#include <vector>\nstd::vector<int> all;' > a.cc && "
        "printf 'a.so: a.cc\n\tg++ -O2 -shared -fPIC $(shell python3-config --includes) "
        "a.cc -o a.so\n' > Makefile && make && test -s a.so && gcc --version"
    )
    script = "import locale as l; l.setlocale(l.LC_ALL, ''); print(l.nl_langinfo(l.DAY_2))"
    italian = {"LC_ALL": "it_IT.UTF-8"}
    assert shell(f'python -c "{script}"', environment=italian).strip() == "lunedì"


def test_terminals_find_the_same_programs(shell: Callable[..., str]) -> None:
    """JupyterLab's terminals are login shells."""
    assert shell("bash -lc 'command -v python pip'").split() == [
        "/opt/quaderno/bin/python",
        "/opt/quaderno/bin/pip",
    ]


def test_people_install_packages_for_the_life_of_their_server(shell: Callable[..., str]) -> None:
    shell(
        "mkdir -p p/p && touch p/p/__init__.py && cd p && printf '[build-system]\nrequires=[]\n"
        'build-backend="hatchling.build"\n[project]\nname="p"\nversion="1"\n\' > pyproject.toml && '
        "pip install --quiet --no-build-isolation --no-index . && cd / && python -c 'import p'"
    )


def test_everything_is_compiled(shell: Callable[..., str]) -> None:
    """What is not would be compiled at every start, for the file system is a new one each time."""
    script = (
        "import sys, importlib.util as u, jupyterhub.singleuser, jupyterlab.labapp, ipykernel;"
        "import jupyter_lsp, jupyter_resource_usage, jupyter_server_proxy, jupyterlab_git.handlers;"
        "from pathlib import Path;"
        "print([m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)"
        " and m.__file__.endswith('.py') and not Path(u.cache_from_source(m.__file__)).exists()])"
    )
    assert shell(f'python -B -c "{script}"').strip() == "[]"


def test_no_layer_holds_anything_of_the_host(
    engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    with archive.open("wb") as output:
        output.writelines(engine.images.get(image).save())
    bundle = host.ca_bundle().read_bytes()
    for name, size, content in _layers(archive):
        assert not name.startswith(("root/.", "home/jovyan/.cache", "tmp/")), name
        assert not name.startswith("run/secrets") or not size, name
        assert size != len(bundle) or content() != bundle, name
    history = json.dumps(engine.images.get(image).history())
    assert not re.search(r"proxy=|index-url|BEGIN CERTIFICATE", history, re.IGNORECASE)


def _layers(archive: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Each regular file of the layers above the parent: its name, size and content."""

    def content(layer: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        file = layer.extractfile(member)
        assert file
        return file.read()

    with tarfile.open(archive) as image:
        manifest = json.loads(content(image, image.getmember("manifest.json")))
        for name in manifest[0]["Layers"][1:]:
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                for member in filter(tarfile.TarInfo.isfile, layer):
                    yield member.name, member.size, partial(content, layer, member)


# --- JupyterLab


@pytest.fixture
def network(engine: docker.DockerClient) -> Iterator[Network]:
    with bridge(engine) as network:
        yield network


@pytest.fixture
def lab(network: Network, run: Callable[..., Container]) -> Iterator[httpx.Client]:
    """A client of Anna's JupyterLab, which was started by the image's own command."""
    with serving(HubApi(gateway(network))) as hub:
        container = run(environment=environment(hub.url), network=network.name)
        with client_of(container, network) as client:
            yield client


def test_jupyterlab_opens_on_workarea(lab: httpx.Client) -> None:
    assert lab.get("").headers["Location"].startswith("/user/anna/lab")
    page = lab.get("lab")
    assert page.status_code == 200
    assert '"serverRoot": "/workarea"' in page.text
    names = {entry["name"] for entry in lab.get("api/contents").json()["content"]}
    assert names == {"cloud_storage", "examples", "local"}


def test_it_runs_as_whatever_user_a_cluster_chooses(
    network: Network, run: Callable[..., Container]
) -> None:
    with serving(HubApi(gateway(network))) as hub:
        container = run(environment=environment(hub.url), network=network.name, user="123456:0")
        with client_of(container, network) as client:
            notebook = {"type": "notebook"}
            assert client.post("api/contents", json=notebook).status_code == 201
            assert client.post("api/kernels", json={"name": "python3"}).status_code == 201


def test_jupyterlab_admits_its_user_only(lab: httpx.Client) -> None:
    refused = lab.get("api/contents", headers={"Authorization": "token bob's"})
    assert refused.status_code == 403


def test_kernels_terminals_and_memory_use_are_there(lab: httpx.Client) -> None:
    assert "python3" in lab.get("api/kernelspecs").json()["kernelspecs"]
    assert lab.get("api/terminals").json() == []
    assert lab.get("api/metrics/v1").json()["rss"] > 0


# --- object storage


def test_the_s3_example_runs_as_it_is(shell: Callable[..., str], tmp_path: Path) -> None:
    config = new_config(tmp_path)
    issuer, store = Issuer(config), Store(config)
    with ExitStack() as stack:
        stack.callback(store.stop)
        stack.enter_context(issuer.serving())
        store.start()
        stack.enter_context(Hub(config, issuer).serving())
        environment = {
            "AWS_ENDPOINT_URL_S3": config.store_endpoint,
            "AWS_PROFILE": "process",  # no JupyterLab runs here
            "AWS_REGION": config.store.region,
            "JUPYTERHUB_API_TOKEN": config.agent.hub_token.get_secret_value(),
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{config.ports.hub}/hub/api",
            "JUPYTERHUB_USER": "anna",
        }
        buckets.ensure_personal_bucket(config, "anna", issuer.keys("anna"))
        output = shell("python examples/s3_boto3.py", environment=environment, network_mode="host")
    assert "downloaded b'Hello from the S3 API" in output
    assert "by link    b'Hello from the S3 API" in output
    assert "examples/hello.txt" in output.splitlines()[-1]
