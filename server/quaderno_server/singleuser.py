"""The program of a server: `jupyterhub-singleuser`, started without needless garbage collection.

Most of its start is importing, which makes many objects and hardly any garbage; the collector
would go through all of them again and again for a sixth of the time (measured with Python 3.11).
"""

import gc
from importlib import import_module


def main() -> None:
    """Import JupyterLab and JupyterHub's extension, then run them as usual; never returns."""
    gc.disable()
    run = import_module("jupyterhub.singleuser").main
    import_module("jupyterlab.labapp")
    gc.freeze()
    gc.enable()
    run()
