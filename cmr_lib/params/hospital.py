"""Stage simulate: who comes to the synthetic hospital, what its scanners do and how its readers write."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from cmr_lib.params.values import Amount, Count, Positive, Share, Source, Strict


class Hospital(Strict):
    """Who comes to the synthetic hospital."""

    n_patients: Positive
    repeat_share: Share  # patients with two or three studies
    no_report_share: Share  # studies whose report never came
    orphan_report_share: Share  # reports whose images never came


class External(Strict):
    """Cohorts beside the hospital's own: studies of a second hospital, phantoms in the layout of ACDC."""

    second_studies: Count  # unseen maker, unseen reader
    acdc_training: Count  # patients below database/training
    acdc_testing: Count  # patients below database/testing


class FullSize(Strict):
    """A sample of studies as large as clinical ones: compressed, some of them enhanced multi-frame."""

    share: Share  # of the studies
    matrix_px: Annotated[int, Field(ge=96, le=512)]
    spacing_mm: Annotated[float, Field(ge=0.5, le=3)]
    sax_slices: Annotated[int, Field(ge=3, le=30)]
    phases: Annotated[list[Annotated[int, Field(ge=8, le=60)]], Field(min_length=2, max_length=2)]  # fewest and most


class Mess(Strict):
    """What a hospital's export also holds: shares of the studies, whatever the diagnosis."""

    localiser: Share  # three planes along the patient's axes
    flow: Share  # a phase-contrast pair through the aorta
    t1_map: Share
    screenshot: Share  # secondary capture with text burned in
    repeat: Share  # a slice that was scanned twice
    missing_view: Share  # a long-axis view or all late enhancement never acquired
    missing_slice: Share  # a short-axis slice lost
    wrong_name: Share  # a SeriesDescription that lies about the view
    corrupt: Share  # a file cut short, empty, or not DICOM
    artefact: Share  # ghosting, banding or a gate that missed


class PhantomImage(Strict):
    """Geometry of the simulated series."""

    matrix_px: Annotated[int, Field(ge=48, le=512)]
    spacing_mm: Annotated[float, Field(ge=0.5, le=5)]
    sax_slices: Annotated[int, Field(ge=3, le=30)]
    phases: Annotated[int, Field(ge=4, le=60)]
    lge_slices: Annotated[int, Field(ge=1, le=30)]
    thickness_mm: Annotated[float, Field(ge=2, le=15)]


class Scanner(Strict):
    """What the simulated scanners do to the signal."""

    snr: Annotated[list[Amount], Field(min_length=2, max_length=2)]  # lowest and highest blood SNR
    shift_mm: Annotated[float, Field(ge=0, le=15)]  # breath-hold misregistration of a slice, one standard deviation


class Reader(Strict):
    """How exact and how complete the simulated readers are."""

    lvef_points: Annotated[float, Field(ge=0, le=20)]  # reader noise, one standard deviation
    volume_ml: Annotated[float, Field(ge=0, le=50)]
    omission_share: Share  # chance that a reader leaves out an optional sentence
    template_share: Share  # of normal readings: dictated as the reader's ready-made normal text, without numbers
    typo_share: Share  # of the reports: one word misspelt
    addendum_share: Share  # of the reports: a line added later
    identifier_share: Share  # of the reports: a letterhead and sentences that name the invented patient


class Simulate(Strict):
    """Stage simulate."""

    out_dir: str
    data_dir: str
    seed: Count
    source: Source
    hospital: Hospital
    external: External
    diagnoses: dict[str, Share]
    image: PhantomImage
    full_size: FullSize
    mess: Mess
    scanner: Scanner
    reader: Reader
    workers: Positive
    real_image: str | None  # path of one real DICOM cine image to look at beside the phantom; never saved

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Any:
        total = sum(self.diagnoses.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"diagnoses: the shares sum to {total:g}, 1 is wanted")
        return self
