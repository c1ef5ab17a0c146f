import asyncio

import aioboto3
from program import BUCKET, KEY, run


async def read(s3):
    answer = await s3.get_object(Bucket=BUCKET, Key=KEY)
    return (await answer["Body"].read()).decode()


with asyncio.Runner() as runner:
    client = aioboto3.Session().client("s3")
    s3 = runner.run(client.__aenter__())
    run(lambda: runner.run(read(s3)))
    runner.run(client.__aexit__(None, None, None))
