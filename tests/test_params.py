"""The schema of params/, its messages, and its agreement with the real files and notebooks."""

import re
from pathlib import Path

import nbformat
import pytest

from cmr_lib import params
from cmr_lib.run import source

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "params").glob("*/*.yaml"))
STAGE_FILES = [file for file in FILES if file.stem in params.STAGES]
NOTEBOOKS = {
    stage: file for file in (ROOT / "notebooks").glob("*.ipynb") if (stage := source.stage_of(file, [])) is not None
}
PATHS = {"out_dir": "out", "in_root": "in", "data_dir": "data"}
UMAP = {
    "out_dir": "o", "in_root": "i", "data_dir": "d", "seed": 1, "neighbours": 5, "min_dist": 0.1, "metric": "cosine",
    "judged": 3, "sweep": {"draws": 1, "neighbours": [5]}, "hearts": 3, "second": 0, "study": None, "bootstrap": 9,
}  # fmt: skip


def with_paths(stage: str, values: dict) -> dict:
    """The file's values with the keys that dvc.yaml sets."""
    return {key: value for key, value in PATHS.items() if key in params.STAGES[stage].model_fields} | values


def flat(values: dict, before: str = "") -> set[str]:
    """Dotted names of a nested mapping, down to the values that are not mappings."""
    names = set()
    for key, value in values.items():
        names |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}"}
    return names


# --- the real files ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", STAGE_FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_params_file_is_valid(file):
    params.check(file.stem, with_paths(file.stem, params.read_yaml(file)))


@pytest.mark.parametrize("file", STAGE_FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_first_line_says_which_stage_and_profile_the_file_is_for(file):
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith(f"# Stage {file.stem}, profile {file.parent.name}")


@pytest.mark.parametrize("stage", sorted({file.stem for file in STAGE_FILES}))
def test_profiles_have_the_same_keys(stage):
    keys = {file.parent.name: flat(params.read_yaml(file)) for file in STAGE_FILES if file.stem == stage}
    assert set(keys) == set(params.PROFILES)
    for profile, names in keys.items():
        assert names == keys["demo"], profile


def test_every_stage_has_a_file_in_every_profile():
    found = {(file.parent.name, file.stem) for file in STAGE_FILES}
    assert found == {(profile, stage) for profile in params.PROFILES for stage in params.STAGES}
    others = {file.name for file in FILES} - {f"{stage}.yaml" for stage in params.STAGES}
    assert others <= {"local.example.yaml", "local.yaml"}


@pytest.mark.parametrize("stage", sorted(NOTEBOOKS))
def test_parameters_cell_has_exactly_the_keys_of_the_stage(stage):
    defined = source.parameters_cell(nbformat.read(NOTEBOOKS[stage], as_version=4))
    assert set(defined) == set(params.STAGES[stage].model_fields)


@pytest.mark.parametrize("stage", sorted(NOTEBOOKS))
def test_defaults_of_the_parameters_cell_are_valid(stage):
    nb = nbformat.read(NOTEBOOKS[stage], as_version=4)
    source.collect(nb, stage, [], [])


@pytest.mark.parametrize("stage", sorted(params.STAGES))
def test_every_parameter_is_read_by_library_or_notebook(stage):
    code = [file.read_text(encoding="utf-8") for file in (ROOT / "cmr_lib").rglob("*.py") if file.name != "schema.py"]
    cells = nbformat.read(NOTEBOOKS[stage], as_version=4).cells
    everything = "\n".join([*code, *(cell.source for cell in cells if cell.cell_type == "code")])
    leaves = {name.rsplit(".", 1)[-1] for name in flat(params.read_yaml(ROOT / "params" / "demo" / f"{stage}.yaml"))}
    whole = {"stem", "patch_px", "width", "depth", "heads", "temporal_init", "dropout"}  # VideoConfig(**settings.video)
    unread = {name for name in leaves - whole if not re.search(rf"\.{name}\b|\[\"{name}\"\]", everything)}
    assert not unread


def test_example_of_a_clinics_file_is_valid_for_its_stages(tmp_path):
    example = ROOT / "params" / "clinic" / "local.example.yaml"
    for stage, section in params.read_yaml(example).items():
        values = params.merge(params.read_yaml(example.with_name(f"{stage}.yaml")), section)
        params.check(stage, with_paths(stage, values))


# --- messages ---------------------------------------------------------------------------------------------------
def complaint(stage: str, values: dict) -> list[str]:
    with pytest.raises(params.ParameterError) as caught:
        params.check(stage, values)
    return str(caught.value).splitlines()


def test_right_values_give_a_frozen_object():
    checked = params.check("umap", UMAP)
    assert checked.neighbours == 5
    with pytest.raises(ValueError, match="frozen"):
        checked.neighbours = 6


def test_every_mistake_is_named_at_once():
    wrong = {**UMAP, "neigbours": 4, "min_dist": 2, "metric": "manhattan"}
    del wrong["seed"], wrong["neighbours"]
    said = complaint("umap", wrong)
    assert "umap: unknown parameter neigbours; did you mean neighbours?" in said
    assert "umap: parameter seed is missing." in said
    assert "umap: parameter neighbours is missing." in said
    assert any("min_dist" in line and "less than or equal to 1" in line and "got 2" in line for line in said)
    assert any("metric" in line and "'manhattan'" in line for line in said)
    assert len(said) == 5


@pytest.mark.parametrize("value", ["5", 5.0, True, None])
def test_types_are_strict(value):
    assert "neighbours" in complaint("umap", {**UMAP, "neighbours": value})[0]


def test_nested_mistake_is_named_by_its_place():
    file = ROOT / "params" / "demo" / "preprocess.yaml"
    values = params.override(with_paths("preprocess", params.read_yaml(file)), ["split.trian=0.5"])
    assert complaint("preprocess", values) == ["preprocess: unknown parameter split.trian; did you mean train?"]


def test_shares_must_sum_to_one():
    with pytest.raises(ValueError, match="sum to 1"):
        params.SplitShares(train=0.6, validation=0.3, test=0.3)


def test_clinics_studies_need_a_key_file():
    file = ROOT / "params" / "clinic" / "preprocess.yaml"
    values = with_paths("preprocess", params.merge(params.read_yaml(file), {"cohort": {"studies": "/x"}}))
    assert "key file outside the repository" in complaint("preprocess", values)[0]


def test_unknown_stage_lists_the_known_ones():
    assert complaint("umpa", {})[0].startswith("Unknown stage 'umpa'; known: simulate, preprocess")


# --- reading ----------------------------------------------------------------------------------------------------
def test_yaml_is_read_as_dvc_reads_it(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("rate: 1e-3\nanswer: yes\ntruth: true\nnothing: null\n")
    assert params.read_yaml(file) == {"rate": 0.001, "answer": "yes", "truth": True, "nothing": None}


def test_a_wrong_value_that_is_a_path_is_not_shown():
    values = params.read_yaml(ROOT / "params/smoke/umap.yaml") | {"in_root": "i", "out_dir": "o", "data_dir": "d"}
    with pytest.raises(params.ParameterError, match="got a path") as caught:
        params.check("umap", values | {"neighbours": "/mnt/hospital/Zormek"})
    assert "Zormek" not in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [("- 1\n", "got list"), ("a: [\n", "not valid YAML")])
def test_unreadable_files_are_named(tmp_path, text, said):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(params.ParameterError, match=said):
        params.read_yaml(file)
    with pytest.raises(params.ParameterError, match="not found"):
        params.read_yaml(tmp_path / "absent.yaml")


def test_later_files_and_settings_win_key_by_key():
    base = {"model": {"width": 128, "depth": 4}, "seed": 1}
    assert params.merge(base, {"model": {"depth": 2}}) == {"model": {"width": 128, "depth": 2}, "seed": 1}
    assert params.override(base, ["model.width=64", "names=[a, b]", "seed="]) == {
        "model": {"width": 64, "depth": 4}, "seed": None, "names": ["a", "b"],
    }  # fmt: skip
    assert base == {"model": {"width": 128, "depth": 4}, "seed": 1}, "the base is left as it was"
    with pytest.raises(params.ParameterError, match=r"key\.sub=value"):
        params.override(base, ["seed"])


def test_notebook_namespace_gives_the_stages_parameters():
    import math

    namespace = {**UMAP, "math": math, "helper": 3}
    assert params.from_notebook("umap", namespace) == params.check("umap", UMAP)
    with pytest.raises(params.ParameterError, match="seed is missing"):
        params.from_notebook("umap", {**namespace, "seed": math})


PUBLIC = dict.fromkeys(params.PUBLIC_SOURCES, True)


@pytest.mark.parametrize(("source", "wanted"), [*PUBLIC.items(), ("dicom", False)])
def test_only_public_sets_are_read_without_a_key(source, wanted):
    values = params.read_yaml(ROOT / "params/demo/preprocess.yaml") | {
        "source": source,
        "out_dir": "x",
        "data_dir": "x",
    }
    values["cohort"] |= {"studies": "somewhere"}
    if wanted:
        assert params.check("preprocess", values).source == source
    else:
        with pytest.raises(params.ParameterError, match="key_file"):
            params.check("preprocess", values)
