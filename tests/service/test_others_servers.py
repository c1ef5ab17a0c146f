"""Pages of somebody else's server, as an administrator sees them."""

from tests.service.http_person import log_in, logged_in
from tests.service.running import Service

PASSWORD = "plenty-of-quiet-owls-41"


def test_an_administrator_reads_whose_server_it_is(service: Service) -> None:
    service.register("owner", PASSWORD)
    service.register("overseer", PASSWORD, "--admin")
    log_in(service, "owner", PASSWORD)
    address = f"{service.config.public_url}/hub/user/owner/lab"
    with logged_in(service, "overseer", PASSWORD) as overseer:
        page = overseer.get(address).text
        assert "owner\u2019s server is not running" in page
        assert "Start it for owner" in page
        assert '<span class="me-1">overseer</span>' in page
    with logged_in(service, "owner", PASSWORD) as owner:
        page = owner.get(address).text
        assert "Your server is not running" in page
        assert "Start my server" in page
        assert '<span class="me-1">owner</span>' in page
