"""From somebody whom nobody knows to their first server, in a real browser."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.service import people
from tests.service.running import Hub, Service, running_service, wait_for

Person = Callable[[], BrowserContext]
Screenshot = Callable[..., None]

POLICY = """\
## Acceptable use

- Compute for the purpose that you were given the account for.
- Keep your password to yourself.
- What you do here is logged.
"""
# At the identity provider while it is away, ten seconds apart.
LOOKS = 12 if os.environ.get("QUADERNO_SOAK") else 3
PASSWORD = "a-nanosecond-of-wire-1952"
ADMIN = ("root-admin", "a-bunch-of-heavy-keys-1970")


@pytest.fixture(scope="module")
def service(container_engine: None) -> Iterator[Service]:
    """An instance of its own, where people may register."""
    policy = {"text": POLICY, "version": "2026-11"}
    iam = {"registration": "open", "policy": policy}
    oidc = {"allowed_groups": ["dev", "/ops"], "recheck": 10, "removal_grace": 5}
    with running_service(iam=iam, oidc=oidc) as service:
        name, password = ADMIN
        options = ["--email", "admin@example.org", "--admin", "--password-stdin"]
        service.quaderno("user", "add", name, *options, text=password + "\n")
        service.quaderno("group", "add", "/dev", name, "--manager")
        for other in ("hedy", "mary"):
            options = ["--group", "/ops", "--password-stdin"]
            service.quaderno("user", "add", other, *options, text=PASSWORD + "\n")
        yield service


def mailed_link(service: Service, to: str) -> str:
    """The link in the next message to an address, which may still be on its way."""

    def found() -> str | None:
        messages = sorted((service.config.dir / "iam" / "mail").glob("*"), reverse=True)
        for message in messages:
            text = message.read_text()
            if f"To: {to}" in text and (link := re.search(r"https?://\S+/identity/\S+", text)):
                message.unlink()
                return link[0]
        return None

    return wait_for(found, 60, f"a message to {to}") or ""


def test_from_a_request_to_the_first_server(
    service: Service, person: Person, screenshot: Screenshot
) -> None:
    page, administrator = person().new_page(), person().new_page()
    _request(page, service, screenshot)
    _approve(administrator, service, screenshot)
    people.log_in(page, service, "grace", PASSWORD)
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    screenshot(page, "authorize")
    people.authorize(page)
    expect(page.get_by_role("alert")).to_contain_text("Quaderno admits the groups /dev, /ops.")
    screenshot(page, "not-admitted")

    _ask_for_the_group(page, service)
    _admit(administrator, service, screenshot)
    page.goto(service.config.public_url)
    people.start_server(page, service, "grace")


def _ask_for_the_group(page: Page, service: Service) -> None:
    page.get_by_role("link", name="Ask for a group").click()
    page.get_by_label("Group", exact=True).select_option("/dev")
    page.get_by_label("Why").fill("I write compilers")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("status")).to_contain_text("Whoever manages /dev decides now.")


def _admit(page: Page, service: Service, screenshot: Screenshot) -> None:
    page.goto(mailed_link(service, "admin@example.org"))
    expect(page.locator("main")).to_contain_text("I write compilers")
    screenshot(page, "group")
    page.get_by_role("button", name="Admit grace").click()
    expect(page.get_by_role("status")).to_contain_text("grace is in /dev now.")
    page.goto(f"{service.config.iam_url}/")
    screenshot(page, "account")


def _request(page: Page, service: Service, screenshot: Screenshot) -> None:
    page.goto(service.config.public_url)
    page.get_by_role("link", name="Request an account").click()
    page.get_by_label("First name").fill("Grace")
    page.get_by_label("Last name").fill("Hopper")
    page.get_by_label("E-mail address").fill("grace@example.org")
    page.get_by_label("Username").fill("grace")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, again").fill(PASSWORD)
    page.get_by_label("What do you want the account for?").fill("Compilers, with Prof. Aiken")
    page.get_by_label("I accept").check()
    page.evaluate("window.scrollTo(0, 0)")
    screenshot(page, "register")
    page.get_by_role("button", name="Request an account").click()
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    page.goto(mailed_link(service, "grace@example.org"))
    page.get_by_role("button", name="Yes, confirm it").click()
    expect(page.get_by_role("heading", name="Your request is complete")).to_be_visible()
    people.log_in(page, service, "grace", PASSWORD)
    expect(page.get_by_role("heading", name="Your request waits for approval")).to_be_visible()
    screenshot(page, "waiting")


def _approve(page: Page, service: Service, screenshot: Screenshot) -> None:
    page.goto(mailed_link(service, "admin@example.org"))
    people.fill_in_login(page, *ADMIN)
    expect(page.get_by_text("What you do here is logged.")).to_be_visible()
    screenshot(page, "policy")
    page.get_by_role("button", name="I accept").click()
    expect(page.locator("main")).to_contain_text("Compilers, with Prof. Aiken")
    screenshot(page, "requests")
    page.get_by_role("button", name="Approve grace").click()
    expect(page.get_by_role("status")).to_contain_text("grace is approved")


def test_whoever_is_suspended_reads_why_on_the_way_in(service: Service, person: Person) -> None:
    service.quaderno("user", "add", "mallory", "--password-stdin", text=PASSWORD + "\n")
    said = service.quaderno("user", "disable", "mallory", "--reason", "--mined--").stdout
    assert said == "mallory is suspended\n"
    page = person().new_page()
    people.log_in(page, service, "mallory", PASSWORD)
    expect(page.get_by_role("heading", name="Your account is suspended")).to_be_visible()
    expect(page.locator("main")).to_contain_text("--mined--")
    expect(page.locator("main")).to_contain_text(service.config.contact)


def test_whoever_is_removed_loses_servers_and_no_file(service: Service, person: Person) -> None:
    """Nobody looks meanwhile; a token of theirs is worth nothing any more, either."""
    options = ["--group", "/ops", "--password-stdin"]
    service.quaderno("user", "add", "joan", *options, text=PASSWORD + "\n")
    browser = person()
    page = browser.new_page()
    people.log_in(page, service, "joan", PASSWORD)
    page.get_by_role("button", name="I accept").click()
    people.authorize(page)
    people.start_server(page, service, "joan")
    service.await_storage("joan")
    service.inside("joan", "open('/workarea/only-here.txt', 'w').write('kept')")
    page.close()
    own = Hub(service.config.public_url, _server_token(service, "joan"))
    assert own.request("GET", "/user").json()["name"] == "joan"
    _nothing_that_runs_notices_that_the_provider_is_away(service, own)

    service.quaderno("group", "remove", "/ops", "joan")
    # Her server may be gone right after her login, and its token with it.
    said = "The login of joan has ended: log in again.", "This token is not valid: start the server"
    keys = "/quaderno/users/joan/s3-keys"
    wait_for(
        lambda: (text := own.request("GET", keys).text) and any(words in text for words in said),
        60,
        "the end of her login",
    )
    administrator = Hub(service.config.public_url, _administrators_token(service))
    wait_for(lambda: not administrator.running("joan"), 120, "the end of Joan's server")
    assert own.request("GET", "/user").status_code == 403
    page = browser.new_page()
    page.goto(service.config.public_url)
    expect(page.get_by_role("alert")).to_contain_text("Quaderno admits the groups /dev, /ops.")
    assert "Traceback" not in (service.config.logs / "hub.log").read_text()

    service.quaderno("group", "add", "/ops", "joan")
    page.goto(service.config.public_url)
    people.start_server(page, service, "joan")
    service.await_storage("joan")
    saved = "glob.glob('/workarea/cloud_storage/joan/saved/*/only-here.txt')"
    assert service.inside("joan", f"import glob; print(open({saved}[0]).read())")[1] == "kept"


def _nothing_that_runs_notices_that_the_provider_is_away(service: Service, own: Hub) -> None:
    """For longer than the provider's word counts and its people are spared (15 seconds here). In
    `make soak` for two minutes, in which the hub tries to renew the token."""
    log = service.config.logs / "hub.log"
    container, before = service.container("joan").id, log.read_text().count(_UNKNOWN)
    with _away(service):
        wait_for(lambda: log.read_text().count(_UNKNOWN) >= before + LOOKS, 600, "looks in vain")
        assert own.request("GET", "/user").json()["name"] == "joan"
        token = "/quaderno/users/joan/access-token?min_valid_period=1000000"
        assert own.request("GET", token).status_code == 200
        service.inside("joan", "open('/workarea/cloud_storage/joan/away.txt', 'w').write('kept')")
        wait_for(lambda: service.agent("/users/joan")["pending"]["files"] == 0, 60, "the upload")
    assert service.container("joan").id == container


_UNKNOWN = "joan stays as known"


@contextmanager
def _away(service: Service) -> Iterator[None]:
    """The identity provider takes questions and answers none."""
    processes = _processes(service)
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        # The workers first: their parent kills those that it has not heard of for half a minute.
        for process in reversed(processes):
            process.send_signal(signal.SIGCONT)


def _server_token(service: Service, name: str) -> str:
    """What programs in the server have."""
    return service.inside(name, "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")[1]


def _administrators_token(service: Service) -> str:
    scopes = ("--scope", "list:users", "--scope", "read:servers")
    return service.quaderno("token", "create", "looking", *scopes).stdout.strip()


def test_while_the_login_service_is_away_the_destination_is_kept(
    service: Service, person: Person, screenshot: Screenshot
) -> None:
    page = person().new_page()
    with _away(service):
        # For a moment the hub counts on the provider's last answer.
        login = f"{service.config.public_url}/hub/oauth_login"
        wait_for(lambda: httpx.get(login, timeout=60).status_code == 503, 90, "the hub's notice")
        page.goto(f"{service.config.public_url}/hub/token", timeout=60_000)
        expect(
            page.get_by_role("heading", name="The login service does not answer")
        ).to_be_visible()
        screenshot(page, "unreachable")
    wait_for(lambda: httpx.get(login, timeout=60).is_redirect, 60, "the end of it")
    page.get_by_role("link", name="Try again").click()
    _first_login(page, "hedy")
    page.wait_for_url(f"{service.config.public_url}/hub/token")


def _first_login(page: Page, name: str) -> None:
    """Of somebody whom an operator registered."""
    people.fill_in_login(page, name, PASSWORD)
    page.get_by_role("button", name="I accept").click()
    page.get_by_role("button", name="Authorize").click()


def _processes(service: Service) -> list[psutil.Process]:
    """The identity provider's, which answer requests, and the one that watches over them."""
    pid = service.status()["iam"].pid
    parent = psutil.Process(pid)
    return [parent, *parent.children()]


def test_an_answer_to_a_login_that_nobody_began_begins_one(
    service: Service, person: Person
) -> None:
    """In a browser that was never here, too."""
    page = person().new_page()
    stray = f"{service.config.public_url}/hub/oauth_callback?code=stolen&state=e30="
    page.goto(stray)
    expect(page.get_by_label("Username or e-mail address")).to_be_visible()
    _first_login(page, "mary")
    page.wait_for_url(re.compile(re.escape(service.config.public_url)))
    page.goto(stray)
    expect(page.get_by_role("link", name="My account")).to_be_visible()


def test_without_cookies_nobody_is_sent_in_circles(service: Service) -> None:
    stray = f"{service.config.public_url}/hub/oauth_callback?code=stolen&state=e30="
    none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    with httpx.Client(timeout=60, cookies=none, follow_redirects=True) as browser:
        answer = browser.get(stray)
    assert answer.status_code == 400
    assert "Your browser sends no cookies." in answer.text
