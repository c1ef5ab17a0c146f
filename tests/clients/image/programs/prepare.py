"""What the other programs read, written as people would."""

import boto3
import pandas as pd
from program import BUCKET, KEY, TABLE

boto3.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=b"45")
pd.DataFrame({"n": range(10)}).to_parquet(TABLE)
