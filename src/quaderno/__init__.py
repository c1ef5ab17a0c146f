"""Notebooks as a Service for research clouds, on JupyterHub."""

__version__ = "0.1.0"
