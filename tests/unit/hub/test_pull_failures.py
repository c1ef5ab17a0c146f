"""The engine's words are real ones, of Docker 20.10 to 29 with either image store."""

import pytest

from quaderno.hub import pull_failures as causes
from quaderno.hub.failures import Cause
from quaderno.hub.pull_failures import cause_of


@pytest.mark.parametrize(
    ("status", "message", "cause"),
    [
        (
            404,
            "manifest for debian:nosuch not found: manifest unknown: manifest unknown",
            "NOT_FOUND",
        ),
        (404, "manifest for me/certificate:1 not found: manifest unknown", "NOT_FOUND"),
        (
            404,
            "pull access denied for nosuch, repository does not exist or may require"
            " 'docker login': denied: requested access to the resource is denied",
            "NOT_FOUND",
        ),
        (404, "name unknown: repository name not known to registry", "NOT_FOUND"),
        (
            404,
            'failed to resolve reference "docker.io/library/debian:nosuch":'
            " docker.io/library/debian:nosuch: not found",
            "NOT_FOUND",
        ),
        (404, "what a newer engine may say", "NOT_FOUND"),
        (500, "unauthorized: authentication required", "DENIED"),
        (500, 'Head "https://r.example.org/v2/x/manifests/1": no basic auth credentials', "DENIED"),
        (500, 'Head "https://r.example.org/v2/me/x/manifests/1": denied: denied', "DENIED"),
        (
            500,
            'failed to resolve reference "r.example.org/x:1": unexpected status from HEAD request'
            " to https://r.example.org/v2/x/manifests/1: 403 Forbidden",
            "DENIED",
        ),
        (None, "no matching manifest for linux/amd64 in the manifest list entries", "PLATFORM"),
        (
            404,
            "image with reference x:1 was found but does not match the specified platform:"
            " wanted linux/arm64, actual: linux/amd64",
            "PLATFORM",
        ),
        (None, 'image operating system "windows" cannot be used on this platform', "PLATFORM"),
        (
            None,
            "write /var/lib/docker/tmp/GetImageBlob3141592: no space left on device",
            "NO_SPACE",
        ),
        (
            None,
            "failed to register layer: Error processing tar file(exit status 1):"
            " write /usr/lib/libLLVM.so: no space left on device",
            "NO_SPACE",
        ),
        (400, "invalid reference format: repository name must be lowercase", "MALFORMED"),
        (400, "invalid checksum digest length", "MALFORMED"),
        (
            None,
            'Encountered remote "application/vnd.cncf.helm.config.v1+json"(unknown) when fetching',
            "NO_IMAGE",
        ),
        (None, "invalid rootfs in image configuration", "NO_IMAGE"),
        (
            500,
            "not implemented: media type"
            ' "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported',
            "NO_IMAGE",
        ),
        (
            500,
            'Get "https://nosuch.invalid/v2/": dial tcp: lookup nosuch.invalid on 10.0.0.2:53:'
            " no such host",
            "NO_REGISTRY",
        ),
        (
            500,
            'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on'
            " 10.0.0.2:53: no such host",
            "REGISTRY_SILENT",
        ),
        (
            500,
            'Get "https://r.example.org/v2/": x509: certificate signed by unknown authority',
            "UNTRUSTED",
        ),
        (
            500,
            'Get "https://r.example.org/v2/": http: server gave HTTP response to HTTPS client',
            "UNTRUSTED",
        ),
        (
            500,
            "toomanyrequests: You have reached your pull rate limit. You may increase the limit by"
            " authenticating and upgrading",
            "BUSY",
        ),
        (500, "received unexpected HTTP status: 429 Too Many Requests", "BUSY"),
        (500, "received unexpected HTTP status: 503 Service Unavailable", "REGISTRY_FAILS"),
        (500, "received unexpected HTTP status: 500 Internal Server Error", "REGISTRY_FAILS"),
        (
            500,
            'failed to resolve reference "r.example.org/x:1": unexpected status from HEAD request'
            " to https://r.example.org/v2/x/manifests/1: 502 Bad Gateway",
            "REGISTRY_FAILS",
        ),
        (
            500,
            'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
            "REGISTRY_SILENT",
        ),
        (
            500,
            'Get "https://r.example.org/v2/": net/http: request canceled while waiting for'
            " connection (Client.Timeout exceeded while awaiting headers)",
            "REGISTRY_SILENT",
        ),
        (
            500,
            'Get "https://r.example.org/v2/": net/http: TLS handshake timeout',
            "REGISTRY_SILENT",
        ),
        (
            500,
            'Get "https://r.example.org/v2/": dial tcp: lookup r.example.org: server misbehaving',
            "REGISTRY_SILENT",
        ),
        (500, 'Get "https://r.example.org/v2/": context deadline exceeded', "REGISTRY_SILENT"),
        (None, "unexpected EOF", "INTERRUPTED"),
        (500, 'Head "http://127.0.0.1:5000/v2/x/manifests/1": EOF', "INTERRUPTED"),
        (
            None,
            "read tcp 10.0.0.3:51234->10.0.0.9:443: read: connection reset by peer",
            "INTERRUPTED",
        ),
        (None, "filesystem layer verification failed for digest sha256:00ff", "INTERRUPTED"),
        (500, "layer does what no layer did before", "UNKNOWN"),
        (None, "layer does what no layer did before", "UNKNOWN"),
        (409, "the request is not to the engine's liking", "REFUSED"),
    ],
)
def test_the_engines_words_have_a_cause(status: int | None, message: str, cause: str) -> None:
    assert cause_of(message, status) is getattr(causes, cause)


ALL = {name: value for name, value in vars(causes).items() if isinstance(value, Cause)}
AGAIN = {
    "BUSY",
    "REGISTRY_FAILS",
    "REGISTRY_SILENT",
    "INTERRUPTED",
    "STALLED",
    "ENGINE_SILENT",
    "UNKNOWN",
}


def test_only_what_may_pass_is_tried_again() -> None:
    assert {name for name, cause in ALL.items() if cause.again} == AGAIN


@pytest.mark.parametrize("name", ALL)
def test_every_cause_is_a_sentence_with_advice_and_a_reference(name: str) -> None:
    failure = ALL[name].failure(
        "pull of r.example.org/x:1: the engine's words", tries=4, image="r.example.org/x:1"
    )
    said = failure.jupyterhub_message
    assert said.count(". ") >= 2
    assert "(tried 4 times). " in said
    assert "(Reference " in said
    assert "{" not in said
    assert "the engine's words" not in said
    assert "pull of r.example.org/x:1: the engine's words" in failure.log_message


def test_ids_are_distinct() -> None:
    assert len({cause.id for cause in ALL.values()}) == len(ALL)
