"""CMRformer, open and reproducible: a thin library behind the notebooks.

Floors, from the ground up (import-linter enforces the direction, see pyproject.toml):
0 types, labels, params, project; 1 simulate, ingest, reports; 2 clips, models, losses;
3 training, evaluation, explain; 4 figures, view, run.

Importing this package imports nothing heavy: `python -m cmr_lib.run --help` answers at once.
"""

__version__ = "0.1.0"
