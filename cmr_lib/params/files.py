"""Parameter files: YAML 1.2 as DVC reads it (`1e-3` is a number and `yes` is a word), merged key by key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ParameterError(ValueError):
    """A parameter that is unknown, missing or of the wrong kind; the message is one sentence a mistake."""


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML 1.2 mapping; raises ParameterError when the file is absent or not a mapping."""
    from ruamel.yaml import YAML, YAMLError

    path = Path(path)
    if not path.is_file():
        raise ParameterError(f"Parameter file {path} not found.")
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ParameterError(f"Parameter file {path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(content, dict):
        raise ParameterError(f"Parameter file {path} must hold `key: value` pairs, got {type(content).__name__}.")
    return content


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def override(values: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply `key.sub=value` settings, values read as YAML 1.2; raises ParameterError when one cannot be read."""
    from ruamel.yaml import YAML, YAMLError

    merged = dict(values)
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise ParameterError(f"-s {setting!r}: `key.sub=value` is wanted.")
        try:
            value: Any = YAML(typ="safe", pure=True).load(text) if text else None
        except YAMLError as error:
            raise ParameterError(f"A value after -s is not YAML: {str(error).splitlines()[0]}.") from error
        for key in reversed(dotted.split(".")):
            value = {key: value}
        merged = merge(merged, value)
    return merged
