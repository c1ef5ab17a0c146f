"""JupyterLab as people meet it: it opens on /workarea and starts quickly."""

c = get_config()  # noqa: F821  (given by traitlets)
