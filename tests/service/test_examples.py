"""What lies in /workarea/examples, run as it is by two people."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.running import Hub, Service
from tests.service.s3 import object_store
from tests.service.terminal import PEOPLE, printed, servers

pytestmark = pytest.mark.parametrize("username", PEOPLE)


@pytest.fixture(scope="module", autouse=True)
def two_servers(service: Service, hub: Hub) -> Iterator[None]:
    with servers(service, hub, cpu=1, memory="1G"):
        yield


@pytest.mark.parametrize(
    ("program", "key", "content"),
    [
        ("s3_boto3.py", "examples/hello.txt", "Hello from the S3 API\n"),
        ("s3_oidc_agent.py", "examples/hello-oidc.txt", "Hello from oidc-agent\n"),
    ],
)
def test_a_program(service: Service, username: str, program: str, key: str, content: str) -> None:
    output = printed(service, username, f"python examples/{program}")
    for line in (
        f"uploaded   s3://{username}/{key}",
        f"downloaded {content.encode()!r}",
        f"by link    {content.encode()!r}",
    ):
        assert line in output.splitlines()
    listed = output.partition("the bucket holds")[2]
    assert key in listed
    assert object_store(service, username).read(username, key) == content.encode()


def test_the_notebook(service: Service, username: str) -> None:
    """In a kernel of the server, cell by cell; the file itself stays without results."""
    before = printed(service, username, "cat examples/s3.ipynb")
    assert [cell["outputs"] for cell in code(before)] == [[]] * len(code(before))
    execute = "jupyter nbconvert --to notebook --execute --stdout examples/s3.ipynb 2>/tmp/log"
    done = code(printed(service, username, f"{execute} || (cat /tmp/log; false)"))
    outputs = [output for cell in done for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in outputs)
    text = "".join("".join(output.get("text", "")) for output in outputs)
    assert f"My bucket is {username} at http" in text
    assert text.count("Hello from a notebook") == 3  # downloaded, by link, with own keys
    assert any("image/png" in output.get("data", {}) for output in outputs)
    stored = object_store(service, username).read(username, "examples/oscillation.parquet")
    assert stored
    assert stored[:4] == stored[-4:] == b"PAR1"
    assert printed(service, username, "cat examples/s3.ipynb") == before


def code(notebook: str) -> list[dict[str, Any]]:
    """The code cells of a notebook (nbformat 4)."""
    cells = json.loads(notebook)["cells"]
    found = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(found) > 5
    return found
