"""Your studies, embedded by the shipped model: `make embed STUDIES=dir [REPORTS=csv] OUT=dir`.

Reads a folder with one .zip (or folder) of DICOM a study, anywhere on disk, and writes to OUT: de-identified clips, the
embeddings, the nearest phantom reports, an offline HTML page and the reject table. Names are keyed hashes; the key is
made once, outside the repository. The weights are phantom-trained: for plumbing and teaching, not for clinical use.
"""

import argparse
import base64
import html
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from cmr_lib import params, project, view
from cmr_lib.clips import build, dataset, store
from cmr_lib.evaluation import released
from cmr_lib.ingest.rejects import reject

CAPS_OF = project.find_root(Path(__file__).parent) / "params" / "clinic" / "preprocess.yaml"  # those of a clinic
STYLE = """body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
.note{background:#fff3cd;padding:.6em 1em}section{border-top:1px solid #ccc;margin-top:1.6em;padding-top:.6em}
table{border-collapse:collapse}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
img{image-rendering:pixelated;background:#000}"""


def settings_for(
    studies: Path, reports: Path | None, out: Path, key: Path, clip: params.ClipShape
) -> params.Preprocess:
    """The preprocess stage's parameters for a user's folder: the clip shape is the shipped model's."""
    columns = params.ReportColumns(patient="patient_id", accession="accession", text="report")
    cohort = params.Cohort(
        studies=str(studies),
        reports=str(reports) if reports else None,
        columns=columns,
        max_studies=None,
        max_reject_share=1.0,
    )
    return params.Preprocess(
        out_dir=str(out),
        data_dir=str(out),
        seed=0,
        source="dicom",
        cohort=cohort,
        identity=params.Identity(key_file=str(key)),
        split=params.SplitShares(train=0.0, validation=0.0, test=1.0),
        clip=clip,
        caps=params.Caps(**params.read_yaml(CAPS_OF)["caps"]),
        workers=2,
    )


def picture(clips: store.ClipStore, study_key: str) -> str:
    """An <img> of the study's middle short-axis cine, playing."""
    frames = np.asarray(clips.frames(clips.middle_cine(study_key)))
    data = base64.b64encode(view.webp_bytes(frames, scale=2)).decode()
    return f'<img alt="cine" src="data:image/webp;base64,{data}">'


def _rows(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in table.columns)
    lines = ("".join(f"<td>{html.escape(str(value))}</td>" for value in row) for row in table.itertuples(index=False))
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def page(model: released.Released, clips: store.ClipStore, studies: pd.DataFrame, image: np.ndarray) -> str:
    """The offline HTML page: each study with its nearest phantom reports and nearest neighbours in the folder."""
    predicted = released.predict(model, image)
    similarity = image @ image.T
    parts = [
        f"<!doctype html><meta charset='utf-8'><title>Nearest neighbours</title><style>{STYLE}</style>",
        f"<h1>Nearest neighbours of {len(studies)} studies</h1><p class='note'>The model is {released.DISCLAIMER}. "
        "Neighbours are reports about synthetic phantoms.</p>",
    ]
    for i, study_key in enumerate(studies.study_key):
        reports = released.nearest_reports(model, image[i])[["rank", "similarity", "impression"]].round(3)
        others = [j for j in np.argsort(-similarity[i], kind="stable") if j != i][:3]
        alike = pd.DataFrame({"study": studies.study_key.iloc[others], "similarity": similarity[i, others].round(3)})
        parts.append(
            f"<section><h2>Study {study_key}</h2>{picture(clips, study_key)}<p>LVEF read by the probe: "
            f"{predicted.lvef[i]:.0f} % ({released.DISCLAIMER}).</p><h3>Nearest phantom reports</h3>{_rows(reports)}"
            f"<h3>Nearest studies in this folder</h3>{_rows(alike)}</section>"
        )
    return "\n".join(parts) + "\n"


def planned(table: pd.DataFrame, clips: store.ClipStore, plan: params.FramePlan, rejects: Path) -> pd.DataFrame:
    """The studies with an image that the model looks at; the others get a line in the reject table.

    Raises ValueError when no study is left.
    """
    kept = table.study_key.isin(dataset.with_any_image(clips, table.study_key.tolist(), plan))
    if not kept.any():
        wanted = f"sax cine, {', '.join(plan.lax_views)} cine or sax late enhancement"
        raise ValueError(f"None of {len(table)} studies has an image that the model looks at ({wanted}).")
    rows = [asdict(reject("study", "E_NO_PLANNED_IMAGE", study_key=name)) for name in table.study_key[~kept]]
    if rows:
        project.write_table(rejects, pd.concat([pd.read_csv(rejects), pd.DataFrame(rows)], ignore_index=True))
    return table[kept].reset_index(drop=True)


def embed_folder(studies: Path, reports: Path | None, out: Path, weights: Path, key: Path) -> dict[str, int]:
    """Run the whole of `make embed`; returns how many studies were found, embedded and rejected."""
    model = released.load(weights)
    if not key.expanduser().exists():
        print(f"Making a naming key ({key.name}, mode 0600): keep it; without it names cannot be linked again.")
    counts = build.preprocess(settings_for(studies, reports, out, project.own_key_file(key), model.clip))
    clips = store.ClipStore(out / "store")
    table = planned(pd.read_parquet(out / "studies.parquet"), clips, model.frames, out / "rejects.csv")
    image = released.embed_store(model, clips, table.study_key.tolist())
    project.write_array(out / "embeddings.npy", image)
    project.write_table(out / "embeddings_studies.csv", table[["study_key", "has_report"]])
    nearest = [
        released.nearest_reports(model, vector).assign(study_key=key)
        for key, vector in zip(table.study_key, image, strict=True)
    ]
    project.write_table(out / "nearest_reports.csv", pd.concat(nearest, ignore_index=True))
    project.write_text(out / "neighbours.html", page(model, clips, table, image))
    return {
        "studies_found": counts["studies"]["found"],
        "embedded": len(table),
        "rejects": len(pd.read_csv(out / "rejects.csv")),
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; one sentence and exit 1 when the folder can't be used."""
    parser = argparse.ArgumentParser(prog="make embed", description=__doc__.splitlines()[0])
    parser.add_argument("studies", type=Path, help="folder with one .zip or folder of DICOM a study")
    parser.add_argument("out", type=Path, help="folder to write to (restricted: it holds report text)")
    parser.add_argument("--reports", type=Path, help="table with the columns patient_id, accession, report")
    parser.add_argument("--weights", type=Path, default=Path("weights/demo"))
    parser.add_argument("--key", type=Path, default=Path(project.OWN_KEY), help="naming key file, made if absent")
    given = parser.parse_args(arguments)
    try:
        done = embed_folder(given.studies, given.reports, given.out, given.weights, given.key)
    except (OSError, ValueError) as error:
        print(f"make embed: {error}", file=sys.stderr)
        return 1
    print(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in done.items()))
    print(f"Open {given.out / 'neighbours.html'} in a browser. The model is {released.DISCLAIMER}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
