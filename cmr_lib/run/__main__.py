r"""Run one notebook with checked parameters and keep one executed copy that is the same every time.

    python -m cmr_lib.run notebooks/06_umap.ipynb outputs/demo/umap/06_umap.ipynb -f params/demo/umap.yaml \
        -s out_dir=outputs/demo/umap -s in_root=outputs/demo

A failed run leaves the declared output alone and keeps its partial copy in outputs/.run/. Heavy libraries are imported
late: `--help` answers at once.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cmr_lib import params, project
from cmr_lib.run.executed import complaints, hide_paths, named_paths, normalise, private_paths
from cmr_lib.run.kernel import execute, fix_environment, killable, own_kernel
from cmr_lib.run.source import RunError, collect, read, stage_of

RUN_FOLDER = Path("outputs/.run")  # partial copies, ignored by git


def run(notebook: Path, out: Path, files: Sequence[Path | str] = (), settings: Sequence[str] = ()) -> Path:
    """Check, execute, normalise and write; the working folder is the repository root. Returns `out`."""
    import nbformat

    if notebook.resolve() == out.resolve():
        raise RunError("The executed copy must not overwrite the notebook.")
    stage, started, partial = stage_of(notebook, files), time.perf_counter(), RUN_FOLDER / out.name
    values = collect(read(notebook), stage, files, settings)
    private = dict(private_paths(values))
    fix_environment()
    try:
        with own_kernel(), killable():
            executed = execute(notebook, partial, values)
    except RunError as error:
        raise RunError(named_paths(str(error), private)) from error
    finally:
        hide_paths(partial, private)  # what is left of a failed run is shown to others
    clean = normalise(executed, private)
    if wrong := complaints(clean):
        raise RunError("\n".join(f"{notebook.name}: {line}" for line in wrong) + f"\nThe raw copy: {partial}")
    project.write_text(out, nbformat.writes(clean) + "\n")
    seconds = time.perf_counter() - started
    project.write_json(out.parent / "run.json", project.run_record(notebook=notebook.name, seconds=seconds))
    partial.unlink()
    return out


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cmr_lib.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebook", type=Path, help="the notebook to run, notebooks/NN_stage.ipynb")
    parser.add_argument("out", type=Path, help="where its executed copy goes; run.json is written beside it")
    parser.add_argument("-f", dest="files", metavar="FILE", type=Path, action="append", default=[],
                        help="parameter file (YAML); may be given again, later files win key by key")  # fmt: skip
    parser.add_argument("-s", dest="settings", metavar="KEY=VALUE", action="append", default=[],
                        help="one value, after the files: -s seed=3 -s optim.epochs=2")  # fmt: skip
    parser.epilog = (
        "CMR_THREADS=n runs on n threads instead of 2; the bytes of the results then differ. CMR_GRACE_S=n lets a "
        "training finish its step for n seconds after SIGTERM instead of 30."
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, 1 (the run failed) or 2 (the parameters are wrong; nothing was run)."""
    args = _arguments().parse_args(arguments)
    notebook, out, files = args.notebook.resolve(), args.out.resolve(), [file.resolve() for file in args.files]
    try:
        project.chdir_root()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        run(notebook, out, files, args.settings)
    except params.ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
