"""The search for canaries finds one in every carrier: a search that finds nothing is no evidence."""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import os
import quopri
import sqlite3
import tarfile
import urllib.parse
import zipfile
import zlib
from pathlib import Path

import matplotlib.figure
import nbformat
import numpy as np
import pandas as pd
import pyarrow
import pydicom
import pytest
import safetensors.numpy
from PIL import Image, PngImagePlugin
from tokenizers import Tokenizer, models

from tools.canaries import forms, scan, zone
from tools.canaries.hunt import Hunt
from tools.canaries.mint import Canary, person_of

NAME = "Zöxqujévak"
CANARY = Canary(NAME, 3, "a test")
SENTENCE = f"The patient {NAME} was scanned."
NOISE = np.random.default_rng(5).integers(0, 256, 20_000, dtype=np.uint8).tobytes()


def found(data: bytes, name: str = "file") -> bool:
    return bool(scan.Scan(Hunt([CANARY])).content(name, data))


def written(write) -> bytes:
    """What a function that writes to a file writes."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


# --- carriers ---------------------------------------------------------------------------------------------------
def a_zip(name="a.txt", text=SENTENCE, comment=""):
    def write(buffer):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, text)
            archive.comment = comment.encode()

    return written(write)


def a_tar():
    def write(buffer):
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            entry = tarfile.TarInfo("a.txt")
            entry.size = len(SENTENCE.encode())
            archive.addfile(entry, io.BytesIO(SENTENCE.encode()))

    return written(write)


def a_png(pixels=(4, 4), zipped=True):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SENTENCE + " " * 400, zip=zipped)
    return written(lambda buffer: Image.new("L", pixels).save(buffer, "png", pnginfo=info))


def an_image(kind):
    exif = Image.Exif()
    exif[0x010E] = SENTENCE.encode()
    return written(lambda buffer: Image.new("L", (4, 4)).save(buffer, kind, exif=exif))


def a_pdf():
    figure = matplotlib.figure.Figure()
    figure.text(0.1, 0.5, forms.plain(NAME))
    return written(lambda buffer: figure.savefig(buffer, format="pdf"))


def a_notebook(mime="text/plain", data=SENTENCE, metadata=None):
    output = nbformat.v4.new_output("display_data", data={mime: data}, metadata=metadata or {})
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])).encode()


def a_database():
    path = Path("base.sqlite")
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE t (a TEXT)")
        base.execute("INSERT INTO t VALUES (?)", ["x" * 4070 + SENTENCE])  # a page holds 4096 bytes
    return path.read_bytes()


def a_dicom():
    image = pydicom.Dataset()
    image.SpecificCharacterSet, image.PatientName = "ISO_IR 192", NAME
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return written(lambda buffer: pydicom.dcmwrite(buffer, image, enforce_file_format=False))


def a_parquet(**columns):
    return written(lambda buffer: pd.DataFrame(columns).to_parquet(buffer, compression="zstd"))


def parquet_metadata():
    table = pyarrow.table({"a": [1]}).replace_schema_metadata({"note": SENTENCE})
    return written(lambda buffer: pyarrow.parquet.write_table(table, buffer))


def a_tokenizer():
    vocabulary = {"[UNK]": 0, forms.plain(NAME).lower(): 1}
    return Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")).to_str(pretty=True).encode()


def a_workbook(text=SENTENCE, changed=(b"", b"")):
    """An Excel file; the sheet's XML changed where `changed` says so."""
    made, sheet = io.BytesIO(), "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(io.BytesIO(written(lambda buffer: pd.DataFrame({"a": [text]}).to_excel(buffer)))) as old:
        assert changed[0] in old.read(sheet)
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(*changed) if name == sheet else old.read(name))
    return made.getvalue()


def a_bold_syllable():
    name = NAME.encode()
    return a_workbook(changed=(name, name[:4] + b"</t></r><r><rPr><b/></rPr><t>" + name[4:]))


def in_base64(data):
    return base64.b64encode(data).decode()


def in_html(picture):
    return f"<img src='data:image/png;base64,{in_base64(picture)}'>"


def zstd(data):
    return pyarrow.compress(data, codec="zstd", asbytes=True)


CARRIERS = {
    "text": SENTENCE.encode,
    "text among noise": lambda: NOISE + SENTENCE.encode() + NOISE,
    "zip, deflated": a_zip,
    "name in a zip": lambda: a_zip(f"{NAME}.txt", "x"),
    "comment of a zip": lambda: a_zip("a.txt", "x", SENTENCE),
    "zip in a zip": lambda: a_zip("inner.zip", a_zip()),
    "tar.gz": a_tar,
    "gzip": lambda: gzip.compress(SENTENCE.encode()),
    "bz2": lambda: bz2.compress(SENTENCE.encode()),
    "xz": lambda: lzma.compress(SENTENCE.encode()),
    "zstd": lambda: zstd(SENTENCE.encode()),
    "zlib, as git's objects": lambda: zlib.compress(SENTENCE.encode()),
    "npy of texts": lambda: written(lambda buffer: np.save(buffer, np.array(["", SENTENCE]))),
    "npy of bytes": lambda: written(lambda buffer: np.save(buffer, np.frombuffer(SENTENCE.encode(), np.uint8))),
    "npz, compressed": lambda: written(lambda buffer: np.savez_compressed(buffer, a=np.array([SENTENCE] * 50))),
    "Parquet": lambda: a_parquet(report=["none", SENTENCE]),
    "Parquet, name of a column": lambda: a_parquet(**{SENTENCE: [1.0]}),
    "Parquet, metadata": parquet_metadata,
    "Parquet, nested": lambda: a_parquet(a=[{"b": [SENTENCE]}]),
    "JSON, escaped": lambda: json.dumps({"a": [SENTENCE]}).encode(),
    "JSON, key": lambda: json.dumps({NAME: 1}).encode(),
    "notebook, text": a_notebook,
    "notebook, list of lines": lambda: a_notebook(data=["ab\n", SENTENCE]),
    "notebook, metadata": lambda: a_notebook(data="x", metadata={"path": NAME}),
    "notebook, picture": lambda: a_notebook("image/png", in_base64(a_png())),
    "notebook, picture in HTML": lambda: a_notebook("text/html", in_html(a_png())),
    "PNG": lambda: a_png(zipped=False),
    "PNG, compressed text": a_png,
    "JPEG, Exif": lambda: an_image("jpeg"),
    "WebP, Exif": lambda: an_image("webp"),
    "TIFF": lambda: an_image("tiff"),
    "PDF": a_pdf,
    "safetensors, metadata": lambda: safetensors.numpy.save({"a": np.zeros(3)}, {"note": SENTENCE}),
    "tokenizer": a_tokenizer,
    "SQLite, a value in two pages": a_database,
    "DICOM": a_dicom,
    "CSV": lambda: pd.DataFrame({"a": [SENTENCE]}).to_csv().encode(),
    "Excel": a_workbook,
    "Excel, cut off": lambda: a_workbook()[:-300],
    "Excel, a syllable in bold": a_bold_syllable,
    "Excel, entities": lambda: a_workbook(changed=(NAME.encode(), NAME.encode("ascii", "xmlcharrefreplace"))),
    "Excel, name of a sheet": lambda: written(lambda buffer: pd.DataFrame().to_excel(buffer, sheet_name=NAME)),
    "UTF-16": lambda: SENTENCE.encode("utf-16"),
    "UTF-16, big-endian": lambda: SENTENCE.encode("utf-16-be"),
    "UTF-32": lambda: SENTENCE.encode("utf-32"),
    "Latin-1": lambda: SENTENCE.encode("latin-1"),
    "percent signs": lambda: urllib.parse.quote(SENTENCE).encode(),
    "percent signs throughout": lambda: "".join(f"%{byte:02X}" for byte in SENTENCE.encode()).encode(),
    "entities": lambda: html.escape(SENTENCE).encode("ascii", "xmlcharrefreplace"),
    "named entities": lambda: SENTENCE.replace("ö", "&ouml;").replace("é", "&eacute;").encode(),
    "escapes": lambda: SENTENCE.encode("unicode-escape"),
    "hexadecimal": lambda: SENTENCE.encode().hex().encode(),
    "hexadecimal, capitals": lambda: SENTENCE.encode("utf-16-le").hex().upper().encode(),
    "Base64": lambda: b"key: " + base64.b64encode(SENTENCE.encode()),
    "Base64, behind other letters": lambda: b"keyA" + base64.b64encode(b"x" + SENTENCE.encode()),
    "Base64, for addresses": lambda: base64.urlsafe_b64encode(b"??>" + SENTENCE.encode()),
    "Base64 in JSON": lambda: json.dumps({"a": in_base64(SENTENCE.encode())}).encode(),
    "Base64 of gzip": lambda: base64.b64encode(gzip.compress(SENTENCE.encode() + NOISE[:6000])),
    "quoted-printable": lambda: quopri.encodestring(SENTENCE.encode()),
}  # fmt: skip


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_a_canary_is_found_in_every_carrier(carrier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert found(carrier())


# --- spellings --------------------------------------------------------------------------------------------------
PERSON = person_of(7, 3)


@pytest.mark.parametrize("form", forms.names(PERSON))
def test_a_name_is_found_in_every_written_form(form):
    text = f"Seen: {forms.names(PERSON)[form]}, LVEF 60 %."
    assert scan.Scan(Hunt(list(forms.canaries(PERSON)))).content("a.txt", text.encode())


@pytest.mark.parametrize("form", sorted(set(forms.names(PERSON)) - {"initials"}))
def test_family_name_is_found_in_every_form_by_itself(form):
    hunt = Hunt([Canary(PERSON.family, 3, "family")])
    assert hunt.search(forms.names(PERSON)[form].encode())


@pytest.mark.parametrize("form", forms.numbers(PERSON))
def test_numbers_are_found_in_every_form(form):
    hunt = Hunt([Canary(value, 3, "number") for value in (PERSON.patient_id, PERSON.accession)])
    assert hunt.search(forms.numbers(PERSON)[form].encode())


def test_dates_are_found_as_written_and_not_in_the_digits_of_a_hash():
    hunt = Hunt([Canary(value, 3, "date", exact=True) for value in forms.all_dates(PERSON.birth)])
    for form, written_date in forms.dates(PERSON.birth).items():
        assert hunt.search(f"born {written_date}.".encode()), form
    digits = f"{PERSON.birth:%Y%m%d}"
    assert hunt.search(f"a {digits} b".encode())
    assert not hunt.search(f"a f3{digits}9 b".encode())


def test_nothing_is_found_where_nothing_was_planted():
    people = [canary for number in range(40) for canary in forms.canaries(person_of(1, number))]
    search = scan.Scan(Hunt(people))
    digits = "\n".join(f"{value:.4f},{value * 1e6:.0f}" for value in np.random.default_rng(1).random(50_000))
    for data in (NOISE * 50, digits.encode(), base64.b64encode(NOISE * 20), NOISE.hex().encode()):
        assert not search.content("noise", data)
    assert not search.content(
        "other.txt", b"".join(forms.sentences(person_of(2, 1))[key].encode() for key in ("text: reader",))
    )


def test_two_canaries_of_one_beginning_are_told_apart():
    hunt = Hunt([Canary("Qaxevojiwu", 0, "one"), Canary("Qaxevojiza", 0, "two")])
    assert hunt.search(b"to qaxevojiza") == {1}


def test_identifier_too_short_for_the_folded_view_is_refused():
    with pytest.raises(ValueError, match="mark them as exact"):
        Hunt([Canary("Qax", 0, "short")])


# --- folders ----------------------------------------------------------------------------------------------------
def test_names_of_files_folders_and_links_are_searched(tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / f"{NAME}.txt").write_text("x")
    (tmp_path / "link").symlink_to(NAME)
    Path(os.fsdecode(os.fsencode(tmp_path) + f"/{NAME} ".encode("latin-1"))).write_text("x")
    hits = list(scan.Scan(Hunt([CANARY])).folder(tmp_path))
    assert [hit.part for hit in hits].count("name") == 3
    assert [hit.part for hit in hits].count("link") == 1


def test_what_is_left_out_is_not_searched_and_what_lies_beside_it_is(tmp_path):
    grounds = zone.Grounds(tmp_path / "clinic", tmp_path / "keys", tmp_path / "copy", tmp_path)
    inside, outside = tmp_path / "copy/.dvc/cache/files", tmp_path / "copy/.dvc/cached"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "a").write_text(SENTENCE)
    hits = list(scan.Scan(Hunt([CANARY])).folder(tmp_path, grounds.is_restricted))
    assert [hit.path for hit in hits] == [outside / "a"]


def test_equal_files_are_each_reported(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(SENTENCE)
    assert len(list(scan.Scan(Hunt([CANARY])).folder(tmp_path))) == 2


def test_the_repositorys_cache_and_the_logs_are_not_in_the_zone(tmp_path):
    grounds = zone.Grounds(tmp_path / "clinic", tmp_path / "keys", tmp_path / "root/.ws/clinic", tmp_path / "root")
    for name in ("root/.dvc/cache/files/md5/ab/c", "root/.ws/clinic/outputs/.run/02_preprocess.ipynb", "home/.cache"):
        assert not grounds.is_restricted(tmp_path / name)
    for place in grounds.zone():
        assert grounds.is_restricted(place / "below")
    assert all(place.why for place in zone.ZONE)


def test_a_file_that_was_there_before_is_passed_over_until_a_byte_of_it_changes(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("of Qaxevojiwu")
    search = scan.Scan(Hunt([Canary("Qaxevojiwu", 0, "a test")]), {scan.digest_of(file)})
    assert list(search.folder(tmp_path)) == []
    file.write_text("of Qaxevojiwu.")
    assert [hit.path for hit in search.folder(tmp_path)] == [file]
