"""A look at a study before it is believed: headers file by file, sides of a picture, where planes cut."""

import dataclasses

import dicom_maker as maker
import numpy as np
import pytest

from cmr_lib.ingest import glance, orientation, studies
from cmr_lib.types import Sequence, Stack, View

KEY = b"k" * 32


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Four short-axis slices, two long-axis cines, two late images, and a text file."""
    files = {f"S/I{i:04d}.dcm": maker.encode(ds) for i, ds in enumerate(maker.study(slices=4, phases=6))}
    return maker.write_zip(tmp_path_factory.mktemp("glance") / "one.zip", files | {"S/readme.txt": b"hello"})


@pytest.fixture(scope="module")
def table(archive):
    return glance.headers(archive, KEY)


@pytest.fixture(scope="module")
def stacks(archive):
    return studies.read_study(archive, KEY).stacks


def flat(normal_axis: int = 2, size: int = 11, spacing: float = 2.0, **changes) -> Stack:
    """One still slice through the origin's neighbourhood, along two axes of the patient."""
    across, down = (np.eye(3)[axis] for axis in ((1, 2), (0, 2), (0, 1))[normal_axis])
    usual = {
        "sequence": Sequence.CINE,
        "view": View.UNKNOWN,
        "pixels": np.zeros((1, 1, size, size), dtype=np.float32),
        "origins_mm": np.zeros((1, 3)),
        "row_direction": across,
        "col_direction": down,
        "spacing_mm": (spacing, spacing),
        "trigger_ms": np.zeros((1, 1)),
    }
    return Stack(**(usual | changes))


# --- headers ----------------------------------------------------------------------------------------------------
def test_every_file_has_a_row_and_what_is_no_dicom_says_so(table):
    assert len(table) == 6 * 6 + 2 + 1
    assert table.kind.value_counts().to_dict() == {"MR image": 38, "not DICOM": 1}
    assert table.file.tolist() == list(range(1, 40))
    assert table.series.max() == table[table.series > 0].series_key.nunique() == 7
    assert table.loc[table.kind == "not DICOM", "series"].tolist() == [0]


def test_headers_say_what_was_written(table):
    """Oracle: the numbers that dicom_maker put into the files."""
    first = table[table.series == 1]
    np.testing.assert_allclose(first.trigger_ms, 800 / 6 * np.arange(6), atol=1e-3)
    assert first.instance.tolist() == [1, 2, 3, 4, 5, 6]
    assert set(first.rows) == {64}
    assert set(first.rr_ms) == {800}
    places = np.sort(
        table[(table.says == "unknown") & table.inversion_ms.isna()].drop_duplicates("series").position_mm
    )[:4]
    np.testing.assert_allclose(np.diff(places), 24, atol=1e-3)
    assert {"lax_4ch", "lax_2ch"} <= set(table.says)
    assert (table.inversion_ms == 300).sum() == 2


def test_series_bear_the_names_that_the_reader_gives_them(table, stacks):
    used = {key for stack in stacks for key in stack.series_keys}
    assert used <= set(table.series_key)


def test_no_text_of_a_header_comes_out_unasked(table, archive):
    said = table.to_csv()
    assert "Secret" not in said
    assert "cine" not in said
    assert "1.2.3.4" not in said
    assert "cine 4ch" in set(glance.headers(archive, KEY, descriptions=True).description)


def test_position_is_geometry_whatever_the_slice_location_says(tmp_path):
    files = [
        maker.dataset(maker.plane(offset), np.zeros((64, 64), np.uint16), SliceLocation=str(location),
                      SOPInstanceUID=f"1.2.3.{location}")
        for offset, location in ((0.0, 7), (10.0, 6))
    ]  # fmt: skip
    seen = glance.headers(maker.write_zip(tmp_path / "s.zip", files), KEY)
    assert seen.slice_location_mm.tolist() == [7, 6]
    assert abs(seen.position_mm.diff().iloc[1]) == pytest.approx(10, abs=1e-3)


def test_broken_and_empty_headers_are_rows_too(tmp_path):
    whole = maker.encode(
        maker.dataset(maker.plane(), np.zeros((64, 64), np.uint16), PixelSpacing=None, InstanceNumber=None)
    )
    bare = maker.dataset(
        maker.plane(), np.zeros((64, 64), np.uint16), ImagePositionPatient=None, SOPInstanceUID="1.2.9"
    )
    files = {"a": whole, "b": b"", "c": whole[: len(whole) // 2], "d": maker.encode(bare), "e": b"\0" * 200}
    seen = glance.headers(maker.write_zip(tmp_path / "s.zip", files), KEY)
    assert seen.kind.tolist() == ["MR image", "not DICOM", "MR image", "MR image", "not DICOM"]
    assert np.isnan(seen.spacing_mm[0])
    assert np.isnan(seen.instance[0])
    assert np.isnan(seen.position_mm[3])


def test_a_missing_study_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        glance.headers(tmp_path / "none.zip", KEY)


# --- orientation ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("direction", "said"),
    [([1, 0, 0], "L"), ([-1, 0, 0], "R"), ([0, 1, 0], "P"), ([0, -1, 0], "A"), ([0, 0, 1], "H"), ([0, 0, -1], "F"),
     ([0.8, -0.6, 0.0], "LA"), ([0.97, 0.0, -0.24], "L"), ([0.6, -0.57, -0.56], "LA")],
)  # fmt: skip
def test_letters_are_the_patients_sides(direction, said):
    assert orientation.letters(np.array(direction, dtype=float)) == said


def test_an_axial_picture_shows_right_on_the_left_and_front_on_top():
    assert orientation.edge_letters(flat(2)) == {"left": "R", "right": "L", "top": "A", "bottom": "P"}


def test_corners_are_where_the_header_puts_them():
    stack = flat(2, size=11, spacing=2.0, origins_mm=np.array([[1.0, 2.0, 3.0]]))
    assert orientation.corners_mm(stack, 0).tolist() == [[1, 2, 3], [21, 2, 3], [21, 22, 3], [1, 22, 3]]


def test_the_cut_of_two_known_planes_is_the_column_where_they_meet():
    axial, sagittal = flat(2), flat(0, origins_mm=np.array([[6.0, 0.0, 0.0]]))
    line = orientation.cut_line(axial, 0, sagittal)
    assert set(line[:, 1].tolist()) == {3.0}  # 6 mm at 2 mm a pixel
    assert line[:, 0].min() < 1
    assert line[:, 0].max() > 9
    assert orientation.cut_line(axial, 0, flat(2)) is None
    assert orientation.cut_line(axial, 0, flat(0, origins_mm=np.array([[60.0, 0.0, 0.0]]))) is None
    assert orientation.angle_deg(axial, sagittal) == pytest.approx(90)


def test_every_point_of_an_oblique_cut_lies_in_both_planes(stacks):
    short = orientation.main_cine(stacks)
    others = [one for one in stacks if one.view in (View.LAX_4CH, View.LAX_2CH)]
    assert len(others) == 2
    for other in others:
        line = orientation.cut_line(short, 2, other)
        assert len(line) > 20
        points = (
            short.origins_mm[2]
            + line[:, :1] * short.spacing_mm[0] * short.col_direction
            + line[:, 1:] * short.spacing_mm[1] * short.row_direction
        )
        np.testing.assert_allclose((points - other.origins_mm[0]) @ other.normal, 0, atol=1e-6)


def test_the_main_cine_is_the_short_axis_or_the_largest_other(stacks):
    assert orientation.main_cine(stacks).view == View.SAX
    rest = [one for one in stacks if one.view != View.SAX]
    assert orientation.main_cine(rest).sequence == Sequence.CINE
    with pytest.raises(ValueError, match="no cine"):
        orientation.main_cine([one for one in stacks if one.sequence == Sequence.LGE])


def test_one_of_each_keeps_the_fullest_and_starts_with_the_short_axis(stacks):
    first = {name: getattr(stacks[0], name)[:1] for name in ("pixels", "origins_mm", "trigger_ms")}
    fewer = dataclasses.replace(stacks[0], **first)
    found = orientation.one_of_each([fewer, *stacks])
    assert found[0].view == View.SAX
    assert found[0].sequence == Sequence.CINE
    assert len(found[0].pixels) == 4
    assert found[-1].sequence == Sequence.LGE
    assert len({(one.view, one.sequence) for one in found}) == len(found)
