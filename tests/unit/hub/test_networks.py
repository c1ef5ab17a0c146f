import itertools

from quaderno.hub import networks


def test_the_first_subnet_is_the_gateways() -> None:
    assert next(networks.free_subnets("10.213.0.0/20", [])) == "10.213.0.8/29"


def test_taken_subnets_are_passed_over_whatever_their_size() -> None:
    taken = ["10.213.0.8/29", "10.213.0.16/28", "172.17.0.0/16", "fd00::/64"]
    assert next(networks.free_subnets("10.213.0.0/20", taken)) == "10.213.0.32/29"


def test_a_pool_holds_as_many_servers_as_it_says() -> None:
    subnets = list(networks.free_subnets("10.213.0.0/20", []))
    assert len(subnets) == 2 ** (29 - 20) - 1
    assert len(set(subnets)) == len(subnets)


def test_a_full_pool_offers_nothing() -> None:
    assert list(itertools.islice(networks.free_subnets("10.0.0.0/27", ["10.0.0.0/24"]), 1)) == []
