"""DICOM as hospitals send it: planned planes and scanned pixels come out again, contents are true, readers agree."""

import collections
import functools
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK

from cmr_lib import params, project
from cmr_lib.ingest.studies import read_study
from cmr_lib.simulate import archive, dicom, enhanced, headers, identity, mess, pictures, plan
from cmr_lib.simulate.latents import draw_latents
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.protocol import draw_exam, plan_study
from cmr_lib.simulate.scanner import image_late, image_shot, stored_values
from cmr_lib.simulate.vendors import SITE_SCANNERS, VENDORS, vendor_of
from cmr_lib.types import Sequence, View

ROOT = Path(__file__).resolve().parents[1]
KEY = b"0" * 32
CODES = ("SIEMENS", "GE", "PHILIPS", "CANON")
NOTHING = dict.fromkeys(params.Simulate.model_fields["mess"].annotation.model_fields, 0.0)
EXTRAS = ("localiser", "flow", "t1_map", "screenshot")
SMALL = {
    "image": {"matrix_px": 64, "spacing_mm": 3.0, "sax_slices": 4, "phases": 5, "lge_slices": 2},
    "full_size": {"share": 0.0, "matrix_px": 96, "spacing_mm": 1.7, "sax_slices": 3, "phases": [8, 8]},
}


def settings(profile="smoke", small=True, **changes):
    """The smoke settings with small images and without a mess, as far as `changes` do not ask for it."""
    values = params.read_yaml(ROOT / f"params/{profile}/simulate.yaml") | {"out_dir": "unused", "data_dir": "unused"}
    values = params.merge(values, SMALL if small else {})
    return params.check("simulate", params.merge(params.merge(values, {"mess": NOTHING}), changes))


def messy(*names, **changes):
    return settings(mess=NOTHING | dict.fromkeys(names, 1.0), **changes)


def drawn(chosen, patient):
    latents = draw_latents(chosen.seed, patient, 1, chosen.diagnoses)
    return latents, draw_exam(chosen, latents)


def first_of(chosen, code, wanted=lambda latents, exam: True):
    """The first patient who was scanned by a maker and for whom `wanted` holds: (latents, exam)."""
    start = identity.SECOND_HOSPITAL if code == "CANON" else 0
    pairs = (drawn(chosen, patient) for patient in range(start, start + 400))
    return next(pair for pair in pairs if pair[1].vendor.code == code and wanted(*pair))


class Made:
    """One study as it left the hospital."""

    def __init__(self, chosen, latents, exam):
        self.settings, self.exam, self.phantom = chosen, exam, Phantom(latents)
        self.zip, self.rows = archive.study_archive(chosen, self.phantom, exam)
        with zipfile.ZipFile(io.BytesIO(self.zip)) as opened:
            self.entries = opened.infolist()
            self.files = {entry.filename: opened.read(entry) for entry in self.entries}

    @functools.cached_property
    def datasets(self):
        return [pydicom.dcmread(io.BytesIO(data)) for data in self.files.values()]

    def of(self, kind):
        """Files of the series of a kind."""
        numbers = {row["series_number"] for row in self.rows if row["kind"] == kind and row["files"]}
        return [ds for ds in self.datasets if ds.SeriesNumber in numbers]


@functools.cache
def plain(code):
    chosen = messy(*EXTRAS)
    return Made(chosen, *first_of(chosen, code))


@functools.cache
def multi_frame(code):
    chosen = settings(full_size={"share": 1.0})
    return Made(chosen, *first_of(chosen, code, lambda *pair: enhanced.storage_of(chosen, *pair).enhanced))


# --- planes, times, pixels --------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", CODES)
def test_positions_and_times_are_those_of_the_planned_slices(code):
    made = plain(code)
    by_place = collections.defaultdict(list)
    for ds in made.of("cine") + made.of("lge"):
        key = ("InversionTime" in ds, *np.round([*ds.ImagePositionPatient, *ds.ImageOrientationPatient], 3) + 0.0)
        by_place[key].append(ds)
    shots = plan_study(made.settings, made.phantom.latents, made.phantom.shape, made.exam)
    assert len(by_place) == len(shots)
    for shot in shots:
        plane = shot.plane
        place = np.round([*plane.origin_mm, *plane.row_dir, *plane.col_dir], 3) + 0.0
        same = sorted(by_place[shot.sequence is Sequence.LGE, *place], key=lambda ds: ds.InstanceNumber)
        assert [float(ds.TriggerTime) for ds in same] == pytest.approx([p * shot.rr_ms for p in shot.phases], abs=1e-4)
        assert {ds.NominalInterval for ds in same} == {round(shot.rr_ms)}
        assert {(*ds.PixelSpacing, ds.SliceThickness) for ds in same} == {(plane.spacing_mm,) * 2 + (8,)}
        assert {(ds.Rows, ds.Columns) for ds in same} == {(plane.rows, plane.cols)}


@pytest.mark.parametrize("code", CODES)
def test_a_decoded_file_holds_the_pixels_that_were_scanned(code):
    made = plain(code)
    latents, exam = made.phantom.latents, made.exam
    shots = plan_study(made.settings, latents, made.phantom.shape, exam)
    for number in (1, len(shots) - 1):  # a cine slice and a late one
        shot = shots[number]
        random = project.rng(made.settings.seed, "noise", latents.patient, latents.study, number)
        late = shot.sequence is Sequence.LGE
        pair = image_late(made.phantom, shot, exam, random) if late and exam.vendor.psir else None
        frames = image_shot(made.phantom, shot, exam, random) if pair is None else pair[0]
        wanted = stored_values(frames, exam, shot.sequence).astype(int) - round(exam.vendor.intercept)
        files = made.of("lge" if late else "cine")
        found = [ds for ds in files if np.allclose(ds.ImagePositionPatient, shot.plane.origin_mm, atol=1e-3)]
        np.testing.assert_array_equal(np.stack([ds.pixel_array for ds in found]), wanted)
        if pair is not None:
            signed = [ds for ds in made.of("psir") if np.allclose(ds.ImagePositionPatient, shot.plane.origin_mm)]
            below = signed[0].pixel_array.astype(int) - pictures.NULL_12
            assert np.corrcoef(below.ravel(), pair[1].ravel())[0, 1] > 0.999
            assert (np.sign(below) == np.sign(pair[1][0])).mean() > 0.95, "the null is where it is said to be"


@pytest.mark.parametrize("code", CODES)
def test_simpleitk_and_pydicom_read_the_same_pixels_and_geometry(code, tmp_path):
    made = plain(code)
    mr = [(data, ds) for data, ds in zip(made.files.values(), made.datasets, strict=True) if ds.SamplesPerPixel == 1]
    for data, ds in mr[::9]:
        path = tmp_path / "one.dcm"
        path.write_bytes(data)
        image = SimpleITK.ReadImage(str(path))
        values = ds.pixel_array * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
        np.testing.assert_allclose(SimpleITK.GetArrayFromImage(image)[0], values, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(image.GetOrigin(), ds.ImagePositionPatient, atol=1e-3)
        np.testing.assert_allclose(image.GetSpacing()[:2], ds.PixelSpacing, atol=1e-6)
        axes = np.array(image.GetDirection()).reshape(3, 3)
        np.testing.assert_allclose(axes[:, :2].T.ravel(), ds.ImageOrientationPatient, atol=1e-5)


# --- dialects ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "series", "signed", "kinds"),
    [
        ("SIEMENS", 4 + 3 + 2 + 2, 0, {"cine", "lge", "psir"}),  # a series a slice, late enhancement in pairs
        ("GE", 1 + 3 + 1, 1, {"cine", "lge"}),
        ("PHILIPS", 1 + 3 + 1 + 1, 0, {"cine", "lge", "psir"}),
        ("CANON", 1 + 3 + 1, 0, {"cine", "lge"}),
    ],
)
def test_each_maker_has_its_own_dialect(code, series, signed, kinds):
    made = plain(code)
    vendor = made.exam.vendor
    core = [ds for kind in kinds for ds in made.of(kind)]
    assert len({ds.SeriesInstanceUID for ds in core}) == series
    assert {row["kind"] for row in made.rows} == kinds | {"localiser", "flow_magnitude", "flow_phase", "t1_map"} | {
        "screenshot"
    }
    assert {ds.PixelRepresentation for ds in core} == {signed}
    assert {ds.Manufacturer for ds in core} == {vendor.maker}
    assert all(("TemporalPositionIdentifier" in ds) == (code == "PHILIPS") for ds in core)
    assert all(("HeartRate" in ds) == (code != "SIEMENS") for ds in core)
    assert all(("heartbeats" in ds.ImageComments) == (code == "SIEMENS") for ds in core)
    assert {ds.get("RescaleIntercept", 0) for ds in made.of("cine")} == {vendor.intercept}
    assert {ds.get("RescaleSlope", 1) for ds in made.of("cine")} == {vendor.slope}
    assert len(made.of("cine")) == (4 + 3) * (5 + vendor.extra_phases)
    heights = [float(ds.SliceLocation) for ds in made.of("cine") if ds.SeriesDescription in vendor.cine_names[View.SAX]]
    if vendor.split == "stack":
        assert (heights[0] < heights[-1]) == vendor.apex_first, "the normal points to the base"


@pytest.mark.parametrize("code", CODES)
def test_every_file_says_that_it_is_synthetic_and_has_a_name_of_its_own(code):
    made = plain(code)
    assert all("synthetic phantom" in ds.ImageComments for ds in made.datasets)
    assert len({ds.SOPInstanceUID for ds in made.datasets}) == len(made.datasets)
    assert len({(ds.StudyInstanceUID, ds.AccessionNumber, ds.PatientID) for ds in made.datasets}) == 1
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in made.datasets)
    assert {entry.date_time for entry in made.entries} == {archive.ZIP_DATE}
    folders = {name.rsplit("/", 1)[0] for name in made.files}
    assert len(folders) == len({ds.SeriesInstanceUID for ds in made.datasets}), "a folder a series"


def test_makers_of_the_first_hospital_never_scan_in_the_second():
    chosen = settings()
    seen = collections.defaultdict(set)
    for patient in [*range(60), *range(identity.SECOND_HOSPITAL, identity.SECOND_HOSPITAL + 20)]:
        latents, exam = drawn(chosen, patient)
        seen[latents.site].add(exam.vendor.code)
    assert seen == {site: {code for code, _ in scanners} for site, scanners in SITE_SCANNERS.items()}
    assert [vendor_of(code) for code in CODES] == list(VENDORS)
    with pytest.raises(KeyError, match="ACME"):
        vendor_of("ACME")


# --- extras -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", CODES)
def test_extra_series_show_what_their_kind_is(code):
    made = plain(code)
    localisers = made.of("localiser")
    normals = [np.cross(ds.ImageOrientationPatient[:3], ds.ImageOrientationPatient[3:]) for ds in localisers]
    np.testing.assert_allclose(np.abs(normals @ np.transpose(normals)), np.eye(3), atol=1e-9)
    assert all("TriggerTime" not in ds for ds in localisers)
    fastest = max(made.of("flow_phase"), key=lambda ds: 60 < float(ds.TriggerTime) < 300 and ds.pixel_array.std())
    scale = 0.1 if code == "GE" else float(fastest.RescaleSlope)
    speed = fastest.pixel_array * scale + float(fastest.get("RescaleIntercept", 0))  # cm/s
    venc = next(float(word[1:-2]) for word in fastest.SequenceName.split("_") if word.startswith("v"))
    assert venc in (150.0, 180.0, 200.0)
    plane = next(one for one in series_of(made) if one.kind == "flow_phase").shots[0].plane
    labels = made.phantom.labels(plane, 0.2)
    assert 40 < np.median(speed[labels == 13]) < venc, "blood leaves the heart"
    still = np.isin(labels, (2, 3))
    assert abs(np.median(speed[still])) < 3
    assert len(made.of("flow_magnitude")) == len(made.of("flow_phase")) in (3, 4)
    (t1,) = made.of("t1_map")
    middle = np.median(t1.pixel_array[t1.Rows // 2 - 8 : t1.Rows // 2 + 8, t1.Columns // 2 - 8 : t1.Columns // 2 + 8])
    assert 850 < middle < 2000, "ms"


def series_of(made):
    return plan.plan_series(made.settings, made.phantom.latents, made.phantom.shape, made.exam)


def test_a_screenshot_has_the_name_burned_in():
    made = plain("GE")
    (ds,) = made.of("screenshot")
    assert (ds.BurnedInAnnotation, ds.SamplesPerPixel, ds.SOPClassUID.name) == (
        *("YES", 3),
        "Secondary Capture Image Storage",
    )
    frame = np.zeros((30, 30), dtype=np.float32)
    who = identity.identity_of(1, 2, 50)
    other = identity.identity_of(1, 3, 50)
    first, second = (pictures.screenshot(frame, person, "20110101") for person in (who, other))
    assert (first != second).any()
    yellow = (ds.pixel_array == [255, 255, 0]).all(axis=2)
    assert 100 < yellow.sum() < 2000


# --- contents ---------------------------------------------------------------------------------------------------
def readable(data):
    try:
        return pydicom.dcmread(io.BytesIO(data), force=True)
    except EOFError:
        return None


@pytest.mark.parametrize("code", CODES)
def test_contents_count_the_files_of_every_series(code):
    chosen = messy(*EXTRAS, "repeat", "missing_slice", "wrong_name")
    made = Made(chosen, *first_of(chosen, code))
    counted = collections.Counter()
    for row in made.rows:
        assert tuple(row) == archive.CONTENTS_COLUMNS
        counted[row["series_number"]] += row["files"]
    counted = {number: count for number, count in counted.items() if count}
    assert counted == collections.Counter(ds.SeriesNumber for ds in made.datasets)
    lying = [row for row in made.rows if row["trick"] == "wrong_name"]
    for row in lying:
        said = {ds.SeriesDescription for ds in made.datasets if ds.SeriesNumber == row["series_number"]}
        assert row["outcome"] == "used"
        assert said.isdisjoint(made.exam.vendor.cine_names[View(row["view"])])
    assert lying
    (lost,) = [row for row in made.rows if row["trick"] == "missing_slice"]
    assert (lost["files"], lost["outcome"]) == (0, "absent")
    places = {tuple(ds.ImagePositionPatient) for ds in made.of("cine") if ds.NumberOfTemporalPositions > 1}
    assert len(places) == 3 + 3


def test_a_slice_that_was_scanned_twice_is_better_the_second_time():
    chosen = messy("repeat")
    latents, exam = first_of(
        chosen, "SIEMENS", lambda latents, _: mess.draw_mess(chosen, latents).attempt > 0 and latents.patient > 0
    )
    made = Made(chosen, latents, exam)
    (row,) = [row for row in made.rows if row["trick"] == "repeat"]
    assert row["outcome"] == "ignored"
    first = [ds for ds in made.datasets if ds.SeriesNumber == row["series_number"]]
    again = [
        ds
        for ds in made.of("cine")
        if ds.ImagePositionPatient == first[0].ImagePositionPatient and ds.SeriesNumber != row["series_number"]
    ]
    assert len(again) >= len(first) == row["files"]
    assert again[0].AcquisitionTime > first[0].AcquisitionTime


@pytest.mark.parametrize("spoil", [*mess.SPOILS, "duplicate"])
def test_spoiled_files_are_what_contents_call_them(spoil):
    chosen = messy("repeat" if spoil == "duplicate" else "corrupt")

    def hit(latents, _):
        found = mess.draw_mess(chosen, latents)
        return found.duplicate if spoil == "duplicate" else found.spoil == spoil

    made = Made(chosen, *first_of(chosen, "PHILIPS", hit))
    (row,) = [row for row in made.rows if row["trick"] == spoil]
    assert (row["files"], row["outcome"]) == (1, mess.OUTCOMES[spoil])
    assert sum(row["files"] for row in made.rows) == len(made.files)
    marks = {
        "truncated": lambda data: data[128:132] == b"DICM" and len(data) < 0.99 * max(map(len, made.files.values())),
        "empty": lambda data: not data,
        "no_preamble": lambda data: data[:2] == b"\x02\x00" and readable(data).Modality == "MR",
        "not_dicom": lambda data: b"synthetic phantom" in data and b"DICM" not in data,
        "duplicate": lambda data: list(made.files.values()).count(data) == 2,
    }
    assert sum(map(marks[spoil], made.files.values())) == (2 if spoil == "duplicate" else 1)


def test_files_are_spoiled_in_known_ways_only():
    with pytest.raises(ValueError, match="burnt"):
        mess.spoiled(b"1", "burnt", 0.5)


@pytest.mark.parametrize("code", CODES)
def test_a_careful_reader_finds_what_contents_promise(code, tmp_path):
    everything = [name for name in NOTHING if name not in ("flow", "artefact")]
    chosen = messy(*everything)
    made = Made(chosen, *first_of(chosen, code))
    promised = promises(made.rows)
    path = tmp_path / f"{made.rows[0]['accession']}.zip"
    path.write_bytes(made.zip)
    found = read_study(path, KEY)
    assert found.counts == promised
    views = {stack.view for stack in found.stacks if stack.sequence is Sequence.CINE}
    assert views == {View(row["view"]) for row in made.rows if row["kind"] == "cine" and row["files"]}


def promises(rows):
    """Counts that a reader should come to."""
    counts = dict.fromkeys(("found", "accepted", "rejected", "ignored"), 0)
    for row in rows:
        counts["found"] += row["files"]
        if row["files"]:
            counts[{"used": "accepted", "repaired": "accepted"}.get(row["outcome"], row["outcome"])] += row["files"]
    return counts


@pytest.mark.parametrize("code", CODES)
def test_the_reader_takes_the_magnitude_of_a_flow_pair_for_a_cine_and_nothing_else(code, tmp_path):
    # It should be set aside like its phase image; contents say so.
    made = plain(code)
    path = tmp_path / f"{made.rows[0]['accession']}.zip"
    path.write_bytes(made.zip)
    promised = promises(made.rows)
    flow = len(made.of("flow_magnitude"))
    counts = read_study(path, KEY).counts
    assert counts["found"] == promised["found"]
    assert counts["accepted"] - promised["accepted"] in (0, flow)
    assert counts["ignored"] + counts["accepted"] == promised["ignored"] + promised["accepted"]


# --- shares and sizes -------------------------------------------------------------------------------------------
def test_mess_happens_at_the_stated_shares():
    shares = {"localiser": 0.5, "flow": 0.06, "t1_map": 0.08, "screenshot": 0.05, "repeat": 0.06, "missing_view": 0.06}
    shares |= {"missing_slice": 0.05, "wrong_name": 0.06, "corrupt": 0.03}
    chosen = settings(mess=shares)
    base = drawn(chosen, 0)[0]
    drawn_mess = [mess.draw_mess(chosen, replace(base, patient=patient)) for patient in range(4000)]
    seen = {
        "localiser": [one.localiser for one in drawn_mess],
        "flow": [one.flow > 0 for one in drawn_mess],
        "t1_map": [one.t1_map for one in drawn_mess],
        "screenshot": [one.screenshot for one in drawn_mess],
        "repeat": [one.attempt > 0 or one.duplicate for one in drawn_mess],
        "missing_view": [one.missing is not None for one in drawn_mess],
        "missing_slice": [one.lost_slice for one in drawn_mess],
        "wrong_name": [one.liar is not None for one in drawn_mess],
        "corrupt": [one.spoil != "" for one in drawn_mess],
    }
    for name, share in shares.items():
        assert np.mean(seen[name]) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000)), name
    lost = collections.Counter(one.missing for one in drawn_mess if one.missing)
    assert set(lost) == {Sequence.LGE, *mess.LONG_AXIS}
    assert all(one.liar is not one.claim for one in drawn_mess if one.liar)


def test_extras_give_way_where_a_study_is_full():
    full = mess.Mess(localiser=True, flow=4, t1_map=True, screenshot=True, attempt=1.0, duplicate=True)
    for files in range(60, 110):
        left = mess.fitted(full, files, 10)
        assert files + left.files(10) <= mess.MOST_FILES
    assert mess.fitted(full, 60, 10) == full
    assert mess.attempted(mess.fitted(full, 103, 11), 11) in range(mess.FEWEST_REPEATED, 8)


@pytest.mark.parametrize("code", CODES)
def test_demo_studies_hold_at_most_110_files_of_at_most_112_pixels(code):
    shares = NOTHING | dict.fromkeys(set(NOTHING) - {"missing_view", "missing_slice"}, 0.8)
    chosen = settings("demo", small=False, full_size={"share": 0.0}, mess=shares)
    start = identity.SECOND_HOSPITAL if code == "CANON" else 0
    pairs = [drawn(chosen, patient) for patient in range(start, start + 60)]
    largest = 0
    for latents, exam in [pair for pair in pairs if pair[1].vendor.code == code][:8]:
        planned = plan.plan_series(chosen, latents, Phantom(latents).shape, exam)
        more = sum(one.spoil == "duplicate" or one.kind == "not_dicom" for one in planned)
        largest = max(largest, sum(one.images for one in planned) + more)
        assert max(max(shot.plane.rows, shot.plane.cols) for one in planned for shot in one.shots) <= 112
    assert 98 < largest <= 110


def test_the_short_axis_cine_is_always_there():
    chosen = messy("missing_view", "missing_slice", "corrupt")
    for patient in range(8):
        latents, exam = drawn(chosen, patient)
        planned = plan.plan_series(chosen, latents, Phantom(latents).shape, exam)
        short = [one for one in planned if one.kind == "cine" and one.view is View.SAX]
        assert sum(len(one.shots) for one in short) == 3


# --- identifiers ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", CODES)
def test_invented_identifiers_stand_in_standard_private_and_nested_places(code):
    made = plain(code)
    latents = made.phantom.latents
    who = identity.identity_of(made.settings.seed, latents.patient, latents.person.age)
    day = headers.study_start(made.settings.seed, latents).strftime("%Y%m%d")
    for ds in made.of("cine")[:1] + made.of("lge")[:1] + made.of("screenshot"):
        assert str(ds.PatientName) == who.dicom_name
        assert (ds.PatientID, ds.PatientAddress, ds.PatientTelephoneNumbers) == (
            *(who.patient_id, who.address),
            who.telephone,
        )
        assert ds.PatientBirthDate == who.birth_date.strftime("%Y%m%d")
        assert ds.InstitutionName == f"{latents.site} Synthetic Hospital"
        assert who.referring in str(ds.ReferringPhysicianName)
        assert who.family_name in ds.RequestAttributesSequence[0].RequestedProcedureDescription
        private = [element for element in ds if element.tag.is_private and not element.tag.is_private_creator]
        assert any(who.family_name in str(element.value) for element in private)
        assert {element.VR for element in private if day in str(element.value)} == {"DA", "DT"}
        dates = [element for element in ds if element.VR in ("DA", "DT") and day in str(element.value)]
        assert len(dates) >= 7 + 2
    assert who.family_name.upper() in next(iter(made.files)) or code != "SIEMENS"


def test_some_patients_have_a_second_number_in_a_sequence():
    chosen = settings()
    places = collections.Counter()
    for patient in range(9):
        latents, exam = drawn(chosen, patient)
        ds = headers.study_dataset(chosen.seed, latents, exam)
        places["nested"] += "OtherPatientIDsSequence" in ds
        places["plain"] += "OtherPatientIDs" in ds
    assert places == {"nested": 3, "plain": 3}


# --- encoding ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", CODES)
def test_written_elements_are_valid_dicom(code):
    for made in (plain(code), multi_frame(code)) if code in enhanced.ENHANCED_MAKERS else (plain(code),):
        with pydicom.config.strict_reading():  # warnings are errors here, and this raises on a bad value
            for data in list(made.files.values())[::11]:
                ds = pydicom.dcmread(io.BytesIO(data))
                assert len([element.value for element in ds.iterall()]) > 60
                tags = [int(element.tag) for element in ds]
                assert tags == sorted(tags)


def test_encoder_refuses_values_of_another_size():
    made = plain("GE")
    series = next(one for one in series_of(made) if one.kind == "cine")
    shot = series.shots[0]
    elements = dicom.encoded(dicom.kind_dataset(made.exam, series, None))
    encoder = dicom.SeriesEncoder(elements, 2 * shot.plane.rows * shot.plane.cols)
    values = dicom.slice_values(shot, 0, 1.0) | dicom.frame_values("2.25.1", shot, 0, 1)
    pixels = bytes(2 * shot.plane.rows * shot.plane.cols)
    assert pydicom.dcmread(io.BytesIO(encoder.file(values, pixels))).Rows == shot.plane.rows
    with pytest.raises(ValueError, match="InstanceNumber"):
        encoder.file(values | {"InstanceNumber": b"1"}, pixels)
    with pytest.raises(ValueError, match="pixels"):
        encoder.file(values, b"short")


def test_the_same_study_has_the_same_bytes():
    made = plain("PHILIPS")
    again = Made(made.settings, made.phantom.latents, made.exam)
    assert again.zip == made.zip
    assert again.rows == made.rows


# --- full size --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("syntax", enhanced.COMPRESSED)
@pytest.mark.parametrize("code", CODES)
def test_compression_loses_nothing_and_changes_no_other_element(code, syntax, tmp_path):
    made = plain(code)
    data = list(made.files.values())[12]
    before, packed = pydicom.dcmread(io.BytesIO(data)), enhanced.stored_as(data, str(syntax))
    after = pydicom.dcmread(io.BytesIO(packed))
    assert after.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    (tmp_path / "one.dcm").write_bytes(packed)
    slope, intercept = float(before.get("RescaleSlope", 1)), float(before.get("RescaleIntercept", 0))
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "one.dcm")))
    np.testing.assert_allclose(image[0], before.pixel_array * slope + intercept, rtol=1e-5)
    del before.PixelData, after.PixelData
    assert before == after


def test_full_size_studies_are_compressed_and_half_of_new_scanners_write_multi_frame():
    chosen = settings(full_size={"share": 1.0})
    found = collections.defaultdict(list)
    for patient in [*range(600), *range(identity.SECOND_HOSPITAL, identity.SECOND_HOSPITAL + 20)]:
        latents, exam = drawn(chosen, patient)
        storage = enhanced.storage_of(chosen, latents, exam)
        found[exam.vendor.code in enhanced.ENHANCED_MAKERS and exam.field_t > 2].append(storage)
    assert not any(storage.enhanced for storage in found[False])
    assert np.mean([storage.enhanced for storage in found[True]]) == pytest.approx(0.5, abs=0.12)
    syntaxes = collections.Counter(storage.syntax for storages in found.values() for storage in storages)
    assert set(syntaxes) == set(map(str, enhanced.COMPRESSED))
    assert min(syntaxes.values()) > 150
    assert enhanced.storage_of(settings(), *drawn(settings(), 0)) == enhanced.Storage()


def cine_planes(made):
    """The planned cine stacks of a multi-frame study, one a file, beside their files."""
    planned = plan.plan_series(made.settings, made.phantom.latents, made.phantom.shape, made.exam, single_frame=False)
    files = [ds for ds in made.datasets if "NumberOfFrames" in ds]
    stacks = [one for one in planned if one.shots]
    assert len(files) == len(stacks)
    return list(zip(stacks, files, strict=True))


@pytest.mark.parametrize("code", enhanced.ENHANCED_MAKERS)
def test_enhanced_frames_hold_the_place_time_and_pixels_of_the_scan(code):
    made = multi_frame(code)
    scans = pictures.Scans(made.phantom, made.exam, made.settings.seed)
    for series, ds in cine_planes(made):
        assert ds.SOPClassUID == pydicom.uid.EnhancedMRImageStorage
        stored, pixels = scans.series(series), ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
        seen = set()
        for frame, image in zip(ds.PerFrameFunctionalGroupsSequence, pixels, strict=True):
            content = frame.FrameContentSequence[0]
            slot, phase = content.InStackPositionNumber - 1, content.TemporalPositionIndex - 1
            seen.add((slot, phase))
            shot = series.shots[slot]
            assert content.DimensionIndexValues == [1, slot + 1, phase + 1]
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(position, shot.plane.origin_mm, atol=1e-5)
            delay = frame.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime
            assert delay == pytest.approx(shot.phases[phase] * shot.rr_ms, abs=1e-4)
            np.testing.assert_array_equal(image, stored[slot][phase])
        assert len(seen) == ds.NumberOfFrames == series.images


@pytest.mark.parametrize("code", enhanced.ENHANCED_MAKERS)
def test_highdicom_reads_the_planned_geometry_of_enhanced_files(code):
    made = multi_frame(code)
    for series, ds in cine_planes(made):
        image = highdicom.Image.from_dataset(ds)
        geometry = image.get_volume_geometry(allow_missing_positions=False)
        planes = [shot.plane for shot in series.shots]
        assert geometry.spatial_shape == (len(planes), planes[0].rows, planes[0].cols)
        np.testing.assert_allclose(geometry.spacing[1:], planes[0].spacing_mm, rtol=1e-6)
        axes = np.stack(geometry.unit_vectors(), axis=0)
        np.testing.assert_allclose(axes[1:], [planes[0].col_dir, planes[0].row_dir], atol=1e-6)
        ends = [geometry.map_indices_to_reference(np.array([[index, 0, 0]]))[0] for index in range(len(planes))]
        planned = sorted((plane.origin_mm for plane in planes), key=lambda origin: origin @ axes[0])
        np.testing.assert_allclose(ends, planned, atol=1e-3)
        if len(planes) == series.images:  # one frame a slice: late enhancement
            volume = image.get_volume(apply_real_world_transform=False, apply_modality_transform=False)
            assert sorted(volume.array.mean(axis=(1, 2))) == pytest.approx(sorted(ds.pixel_array.mean(axis=(1, 2))))


@pytest.mark.parametrize("code", enhanced.ENHANCED_MAKERS)
def test_simpleitk_reads_the_same_enhanced_stack(code, tmp_path):
    # Late enhancement only: ITK has no place for time and refuses, or gives no spacing for, a multi-frame cine.
    series, ds = next(pair for pair in cine_planes(multi_frame(code)) if pair[0].kind == "psir")
    ds.save_as(tmp_path / "stack.dcm", enforce_file_format=True)
    image = SimpleITK.ReadImage(str(tmp_path / "stack.dcm"))
    planes = [shot.plane for shot in series.shots]
    np.testing.assert_allclose(image.GetOrigin(), planes[0].origin_mm, atol=1e-3)
    pitch = abs((planes[1].origin_mm - planes[0].origin_mm) @ planes[0].normal)
    np.testing.assert_allclose(image.GetSpacing(), [planes[0].spacing_mm] * 2 + [pitch], rtol=1e-5)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(axes[:, :2].T, [planes[0].row_dir, planes[0].col_dir], atol=1e-5)
    values = ds.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    wanted = ds.pixel_array * float(values.RescaleSlope) + float(values.RescaleIntercept)
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(image), wanted, rtol=1e-5, atol=1e-3)
