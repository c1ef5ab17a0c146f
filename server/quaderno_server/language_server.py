"""python-lsp-server, which would import NumPy, SciPy and the like at its start.

That makes a first completion a little faster, and costs a hundred megabytes of a person's memory
in each server in which a notebook is open (133 MB in place of 29 MB, measured).
"""

from importlib import import_module


def main() -> None:
    """Serve on standard input and output, as JupyterLab's server starts it; returns at the end."""
    import_module("pylsp.plugins.preload_imports").MODULES.clear()
    import_module("pylsp.__main__").main()


if __name__ == "__main__":
    main()
