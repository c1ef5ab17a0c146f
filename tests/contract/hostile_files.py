"""Files that would do something, were they let."""

import base64

# Made by PyArrow: columns name, n, when; three rows; zstd.
PARQUET = base64.b64decode(
    "UEFSMRUEFUoVXEwVBBUAEgAAKLUv/SAlKQEAHAAAADxpbWcgc3JjPXggb25lcnJvcj1hbGVydCgxKT4BAAAAYhUA"
    "FRIVJCwVBhUQFQYVBhw2AigBYhgcPGltZyBzcmM9eCBvbmVycm9yPWFsZXJ0KDEpPhERAAAAKLUv/SAJSQAAAgAA"
    "AAMDAQMCFQQVMBU0TBUGFQASAAAotS/9IBiNAABYAQAQAwAAAAAAAAABAAfAAhUAFRQVJiwVBhUQFQYVBhwYCAAA"
    "AAAAAAAQGAgBAAAAAAAAABYAKAgAAAAAAAAAEBgIAQAAAAAAAAAREQAAACi1L/0gClEAAAIAAAAGAQIDJAAVBBUQ"
    "FSJMFQIVABIAACi1L/0gCEEAAACg92NcRwYAFQAVEhUkLBUGFRAVBhUGHBgIAKD3Y1xHBgAYCACg92NcRwYAFgAo"
    "CACg92NcRwYAGAgAoPdjXEcGABERAAAAKLUv/SAJSQAAAgAAAAYBAQYAFQQZTDUAGAZzY2hlbWEVBgAVDCUCGARu"
    "YW1lJQBMHAAAABUEJQIYAW4AFQQlAhgEd2hlbiUUTIwSHCwAAAAAABYGGRwZPCYAHBUMGTUABhAZGARuYW1lFQwW"
    "BhboARaMAiaAASYIHDYCKAFiGBw8aW1nIHNyYz14IG9uZXJyb3I9YWxlcnQoMSk+EREAGSwVBBUAFQIAFQAVEBUC"
    "ADwWOhkGGSYCBAAAACYAHBUEGTUABhAZGAFuFQwWBhbeARb0ASbkAiaUAhwYCAAAAAAAAAAQGAgBAAAAAAAAABYA"
    "KAgAAAAAAAAAEBgIAQAAAAAAAAAREQAZLBUEFQAVAgAVABUQFQIAPCkGGSYABgAAACYAHBUEGTUABhAZGAR3aGVu"
    "FQwWBha8ARbgASbGBCaIBBwYCACg92NcRwYAGAgAoPdjXEcGABYAKAgAoPdjXEcGABgIAKD3Y1xHBgAREQAZLBUE"
    "FQAVAgAVABUQFQIAPCkGGSYABgAAABaCBRYGJggW4AUAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAu"
    "MRk8HAAAHAAAHAAAALEBAABQQVIx"
)
ATTACK = (
    "<script>fetch('/attacked')</script><img src=/attacked onerror=\"fetch('/attacked')\">"
    "<svg onload=\"fetch('/attacked')\"><form action=/attacked><button>go</button></form>"
    "<meta http-equiv=refresh content='0;url=/attacked'><link rel=stylesheet href=/attacked>"
)
SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40' onload=\"fetch('/attacked')\">"
    "<script>fetch('/attacked')</script><image href='/attacked'/>"
    "<rect width='40' height='40'/></svg>"
)
