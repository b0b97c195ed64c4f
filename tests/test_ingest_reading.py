"""One DICOM file: right pixels from good ones, the right code for bad ones."""

import contextlib
import io
import time
from types import SimpleNamespace

import dicom_maker as maker
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cmr_lib.ingest import pixels
from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.rejects import CODES, Refused

PLANE = maker.plane(size=16)
RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 7


def read(data):
    with quiet_pydicom():
        (instance,) = parse_all(data)
    return instance


def code_of(data):
    with pytest.raises(Refused) as caught:
        read(data)
    assert caught.value.code in CODES
    return caught.value.code


def make(pixels=RAMP, **changes):
    return maker.encode(maker.dataset(PLANE, pixels, **changes))


# --- good files -------------------------------------------------------------------------------------------------
def test_pixels_and_geometry_are_read():
    instance = read(make(TriggerTime="123.5"))
    assert (instance.pixels() == RAMP).all()
    assert np.allclose(instance.origin_mm, PLANE["origin"], atol=1e-5)
    assert np.allclose(instance.normal, np.cross(PLANE["row"], PLANE["col"]), atol=1e-6)
    assert instance.spacing_mm == (3.0, 3.0)
    assert instance.numbers["TriggerTime"] == 123.5


def test_rescale_slope_and_intercept_are_applied():
    instance = read(make(RescaleSlope="0.5", RescaleIntercept="-100"))
    assert np.allclose(instance.pixels(), RAMP * 0.5 - 100)


def test_signed_pixels_keep_their_sign():
    signed = (RAMP.astype(np.int16) - 900).astype(np.int16)
    assert (read(make(signed)).pixels() == signed).all()


def test_bits_above_the_high_bit_are_no_part_of_the_value():
    dirty = (RAMP & 0xFFF) | 0xF000
    assert (read(make(dirty, BitsStored=12, HighBit=11)).pixels() == RAMP).all()


def test_twelve_bit_signed_values_extend_their_sign():
    values = np.arange(-128, 128, dtype=np.int16).reshape(16, 16)
    stored = (values.view(np.uint16) & 0x0FFF).view(np.int16)
    assert (read(make(stored, BitsStored=12, HighBit=11)).pixels() == values).all()


def test_monochrome1_is_turned_to_bright_is_high():
    pixels = read(make(PhotometricInterpretation="MONOCHROME1")).pixels()
    assert (pixels == RAMP.max() - RAMP.astype(float)).all()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_byte_order_gives_the_same_native_pixels(syntax):
    ds = maker.dataset(PLANE, RAMP.astype(">u2") if syntax == ExplicitVRBigEndian else RAMP, TriggerTime="5")
    if syntax == ExplicitVRBigEndian:
        ds["PixelData"].VR = "OW"
    instance = read(maker.encode(ds, syntax))
    assert (instance.raw == RAMP).all()
    assert instance.raw.dtype.isnative


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_pixels_decode_exactly(syntax, tmp_path):
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    (tmp_path / "a.dcm").write_bytes(make(pixels))
    ds = dcmread(tmp_path / "a.dcm")
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(tmp_path / "b.dcm")
    assert (read((tmp_path / "b.dcm").read_bytes()).raw == pixels).all()


def test_a_missing_preamble_is_repaired_when_everything_else_is_there():
    instance = read(make()[132:])
    assert instance.remarks == ("W_NO_PREAMBLE",)
    assert (instance.raw == RAMP).all()


def test_trailing_zeros_cost_nothing():
    start = time.process_time()
    assert (read(make() + bytes(16 * 2**20)).raw == RAMP).all()
    assert time.process_time() - start < 1


def test_an_executable_preamble_is_read_like_any_other():
    instance = read(b"MZ" + make()[2:])
    assert (instance.raw == RAMP).all()
    assert instance.remarks == ("W_PREAMBLE",)


# --- bad files --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\xff\xd8\xff\xe0" + bytes(500), b"PK\x03\x04" + bytes(200), bytes(10**6)]
)
def test_what_is_not_dicom_is_said_to_be_so(data):
    assert code_of(data) == "N_NOT_DICOM"


@pytest.mark.parametrize(
    "keyword",
    [
        *("Rows", "Columns", "SOPInstanceUID", "PixelData", "Modality", "BitsAllocated"),
        *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    ],
)
def test_each_required_element_is_required(keyword):
    ds = maker.dataset(PLANE, RAMP)
    data = maker.encode(ds)
    if keyword == "SOPInstanceUID":
        ds.SOPInstanceUID = ""
    else:
        delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2"
    data = maker.encode(ds) if keyword != "SOPInstanceUID" else _without_instance_uid(ds)
    geometry = keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    assert code_of(data) == ("E_GEOMETRY" if geometry else "E_REQUIRED_MISSING")


def _without_instance_uid(ds):
    import io

    del ds.SOPInstanceUID
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


@pytest.mark.parametrize("spacing", [b"nan\\1.5 ", b"abc\\1.5 ", b"0\\1.5   ", b"50\\1.5  ", b"-1\\1.5  "])
def test_implausible_spacing_is_refused(spacing):
    data = make(PixelSpacing=["1.25", "1.5"])
    assert data.count(b"1.25\\1.5") == 1
    assert code_of(data.replace(b"1.25\\1.5", spacing)) == "E_GEOMETRY"


@pytest.mark.parametrize("orientation", [["0"] * 6, ["1", "0", "0", "1", "0", "0"], ["2", "0", "0", "0", "2", "0"]])
def test_an_orientation_that_is_no_pair_of_unit_vectors_is_refused(orientation):
    assert code_of(make(ImageOrientationPatient=orientation)) == "E_GEOMETRY"


def test_a_file_cut_in_its_header_or_pixels_is_refused():
    data = make()
    assert code_of(data[:-100]) in ("E_PIXEL_SHORT", "E_REQUIRED_MISSING")
    for length in range(200, len(data) - 520, 41):
        assert code_of(data[:length]) in ("E_REQUIRED_MISSING", "E_GEOMETRY", "N_NOT_DICOM", "E_PIXEL_SHORT")


def test_pixel_data_shorter_than_the_matrix_is_refused():
    assert code_of(make(Rows=32)) == "E_PIXEL_SHORT"


def test_a_huge_declared_matrix_is_refused_before_decoding():
    assert code_of(make(Rows=65535, Columns=65535)) == "E_DECLARED_TOO_BIG"


@pytest.mark.parametrize("changes", [{"BitsAllocated": 12}, {"BitsStored": 20, "HighBit": 19}, {"RescaleSlope": "0"}])
def test_a_contradictory_pixel_description_is_refused(changes):
    assert code_of(make(**changes)) == "E_PIXEL_META"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Modality": "CT"}, "N_NOT_MR"),
        ({"Modality": "SR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "PixelData": None}, "N_NOT_IMAGE"),
        ({"Modality": "PR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1", "PixelData": None}, "N_NOT_IMAGE"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66", "PixelData": None}, "N_NOT_IMAGE"),
        ({"Modality": "OT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "N_DERIVED"),
        ({"BurnedInAnnotation": "YES"}, "N_DERIVED"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "N_DERIVED"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PixelData": bytes(3 * 512)}, "N_DERIVED"),
        ({"SOPClassUID": maker.MR + ".1"}, "E_ENHANCED_UNSUPPORTED"),
        ({"NumberOfFrames": "2", "PixelData": bytes(2 * 512)}, "E_ENHANCED_UNSUPPORTED"),
        ({"SOPClassUID": maker.MR + ".3"}, "N_DERIVED"),
        ({"SOPClassUID": maker.MR + ".2", "PixelData": None}, "N_NOT_IMAGE"),
    ],
)
def test_objects_that_are_not_single_mr_images_are_named(changes, code):
    assert code_of(make(**changes)) == code


def test_broken_compressed_pixels_are_refused(tmp_path):
    (tmp_path / "a.dcm").write_bytes(make())
    ds = dcmread(tmp_path / "a.dcm")
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.PixelData = ds.PixelData[:20] + bytes(len(ds.PixelData) - 20)
    ds.save_as(tmp_path / "b.dcm")
    assert code_of((tmp_path / "b.dcm").read_bytes()) in ("E_DECODE", "E_REQUIRED_MISSING")


def test_an_unknown_transfer_syntax_is_refused():
    data = make().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0")
    assert code_of(data) in ("E_TRANSFER_SYNTAX", "E_REQUIRED_MISSING")


def test_random_damage_never_raises_anything_but_a_verdict():
    data, random = make(), np.random.default_rng(0)
    for _ in range(400):
        bad = bytearray(data)
        for place in random.integers(132, len(bad) - 512, 3):
            bad[place] = random.integers(256)
        with contextlib.suppress(Refused):
            read(bytes(bad))


def test_a_compression_that_nothing_installed_unpacks_has_a_code_that_says_what_to_install(tmp_path, monkeypatch):
    ds = dcmread(io.BytesIO(maker.encode(maker.cine(maker.plane(size=16), 1)[0])))
    ds.compress(RLELossless, generate_instance_uid=False)
    buffer = io.BytesIO()
    dcmwrite(buffer, ds)
    missing = SimpleNamespace(is_available=False)
    monkeypatch.setattr(pixels, "get_decoder", lambda _: missing)
    assert code_of(buffer.getvalue()) == "E_NO_DECODER"
    assert "python-gdcm" in CODES["E_NO_DECODER"]
