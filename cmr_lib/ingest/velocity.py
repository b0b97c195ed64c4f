"""Whether a single-frame image was velocity-encoded, by what its maker says: a classic MR image has no element for it.

GE and Philips write the encoding into private elements (0 where there is none), Siemens into SequenceName, a code
of the pulse sequence such as `fl2d1_v150in`, which no technologist types. Units differ: only the sign is used.
Private elements are those of pydicom's dictionary of makers (GEMS_ACQU_01; Philips Imaging DD 001).
"""

import re
import struct

from cmr_lib.ingest.header import Header

VENC = "VelocityEncodingMaximumValue"
PRIVATE = (("GEMS_ACQU_01", 0x0019, 0xCC, "h"), ("Philips Imaging DD 001", 0x2001, 0x1A, "f"))  # and how it is stored
SIEMENS = re.compile(r"(?:fl|fi|tfi?)\dd\d*_v\d+", re.IGNORECASE)


def _largest(header: Header, creator: str, group: int, element: int, code: str) -> float:
    """The largest of the numbers of a private element, whatever block its creator reserved; 0 where it is absent."""
    places, order = header.elements.places, "<" if header.elements.little else ">"
    for block in range(0x10, 0x100):
        if group << 16 | block not in places:
            return 0.0
        if header.elements.value(group << 16 | block).decode("latin-1").strip(" \0") == creator:
            raw = header.elements.value(group << 16 | block << 8 | element)
            count = len(raw) // struct.calcsize(code)
            values = struct.unpack_from(f"{order}{count}{code}", raw)
            return max((abs(float(value)) for value in values), default=0.0)
    return 0.0


def encoding(header: Header) -> float:
    """More than 0 where the image is of a velocity-encoded acquisition, magnitude or velocity; else 0."""
    stated = header.number(VENC, 0.0) if VENC in header else 0.0
    private = (_largest(header, *place) for place in PRIVATE)
    return max(stated, *private, float(bool(SIEMENS.search(header.text("SequenceName")))))
