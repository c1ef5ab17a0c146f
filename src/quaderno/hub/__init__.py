"""JupyterHub: who may come in, what a server is made of, and how it starts and stops."""

from pathlib import Path

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"
# The edge's middlewares that let requests wait for a component, and say so where it stays away;
# ours, too, for the hub's routes.
PATIENCE = "patience"
AWAY = "away"
