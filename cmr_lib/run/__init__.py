"""The papermill runner: `python -m cmr_lib.run NOTEBOOK OUT -f params/… [-s key.sub=value]`."""
