"""Your bucket with keys that you obtain yourself: run `python examples/s3_oidc_agent.py`.

Use this when a program has to log in to an object store by OpenID Connect. For your own bucket,
s3_boto3.py does the same in one line. Two steps: the account `infncloud` of oidc-agent gives an
access token, which says who you are; the object store takes it and gives keys that expire.
For another store, put its addresses and your role there in place of the environment variables.
"""

import os

import boto3
import liboidcagent
import requests
from botocore import UNSIGNED
from botocore.config import Config

# 1. The token. In a terminal: oidc-token infncloud
account = os.environ.get("QUADERNO_OIDC_ACCOUNT", "infncloud")
token, issuer, _ = liboidcagent.get_token_response(
    account, min_valid_period=60, application_hint="s3_oidc_agent"
)
print(f"token      from {issuer}")

# 2. The keys. They are for one role, and end with the time below, or sooner if you ask for fewer
# DurationSeconds.
store = os.environ["AWS_ENDPOINT_URL_S3"]
sts = boto3.client(
    "sts",
    endpoint_url=os.environ.get("AWS_ENDPOINT_URL_STS", store),
    config=Config(signature_version=UNSIGNED),  # the token is all that it asks for
)
keys = sts.assume_role_with_web_identity(
    RoleArn=os.environ["QUADERNO_ROLE_ARN"],
    RoleSessionName=os.environ["JUPYTERHUB_USER"],
    WebIdentityToken=token,
)["Credentials"]
print(f"keys       until {keys['Expiration']:%H:%M:%S %Z}")

s3 = boto3.client(
    "s3",
    endpoint_url=store,
    aws_access_key_id=keys["AccessKeyId"],
    aws_secret_access_key=keys["SecretAccessKey"],
    aws_session_token=keys["SessionToken"],
    # Addresses like https://store/bucket, which every store understands.
    config=Config(s3={"addressing_style": "path"}),
)

# 3. Files. Your bucket has your username.
bucket = os.environ["JUPYTERHUB_USER"]
key = "examples/hello-oidc.txt"

s3.put_object(Bucket=bucket, Key=key, Body=b"Hello from oidc-agent\n")
print(f"uploaded   s3://{bucket}/{key}")

print(f"downloaded {s3.get_object(Bucket=bucket, Key=key)['Body'].read()!r}")

# Whoever has this link can read the object, without logging in, until the link (or the key that
# signed it) expires; ExpiresIn is in seconds.
link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=600)
print(f"by link    {requests.get(link, timeout=30).content!r}")

print("the bucket holds")
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
    for item in page.get("Contents", []):
        print(f"  {item['Size']:>12,} B  {item['Key']}")
