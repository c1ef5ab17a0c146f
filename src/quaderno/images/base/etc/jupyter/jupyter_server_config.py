"""JupyterLab as people meet it: what starts quickly, and asks nobody else.

`labconfig/page_config.json` leaves out the matching parts of the page, and Jupyter's news.
"""

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)

c.ServerApp.jpserver_extensions = {
    "jupyter_lsp": False,  # looks for a score of language servers, none of which is here
    "notebook_shim": False,  # for settings of the classic notebook, which is not here
    "quaderno_server.extension": True,  # access tokens for oidc-agent's clients
}
# The environment belongs to the image: people add to it with pip, not by a button.
c.LabApp.extension_manager = "readonly"
# What is deleted in cloud_storage would be moved within the bucket, and free nothing of the quota.
c.FileContentsManager.delete_to_trash = False
