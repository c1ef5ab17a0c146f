"""S3 clients as people use them, in an image of their own: the base image does not grow by them."""

import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import docker

from quaderno.images import build

_HERE = Path(__file__).parent
_BASE = Path(build.__file__).parent / "base"
_LOCK = _HERE.parents[1] / "requirements" / "clients.lock"

PREPARE = "python ~/programs/prepare.py"
"""Writes what the clients read, below `clients/` of the person's bucket."""

_OTHERS = "~/clients/bin/python"
_NUMBER = "$JUPYTERHUB_USER/clients/number.txt"
_RCLONE = ":s3,provider=Other,env_auth:"
READING = {
    "boto3": "python ~/programs/with_boto3.py",
    "aioboto3": f"{_OTHERS} ~/programs/with_aioboto3.py",
    "s3fs": "python ~/programs/with_s3fs.py",
    "pandas": "python ~/programs/with_pandas.py",
    "PyArrow": "python ~/programs/with_pyarrow.py",
    "Polars": f"{_OTHERS} ~/programs/with_polars.py",
    "Polars without boto3": f"{_OTHERS} ~/programs/with_polars_alone.py",
    "DuckDB": f"{_OTHERS} ~/programs/with_duckdb.py",
    "AWS CLI": f"~/clients/bin/aws s3 cp s3://{_NUMBER} -",
    "rclone": f"~/clients/bin/rclone --quiet cat {_RCLONE}{_NUMBER}",
}
"""Name of the client -> a command for a terminal, which prints 45."""

ENOUGH = "/tmp/enough"
"""Whoever is at work ends when this file is there, or when all is copied."""

_GOING_ON = ("boto3", "aioboto3", "s3fs", "pandas", "PyArrow", "Polars without boto3")
RENEWING = {
    **{name: f"{READING[name]} again" for name in _GOING_ON},
    "AWS CLI": "~/clients/bin/aws s3 cp --recursive ~/programs s3://$JUPYTERHUB_USER/programs",
    "rclone": f"~/clients/bin/rclone --quiet copy ~/programs {_RCLONE}$JUPYTERHUB_USER/copied",
}
"""Clients that ask for keys before the old ones end, each at work for a while.

Polars with boto3 leaves that to boto3. DuckDB asks again when the store refuses what it has.
"""


def image(base: str) -> str:
    """Reference of an image with the clients and all that the image `base` has.

    Both steps are made once for each state of what they are made of. The clients take minutes to
    download, and do not depend on what changes in the base image from day to day.
    """
    system = (_BASE / "Dockerfile").read_bytes()
    environment = _built("environment", {"BASE": base}, system)
    engine = docker.from_env()
    identity = str(engine.images.get(base).id).encode()
    engine.close()
    return _built("image", {"BASE": base, "ENVIRONMENT": environment}, identity)


def _built(step: str, arguments: dict[str, str], besides: bytes) -> str:
    """The image of `step`, whose content depends on its directory, the lock and `besides`."""
    engine = docker.from_env()
    with TemporaryDirectory(prefix="quaderno-clients-") as scratch:
        context = Path(scratch, "context")
        shutil.copytree(_HERE / step, context, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_LOCK, context)
        state = hashlib.sha256(build.digest(context).encode() + besides).hexdigest()
        reference = f"quaderno-test/clients-{step}:{state[:16]}"
        if build.image_label(engine, reference, build.SOURCE_LABEL) is None:
            build.build(context, reference, arguments, Path(scratch, "log"), print)
    engine.close()
    return reference
