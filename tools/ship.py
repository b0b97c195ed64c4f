"""Renew `weights/demo/` from the demo's outputs: `python -m tools.ship`, only when it matters.

The folder is shipped in git so that a first use (tour, `make embed`) needs no training: model, tokenizer, the clip
shape and frame plan it expects, 200 phantom reports of the training split with their embeddings, two probes, a card
and SHA256SUMS. Reports come from the training split: a gallery must not hold what a test query is looking for.
"""

import argparse
import json
import shutil
from pathlib import Path

import pandas as pd

from cmr_lib import params, project
from cmr_lib.evaluation import embeddings, probes

GALLERY = 200


def ship(outputs: Path, target: Path, profile: str) -> None:
    """Copy and cut the demo's results down to what is shipped; the old folder goes when the new one is whole."""
    made, fresh = outputs / "pretrain", target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for file in sorted((made / "model").iterdir()):
        project.write_bytes(fresh / "model" / file.name, file.read_bytes())
    clip = params.read_yaml(f"params/{profile}/preprocess.yaml")["clip"]
    frames = json.loads((made / "frames.json").read_text(encoding="utf-8"))
    project.write_json(fresh / "settings.json", {"clip": clip, "frames": frames})
    table = embeddings.read_embeddings(made / "embeddings")
    reports = pd.read_parquet(outputs / "preprocess" / "reports.parquet").set_index("study_key")
    chosen = table.studies.index[(table.studies.split == "train") & table.studies.has_report][:GALLERY]
    texts = reports.loc[table.studies.study_key[chosen], ["findings", "impression"]]
    project.write_table(fresh / "gallery" / "reports.csv", texts)
    project.write_array(fresh / "gallery" / "text.npy", table.text[chosen])
    probes.write_probes(fresh / "probes.json", probes.read_probes(outputs / "classification" / "probes.json"))
    card = (made / "model_card.md").read_text(encoding="utf-8")
    project.write_text(fresh / "card.md", card)
    project.write_manifest(fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--target", type=Path, default=Path("weights/demo"))
    arguments = parser.parse_args()
    ship(Path("outputs") / arguments.profile, arguments.target, arguments.profile)
    print(f"{arguments.target}: {project.folder_bytes(arguments.target) / 1e6:.1f} MB")
