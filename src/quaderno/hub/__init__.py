"""JupyterHub: who may come in, what a server is made of, and how it starts and stops."""

from pathlib import Path

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"
# The edge's middleware that lets requests wait for a component; ours, too, for the hub's routes.
PATIENCE = "patience"
