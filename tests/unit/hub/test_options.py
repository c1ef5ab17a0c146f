from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quaderno.config import Config, Image, Servers
from quaderno.config.choices import Room
from quaderno.errors import OptionsError
from quaderno.hub import options, preflight

GIB = 2**30
BASE = Servers().images[0].reference


def test_nothing_asked_gives_the_defaults(config: Config) -> None:
    assert options.parse(config, {}) == options.ServerOptions(BASE, 1, 2 * GIB)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"image": "base"}, options.ServerOptions(BASE, 1, 2 * GIB)),
        ({"image": BASE}, options.ServerOptions(BASE, 1, 2 * GIB)),
        ({"cpu": 2, "memory": "4G"}, options.ServerOptions(BASE, 2, 4 * GIB)),
        ({"cpu": "0.5", "memory": "1536M"}, options.ServerOptions(BASE, 0.5, 1536 * 2**20)),
        ({"wait": True}, options.ServerOptions(BASE, 1, 2 * GIB, wait=True)),
        ({"wait": "true"}, options.ServerOptions(BASE, 1, 2 * GIB, wait=True)),
        ({"wait": "false"}, options.ServerOptions(BASE, 1, 2 * GIB)),
        ({"memory": 2 * GIB}, options.ServerOptions(BASE, 1, 2 * GIB)),
        (
            {"image": "registry.example.org:5000/group/lab:v1"},
            options.ServerOptions("registry.example.org:5000/group/lab:v1", 1, 2 * GIB),
        ),
    ],
)
def test_what_is_on_offer_is_given(
    config: Config, asked: dict[str, Any], expected: options.ServerOptions
) -> None:
    assert options.parse(config, asked) == expected


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"gpus": 1},
            "Unknown server option “gpus”: the options are image, cpu, memory, gpu and wait.",
        ),
        ({"gpu": 1}, "gpu must be 0, not “1”: this machine has none."),
        ({"cpu": 64}, "cpu must be a number from 0.5 to 4, not “64”."),
        ({"cpu": "many"}, "cpu must be a number from 0.5 to 4, not “many”."),
        ({"cpu": "nan"}, "cpu must be a number from 0.5 to 4, not “nan”."),
        ({"cpu": True}, "cpu must be a number from 0.5 to 4, not “True”."),
        ({"cpu": -1}, "cpu must be a number from 0.5 to 4, not “-1”."),
        ({"memory": "1T"}, "memory must be an amount from 1G to 8G, such as 8G, not “1T”."),
        ({"memory": "2 gigs"}, "memory must be an amount from 1G to 8G, such as 8G, not “2 gigs”."),
        ({"wait": "later"}, "wait must be true or false, not “later”."),
        ({"wait": 1}, "wait must be true or false, not “1”."),
        ({"memory": None}, "memory must be an amount from 1G to 8G, such as 8G, not “None”."),
    ],
)
def test_what_is_not_is_refused_with_a_sentence(
    config: Config, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(OptionsError) as refused:
        options.parse(config, asked)
    assert refused.value.message == sentence


@pytest.mark.parametrize(
    "image",
    ["", " ", "UPPER", "a b", "-rf", "base;reboot", "../../etc", "x" * 600, 7, None, ["base"],
     "img\n--privileged", "a:b:c:d"],
)  # fmt: skip
def test_malformed_images_are_refused(config: Config, image: Any) -> None:
    with pytest.raises(OptionsError, match="is not an image"):
        options.parse(config, {"image": image})


def test_own_images_follow_the_patterns(config: Config) -> None:
    servers = config.servers.model_copy(update={"own_images": ["registry.example.org/lab/*"]})
    strict = config.model_copy(update={"servers": servers})
    allowed = "registry.example.org/lab/mine:1"
    assert options.parse(strict, {"image": allowed}).image == allowed
    with pytest.raises(OptionsError, match=r"choose one of the catalogue \(base\) or one that"):
        options.parse(strict, {"image": "evil.example.org/lab/mine:1"})


def test_the_form_and_the_api_say_the_same(config: Config) -> None:
    form = {"_xsrf": ["x"], "image": ["base"], "cpu": ["2"], "memory": ["4G"], "own_image": [""]}
    assert options.parse(config, options.from_form(form)) == options.parse(
        config, {"image": "base", "cpu": 2, "memory": "4G"}
    )


def test_an_own_image_wins_over_the_drop_down(config: Config) -> None:
    form = {"image": ["base"], "own_image": [" group/lab:1 "]}
    assert options.parse(config, options.from_form(form)).image == "group/lab:1"


def test_the_form_selects_the_last_choice(config: Config) -> None:
    offer = options.offer(config, {"image": "group/lab:1", "cpu": 4, "memory": "8G"})
    assert [c.value for c in offer.cpus if c.selected] == ["4"]
    assert [c.label for c in offer.memories if c.selected] == ["8 GB"]
    assert offer.own_image == "group/lab:1"


def test_the_form_survives_a_last_choice_that_is_no_longer_offered(config: Config) -> None:
    offer = options.offer(config, {"cpu": 4000, "image": "base"})
    assert [c.value for c in offer.cpus if c.selected] == ["1"]


def test_the_form_shows_what_was_typed_to_be_corrected(config: Config) -> None:
    offer = options.offer(config, {"image": "NOT an image!", "cpu": 4, "memory": "1T"})
    assert offer.own_image == "NOT an image!"
    assert [c.value for c in offer.cpus if c.selected] == ["4"]
    assert [c.value for c in offer.memories if c.selected] == ["2G"]


def test_what_is_impossible_says_why_and_is_not_selected(config: Config) -> None:
    bounds = options.Bounds(cpu=2, memory=4 * GIB, machine_cpu=1, machine_memory=64 * GIB)
    offer = options.offer(config, {"cpu": 4, "memory": "8G"}, bounds=bounds)
    assert {c.value: c.reason for c in offer.cpus if c.reason} == {
        "2": "more than this machine has",
        "4": "more than this machine has",
    }
    assert {c.value: c.reason for c in offer.memories if c.reason} == {
        "8G": "more than your groups may have"
    }
    assert [c.value for c in (*offer.cpus, *offer.memories) if c.selected] == ["1", "2G"]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"cpu": 0.5, "memory": "1536M"},
        {"image": "reg.example.org:5000/a/b:1@sha256:" + "0" * 64},
    ],
)
def test_the_link_reproduces_the_choices(config: Config, asked: dict[str, Any]) -> None:
    query = parse_qs(options.offer(config, asked).link)
    assert all(key.startswith("opt-") for key in query), "as JupyterHub wants them"
    again = options.from_form({key.removeprefix("opt-"): value for key, value in query.items()})
    assert options.parse(config, again) == options.parse(config, asked)


def test_a_link_that_asks_for_what_is_not_on_offer_is_told_so(config: Config) -> None:
    asked = {"image": "base", "cpu": "99", "memory": "2G", "colour": "red"}
    offer = options.offer(config, asked, suggested=True)
    assert [sentence.partition(",")[0].partition(":")[0] for sentence in offer.refused] == [
        "cpu must be a number from 0.5 to 4",
        "Unknown server option “colour”",
    ]
    assert options.offer(config, asked).refused == (), "what was chosen once is nobody's mistake"


def test_what_is_not_free_now_is_shown_as_such(config: Config) -> None:
    bounds = options.Bounds(4, 8 * GIB, free_cpu=1, free_memory=3 * GIB)
    offer = options.offer(config, {"memory": "4G"}, bounds=bounds)
    assert [c.value for c in (*offer.cpus, *offer.memories) if c.busy] == ["2", "4", "4G", "8G"]
    assert not any(c.reason for c in (*offer.cpus, *offer.memories)), "they may be waited for"
    assert [c.value for c in offer.memories if c.selected] == ["4G"]


def test_waiting_is_offered_only_where_room_is_limited(config: Config) -> None:
    assert options.offer(config, {}).wait_minutes == 0
    for room, minutes in (
        (Room(memory=1, patience=90), 2),
        (Room(cpu=4), 60),
        (Room(memory=1, waiting=0), 0),
    ):
        servers = config.servers.model_copy(update={"room": room})
        limited = config.model_copy(update={"servers": servers})
        assert options.offer(limited, {}).wait_minutes == minutes


def test_what_is_impossible_is_refused(config: Config) -> None:
    bounds = options.Bounds(cpu=2, memory=4 * GIB, machine_cpu=1)
    with pytest.raises(OptionsError, match=r"from 0\.5 to 1, not “2”"):
        options.parse(config, {"cpu": 2}, bounds)
    with pytest.raises(OptionsError, match="memory must be an amount from 1G to 4G"):
        options.parse(config, {"memory": "8G"}, bounds)


def test_nobody_gets_more_by_saying_nothing(config: Config) -> None:
    bounds = options.Bounds(cpu=0.5, memory=GIB)
    assert options.parse(config, {}, bounds) == options.ServerOptions(BASE, 0.5, GIB)


def with_gpus(there_are: int, *, limit: int = 8, free: float = 8) -> options.Bounds:
    return options.Bounds(4, 8 * GIB, gpu=limit, machine_gpu=there_are, free_gpu=free)


def test_gpus_are_offered_where_there_are_some(config: Config) -> None:
    assert options.offer(config, {}).gpus == []
    offer = options.offer(config, {"gpu": "2"}, bounds=with_gpus(3, free=1))
    assert [(c.value, c.label, c.selected, c.busy) for c in offer.gpus] == [
        ("0", "No GPU", False, False),
        ("1", "1 GPU", False, False),
        ("2", "2 GPUs", True, True),
    ]
    assert offer.wait_minutes == 60, "for one that comes free"
    assert "opt-gpu=2" in offer.link
    limited = options.offer(config, {"gpu": 2}, bounds=with_gpus(2, limit=1))
    assert [c.reason for c in limited.gpus] == ["", "", "more than your groups may have"]
    assert [c.value for c in limited.gpus if c.selected] == ["0"], "none is taken unasked"
    assert "gpu" not in limited.link


@pytest.mark.parametrize(("asked", "given"), [({}, 0), ({"gpu": 3}, 3), ({"gpu": "1"}, 1)])
def test_gpus_are_given_when_asked_for(config: Config, asked: dict[str, Any], given: int) -> None:
    assert options.parse(config, asked, with_gpus(3)).gpu == given


@pytest.mark.parametrize("asked", [4, -1, 1.5, "two", True, None, "²", "1" * 99, [1]])
def test_gpus_that_are_not_there_are_refused(config: Config, asked: Any) -> None:
    with pytest.raises(OptionsError, match="gpu must be a whole number from 0 to 3, not “"):
        options.parse(config, {"gpu": asked}, with_gpus(3))
    with pytest.raises(OptionsError, match="your groups may have none"):
        options.parse(config, {"gpu": asked}, with_gpus(3, limit=0))


def by_group(config: Config) -> Config:
    """With an image for some, and images of one's own for others."""
    ml = Image(name="ml", display_name="ML", reference="lab/ml:1", groups=["/dev/ml"])
    servers = config.servers.model_copy(
        update={"images": [ml, *config.servers.images], "own_images_groups": ["/experts"]}
    )
    return config.model_copy(update={"servers": servers})


def member_of(*groups: str) -> options.Bounds:
    return options.Bounds(4, 8 * GIB, groups=frozenset(groups))


def test_images_of_a_group_are_for_its_members(config: Config) -> None:
    limited = by_group(config)
    theirs, others = member_of("/dev/ml", "/x"), member_of("/dev")
    assert [i.name for i in options.offer(limited, {}, bounds=theirs).images] == ["ml", "base"]
    assert [i.name for i in options.offer(limited, {}, bounds=others).images] == ["base"]
    assert [i.name for i in options.offer(limited, {}).images] == ["base"]
    assert options.parse(limited, {"image": "ml"}, theirs).image == "lab/ml:1"
    assert options.parse(limited, {}, theirs).image == "lab/ml:1", "the first is the default"
    assert options.parse(limited, {}, others).image == BASE
    for asked in ("ml", "lab/ml:1"):
        with pytest.raises(OptionsError, match=r"not for your groups: choose base\."):
            options.parse(limited, {"image": asked}, others)


def test_some_groups_may_bring_images(config: Config) -> None:
    limited = by_group(config)
    experts, others = member_of("/experts"), member_of("/dev")
    assert options.parse(limited, {"image": "lab/mine:1"}, experts).image == "lab/mine:1"
    assert options.offer(limited, {}, bounds=experts).own_images_allowed
    assert not options.offer(limited, {}, bounds=others).own_images_allowed
    with pytest.raises(OptionsError, match=r"not allowed here: choose one of the catalogue \(base"):
        options.parse(limited, {"image": "lab/mine:1"}, others)
    for groups, refused in ((["/experts"], False), (["/dev"], True), ([], True)):
        assert bool(preflight.allowed(limited, "lab/mine:1", groups)) == refused


def test_one_image_is_for_everybody() -> None:
    with pytest.raises(ValidationError, match="one image at least must be for everybody"):
        Servers(images=[Image(name="ml", display_name="ML", reference="m:1", groups=["/ml"])])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    asked=st.dictionaries(st.sampled_from(options.KEYS) | st.text(), JSON),
    cpu=st.floats(0.5, 4),
    memory=st.integers(GIB, 8 * GIB),
    machine=st.floats(0.1, 64),
    gpu=st.integers(0, 4),
)
def test_any_json_is_either_within_the_limits_or_refused(
    config: Config, asked: dict[str, Any], cpu: float, memory: int, machine: float, gpu: int
) -> None:
    bounds = options.Bounds(cpu, memory, machine_cpu=machine, gpu=gpu, machine_gpu=2)
    try:
        chosen = options.parse(config, asked, bounds)
    except OptionsError as refused:
        assert "\n" not in refused.message
    else:
        assert 0.5 <= chosen.cpu <= max(0.5, min(cpu, machine))
        assert GIB <= chosen.memory <= max(GIB, memory)
        assert 0 <= chosen.gpu <= min(gpu, 2)
