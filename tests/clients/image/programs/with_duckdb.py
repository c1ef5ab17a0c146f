import os
from importlib import resources
from urllib.parse import urlsplit

import duckdb
from program import TABLE, run

database = duckdb.connect()
for extension in ("httpfs", "aws"):  # which DuckDB fetches from its own site, if it is let
    package = resources.files(f"duckdb_extension_{extension}")
    (file,) = package.glob(f"extensions/*/{extension}.duckdb_extension")
    database.execute(f"LOAD '{file}'")
endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
database.execute(
    "CREATE SECRET (TYPE s3, PROVIDER credential_chain, REFRESH auto, URL_STYLE path,"
    f" REGION '{os.environ['AWS_REGION']}', ENDPOINT '{endpoint.netloc}',"
    f" USE_SSL {endpoint.scheme == 'https'})"
)
run(lambda: database.execute(f"SELECT sum(n) FROM '{TABLE}'").fetchone()[0])
