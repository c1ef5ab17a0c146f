"""JupyterLab as people meet it: what starts quickly, asks nobody else, and is at home in a bucket.

`labconfig/page_config.json` leaves out the matching parts of the page, and Jupyter's news.
"""

from quaderno_server import kept

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)

c.ServerApp.jpserver_extensions = {
    "jupyter_lsp": False,  # looks for a score of language servers, none of which is here
    "notebook_shim": False,  # for settings of the classic notebook, which is not here
    "quaderno_server.extension": True,  # storage, login, settings, oidc-agent's clients
}
# The environment belongs to the image: people add to it with pip, not by a button.
c.LabApp.extension_manager = "readonly"
# What is deleted in cloud_storage would be moved within the bucket, and free nothing of the quota.
c.FileContentsManager.delete_to_trash = False
c.FileContentsManager.always_delete_dir = True  # also when there is something in it

# Saving copies the notebook to `.~name`, writes, and removes the copy. In the bucket that costs
# nothing, for uploads begin a second after a file is closed; and whenever a server dies in the
# middle, there is a whole notebook, which JupyterLab finds again, also on another machine.
c.FileContentsManager.use_atomic_writing = True
# What else is written at each save is kept on this machine.
c.AsyncFileContentsManager.checkpoints_class = "quaderno_server.checkpoints.Checkpoints"
trust = kept.place("trust")
c.NotebookNotary.data_dir = str(trust)


def _signatures() -> object:
    from quaderno_server.signatures import Signatures

    return Signatures(str(trust / "nbsignatures.db"))


c.NotebookNotary.store_factory = _signatures
