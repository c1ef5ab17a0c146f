from quaderno.config import Config
from quaderno.hub import server
from quaderno.hub.options import ServerOptions
from tests.secret_settings import secret_values

SMALL = ServerOptions("quaderno/base:1", 0.5, 512 * 2**20)
LARGE = ServerOptions("quaderno/base:1", 3, 8 * 2**30)


def test_nobody_gets_privileges(config: Config) -> None:
    host = server.host_config(config, SMALL)
    assert host["cap_drop"] == ["ALL"]
    assert host["privileged"] is False
    assert host["security_opt"] == ["no-new-privileges"]
    assert "cap_add" not in host
    assert "devices" not in host
    assert server.USER == "1000:100"


def test_memory_limit_includes_swap(config: Config) -> None:
    assert server.host_config(config, SMALL)["memswap_limit"] == SMALL.memory


def test_libraries_see_the_cpus_that_the_server_has(config: Config) -> None:
    assert server.environment(config, SMALL)["OMP_NUM_THREADS"] == "1"
    assert server.environment(config, LARGE)["LOKY_MAX_CPU_COUNT"] == "3"
    assert server.environment(config, SMALL)["CPU_LIMIT"] == "0.5"
    assert server.environment(config, SMALL)["MEM_LIMIT"] == str(512 * 2**20)


def test_s3_clients_find_the_store_from_inside(config: Config) -> None:
    env = server.environment(config, SMALL)
    assert env["AWS_ENDPOINT_URL_S3"] == f"http://10.213.0.1:{config.ports.servers_s3}"
    assert env["AWS_REGION"] == "us-east-1"


def test_s3_clients_find_keys_in_their_own_container_alone(config: Config) -> None:
    env = server.environment(config, SMALL)
    assert env["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")
    assert env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].startswith("/home/jovyan/")


def test_no_secret_is_in_the_environment(config: Config) -> None:
    values = " ".join(server.environment(config, LARGE).values())
    assert [secret for secret in secret_values(config) if secret in values] == []


def test_only_the_users_own_directories_are_bound(config: Config) -> None:
    binds = server.volumes(config, "ada")
    assert {source: bind["bind"] for source, bind in binds.items()} == {
        str(config.mounts / "ada"): "/workarea/cloud_storage",
        str(config.local / "ada"): "/workarea/local",
    }
    assert binds[str(config.mounts / "ada")]["propagation"] == "rslave"


def test_container_names_are_the_instances_own(config: Config) -> None:
    default = server.container_name(config, "ada", "")
    named = server.container_name(config, "ada", "second")
    assert default == f"{config.instance}-ada"
    assert named.startswith(f"{config.instance}-ada--")
    assert server.labels(config, "ada", "second") == {
        "quaderno.instance": config.instance,
        "quaderno.user": "ada",
        "quaderno.server": "second",
    }
