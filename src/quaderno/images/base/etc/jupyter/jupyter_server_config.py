"""JupyterLab as people meet it: what starts quickly, asks nobody else, and is at home in a bucket.

`labconfig/page_config.json` leaves out the matching parts of the page, and Jupyter's news.
"""

import os
import sys
from importlib.util import find_spec

from quaderno_server import additions, kept

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)

c.ServerApp.jpserver_extensions = {
    "nbdime": False,  # jupyterlab-git compares notebooks without its pages
    "notebook_shim": False,  # for settings of the classic notebook, which is not here
    "quaderno_server.extension": True,  # storage, login, settings, oidc-agent's clients
}
# It would look for a score of language servers. This one needs no copies of what is edited.
c.LanguageServerManager.autodetect = False
if find_spec("pylsp"):
    c.LanguageServerManager.language_servers = {
        "pylsp": {
            "argv": [sys.executable, "-m", "quaderno_server.language_server"],
            "display_name": "python-lsp-server",
            "languages": ["python"],
            "mime_types": ["text/python", "text/x-ipython"],
            "requires_documents_on_disk": False,
            "version": 2,
        }
    }
# Percent, of the CPUs that the hub gives. To use them all is nothing to be warned of.
c.ResourceUseDisplay.track_cpu_percent = True
c.ResourceUseDisplay.cpu_limit = 100 * float(os.environ.get("CPU_LIMIT", 0))
c.ResourceUseDisplay.cpu_warning_threshold = 0.0
c.ResourceUseDisplay.enable_prometheus_metrics = False  # once a second, and nobody reads them
# The environment belongs to the image: people add to one of their own with pip, not by a button.
additions.use(os.environ)
c.LabApp.extension_manager = "readonly"
# Browsers keep those parts of extensions whose address has a hash; else they ask for a hundred of
# them again at each visit.
c.LabApp.cache_files = True
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
