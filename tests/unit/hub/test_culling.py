from quaderno.config import Config
from quaderno.hub import culling


def with_limits(config: Config, **limits: int) -> Config:
    servers = config.servers.model_copy(update=limits)
    return config.model_copy(update={"servers": servers})


def arguments(config: Config) -> list[str]:
    (service,) = culling.services(config)
    return [word for word in service["command"] if word.startswith("--") and "=" in word]


def test_idle_servers_are_looked_for_every_ten_minutes(config: Config) -> None:
    assert arguments(config) == ["--timeout=86400", "--max-age=0", "--cull-every=600"]


def test_short_limits_are_looked_at_more_often(config: Config) -> None:
    assert arguments(with_limits(config, idle_timeout=8, max_age=100))[-1] == "--cull-every=2"
    assert arguments(with_limits(config, idle_timeout=1))[-1] == "--cull-every=1"


def test_an_age_alone_leaves_idle_servers(config: Config) -> None:
    limit = arguments(with_limits(config, idle_timeout=0, max_age=100))[0]
    assert int(limit.removeprefix("--timeout=")) > 9 * 365 * 24 * 3600


def test_without_limits_there_is_no_culler(config: Config) -> None:
    unlimited = with_limits(config, idle_timeout=0, max_age=0)
    assert culling.services(unlimited) == culling.roles(unlimited) == []


def test_it_may_do_nothing_but_find_and_stop_servers(config: Config) -> None:
    (role,) = culling.roles(config)
    assert role["services"] == [culling.NAME]
    assert role["scopes"] == [
        "list:users",
        "read:users:activity",
        "read:servers",
        "delete:servers",
    ]


def test_why_a_server_is_stopped() -> None:
    assert culling.why(0, 10**9) == "idle"
    assert culling.why(100, 99) == "idle"
    assert culling.why(100, 100) == "age"
