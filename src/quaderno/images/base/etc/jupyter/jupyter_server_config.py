"""JupyterLab as people meet it: what it needs to start quickly, and nothing that calls elsewhere.

Read first of all configuration files; a person's own ~/.jupyter comes after it.
"""

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)

c.ServerApp.jpserver_extensions = {
    "jupyter_lsp": False,  # looks for a dozen language servers, none of which is here
    "notebook_shim": False,  # for settings of the classic notebook, which is not here
}
# The environment belongs to the image: people add to it with pip, not by a button that
# searches a package registry at every start.
c.LabApp.extension_manager = "readonly"
# Neither news nor releases of JupyterLab concern people who cannot upgrade the image.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.handlers.announcements.NeverCheckForUpdate"
