"""DICOM as hospitals send it: contents are true of the zip, other readers agree, identifiers are planted."""

import collections
import io
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from cmr_lib import params
from cmr_lib.ingest.studies import read_study
from cmr_lib.simulate import identity, study

ROOT = Path(__file__).resolve().parents[1]
KEY = b"0" * 32


def settings(*, messy=False, full=False):
    values = params.read_yaml(ROOT / "params" / "smoke" / "simulate.yaml") | {"out_dir": "unused", "data_dir": "unused"}
    values["mess"] = {name: float(messy and name not in ("corrupt", "missing_view")) for name in values["mess"]}
    values["full_size"]["share"] = float(full)
    return params.check("simulate", values)


def made(chosen, patient):
    """A study, and its readable files by name."""
    found = study.make_study(chosen, study.Visit(patient, 1, True, True))
    files = {}
    with zipfile.ZipFile(io.BytesIO(found.archive)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for name in archive.namelist():
            files[name] = archive.read(name)
    return found, files


@pytest.mark.parametrize("patient", [0, 4, 5, identity.SECOND_HOSPITAL])
def test_contents_count_the_files_of_the_zip(patient):
    found, files = made(settings(messy=True), patient)
    assert sum(row["files"] for row in found.contents) == len(files) == found.truth["n_files"]
    per_series = collections.Counter(
        str(pydicom.dcmread(io.BytesIO(data)).SeriesInstanceUID) for data in files.values()
    )
    counted = collections.Counter()
    for row in found.contents:
        counted[row["series_number"]] += row["files"]
    assert sorted(per_series.values()) == sorted(count for count in counted.values() if count)


@pytest.mark.parametrize("patient", [0, 4, 5, identity.SECOND_HOSPITAL])
def test_a_careful_reader_finds_what_contents_promise(patient, tmp_path):
    found, _ = made(settings(messy=True), patient)
    path = tmp_path / f"{found.truth['accession']}.zip"
    path.write_bytes(found.archive)
    counts = read_study(path, KEY).counts
    promised = collections.Counter()
    for row in found.contents:
        # The present reader takes the magnitude of a flow pair for a cine; its plane stays unknown.
        promised["used" if row["kind"] == "flow_magnitude" else row["outcome"]] += row["files"]
    assert counts["found"] == found.truth["n_files"]
    assert counts["accepted"] == promised["used"] + promised["repaired"]
    assert counts["ignored"] == promised["ignored"]
    assert counts["rejected"] == promised["rejected"]


def test_makers_of_the_first_hospital_never_scan_in_the_second():
    chosen = settings()
    first = {made(chosen, patient)[0].truth["vendor"] for patient in range(8)}
    assert first == {"SIEMENS", "GE", "PHILIPS"}
    assert made(chosen, identity.SECOND_HOSPITAL)[0].truth["vendor"] == "CANON"


@pytest.mark.parametrize("patient", [0, 4])
def test_simpleitk_and_pydicom_read_the_same_pixels_and_geometry(patient, tmp_path):
    _, files = made(settings(), patient)
    for name in list(files)[::17]:
        path = tmp_path / "one.dcm"
        path.write_bytes(files[name])
        image, other = pydicom.dcmread(path), SimpleITK.ReadImage(str(path))
        slope = float(image.get("RescaleSlope", 1))
        np.testing.assert_allclose(SimpleITK.GetArrayFromImage(other)[0], image.pixel_array * slope, rtol=1e-5)
        np.testing.assert_allclose(other.GetOrigin(), [float(part) for part in image.ImagePositionPatient], atol=1e-3)
        np.testing.assert_allclose(other.GetSpacing()[:2], [float(part) for part in image.PixelSpacing], atol=1e-4)
        row = np.array(other.GetDirection()).reshape(3, 3)[:, 0]
        np.testing.assert_allclose(row, [float(part) for part in image.ImageOrientationPatient[:3]], atol=1e-4)


def test_full_size_studies_are_compressed_or_enhanced_and_decode():
    seen = set()
    for patient in range(8):
        found, files = made(settings(full=True), patient)
        assert found.truth["full_size"] == 1
        image = pydicom.dcmread(io.BytesIO(max(files.values(), key=len)))
        seen.add(image.file_meta.TransferSyntaxUID.name)
        assert image.Rows >= 120
        pixels = image.pixel_array
        assert pixels.max() > 100
        if "NumberOfFrames" in image:
            seen.add("enhanced")
            assert len(image.PerFrameFunctionalGroupsSequence) == image.NumberOfFrames == len(pixels)
            assert image.SOPClassUID == pydicom.uid.EnhancedMRImageStorage
    assert "enhanced" in seen
    assert len(seen) >= 3


def test_demo_study_holds_at_most_110_images_of_at_most_112_pixels():
    chosen = params.check(
        "simulate",
        params.read_yaml(ROOT / "params" / "demo" / "simulate.yaml")
        | {
            "out_dir": "x",
            "data_dir": "x",
            "mess": dict.fromkeys(settings().mess.model_dump(), 1.0) | {"missing_view": 0.0},
        },
    )
    for patient in (0, 4, 5):
        found, files = made(chosen, patient)
        if found.truth["full_size"]:
            continue
        assert len(files) <= 110
        sizes = [
            pydicom.dcmread(io.BytesIO(data), force=True).get("Rows", 0) for data in files.values() if len(data) > 900
        ]
        assert max(size for size in sizes) <= 112


def test_invented_identifiers_stand_in_standard_private_and_nested_places():
    places = collections.Counter()
    for patient in range(4):
        found, files = made(settings(), patient)
        who = identity.identity_of(settings().seed, patient, int(found.truth["age"]))
        image = pydicom.dcmread(io.BytesIO(next(iter(files.values()))))
        assert str(image.PatientName) == who.dicom_name
        assert "synthetic phantom" in "".join(str(image.get("ImageComments", "")).lower())
        for element in image.iterall():
            if who.family_name in str(element.value) and element.VR != "SQ":
                places["private" if element.tag.is_private else "standard"] += 1
        for element in image:
            if element.VR == "SQ":
                places["nested"] += sum(who.family_name in str(inner.value) for item in element for inner in item)
    assert min(places["standard"], places["private"], places["nested"]) > 0


def test_the_same_study_has_the_same_bytes():
    assert made(settings(messy=True), 3)[0].archive == made(settings(messy=True), 3)[0].archive
