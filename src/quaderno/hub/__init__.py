"""JupyterHub: who may come in, what a server is made of, and how it starts and stops."""

from pathlib import Path

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"
