import pandas as pd
from program import TABLE, run

run(lambda: pd.read_parquet(TABLE)["n"].sum())
