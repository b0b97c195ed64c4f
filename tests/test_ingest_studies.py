"""Whole studies: found on disk, read, and every file accounted for."""

import dataclasses
import os

import dicom_maker as maker
import pytest

from cmr_lib.ingest.rejects import ACTIONS, CODES, Refused, reject, tally
from cmr_lib.ingest.studies import find_studies, read_study
from cmr_lib.project import keyed_name
from cmr_lib.types import Sequence, View

KEY = b"a key for tests, 32 bytes or more"


def codes(study, level="file"):
    return dict(tally(study.rejects, level))


def conserved(study):
    counts = study.counts
    return counts["found"] == counts["accepted"] + counts["rejected"] + counts["ignored"]


@pytest.fixture(scope="module")
def good_zip(tmp_path_factory):
    return maker.write_zip(tmp_path_factory.mktemp("good") / "whatever.zip", maker.study())


def test_a_study_is_read_into_stacks_with_views(good_zip):
    study = read_study(good_zip, KEY)
    kinds = {(stack.sequence, stack.view, len(stack.pixels)) for stack in study.stacks}
    assert kinds == {
        (Sequence.CINE, View.SAX, 4), (Sequence.CINE, View.LAX_4CH, 1), (Sequence.CINE, View.LAX_2CH, 1),
        (Sequence.LGE, View.SAX, 2),
    }  # fmt: skip
    assert study.counts == {"found": 50, "accepted": 50, "rejected": 0, "ignored": 0}
    assert study.facts == {"vendor": "siemens", "field_strength_t": 1.5}
    assert study.study_key == keyed_name(KEY, "study", "ACC-Secret-1")
    assert (study.patient_id, study.accession) == ("MRN-Secret-77", "ACC-Secret-1")


def test_a_folder_gives_what_its_zip_gives(tmp_path, good_zip):
    folder = tmp_path / "anything"
    for number, ds in enumerate(maker.study()):
        path = folder / f"{number % 3}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(maker.encode(ds))
    one, other = read_study(folder, KEY), read_study(good_zip, KEY)
    assert one.study_key == other.study_key
    assert [stack.view for stack in one.stacks] == [stack.view for stack in other.stacks]
    assert all((a.pixels == b.pixels).all() for a, b in zip(one.stacks, other.stacks, strict=True))


def test_every_file_of_a_messy_study_is_accounted_for(tmp_path):
    files = maker.study()
    folder = tmp_path / "study"
    folder.mkdir()
    for number, ds in enumerate(files):
        (folder / f"{number:03d}").write_bytes(maker.encode(ds))
    (folder / "notes.txt").write_text("hello")
    (folder / "again").write_bytes((folder / "000").read_bytes())
    (folder / "bare").write_bytes(maker.encode(maker.late(maker.plane(30), 9))[132:])
    broken = maker.late(maker.plane(), 10)
    broken.PixelSpacing = ["0", "0"]
    (folder / "broken").write_bytes(maker.encode(broken))
    localiser = maker.dataset(
        maker.plane(), maker.image(maker.plane(), 0), SOPInstanceUID="1.2.99", SeriesInstanceUID="1.99"
    )
    (folder / "localiser").write_bytes(maker.encode(localiser))
    os.mkfifo(folder / "pipe")
    study = read_study(folder, KEY)
    assert conserved(study)
    assert study.counts == {"found": 56, "accepted": 51, "rejected": 1, "ignored": 4}
    assert codes(study) == {
        "E_GEOMETRY": 1, "N_DUPLICATE": 1, "N_LOCALISER": 1, "N_NOT_DICOM": 1, "N_NOT_REGULAR": 1, "W_NO_PREAMBLE": 1,
    }  # fmt: skip
    assert {row.tag for row in study.rejects if row.code == "E_GEOMETRY"} == {"PixelSpacing"}


def test_no_row_holds_an_identifier_a_uid_or_a_name(tmp_path):
    files = maker.study()
    data = {f"Secret^Name/{n}": maker.encode(ds) for n, ds in enumerate(files)} | {"MRN-Secret-77.txt": b"x"}
    data["Secret^Name/0"] = data["Secret^Name/0"][:-50]
    study = read_study(maker.write_zip(tmp_path / "ACC-Secret-1.zip", data), KEY)
    assert study.rejects
    for row in study.rejects:
        for value in dataclasses.asdict(row).values():
            assert "Secret" not in value
            assert "1.2.3" not in value
    for stack in study.stacks:
        assert not any("1.2.3" in key or "Secret" in key for key in stack.series_keys)
        assert not any("Secret" in str(value) for value in stack.facts.values())


def without_series_uid(files):
    """The files, their series told by SeriesNumber alone."""
    numbers = {uid: n for n, uid in enumerate(dict.fromkeys(ds.SeriesInstanceUID for ds in files), start=1)}
    for ds in files:
        ds.SeriesNumber = numbers[ds.SeriesInstanceUID]
        del ds.SeriesInstanceUID
    return files


def test_files_that_lost_their_series_uid_give_the_same_stacks_and_say_so(tmp_path, good_zip):
    zipped, wanted = maker.write_zip(tmp_path / "a.zip", without_series_uid(maker.study())), read_study(good_zip, KEY)
    found = read_study(zipped, KEY)
    assert found.counts == wanted.counts
    assert codes(found) == {"W_NO_SERIES_UID": 50}
    by_view = [{(one.sequence, one.view): one for one in study.stacks} for study in (found, wanted)]
    assert by_view[0].keys() == by_view[1].keys()
    assert all((by_view[0][kind].pixels == by_view[1][kind].pixels).all() for kind in by_view[1])
    assert len({key for one in found.stacks for key in one.series_keys}) == 7


@pytest.mark.parametrize("told", [True, False])
def test_a_repeat_without_series_uid_is_told_by_its_number_or_its_doubles_are_dropped(tmp_path, told):
    again = maker.cine(maker.plane(-36.0), 8, series="1.2.3.4.77")
    files = without_series_uid(maker.study() + again)
    if not told:
        for ds in files:
            del ds.SeriesNumber
    found = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert conserved(found)
    assert codes(found)["N_REPEAT"] == 8
    assert max(stack.pixels.shape[1] for stack in found.stacks) == 8
    assert found.counts["accepted"] == 50


def test_somebody_elses_file_without_series_uid_still_refuses_the_study(tmp_path):
    files = without_series_uid(maker.study())
    files[-1].PatientID = "another"
    found = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert [row.code for row in found.rejects if row.level == "study"] == ["E_IDENTITY_CONFLICT"]


def test_two_images_under_one_uid_are_both_refused(tmp_path):
    files = maker.study()
    twin = maker.late(maker.plane(33), 1)  # another image under the UID of the first late-enhancement one
    study = read_study(maker.write_zip(tmp_path / "a.zip", [*files, twin]), KEY)
    assert conserved(study)
    assert codes(study) == {"E_DUP_CONFLICT": 2}
    assert study.counts["rejected"] == 2


@pytest.mark.parametrize(
    ("keyword", "code"), [("PatientID", "E_IDENTITY_CONFLICT"), ("AccessionNumber", "E_SEVERAL_STUDIES")]
)
def test_two_patients_or_two_accessions_in_one_study_refuse_it(tmp_path, keyword, code):
    files = maker.study()
    setattr(files[-1], keyword, "somebody else")
    study = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert not study.stacks
    assert codes(study, "study") == {code: 1}
    assert conserved(study)
    assert study.counts["rejected"] == 50


def test_a_study_without_accession_number_is_named_by_its_container(tmp_path):
    study = read_study(maker.write_zip(tmp_path / "A.17.zip", maker.study(AccessionNumber="")), KEY)
    assert study.study_key == keyed_name(KEY, "study", "A.17")
    assert study.accession == "A.17"


@pytest.mark.parametrize(
    ("data", "code"),
    [({"a.txt": b"text"}, "E_NO_IMAGES"), ({}, "E_NO_IMAGES"), (None, "E_ARCHIVE")],
)
def test_a_study_without_images_is_refused_in_one_row(tmp_path, data, code):
    path = tmp_path / "a.zip"
    if data is None:
        path.write_bytes(b"not an archive")
    else:
        maker.write_zip(path, data)
    study = read_study(path, KEY)
    assert codes(study, "study") == {code: 1}
    assert conserved(study)


def test_a_study_of_localisers_alone_is_refused(tmp_path):
    localiser = maker.dataset(maker.plane(), maker.image(maker.plane(), 0))
    study = read_study(maker.write_zip(tmp_path / "a.zip", [localiser]), KEY)
    assert codes(study, "study") == {"E_NO_STACK": 1}
    assert codes(study) == {"N_LOCALISER": 1}


def test_unequal_phases_leave_a_row_for_their_series(tmp_path):
    files = maker.study()[8:] + maker.cine(maker.plane(-36), 11, series="1.2.3.4.10")
    study = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert codes(study, "series") == {"W_PHASES_RESAMPLED": 1}
    assert study.counts["accepted"] == 53


def test_a_missing_path_is_an_error():
    with pytest.raises(FileNotFoundError):
        read_study("nowhere", KEY)


# --- finding ----------------------------------------------------------------------------------------------------
def put(path, uid):
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = maker.dataset(maker.plane(size=16), maker.image(maker.plane(size=16), 0), StudyInstanceUID=uid)
    path.write_bytes(maker.encode(ds))


def test_zips_and_folders_are_found_in_order(tmp_path):
    put(tmp_path / "b" / "Se1" / "1", "1.1")
    put(tmp_path / "b" / "Se2" / "1", "1.1")
    put(tmp_path / "c" / "1", "1.2")
    maker.write_zip(tmp_path / "a.zip", {})
    (tmp_path / "reports.csv").write_text("x")
    (tmp_path / "empty").mkdir()
    assert [path.name for path in find_studies(tmp_path)] == ["a.zip", "b", "c"]


def test_patients_with_several_studies_give_several_entries(tmp_path):
    for patient in ("p1", "p2"):
        for study in ("s1", "s2"):
            for series in ("x", "y"):
                put(tmp_path / patient / study / series / "1.dcm", f"1.{patient[1]}.{study[1]}")
    found = [path.relative_to(tmp_path).as_posix() for path in find_studies(tmp_path)]
    assert found == ["p1/s1", "p1/s2", "p2/s1", "p2/s2"]


def test_the_root_itself_may_be_the_only_study(tmp_path):
    put(tmp_path / "Se1" / "1", "1.1")
    put(tmp_path / "Se2" / "1", "1.1")
    assert find_studies(tmp_path) == [tmp_path]


def test_a_folder_without_dicom_is_an_entry_so_that_it_is_refused_by_name(tmp_path):
    put(tmp_path / "a" / "1", "1.1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_text("x")
    assert [path.name for path in find_studies(tmp_path)] == ["a", "b"]


def test_a_linked_study_is_listed_and_refused_not_followed(tmp_path):
    root = tmp_path / "root"
    put(root / "a" / "1", "1.1")
    put(tmp_path / "elsewhere" / "1", "1.2")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    assert [path.name for path in find_studies(root)] == ["a", "b"]
    assert codes(read_study(root / "b", KEY), "study") == {"N_NOT_REGULAR": 1}


def test_files_beside_zips_stop_in_a_sentence_that_names_no_folder(tmp_path):
    put(tmp_path / "Secret^Name" / "1", "1.1")
    maker.write_zip(tmp_path / "Secret^Name" / "a.zip", {})
    with pytest.raises(ValueError, match=r"beside 1 \.zip studies; wanted one or the other") as caught:
        find_studies(tmp_path)
    assert "Secret" not in str(caught.value)


def test_an_absent_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cohort\.studies"):
        find_studies(tmp_path / "nowhere")


# --- codes ------------------------------------------------------------------------------------------------------
def test_every_code_has_a_meaning_and_an_action():
    for code, meaning in CODES.items():
        assert code[0] in ACTIONS
        assert len(meaning) > 10
        assert "\n" not in meaning
        assert reject("file", code).action == ACTIONS[code[0]]
    with pytest.raises(KeyError, match="E_NONSENSE"):
        reject("file", "E_NONSENSE")
    assert "PixelSpacing" in str(Refused("E_GEOMETRY", "PixelSpacing"))


def test_strangers_in_one_folder_are_refused_and_one_study_under_two_identifiers_is_not(tmp_path):
    files = maker.study(3, 5, AccessionNumber=None, PatientID=None)
    for number, ds in enumerate(files):
        ds.StudyInstanceUID = f"1.2.3.{number % 2}"
    one = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert one.stacks
    for number, ds in enumerate(files):
        ds.FrameOfReferenceUID = f"1.2.4.{number % 2}"
    two = read_study(maker.write_zip(tmp_path / "b.zip", files), KEY)
    assert not two.stacks
    assert [(row.code, row.tag) for row in two.rejects] == [("E_SEVERAL_STUDIES", "StudyInstanceUID")]
