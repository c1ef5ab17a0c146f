"""Which GPUs servers get; no real one was there. What the engine is asked for is as documented."""

from typing import Any

import pytest
from pydantic import ValidationError

from quaderno.config import Config
from quaderno.config.choices import GpuChoice
from quaderno.hub import capacity, gpus, server
from quaderno.hub.capacity import Amount
from quaderno.hub.options import ServerOptions

GIB = 2**30
FOUND = ("nvidia.com/gpu=0", "nvidia.com/gpu=1")


def test_whole_ones_that_the_engine_discovers_are_there() -> None:
    names = [
        *FOUND,
        "nvidia.com/gpu=all",
        "nvidia.com/gpu=GPU-4cf8db2d-06c0-7d70-1a51-e59b25b2c16c",  # the same by another name
        "nvidia.com/gpu=0:1",  # a part of one
        "vendor.com/net=0",
    ]
    info = {"DiscoveredDevices": [{"Source": "cdi", "ID": name} for name in names]}
    assert gpus.discovered(info) == FOUND
    assert gpus.discovered({}) == gpus.discovered({"DiscoveredDevices": None}) == ()


def test_the_operator_has_the_last_word() -> None:
    assert gpus.devices(GpuChoice(), FOUND) == FOUND
    assert gpus.devices(GpuChoice(devices=["0"]), FOUND) == ("0",)
    assert gpus.devices(GpuChoice(devices=[]), FOUND) == ()


@pytest.mark.parametrize(
    "wrong", [{"devices": ["0", "0"]}, {"devices": ["{a}"]}, {"choices": [1]}, {"limit": -1}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GpuChoice.model_validate(wrong)


def test_nobody_is_given_what_another_server_holds() -> None:
    states: list[dict[str, Any] | None] = [{"gpus": [FOUND[0]]}, None, {"object_id": "1"}]
    assert gpus.free(FOUND, gpus.held(states)) == FOUND[1:]


def test_the_engine_is_asked_for_these_and_no_others(config: Config) -> None:
    options = ServerOptions("lab:1", 1, GIB, gpu=2)
    assert server.host_config(config, options, ("1", "GPU-4cf8"))["device_requests"] == [
        {"DeviceIDs": ["1", "GPU-4cf8"], "Capabilities": [["gpu"]]}
    ]
    assert server.host_config(config, options, FOUND)["device_requests"] == [
        {"Driver": "cdi", "DeviceIDs": list(FOUND)}
    ]
    assert "device_requests" not in server.host_config(config, options)


def test_an_image_that_asks_for_all_gpus_gets_its_own(config: Config) -> None:
    options = ServerOptions("lab:1", 1, GIB)
    for devices, seen in ((("0", "2"), "0,2"), (FOUND, "void"), ((), "void")):
        assert server.environment(config, options, devices)["NVIDIA_VISIBLE_DEVICES"] == seen


@pytest.mark.parametrize(("groups", "most"), [([], 1), (["/ml"], 4), (["/none"], 0)])
def test_limits_differ_by_group(config: Config, groups: list[str], most: int) -> None:
    gpu = GpuChoice.model_validate({"limit": 1, "group_limits": {"ml": 4, "/none": 0}})
    servers = config.servers.model_copy(update={"gpu": gpu})
    limited = config.model_copy(update={"servers": servers})
    found = capacity.bounds(limited, groups, Amount(2, 4 * GIB, 4), Amount(2, 4 * GIB, 3))
    assert (found.gpu, found.machine_gpu, found.free_gpu) == (most, 4, 3)


def test_what_is_free_is_said(config: Config) -> None:
    own = capacity.taken(config, [{"gpu": 1}])
    assert capacity.in_words(Amount(4, 8 * GIB, 2), own, own) == (
        "Free now: 3 of 4 CPUs, 6 of 8 GB of memory, 1 of 2 GPUs."
        " Your running servers may use 1 CPUs, 2 GB, 1 GPU."
    )
    assert capacity.gpus_in_words(Amount(0, 0, 2), Amount(0, 0, 2)) == "0 of 2 are free"
