import boto3
from program import BUCKET, KEY, run

s3 = boto3.client("s3")
run(lambda: s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read().decode())
