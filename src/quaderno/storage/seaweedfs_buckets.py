"""What the embedded store holds from its start: the buckets that no person may create, and no
policy of a bucket where people may not share.

No S3 keys have power over everybody's buckets. Master and filer know no authentication: root and
system users alone reach them.
"""

import time

import grpc
import httpx

from quaderno import names
from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.storage import filer_messages, seaweedfs_shell

START_DEADLINE = 20  # seconds
_BUCKETS = "/buckets"
_POLICY = "s3-bucket-policy"  # where SeaweedFS keeps it, in the entry of the bucket
_MOST = 2**31 - 1  # buckets; SeaweedFS would end at 100,000
# Of an object without content, the filer needs no volume. There is none of this type, so nothing
# else can be written: nobody's notices take the room of others'.
_ONLY_EMPTY = f"fs.configure -locationPrefix={_BUCKETS}/{names.NOTICES}/ -disk=none -apply"


def initialise(config: Config) -> None:
    """After the start: wait for room to write, make our buckets, close what must not be open.

    Idempotent. Asks master and filer, on loopback. Raises ComponentError when they do not answer
    as they should within START_DEADLINE, StorageError when the store refuses.
    """
    ours = (config.store.scratch_bucket, names.NOTICES)
    buckets = f"http://127.0.0.1:{config.ports.store_filer}{_BUCKETS}"
    try:
        with httpx.Client(timeout=20, trust_env=False) as client:
            _wait_for_volumes(config, client)
            if not config.shares_buckets:
                _withdraw_policies(config)
                client.delete(f"{buckets}/{names.NOTICES}/?recursive=true").raise_for_status()
            for bucket in ours:
                url = f"{buckets}/{bucket}/"
                if client.head(url).status_code == 404:
                    client.post(url).raise_for_status()
                client.head(url).raise_for_status()
    except (httpx.HTTPError, grpc.RpcError) as error:
        raise ComponentError(
            f"The buckets {' and '.join(ours)} could not be made, or what people have shared could "
            f"not be closed: {error}",
            "See the store's log",
        ) from error
    seaweedfs_shell.run(config, _ONLY_EMPTY)


def _wait_for_volumes(config: Config, client: httpx.Client) -> None:
    """The S3 API answers before the volume server is known to the master: reads fail till then."""
    url = f"http://127.0.0.1:{config.ports.store_master}/dir/status"
    deadline = time.monotonic() + START_DEADLINE
    while not client.get(url).json().get("Topology", {}).get("DataCenters"):
        if time.monotonic() > deadline:
            raise ComponentError("The store has no room for data", "See the store's log")
        time.sleep(0.05)


def _withdraw_policies(config: Config) -> None:
    """The filer tells S3, which forgets them. Raises RpcError."""
    with grpc.insecure_channel(
        f"127.0.0.1:{config.ports.store_filer_grpc}", [("grpc.enable_http_proxy", 0)]
    ) as channel:
        listing = filer_messages.method(channel.unary_stream, "ListEntries")
        update = filer_messages.method(channel.unary_unary, "UpdateEntry")
        everything = filer_messages.ListEntriesRequest(directory=_BUCKETS, limit=_MOST)
        for bucket in [each.entry for each in listing(everything, timeout=START_DEADLINE)]:
            kept = [each for each in bucket.extended if each.key != _POLICY]
            if len(kept) < len(bucket.extended):
                del bucket.extended[:]
                bucket.extended.extend(kept)
                request = filer_messages.UpdateEntryRequest(directory=_BUCKETS, entry=bucket)
                update(request, timeout=START_DEADLINE)
