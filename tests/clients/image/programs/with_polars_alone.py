"""As where boto3 is not installed: Polars' own provider of keys."""

import polars as pl
from program import TABLE, run

run(lambda: pl.scan_parquet(TABLE, credential_provider=None).collect()["n"].sum())
