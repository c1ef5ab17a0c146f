"""How gunicorn serves the identity provider; the address is on its command line.

One process, because the cache in its memory holds authorization codes and rate limits.
"""

from typing import Any

wsgi_app = "quaderno.iam.wsgi:application"
workers = 1
worker_class = "gthread"
threads = 8
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes a private, unlinked file there
control_socket_disable = True
accesslog = None  # request lines carry authorization codes
forwarded_allow_ips = "192.0.2.0"  # nobody's: middleware.public_address knows the address
keepalive = 120  # seconds; longer than Traefik keeps idle connections (90), so it closes first
graceful_timeout = 10  # seconds


def post_worker_init(worker: Any) -> None:  # noqa: ARG001
    """The application is loaded: messages leave from here on."""
    from quaderno.iam import outbox

    outbox.start()
