"""The README's picture, a heart finding its report: `python -m tools.picture`, when the weights were renewed.

A phantom patient whom the shipped model has never met is scanned into DICOM and read back; its own report lies among
the 200 that are shipped. Patients are tried in order until one finds its own report first; the picture says which. The
same weights give the same bytes; which weights and which patient stands in the metadata, so that a test can ask.
"""

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from cmr_lib import params, project
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import released
from cmr_lib.figures import front, style
from cmr_lib.view import gallery
from tools.site.catalogue import FRONT

SEED, MOST, SHOWN = 2305, 24, 3
WEIGHTS = Path("weights/demo")
MADE_WITH, PATIENT = "weights", "patient"  # keys in the metadata


def digest(weights: Path) -> str:
    """Which weights a picture was made with."""
    return project.sha256_file(weights / "SHA256SUMS")


def frames_of(clips: ClipStore, study_key: str) -> dict[str, UInt8[np.ndarray, "_ _"]]:
    """Six images of a study: short axis and four chambers when full and when empty, late enhancement at two places."""
    index, found = clips.of_study(study_key), {}
    for kind, words in (("sax", "short axis"), ("lax_4ch", "4 chambers")):
        rows = index[(index["view"] == kind) & (index["sequence"] == "cine")].sort_values("position")
        if len(rows):
            frames = clips.frames(rows.index[len(rows) // 2])
            empty = rows["phase_of_es"].iloc[len(rows) // 2]
            found[f"{words}, full"] = frames[0]
            found[f"{words}, empty"] = frames[round((0.35 if np.isnan(empty) else empty) * len(frames)) % len(frames)]
    late = index[index["sequence"] == "lge"].sort_values("position")
    for place, row in enumerate(late.index[: 6 - len(found)]):
        found[f"late enhancement {place + 1}"] = clips.frames(row)[0]
    return found


def draw(weights: Path, first: int = 0, most: int = MOST) -> bytes:
    """The picture as PNG: of the first patient from `first` on who finds the own report first.

    Raises RuntimeError when none of `most` does.
    """
    model = released.load(weights)
    with tempfile.TemporaryDirectory() as folder:
        places = {"seed": SEED, "out_dir": folder, "data_dir": folder}
        settings = params.check("simulate", params.read_yaml("params/demo/simulate.yaml") | places)
        for patient in range(first, first + most):
            clips, hearts = gallery.invented(model, settings, [patient], Path(folder) / str(patient))
            searched = gallery.of(model, clips, hearts, style.PHANTOM, own=True)
            own = hearts.iloc[0]
            found = searched.reports_for(own.study_key, SHOWN)
            if (found.impression[0], found.findings[0]) == (own.impression, own.findings):
                note = f"{style.PHANTOM}; patient {patient + 1}, the first of those tried whose own report came first"
                shown = frames_of(clips, own.study_key)
                picture = front.heart_finds_report(shown, found, own.impression, len(searched.reports), note)
                return _png(picture, {MADE_WITH: digest(weights), PATIENT: str(patient)})
    raise RuntimeError(f"None of {most} phantom patients found its own report first: are these weights trained?")


def _png(figure: Figure, facts: dict[str, str]) -> bytes:
    """A PNG of few colours (it is grey), with nothing but these facts in its metadata."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=style.DPI, metadata={"Software": None})
    small = Image.open(buffer).convert("RGB").quantize(96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    said = PngImagePlugin.PngInfo()
    for name, value in facts.items():
        said.add_text(name, value)
    out = io.BytesIO()
    small.save(out, format="PNG", pnginfo=said, optimize=True)
    return out.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Write docs/a_heart_finds_its_report.png."""
    parser = argparse.ArgumentParser(prog="python -m tools.picture", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=FRONT)
    given = parser.parse_args(arguments)
    project.chdir_root()
    data = draw(WEIGHTS)
    project.write_bytes(given.out, data)
    print(f"{given.out}: {len(data) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
