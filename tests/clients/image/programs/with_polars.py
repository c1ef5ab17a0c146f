import polars as pl
from program import TABLE, run

run(lambda: pl.read_parquet(TABLE)["n"].sum())
