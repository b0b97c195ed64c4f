"""JupyterLab for this repository: `make lab`, or `jupyter lab --config=jupyter_server_config.py`.

Saving a notebook strips its outputs, so that stepping through it leaves git and DVC clean; the executed copies in
outputs/ keep the pictures. The file browser starts at the root of the repository.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from tools.hygiene import strip  # noqa: E402  (the line above makes it importable)


def strip_on_save(model: dict[str, Any], **_: Any) -> None:
    """Pre-save hook: the notebook that is about to be written, in canonical form."""
    if model["type"] == "notebook" and model["content"]["nbformat"] == 4:
        strip(model["content"])


c = get_config()  # noqa: F821  (Jupyter defines it where it runs this file)
c.ServerApp.root_dir = str(ROOT)
c.FileContentsManager.pre_save_hook = strip_on_save
# Jupyter applies its configuration twice and warns that the hook replaces itself.
warnings.filterwarnings("ignore", message="Overriding existing pre_save_hook")
c.LabApp.extension_manager = "readonly"
c.LabApp.news_url = None  # JupyterLab's news and update checks call out; a clinic's machine must not
c.LabApp.app_settings_dir = str(ROOT / "tools" / "lab_settings")  # nor does Lab ask whether it may
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
