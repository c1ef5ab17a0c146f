"""The HTML of the pages: templates, and what they need to know; pure."""

import hashlib
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jinja2

from quaderno import names
from quaderno.config import Config
from quaderno.files import BASE, STATIC, TEMPLATES, finding, places
from quaderno.quantities import say_amount, say_time

SANDBOX = "allow-popups allow-popups-to-escape-sandbox"  # what a document may do: open links


def link(page: str, **parameters: str) -> str:
    """The address of `page` here; whatever a key holds, it stays one parameter."""
    query = urlencode({k: v for k, v in parameters.items() if v}, quote_via=quote, safe="")
    return f"{BASE}{page}?{query}" if query else f"{BASE}{page}"


def security_policy(config: Config) -> str:
    """Content-Security-Policy: scripts and styles of ours by their directories, because people's
    servers serve their own files from the same origin; beyond that, requests to the store."""
    directories = (f"{BASE}static/", "/hub/static/", "/hub/quaderno/static/")
    ours = " ".join(config.public_url + directory for directory in directories)
    frames = [f"{config.public_url}{BASE}{page}" for page in ("preview", "raw")]
    store = urlsplit(config.store_public_endpoint)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {ours}",
            f"style-src {ours}",
            f"img-src {ours} {frames[1]} data: blob:",
            f"frame-src {' '.join(frames)}",
            f"font-src {ours}",
            f"connect-src 'self' {store.scheme}://{store.netloc}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )


def document_policy(config: Config) -> str:
    """Of a preview: an origin of its own, in which nothing runs and nothing is sent; links open
    pages of their own."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {config.public_url}{BASE}static/",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
            f"sandbox {SANDBOX}",
        ]
    )


def raw_policy(way: str) -> str:
    """Of an image, whose styles count but not its scripts, and of a PDF file, which browsers do not
    show in a sandbox and keep apart themselves."""
    common = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
    return f"{common}; object-src 'self'" if way == "pdf" else f"{common}; sandbox"


def static_version() -> str:
    """Of all that is below `static`: browsers keep a file as long as this stays the same."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def environment(config: Config) -> jinja2.Environment:
    """Escapes everything; an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known: dict[str, Any] = {
        "base": BASE,
        "public": config.public_url,
        "sandbox": SANDBOX,
        "version": static_version(),
        "service_name": config.name,
        "contact": config.contact,
        "account": config.iam_url if config.iam.embedded else "",
        "link": link,
        "has_buckets": config.store.further_buckets > 0,
        "bucket_name": lambda bucket: names.owner(bucket)[1],
        "columns": finding.COLUMNS,
        "next_sort": finding.next_sort,
        "kind": places.kind,
        "name_of": places.name_of,
        "folder_of": places.folder_of,
        "say_time": say_time,
        "size": lambda size: "" if size is None else say_amount(size),
    }
    made.globals.update(known)
    return made
