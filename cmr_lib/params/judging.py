"""The stages after training: retrieval, classification, the map, attention and the results."""

from typing import Annotated, Literal

from pydantic import Field

from cmr_lib.params.values import Amount, Count, Positive, Share, Strict


class Retrieval(Strict):
    """Stage retrieval."""

    out_dir: str
    in_root: str
    seed: Count
    recall_at: list[Positive]
    gallery_size: Positive  # studies in a sub-gallery
    gallery_draws: Positive
    bootstrap: Positive


class Probe(Strict):
    """Candidates among which the validation split chooses."""

    strengths: list[Amount]  # inverse regularisation C of the logistic probe, chosen on validation
    ridge: list[Amount]  # ridge penalties of the LVEF probe, chosen on validation


class Classification(Strict):
    """Stage classification."""

    out_dir: str
    in_root: str
    seed: Count
    classes: list[str]
    probe: Probe
    bootstrap: Positive


class Sweep(Strict):
    """Maps that are drawn only to be judged: every size of the neighbourhood, `draws` times with another seed."""

    draws: Positive
    neighbours: list[Annotated[int, Field(ge=2)]]


class Umap(Strict):
    """Stage umap."""

    out_dir: str
    in_root: str
    data_dir: str
    seed: Count
    neighbours: Annotated[int, Field(ge=2)]
    min_dist: Share
    metric: Literal["cosine", "euclidean"]
    judged: Positive  # nearest studies by which a map is judged
    sweep: Sweep
    hearts: Positive  # pictures along the map
    second: Count  # studies of the second hospital to place on the map; 0: none
    study: str | None  # a .zip or folder of DICOM of one's own to place on the map; nothing of it is written
    bootstrap: Positive


class Attention(Strict):
    """Stage attention."""

    out_dir: str
    in_root: str
    data_dir: str
    seed: Count
    studies: Positive  # drawn, and held against an untrained model
    checked: Positive  # held against the anatomy and spoiled patch by patch
    phases: Annotated[int, Field(ge=2, le=64)]  # of the beat that is drawn
    controls: Positive  # untrained models whose scores are averaged
    hospital: str | None  # parameters of the simulated hospital whose anatomy is the truth; null: no truth is known
    bootstrap: Positive


class Results(Strict):
    """Stage results."""

    out_dir: str
    in_root: str
