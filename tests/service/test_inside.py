"""What a server may do and reach, tried from inside two people's containers."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator

import httpx
import pytest

from tests.secret_settings import secret_values
from tests.service import http_person
from tests.service.running import Hub, Service, wait_for
from tests.service.s3 import object_store

GIB = 2**30


@pytest.fixture(scope="module", autouse=True)
def two_servers(service: Service, hub: Hub) -> Iterator[None]:
    """Ada and Bob at work, whatever ran before."""
    for username in ("ada", "bob"):
        http_person.log_in(service, username)
        if hub.running(username):
            hub.stop(username)
        hub.start(username, cpu=0.5, memory="1G")
        service.await_storage(username)
    yield
    for username in ("ada", "bob"):
        if hub.running(username):
            hub.stop(username)


# --- confinement


def test_a_server_has_no_privileges(service: Service) -> None:
    _, status = service.inside("ada", "print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["1000"] * 4
    assert fields["Gid"].split() == ["100"] * 4
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


def test_it_cannot_become_root_or_mount(service: Service) -> None:
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.setuid(0) == -1\n"
        "assert libc.mount(b'tmpfs', b'/mnt', b'tmpfs', 0, None) == -1\n"
        "assert not os.path.exists('/var/run/docker.sock')\n"
        "assert not os.path.exists('/dev/fuse')\n"
    )
    service.inside("ada", code)


def test_memory_is_limited_by_the_engine(service: Service) -> None:
    code = "x = bytearray(3 * 2**30); print('got it')"
    status, output = service.inside("ada", code, check=False)
    assert status == 137
    assert "got it" not in output
    assert service.container("ada").status == "running"


def test_cpu_is_limited_by_the_engine(service: Service) -> None:
    code = (
        "import os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "def burn(_):\n"
        "    begin, cpu = time.monotonic(), time.process_time()\n"
        "    while time.monotonic() - begin < 2: pass\n"
        "    return begin, time.monotonic(), time.process_time() - cpu\n"
        "with ProcessPoolExecutor(2) as pool:\n"
        "    begun, ended, cpus = zip(*pool.map(burn, range(2)))\n"
        "print(sum(cpus) / (max(ended) - min(begun)))\n"
    )
    _, processors = service.inside("ada", code)
    assert float(processors) < 0.8  # of 2 that are free; a half is asked for


def test_libraries_size_themselves_to_the_limits(service: Service) -> None:
    code = (
        "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['LOKY_MAX_CPU_COUNT'],"
        " os.environ['CPU_LIMIT'], os.environ['MEM_LIMIT'])"
    )
    assert service.inside("ada", code)[1] == f"1 1 0.5 {GIB}"


def test_no_secret_of_the_service_is_inside(service: Service) -> None:
    """Neither in any process's environment or arguments, nor in a file the user can read."""
    assert service.holding("ada", secret_values(service.config)) == []


def test_the_number_of_processes_is_limited(service: Service) -> None:
    code = (
        "import glob\n"
        "(limit,) = glob.glob('/sys/fs/cgroup/**/pids.max', recursive=True)\n"
        "print(open(limit).read())\n"
    )
    assert service.inside("ada", code)[1] == str(service.config.servers.pids_limit)


# --- network

CONNECT = """
import socket
def reaches(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return True
    except OSError:
        return False
"""


def test_it_reaches_no_other_server(service: Service) -> None:
    name = service.container("bob").name
    networks = service.container("bob").attrs["NetworkSettings"]["Networks"]
    address = networks[name]["IPAddress"]
    assert service.inside("bob", f"{CONNECT}print(reaches({address!r}, 8888))")[1] == "True"
    assert service.inside("ada", f"{CONNECT}print(reaches({address!r}, 8888))")[1] == "False"
    assert service.inside("ada", f"{CONNECT}print(reaches({name!r}, 8888))")[1] == "False"


def test_it_reaches_only_what_is_meant_for_it(service: Service) -> None:
    ports = dict(service.config.ports)
    gateways = [service.config.servers.gateway]
    (network,) = service.container("ada").attrs["NetworkSettings"]["Networks"].values()
    gateways.append(network["Gateway"])
    code = (
        f"{CONNECT}"
        f"print([name for name, port in {ports!r}.items()"
        f" for host in {gateways!r} if reaches(host, port)])"
    )
    assert service.inside("ada", code)[1] == "['servers_hub', 'servers_s3']"


def test_it_reaches_the_hubs_api_but_not_its_pages(service: Service) -> None:
    code = (
        "import os, urllib.request, urllib.error\n"
        "api = os.environ['JUPYTERHUB_API_URL']\n"
        "print(urllib.request.urlopen(api).status)\n"
        "try: print(urllib.request.urlopen(api.removesuffix('/api') + '/login').status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    assert service.inside("ada", code)[1].split() == ["200", "404"]


def test_it_reaches_the_outside(service: Service, outside: str) -> None:
    assert service.inside("ada", f"{CONNECT}print(reaches({outside!r}, 8000))")[1] == "True"


@pytest.fixture
def outside() -> Iterator[str]:
    """A host of its own that knows no way back to containers; its address (RFC 5737).

    Answers arrive only if connections leave through this machine's address.
    """
    name = "quaderno-out"
    for command in (
        f"ip netns add {name}",
        f"ip link add {name} type veth peer name eth0 netns {name}",
        f"ip address add 203.0.113.1/30 dev {name}",
        f"ip link set {name} up",
        f"ip -n {name} address add 203.0.113.2/30 dev eth0",
        f"ip -n {name} link set eth0 up",
    ):
        subprocess.run(command.split(), check=True)
    web = [
        "ip",
        "netns",
        "exec",
        name,
        sys.executable,
        "-m",
        "http.server",
        "-b",
        "203.0.113.2",
        "8000",
    ]
    with tempfile.TemporaryDirectory() as empty:
        server = subprocess.Popen(web, cwd=empty, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: _answers("http://203.0.113.2:8000"), 60, "the outside")
            yield "203.0.113.2"
        finally:
            server.terminate()
            server.wait()
            subprocess.run(["ip", "netns", "delete", name], check=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


# --- files


def test_a_file_is_an_object_within_seconds(service: Service) -> None:
    code = "open('/workarea/cloud_storage/ada/result.csv', 'w').write('a,b\\n1,2\\n')"
    service.inside("ada", code)
    store = object_store(service, "ada")
    wait_for(lambda: store.read("ada", "result.csv") == b"a,b\n1,2\n", 60, "the upload")


def test_s3_works_from_inside_without_any_setting(service: Service) -> None:
    code = (
        "import boto3\n"
        "s3 = boto3.client('s3')\n"
        "s3.put_object(Bucket='ada', Key='from/boto3.txt', Body=b'hello')\n"
        "print(s3.get_object(Bucket='ada', Key='from/boto3.txt')['Body'].read().decode())\n"
    )
    assert service.inside("ada", code)[1] == "hello"


def test_the_example_runs_as_it_is(service: Service) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '/workarea/examples/s3_boto3.py'], check=True)"
    )
    service.inside("bob", code)


def test_scratch_is_read_by_all_and_written_under_ones_own_name(service: Service) -> None:
    write = "open('/workarea/cloud_storage/scratch/{}/{}', 'w').write('shared')"
    service.inside("ada", write.format("ada", "for-all.txt"))
    listing = "import os; print(os.path.exists('/workarea/cloud_storage/scratch/ada/for-all.txt'))"
    wait_for(lambda: service.inside("bob", listing)[1] == "True", 60, "seeing Ada's file")
    read = "print(open('/workarea/cloud_storage/scratch/ada/for-all.txt').read())"
    assert service.inside("bob", read)[1] == "shared"


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/workarea/cloud_storage/scratch/ada/bobs.txt', 'w')",
        "open('/workarea/cloud_storage/scratch/top.txt', 'w')",
        "os.mkdir('/workarea/cloud_storage/scratch/carol')",
        "os.remove('/workarea/cloud_storage/scratch/ada/for-all.txt')",
        "os.rename('/workarea/cloud_storage/scratch/ada/for-all.txt',"
        " '/workarea/cloud_storage/scratch/ada/mine.txt')",
    ],
)
def test_a_refused_write_fails_at_once(service: Service, attempt: str) -> None:
    code = (
        "import errno, os, time\n"
        "begin = time.monotonic()\n"
        f"try:\n    {attempt}\n"
        "except OSError as error:\n"
        "    assert error.errno in (errno.EROFS, errno.EACCES), error\n"
        "    assert time.monotonic() - begin < 30\n"
        "else:\n    raise AssertionError('it was allowed')\n"
    )
    service.inside("bob", code)
    assert object_store(service, "ada").read("scratch", "ada/for-all.txt") == b"shared"


def test_the_store_itself_keeps_people_apart(service: Service) -> None:
    bob = object_store(service, "bob")
    assert bob.refuses("get_object", Bucket="ada", Key="result.csv")
    assert bob.refuses("put_object", Bucket="ada", Key="result.csv", Body=b"mine")
    assert bob.refuses("list_objects_v2", Bucket="ada")
    assert bob.refuses("delete_object", Bucket="ada", Key="result.csv")
    assert bob.refuses(
        "copy_object", Bucket="bob", Key="stolen", CopySource={"Bucket": "ada", "Key": "result.csv"}
    )
    assert bob.refuses("put_object", Bucket="scratch", Key="ada/planted", Body=b"x")


def test_a_browser_gets_no_keys(service: Service) -> None:
    with http_person.logged_in(service, "bob") as client:
        hub = service.config.public_url + "/hub"
        answer = client.get(
            f"{hub}/api/quaderno/users/bob/s3-keys", headers={"Referer": f"{hub}/home"}
        )
    assert answer.status_code == 403
    assert "AccessKeyId" not in answer.text


def test_a_person_gets_only_their_own_keys(service: Service) -> None:
    code = (
        "import os, urllib.request\n"
        "request = urllib.request.Request(\n"
        "    os.environ['JUPYTERHUB_API_URL'] + '/quaderno/users/ada/s3-keys',\n"
        "    headers={'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']})\n"
        "try: print(urllib.request.urlopen(request).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    assert service.inside("bob", code)[1] == "403"


def test_what_outlives_a_server(service: Service, hub: Hub) -> None:
    write = (
        "for place in ('cloud_storage/ada', 'local', '.'):\n"
        "    open(f'/workarea/{place}/kept.txt', 'w').write('kept')\n"
    )
    service.inside("ada", write)
    hub.stop("ada")
    hub.start("ada")
    service.await_storage("ada")
    read = (
        "import os\n"
        "print([place for place in ('cloud_storage/ada', 'local', '.')"
        " if os.path.exists(f'/workarea/{place}/kept.txt')])"
    )
    assert service.inside("ada", read)[1] == "['cloud_storage/ada', 'local']"
    store = object_store(service, "ada")
    wait_for(lambda: store.read("ada", "kept.txt") == b"kept", 60, "the upload")


def test_nobody_sees_anothers_local_files(service: Service) -> None:
    service.inside("ada", "open('/workarea/local/private.txt', 'w').write('x')")
    look = "import os; print(sorted(os.listdir('/workarea/local')))"
    assert service.inside("bob", look)[1] == "['.quaderno', 'environments']"
