"""Pixels are, bit for bit, those of pydicom's `pixel_array`: every syntax, sign, depth and polarity."""

import io

import dicom_maker as maker
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.reading import parse
from cmr_lib.ingest.rejects import Refused

PLANE = maker.plane(size=32)
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
COMPRESSED = (RLELossless, JPEG2000Lossless, JPEGLSLossless)
KINDS = {  # type, bits stored, lowest and highest value
    "8 bit": ("u1", 8, 0, 255),
    "12 of 16 bit": ("u2", 12, 0, 4095),
    "16 bit": ("u2", 16, 0, 65535),
    "12 of 16 bit, signed": ("i2", 12, -2048, 2047),
    "16 bit, signed": ("i2", 16, -32768, 32767),
}


def image_file(kind, syntax, polarity="MONOCHROME2", dirt=0):
    dtype, stored, low, high = KINDS[kind]
    pixels = np.random.default_rng(7).integers(low, high + 1, (32, 32)).astype(dtype)
    if dirt:
        pixels = (pixels.astype(np.uint16) & (2**stored - 1) | dirt).astype(np.uint16).view(dtype)
    changes = {"BitsStored": stored, "HighBit": stored - 1, "PhotometricInterpretation": polarity}
    big = syntax == ExplicitVRBigEndian
    ds = maker.dataset(PLANE, pixels.astype(pixels.dtype.newbyteorder(">")) if big else pixels, **changes)
    ds["PixelData"].VR = "OB" if dtype == "u1" else "OW"
    if syntax not in COMPRESSED:
        return maker.encode(ds, syntax)
    packed = dcmread(io.BytesIO(maker.encode(ds)))
    packed.compress(syntax, generate_instance_uid=False)
    buffer = io.BytesIO()
    dcmwrite(buffer, packed)
    return buffer.getvalue()


def check_equal(data):
    with quiet_pydicom():
        raw, wanted = parse(data).raw, dcmread(io.BytesIO(data)).pixel_array
    np.testing.assert_array_equal(raw, wanted)
    assert raw.dtype.isnative
    assert (raw.dtype.kind, raw.dtype.itemsize) == (wanted.dtype.kind, wanted.dtype.itemsize)


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED])
def test_stored_pixels_are_pydicoms(syntax, kind, polarity):
    check_equal(image_file(kind, syntax, polarity))


@pytest.mark.parametrize("kind", ["12 of 16 bit", "12 of 16 bit, signed"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_rubbish_above_the_stored_bits_is_cleared_as_pydicom_does(syntax, kind):
    check_equal(image_file(kind, syntax, dirt=0xA000))


def test_a_high_bit_that_is_not_the_highest_stored_one_is_accepted_only_where_it_makes_no_difference():
    def with_high_bit(pixels):
        return maker.encode(maker.dataset(PLANE, pixels, BitsStored=12, HighBit=15))

    right = np.random.default_rng(7).integers(0, 4096, (32, 32)).astype(np.uint16)
    check_equal(with_high_bit(right))
    with pytest.raises(Refused, match="E_PIXEL_META"):
        parse(with_high_bit(right << 4))


@pytest.mark.real_data
def test_pixels_of_real_studies_are_pydicoms(real_data, tmp_path):
    import tarfile

    for archive in sorted(real_data.glob("*.tar.*")):
        with tarfile.open(archive) as opened:
            members = [member for member in opened if member.isfile()]
            for member in members[:: max(1, len(members) // 40)]:
                data = opened.extractfile(member).read()
                if data[128:132] == b"DICM":
                    check_equal(data)
