import s3fs
from program import BUCKET, KEY, run

files = s3fs.S3FileSystem(use_listings_cache=False)
run(lambda: files.cat(f"{BUCKET}/{KEY}").decode())
