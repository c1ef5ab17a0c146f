from program import TABLE, run
from pyarrow import compute, fs, parquet

files, path = fs.FileSystem.from_uri(TABLE)
run(lambda: compute.sum(parquet.read_table(path, filesystem=files)["n"]))
