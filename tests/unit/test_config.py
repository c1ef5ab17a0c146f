"""quaderno.yaml: what is refused and how, what each component may read."""

import ast
import operator
from collections.abc import Iterator
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

import quaderno
from quaderno import config as quaderno_config
from quaderno.config import (
    Config,
    Ports,
    for_component,
    generate,
    load,
    marked_fields,
    secret_fields,
)
from quaderno.errors import ConfigError
from quaderno.quantities import parse_memory

BARI = {"name": "bari", "address": "https://bari.example.org:8443"}
CNAF = {"name": "cnaf", "address": "https://cnaf.example.org"}
COMPONENTS = ("edge", "hub", "iam", "store", "agent", "files", "director")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return generate(tmp_path)


def written(config: Config, **changes: object) -> Path:
    data = yaml.safe_load(quaderno_config.dump(config)) | changes
    (config.dir / "quaderno.yaml").write_text(yaml.safe_dump(data))
    return config.dir


def test_what_is_dumped_loads_as_the_same(config: Config) -> None:
    assert load(written(config)) == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"limts": 1}, "limts: unknown setting"),
        ({"listn": "::1"}, "listn: unknown setting; did you mean `listen`?"),
        ({"servers": {"cpus": {}}}, "servers.cpus: unknown setting; did you mean `cpu`?"),
        ({"servers": {"pids_limit": "many"}}, "servers.pids_limit: Input should be a"),
        ({"servers": {"network": "10.0.0.0/8"}}, "the network must be between a /16 and a /27"),
        ({"servers": {"memory": {"default": "2 GB"}}}, "is not an amount of memory"),
        ({"ports": {"web": 8000, "hub": 8000}}, "`hub` and `web` are both 8000"),
        (
            {"servers": {"images": [{"name": "a", "display_name": "A", "reference": "A b"}]}},
            "servers.images.0.reference: expected an image reference such as",
        ),
        ({"public_url": "example.org"}, "expected http(s)://host[:port]"),
        ({"public_url": "http://h:99999"}, "public_url: expected http(s)://host[:port]"),
        ({"public_url": "http://[::1"}, "public_url: expected http(s)://host[:port]"),
        ({"public_url": "http://me@h?x"}, "public_url: expected http(s)://host[:port]"),
        ({"iam": {"public_url": "http://h:x"}}, "iam.public_url: expected http(s)://host[:port]"),
        ({"store": {"quota": "200 GB"}}, "store.quota: '200 GB' is not an amount of memory"),
        ({"store": {"quota": -1}}, "store.quota: Input should be greater than or equal to 0"),
        ({"store": {"group_quotas": {"/big": "1 TB"}}}, "store.group_quotas./big: '1 TB' is not"),
        ({"servers": {"local_quota": "-1G"}}, "servers.local_quota: '-1G' is not an amount"),
        ({"store": {"endpoint": "s3.example.org"}}, "store.endpoint: expected http(s)://host"),
        ({"oidc": {"issuer": "https://h:0/realm"}}, "oidc.issuer: expected http(s)://host[:port]"),
        ({"hub": {"cookie_secret": "zz"}}, "hub.cookie_secret: expected 32 bytes in hexadecimal"),
        ({"sites": {"name": "bari"}}, "`name` is of one of several sites"),
        ({"sites": {"members": [BARI]}}, "`name` must say which of these is here: bari"),
        ({"sites": {"name": "roma", "members": [BARI]}}, "which of these is here: bari"),
        ({"sites": {"name": "bari", "members": [BARI, BARI]}}, "two sites have the name bari"),
        ({"sites": {"members": [BARI | {"name": "Bari!"}]}}, "sites.members.0.name: String should"),
        ({"sites": {"members": [BARI | {"weight": 0}]}}, "sites.members.0.weight: Input should be"),
        ({"sites": {"members": [{"name": "bari"}]}}, "sites.members.0.address: required, but not"),
        ({"sites": {"name": "bari", "members": [BARI | {"store": "b:1"}, CNAF]}}, "for both of"),
        ({"sites": {"members": [BARI | {"store": "bari"}]}}, "members.0.store: String should"),
        ({"sites": {"secret": "short"}}, "sites.secret: expected 32 bytes in hexadecimal"),
        ({"hub": {"crypt_key": "00"}}, "hub.crypt_key: expected 32 bytes in hexadecimal"),
        ({"store": {"sts_signing_key": "%"}}, "store.sts_signing_key: expected 32 bytes in base64"),
        ({"iam": {"signing_key": "-----BEGIN"}}, "iam.signing_key: expected an RSA private key"),
        ({"iam": {"policy": {"file": "/nowhere.md"}}}, "/nowhere.md cannot be read: No such file"),
        ({"iam": {"policy": {"file": "/x", "text": "y"}}}, "set `text` or `file`, not both"),
        ({"iam": {"email": {"user": "me", "security": "none"}}}, "`email.user` needs `email.secu"),
        ({"tls": {"mode": "acme", "email": "a@b"}}, "`acme` needs an https:// `public_url`"),
        ({"tls": {"mode": "files"}}, "mode `files` needs `certificate` and `key`"),
        ({"instance": "Q"}, "instance: String should match pattern"),
    ],
)  # fmt: skip
def test_refusals_name_the_key_in_one_line(
    config: Config, change: dict[str, object], complaint: str
) -> None:
    data = yaml.safe_load(quaderno_config.dump(config))
    sections = {key: data[key] | value for key, value in change.items() if isinstance(value, dict)}
    with pytest.raises(ConfigError) as refusal:
        load(written(config, **change | sections))
    assert complaint in refusal.value.message
    assert "\n" not in refusal.value.message
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "does not hold settings"),
        ("", "does not hold"),
        ("name: {{ title }}", "is not valid YAML: a key must be plain text"),
        ("name: 2026-13-01", "is not valid YAML: month must be in 1..12"),
        ("name: a\nname: b", "is not valid YAML: the key 'name' stands twice"),
    ],
)
def test_files_that_hold_no_settings(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "quaderno.yaml").write_text(content)
    with pytest.raises(ConfigError, match=complaint) as refusal:
        load(tmp_path)
    assert "\n" not in refusal.value.message


def test_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path)
    assert "quaderno init" in refusal.value.hint


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_sees_its_own_secrets_only(config: Config, component: str) -> None:
    """Searched for in the text, so that no other field may repeat a secret either."""
    whole = config.model_dump(mode="json")
    whole["iam"]["email"]["password"] = "of-the-mail-server"
    whole["hub"]["database_password"] = "of-the-database"
    other = quaderno_config.generate(config.dir).iam.signing_key
    whole["iam"]["published_key"] = other.get_secret_value()
    config = Config.model_validate(whole)
    text = quaderno_config.dump(for_component(config, component)).replace("\n", "")
    needed = dict(marked_fields())
    for path in secret_fields():
        secret: str = reduce(operator.getitem, path, whole)  # type: ignore[assignment]
        assert secret
        first_word = secret.split("\n")[1] if "\n" in secret else secret
        assert (first_word in text) == (component in needed[path]), path


@pytest.mark.parametrize(
    ("setting", "value", "restarted"),
    [
        ("servers.images", [{"name": "x", "display_name": "X", "reference": "x"}], {"hub"}),
        ("servers.memory.limit", "8G", {"hub"}),
        ("oidc.allowed_groups", ["/dev"], {"hub"}),
        ("oidc.audiences", ["x"], {"hub", "iam"}),
        ("iam.registration", "open", {"iam"}),
        ("iam.policy.text", "Be kind.", {"iam"}),
        ("agent.write_back", 2, {"agent"}),
        ("agent.refresh", 15, {"agent"}),
        ("store.quota", "1G", {"agent", "hub"}),
        ("store.group_quotas", {"/big": "1T"}, {"agent", "hub"}),
        ("files.direct", False, {"files"}),
        ("name", "Another", set(COMPONENTS)),
        ("servers.network", "10.1.0.0/20", set(COMPONENTS)),
    ],
)
def test_a_change_concerns_those_who_need_the_setting(
    config: Config, setting: str, value: Any, restarted: set[str]
) -> None:
    data = config.model_dump(mode="json")
    *sections, name = setting.split(".")
    reduce(operator.getitem, sections, data)[name] = value
    changed = Config.model_validate(data)
    slices = {
        component: [
            quaderno_config.dump(for_component(one, component)) for one in (config, changed)
        ]
        for component in COMPONENTS
    }
    assert {name for name, (before, after) in slices.items() if before != after} == restarted


# Where the code of each component is; what several run belongs to all of them.
CODE = {
    "hub": {"hub"},
    "files": {"files"},
    "iam": {"iam"},
    "storage": {"agent", "store", "replication"},
    "edge.py": {"edge"},
    "traefik.py": {"edge", "director"},
    "director.py": {"director"},
}
SOURCE = Path(quaderno.__file__).parent


def attributes(*files: Path) -> Iterator[tuple[str, str]]:
    """Each that is read, and the name of what it is read of."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                of = getattr(node.value, "attr", getattr(node.value, "id", ""))
                yield of.lstrip("_"), node.attr


def read_by_methods() -> dict[str, set[str]]:
    """The settings that methods of the configuration read, by name of the method."""
    return {
        function.name: {
            node.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self"
        }
        for file in (SOURCE / "config").glob("*.py")
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
    }


@pytest.mark.parametrize("place", CODE)
def test_no_component_reads_what_it_is_not_given(place: str) -> None:
    """`servers.images`, say, by whatever name the sections around it have, or by a method."""
    withheld = {path[-2:] for path, needed_by in marked_fields() if not needed_by & CODE[place]}
    assert withheld
    code = SOURCE / place
    read = set(attributes(*([code] if code.is_file() else code.rglob("*.py"))))
    assert read & withheld == set()
    methods = read_by_methods()
    assert methods["quota_of"] == {"quota", "group_quotas"}
    names = {name for _, name in withheld}
    assert {name for _, name in read if methods.get(name, set()) & names} == set()


@pytest.mark.parametrize(("written_as", "version"), [(2, "2"), (date(2026, 11, 24), "2026-11-24")])
def test_a_policy_is_read_from_its_file_for_those_who_may_not_open_it(
    config: Config, written_as: object, version: str
) -> None:
    file = config.dir / "policy.md"
    file.write_text("Be *kind*.\n")
    iam = yaml.safe_load(quaderno_config.dump(config))["iam"]
    iam["policy"] = {"file": str(file), "version": written_as}
    policy = for_component(load(written(config, iam=iam)), "iam").iam.policy
    assert (policy.text, policy.file, policy.version) == ("Be *kind*.\n", None, version)


def test_a_refused_secret_is_not_repeated(config: Config) -> None:
    hub = {"cookie_secret": "zz-secret", "crypt_key": ""}
    with pytest.raises(ConfigError) as refusal:
        load(written(config, hub=hub))
    assert "zz-secret" not in str(refusal.value)


def test_an_address_for_a_new_instance_is_refused_as_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"public_url: expected http\(s\)://host"):
        generate(tmp_path, public_url="hub.example.org")


def test_secrets_are_not_shown_by_accident(config: Config) -> None:
    secret = config.hub.cookie_secret.get_secret_value()
    assert secret not in repr(config)
    assert secret not in str(config.hub)


def test_every_setting_has_help() -> None:
    def check(model: type[quaderno_config.Section], path: str) -> None:
        for name, field in model.model_fields.items():
            assert field.description, path + name
            if isinstance(field.annotation, type) and issubclass(
                field.annotation, quaderno_config.Section
            ):
                check(field.annotation, f"{path}{name}.")

    check(Config, "")


def test_ports_are_consecutive() -> None:
    ports = Ports.from_first(9000)
    assert [port for _, port in ports] == list(range(9000, 9000 + len(Ports.model_fields)))


def test_urls_follow_the_public_one(tmp_path: Path) -> None:
    config = generate(tmp_path, public_url="https://hub.example.org/")
    assert config.public_url == "https://hub.example.org"
    assert config.issuer == "https://hub.example.org:8001"
    assert config.store_public_endpoint == "https://hub.example.org:8002"
    assert config.store_endpoint_for_servers == "http://10.213.0.1:8016"


def test_what_is_a_sites_own_is_at_its_own_address(tmp_path: Path) -> None:
    """The endpoint may lead to another site."""
    config = generate(tmp_path, public_url="https://hub.example.org")
    sites = {"name": "bari", "members": [BARI, CNAF], "secret": "ab" * 32}
    config = load(written(config, sites=sites))
    assert [site.name for site in config.sites.peers] == ["cnaf"]
    assert config.issuer == "https://bari.example.org:8001"
    assert config.store_public_endpoint == "https://bari.example.org:8002"
    assert config.public_url == "https://hub.example.org"


@pytest.mark.parametrize(
    ("tls", "address", "complaint"),
    [
        ({"mode": "acme", "email": "o@example.org"}, "https://bari", "share one certificate"),
        ({"mode": "files", "certificate": "c", "key": "k"}, "http://bari", "http://bari https://"),
    ],
)
def test_encryption_fits_several_sites(
    tmp_path: Path, tls: dict[str, str], address: str, complaint: str
) -> None:
    config = generate(tmp_path, public_url="https://hub.example.org")
    sites = {"name": "bari", "members": [BARI | {"address": address}, CNAF], "secret": "ab" * 32}
    with pytest.raises(ConfigError, match=complaint):
        load(written(config, tls=tls, sites=sites))


@pytest.mark.parametrize(
    ("groups", "quota"),
    [
        ([], "200G"),
        (["/unknown"], "200G"),
        (["/small"], "1G"),
        (["/small", "/big"], "1T"),
        (["/big", "/free", "/small"], "0"),
    ],
)
def test_the_largest_quota_of_a_persons_groups_counts(groups: list[str], quota: str) -> None:
    store = generate(Path("/q")).store
    quotas = {"/small": parse_memory("1G"), "/big": parse_memory("1T"), "/free": 0}
    store = store.model_copy(update={"group_quotas": quotas})
    assert store.quota_of(groups) == parse_memory(quota)


def test_sections_of_secrets_that_an_older_version_did_not_know_are_added(tmp_path: Path) -> None:
    file = tmp_path / "quaderno.yaml"
    new = quaderno_config.generate(tmp_path)
    settings = yaml.safe_load(quaderno_config.dump(new, exclude_defaults=True))
    del settings["files"]
    old = "# Ours.\n" + yaml.safe_dump(settings)
    file.write_text(old)
    file.chmod(0o600)
    assert quaderno_config.complete(file) == ["files"]
    assert file.read_text().startswith(old)
    assert file.stat().st_mode & 0o777 == 0o600
    found = load(tmp_path)
    assert len(found.files.client_secret.get_secret_value()) == 64
    assert found.model_copy(update={"files": new.files}) == new
    assert quaderno_config.complete(file) == []


def test_nothing_is_added_to_what_holds_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "quaderno.yaml"
    file.write_text("name: Ours\n")
    assert quaderno_config.complete(file) == []
    assert file.read_text() == "name: Ours\n"
