"""The web page of the object store: people's files in a browser, with their own keys alone."""

from pathlib import Path

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"
BASE = "/services/files/"  # where the hub's routes send it
