"""Your bucket by the S3 API, with boto3: run `python examples/s3_boto3.py`.

Nothing to configure: endpoint, region and short-lived keys are there already, and boto3 renews
the keys by itself. The same bucket is the directory cloud_storage/<your name>.
"""

import os

import boto3
import requests

bucket = os.environ["JUPYTERHUB_USER"]
key = "examples/hello.txt"
s3 = boto3.client("s3")

s3.put_object(Bucket=bucket, Key=key, Body=b"Hello from the S3 API\n")
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
