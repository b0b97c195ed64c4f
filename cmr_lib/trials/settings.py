"""What experiments/params.yaml says of the trainings that are compared; what was expected stands there beforehand."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cmr_lib.evaluation.material import Supervised

TARGETS = ("image_to_report", "report_to_image", "diagnosis", "lvef_percent", "lge")
REFERENCE = "reference"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Strict):
    """One training that differs from the reference in one thing."""

    name: str
    group: str
    change: dict[str, Any] = {}  # of the reference's parameters, merged key by key
    missing: Annotated[float, Field(ge=0, lt=1)] = 0.0  # chance that a study never had a view, in training and judging
    shift: Annotated[int, Field(ge=0)] = 0  # added to the seeds
    against: str = REFERENCE  # the row that it is judged against
    judge: Literal[TARGETS]  # type: ignore[valid-type]  # the one number that decides, chosen beforehand
    expect: Literal["better", "same", "worse"]
    why: str


class Ablations(_Strict):
    """Rows, and how they are trained and judged: on the validation split, by probes of a fixed penalty."""

    seeds: list[Annotated[int, Field(ge=0)]]
    reference: dict[str, Any]  # changes of params/demo/pretrain.yaml
    recall_at: Annotated[int, Field(ge=1)]
    gallery_size: Annotated[int, Field(ge=1)]
    strength: Annotated[float, Field(gt=0)]  # inverse penalty of the logistic probes
    ridge: Annotated[float, Field(gt=0)]  # penalty of the LVEF probe
    rows: list[Row]

    @model_validator(mode="after")
    def _consistent(self) -> Any:
        names = [REFERENCE, *(row.name for row in self.rows)]
        if len(set(names)) < len(names):
            raise ValueError("ablations.rows: every row wants a name of its own, and `reference` is taken")
        if unknown := {row.against for row in self.rows} - set(names):
            raise ValueError(f"ablations.rows: judged against rows that are not there: {sorted(unknown)}")
        return self


class Seeds(_Strict):
    """Further seeds with which the demo is trained."""

    more: list[Annotated[int, Field(ge=0)]]


class Trials(_Strict):
    """The parts of experiments/params.yaml that are of trainings."""

    seeds: Seeds
    ablations: Ablations
    bodies: Supervised | None = None
