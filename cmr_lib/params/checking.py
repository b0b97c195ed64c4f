"""Values against the schema: every unknown, missing or mistyped key is named, with what would have been right."""

import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from cmr_lib.params.files import ParameterError
from cmr_lib.params.schema import STAGES


def _known(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Names that would have been right at this place of the schema."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _shown(value: Any) -> str:
    """A wrong value as a message may show it: a path may name a clinic, or a patient."""
    return "a path" if isinstance(value, str) and ("/" in value or "\\" in value) else repr(value)


def _sentence(stage: str, model: type[BaseModel], error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _known(model, error["loc"][:-1])
        close = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}."
        return f"{stage}: unknown parameter {place}; {hint}"
    if error["type"] == "missing":
        return f"{stage}: parameter {place} is missing."
    if not place:
        return f"{stage}: {error['msg'].removeprefix('Value error, ')}."
    return f"{stage}: parameter {place}: {error['msg'].removeprefix('Value error, ')}, got {_shown(error['input'])}."


def check(stage: str, values: Mapping[str, Any]) -> Any:
    """The stage's parameters as a frozen, typed object; raises ParameterError naming every mistake."""
    if stage not in STAGES:
        raise ParameterError(f"Unknown stage {stage!r}; known: {', '.join(STAGES)}.")
    model = STAGES[stage]
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ParameterError("\n".join(_sentence(stage, model, item) for item in error.errors())) from None


def from_notebook(stage: str, namespace: Mapping[str, Any]) -> Any:
    """The parameters that a notebook's `parameters` cell (or the runner) defined: call it with globals()."""
    names = STAGES[stage].model_fields
    found = {name: namespace[name] for name in names if name in namespace}
    return check(stage, {name: value for name, value in found.items() if not isinstance(value, types.ModuleType)})
