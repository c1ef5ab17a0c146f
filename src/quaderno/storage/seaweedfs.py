"""The embedded object store: SeaweedFS with S3, STS and a per-person policy.

One process; every listener on 127.0.0.1. Access is only by keys from STS: there is no S3 identity
of its own, and no administrator. Master, volume server and filer have no authentication, so no
container may reach the ports of this machine's loopback interface.

Names of people come from the identity provider's tokens, or, where such a name cannot name a
bucket, mapped and from the hub's (`trust`).
"""

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

from quaderno import names
from quaderno.config import Config
from quaderno.storage import trust

SYSTEM_USER = "quaderno-store"
_VOLUME_SIZE_MB = 1024
_VOLUMES_MAX = 20_000  # each bucket takes one at least; an empty volume is a file of 8 bytes

_LIST = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"]
_GET = [
    "s3:GetObject",
    "s3:GetObjectAttributes",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
]
_WRITE = [
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersion",
    "s3:CreateMultipartUpload",
    "s3:UploadPart",
    "s3:UploadPartCopy",
    "s3:CompleteMultipartUpload",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
]
_OWN_BUCKET = [
    *_LIST,
    "s3:CreateBucket",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketVersioning",
    "s3:PutBucketVersioning",
    "s3:GetBucketTagging",
    "s3:PutBucketTagging",
    "s3:DeleteBucketTagging",
]


# A policy can always be seen and deleted.
_FURTHER_BUCKET = ["s3:DeleteBucket", "s3:GetBucketPolicy", "s3:DeleteBucketPolicy"]


def directory(config: Config) -> Path:
    """Where the store keeps everything."""
    return config.dir / "store"


def prepare(config: Config) -> None:
    """Write what `command` needs; idempotent. As root, gives it to the store's system user.

    That user owns `home`, so as root nothing here follows a link inside it.
    """
    home = directory(config)
    for path in (home, home / "data", home / "run"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _give(path)
    new = config.dir / ".store-iam.json"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(iam_settings(config), file, indent=2)
    _give(new)
    new.replace(home / "iam.json")


def _give(path: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return
    os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def command(config: Config) -> list[str]:
    """The program with its arguments."""
    home, ports = directory(config), config.ports
    options: dict[str, object] = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": home / "data",
        "master.dir": home / "data",
        "master.port": ports.store_master,
        "master.port.grpc": ports.store_master_grpc,
        "master.volumeSizeLimitMB": _VOLUME_SIZE_MB,
        "master.volumePreallocate": False,
        "master.telemetry": False,
        "master.electionTimeout": "1s",  # it is alone; the default makes a restart take 15 s
        "volume.port": ports.store_volume,
        "volume.port.grpc": ports.store_volume_grpc,
        "volume.max": _VOLUMES_MAX,
        "volume.preStopSeconds": 0,
        "filer": True,
        "filer.port": ports.store_filer,
        "filer.port.grpc": ports.store_filer_grpc,
        "filer.localSocket": home / "run" / "filer.sock",
        "s3": True,
        "s3.port": ports.store_s3,
        "s3.port.grpc": ports.store_s3_grpc,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.localSocket": home / "run" / "s3.sock",
        "s3.iam.config": home / "iam.json",
        "s3.autoCreateBucket": False,
        "s3.allowDeleteBucketNotEmpty": False,
    }
    arguments = [f"-{name}={_text(value)}" for name, value in options.items()]
    return [program(), "-logtostderr=true", "server", *arguments]


def program() -> str:
    """SeaweedFS's one program."""
    return str(Path(sys.prefix) / "bin" / "weed")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def environment(config: Config) -> dict[str, str]:
    """Added to the program's environment.

    A bucket's first volumes would be seven at once, and a directory of configuration files in
    someone's home could change the store.
    """
    return {
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
        "HOME": str(directory(config)),
    }


def health_url(config: Config) -> str:
    """Answers 200 once the S3 API serves."""
    return f"http://127.0.0.1:{config.ports.store_s3}/healthz"


def iam_settings(config: Config) -> dict[str, Any]:
    """SeaweedFS's IAM file: STS, who is believed, the roles and their policies."""
    plain, mapped = config.oidc.username_claim, trust.MAPPED_CLAIM
    roles = {
        config.store.role_arn: (trust.plain_names(config), user_policy(config, plain)),
        config.mapped_role_arn: (trust.mapped_names(), user_policy(config, mapped)),
    }
    if config.shares_buckets:
        roles[config.guest_role_arn] = (trust.guests(), guest_policy())
    return {
        "sts": {
            "tokenDuration": f"{config.store.key_lifetime}s",
            "maxSessionLength": "12h",
            "issuer": "quaderno-sts",
            "signingKey": config.store.sts_signing_key.get_secret_value(),
        },
        "providers": trust.providers(config),
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [
            {
                "roleName": _name(arn),
                "roleArn": arn,
                "trustPolicy": trusted,
                "attachedPolicies": [f"{_name(arn)}Policy"],
            }
            for arn, (trusted, _) in roles.items()
        ],
        "policies": [
            {"name": f"{_name(arn)}Policy", "document": policy}
            for arn, (_, policy) in roles.items()
        ],
    }


def _name(role_arn: str) -> str:
    return role_arn.rsplit("/", 1)[-1]


def user_policy(config: Config, claim: str) -> dict[str, Any]:
    """Own bucket: everything but sharing it. Further ones, whose names begin with one's own and a
    double hyphen (`names.further_prefix`): to delete and to share them, too, and to say so to
    others. Scratch: read all, write below one's own name."""
    user = f"${{jwt:{claim}}}"
    further = f"arn:aws:s3:::{user}--*"
    notices = f"arn:aws:s3:::{names.NOTICES}/*"
    more = [
        {"Effect": "Allow", "Action": [*_OWN_BUCKET, *_FURTHER_BUCKET], "Resource": [further]},
        {"Effect": "Allow", "Action": [*_GET, *_WRITE], "Resource": [f"{further}/*"]},
    ]
    if config.shares_buckets:
        more += [
            {"Effect": "Allow", "Action": ["s3:PutBucketPolicy"], "Resource": [further]},
            {
                "Effect": "Allow",
                "Action": ["s3:PutObject", "s3:DeleteObject"],
                "Resource": [f"{notices}/{user}--*"],
            },
            # "*" is a slash, too: a notice whose second part is another's name is none of theirs.
            {"Effect": "Deny", "Action": ["s3:PutObject"], "Resource": [f"{notices}/*/{user}--*"]},
        ]
    own, scratch = f"arn:aws:s3:::{user}", f"arn:aws:s3:::{config.store.scratch_bucket}"
    return trust.document(
        {"Effect": "Allow", "Action": _OWN_BUCKET, "Resource": [own]},
        {"Effect": "Allow", "Action": [*_GET, *_WRITE], "Resource": [f"{own}/*"]},
        {"Effect": "Allow", "Action": _LIST, "Resource": [scratch]},
        {"Effect": "Allow", "Action": _GET, "Resource": [f"{scratch}/*"]},
        {"Effect": "Allow", "Action": _WRITE, "Resource": [f"{scratch}/{user}/*"]},
        *(more if config.store.further_buckets else ()),
    )


def guest_policy() -> dict[str, Any]:
    """To see what is shared with oneself. The policies of those buckets allow the rest."""
    return trust.document(
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{names.NOTICES}"],
            "Condition": {"StringLike": {"s3:prefix": [f"${{jwt:{trust.GUEST_CLAIM}}}/*"]}},
        }
    )
