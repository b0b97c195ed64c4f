"""The lessons and their solutions run to their end, show what they promise, and state numbers that are right."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pydicom
import pytest

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).resolve().parents[1]
LESSONS = ROOT / "notebooks" / "lessons"
STUDY, STUDY_SOLUTIONS = "L1_what_is_in_a_cmr_study", "L1_solutions"
SCANNER, SCANNER_SOLUTIONS = "L2_from_k_space_to_a_beating_phantom", "L2_solutions"
LOSS, LOSS_SOLUTIONS = "L3_the_contrastive_loss_by_hand", "L3_solutions"
ATTENTION, ATTENTION_SOLUTIONS = "L4_divided_attention_and_the_zero_start", "L4_solutions"
FIGURES = {STUDY: 7, STUDY_SOLUTIONS: 1, SCANNER: 14, SCANNER_SOLUTIONS: 6, LOSS: 5, LOSS_SOLUTIONS: 2}
FIGURES |= {ATTENTION: 4, ATTENTION_SOLUTIONS: 2}
RETRIEVAL, RETRIEVAL_SOLUTIONS = "L5_reading_retrieval_numbers", "L5_solutions"
MISTAKES, MISTAKES_SOLUTIONS = "L6_how_evaluation_goes_wrong", "L6_solutions"
FIGURES |= {RETRIEVAL: 5, RETRIEVAL_SOLUTIONS: 1, MISTAKES: 6, MISTAKES_SOLUTIONS: 2}
MAPS, MAPS_SOLUTIONS = "L7_explanations_that_explain_nothing", "L7_solutions"
FIGURES |= {MAPS: 4, MAPS_SOLUTIONS: 3}
ANIMATIONS = {STUDY: 1, SCANNER: 4}
WITH_TORCH = (LOSS, LOSS_SOLUTIONS, ATTENTION, ATTENTION_SOLUTIONS, MAPS, MAPS_SOLUTIONS)
LIGHT = [name for name in FIGURES if name not in WITH_TORCH]
PAIRS = [
    (STUDY, STUDY_SOLUTIONS),
    (SCANNER, SCANNER_SOLUTIONS),
    (LOSS, LOSS_SOLUTIONS),
    (ATTENTION, ATTENTION_SOLUTIONS),
]
PAIRS += [(RETRIEVAL, RETRIEVAL_SOLUTIONS), (MISTAKES, MISTAKES_SOLUTIONS), (MAPS, MAPS_SOLUTIONS)]
WRITING = (STUDY, STUDY_SOLUTIONS)  # those that write files take an out_dir


def executed(name: str, folder: Path, *settings: str) -> nbformat.NotebookNode:
    """The executed copy of a lesson, by the runner, with what it writes below a folder of the test."""
    places = (f"out_dir={folder}/out",) if name in WRITING else ()
    flags = [part for setting in (*places, *settings) for part in ("-s", setting)]
    words = [sys.executable, "-m", "cmr_lib.run", str(LESSONS / f"{name}.ipynb"), str(folder / "copy.ipynb"), *flags]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr
    return nbformat.read(folder / "copy.ipynb", as_version=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a lesson with its defaults once: (executed copy, folder)."""
    kept = {}

    def once(name: str) -> tuple[nbformat.NotebookNode, Path]:
        if name not in kept:
            folder = tmp_path_factory.mktemp(name)
            kept[name] = executed(name, folder), folder
        return kept[name]

    return once


def said(nb: nbformat.NotebookNode) -> str:
    """Every sentence that the lesson computed."""
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    return "\n".join(output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {}))


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers of a pattern's groups, which must occur."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not said in: {text}"
    return [float(group.replace(",", "")) for group in found.groups()]


# --- all of them ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FIGURES)
def test_lesson_shows_its_figures_and_reads_each(run, name):
    nb, _ = run(name)
    shown = [output.data for cell in nb.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in data for data in shown) == FIGURES[name]
    assert sum("data:image/webp" in data.get("text/html", "") for data in shown) == ANIMATIONS.get(name, 0)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code[:-1]):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            after = [output.data for output in code[number + 1].outputs if "data" in output]
            assert after, f"nothing reads the figure of: {cell.source}"
            assert re.search(r"\d", after[0].get("text/markdown", "")), "a sentence with its number follows a figure"


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_computed_is_missing(run, name):
    text = said(run(name)[0])
    assert not re.search(r"\b(nan|None|inf)\b", text)


def imports_of(name: str) -> list[str]:
    """The import lines of a lesson's cells."""
    nb = nbformat.read(LESSONS / f"{name}.ipynb", as_version=4)
    nodes = [node for cell in nb.cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]
    return [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def test_lessons_that_compute_no_gradients_need_no_torch():
    """So that they start in seconds: what their cells import is imported in one fresh interpreter."""
    lines = dict.fromkeys(line for name in LIGHT for line in imports_of(name))
    imports = "\n".join(lines)
    assert "cmr_lib" in imports
    code = f"{imports}\nimport sys\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("lesson", "solutions"), PAIRS)
def test_every_exercise_has_its_solution_under_the_same_name(lesson, solutions):
    texts = {
        name: "\n".join(cell.source for cell in nbformat.read(LESSONS / f"{name}.ipynb", as_version=4).cells)
        for name in (lesson, solutions)
    }
    asked = re.findall(r"^(\d)\. \*\*(.+?)\.?\*\*", texts[lesson].partition("## Exercises")[2], re.MULTILINE)
    solved = re.findall(r"^## (\d)\. (.+?)\??$", texts[solutions], re.MULTILINE)
    assert 4 <= len(asked) <= 6
    assert [(number, title.rstrip("?")) for number, title in asked] == solved


def test_lessons_are_listed_with_question_and_minutes():
    page = (LESSONS / "README.md").read_text(encoding="utf-8")
    for file in LESSONS.glob("*.ipynb"):
        assert f"`{file.name}`" in page
    assert "| lesson | question | minutes |" in page


# --- lesson 1 ---------------------------------------------------------------------------------------------------
def test_study_lesson_counts_what_lies_in_the_archive(run):
    """Oracle: zipfile and pydicom on the study that the lesson wrote."""
    nb, folder = run(STUDY)
    text = said(nb)
    with zipfile.ZipFile(next((folder / "out" / "GE").glob("*.zip"))) as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    series = set()
    for data in contents:
        if data[128:132] == b"DICM":
            series.add(pydicom.dcmread(BytesIO(data), stop_before_pixels=True).SeriesInstanceUID)
    assert numbers(r"\*\*(\d+)\*\* files in \*\*(\d+)\*\* series", text) == [len(contents), len(series)]
    found, *parts = numbers(
        r"\*\*(\d+)\*\* found = \*\*(\d+)\*\* accepted \+ \*\*(\d+)\*\* rejected \+ \*\*(\d+)\*\*", text
    )
    assert found == sum(parts) == len(contents)


def test_study_lesson_shows_that_series_are_not_stacks_and_that_names_lie(run):
    text = said(run(STUDY)[0])
    one, many = numbers(
        r"GE the 5 slices came in \*\*(\d)\*\* series, in SIEMENS the 5 slices came in \*\*(\d)\*\*", text
    )
    assert (one, many) == (1, 5)
    assert numbers(r"Wrong names among the (\d) long-axis planes: \*\*(\d)\*\*", text) == [3, 1]
    assert [numbers(rf"lax_{view} (\d+)°", text) for view in ("2ch", "3ch", "4ch")] == [[90], [90], [90]]
    slices = numbers(r"come from \*\*(\d)\*\* slices", text)[0]
    assert slices > 1


def test_study_solutions_find_one_brightness_and_the_smoothest_order(run):
    text = said(run(STUDY_SOLUTIONS)[0])
    first, second = numbers(r"Stored brightness \*\*(\d+)\*\* and \*\*(\d+)\*\*", text)
    assert first == pytest.approx(second, rel=0.35)  # one tissue; noise, coil and breathing differ
    assert numbers(r"\*\*(\d+)\*\* of 200 run more smoothly", text)[0] <= 2
    assert numbers(r"last images lie \*\*\d+ ms\*\* apart, and \*\*([\d.]+) %\*\*", text)[0] < 0.5
    assert "begins at the **apex**" in text
    assert numbers(r"Files found: (\d+) and (\d+)", text)[0] > numbers(r"Files found: (\d+) and (\d+)", text)[1]


@pytest.mark.real_data
def test_study_lesson_walks_a_real_study_without_its_names(tmp_path, real_data):
    """Reference: the study's own README; two of its planes bear wrong names, end-systole is frame 9 of 25."""
    shutil.unpack_archive(real_data / "siemens_3t_study.tar.xz", tmp_path / "real", filter="data")
    nb = executed(STUDY, tmp_path, "source=real", f"study={tmp_path / 'real'}")
    text = said(nb)
    assert numbers(r"\*\*(\d+)\*\* accepted", text) == [275]
    assert numbers(r"among the (\d) long-axis planes: \*\*(\d)\*\*", text) == [5, 2]
    assert numbers(r"least like the first is number (\d+) of (\d+)", text) == [9, 25]
    assert "trufi" not in str(nb.cells)


# --- lesson 2 ---------------------------------------------------------------------------------------------------
def test_scanner_lesson_states_what_formulas_say(run):
    """Oracles: Rice's moments and the nulling time from textbook formulas, written out here."""
    text = said(run(SCANNER)[0])
    mean, spread = numbers(r"mean of \*\*([\d.]+) σ\*\*.*and a spread of ([\d.]+) σ", text)
    assert mean == pytest.approx(np.sqrt(np.pi / 2), abs=0.03)
    assert spread == pytest.approx(np.sqrt(2 - np.pi / 2), abs=0.03)
    assert numbers(r"Muscle is black at \*\*(\d+) ms", text) == [round(500 * np.log(2 / (1 + np.exp(-900 / 500))))]
    e1, e2 = {}, {}
    for name, t1, t2 in (("blood", 1441, 290), ("muscle", 996, 56)):
        e1[name], e2[name] = np.exp(-3.4 / t1), np.exp(-3.4 / t2)
    cos = np.cos(np.deg2rad(55))
    steady = {name: (1 - e1[name]) / (1 - (e1[name] - e2[name]) * cos - e1[name] * e2[name]) for name in e1}
    ratio = 0.95 / 0.9 * steady["blood"] / steady["muscle"] * np.exp(-1.6 / 290 + 1.6 / 56)
    assert numbers(r"blood is \*\*([\d.]+)\*\* times", text)[0] == pytest.approx(ratio, abs=0.06)


def test_scanner_lesson_shows_the_effects_that_it_explains(run):
    text = said(run(SCANNER)[0])
    assert numbers(r"ejection fraction of \*\*(\d+) %\*\*", text)[0] == pytest.approx(50, abs=2)
    systole, filling = numbers(r"pixels by ([\d.]+) in systole and by \*\*([\d.]+)\*\*", text)
    assert filling > 0.03 > systole
    half = float(re.search(r"cropped ones reach \*\*(-[\d.]+)\*\*", text)[1])
    assert half < -0.03
    early, null, late = (float(value) for value in re.findall(r"\*\*([\d.]+)\*\* at \d+ ms", text)[:3])
    assert early < 1 < late < null
    assert all(float(value) > 5 for value in re.findall(r"\*\*\+([\d.]+)\*\* σ at", text))


def test_scanner_solutions_agree_with_their_formulas(run):
    text = said(run(SCANNER_SOLUTIONS)[0])
    assert numbers(r"\*\*(\d+) Hz\*\* at TR 3.4 ms", text)[0] == pytest.approx(1000 / (2 * 3.4), abs=1)
    assert numbers(r"\*\*(\d+) Hz\*\* at TR 5 ms", text) == [100]
    measured, expected = numbers(r"\*\*(\d+) %\*\* too bright \(Rice: (\d+) %\)", text)
    assert measured == pytest.approx(expected, abs=4)
    muscle, blood = numbers(r"muscle at \*\*(\d+) ms\*\*, blood at \*\*(\d+) ms\*\*", text)
    assert muscle < blood


def test_a_changed_number_changes_what_is_seen(run, tmp_path):
    """No infarct, more noise: the sentences follow, and nothing breaks."""
    usual = said(run(SCANNER)[0])
    other = said(executed(SCANNER, tmp_path, "scar=0", "snr=8", "inversion_ms=180", "kept=0.8", "field_t=3.0"))
    assert "there is no scar to measure" in other
    assert "180 ms was chosen" in other
    assert numbers(r"differ by (\d+) σ", other)[0] < numbers(r"differ by (\d+) σ", usual)[0]
    assert "nan" not in other


# --- lesson 3 ---------------------------------------------------------------------------------------------------
def test_loss_lesson_agrees_with_autograd_and_with_the_formula_of_chance(run):
    text = said(run(LOSS)[0])
    hand, library, pairs, chance = numbers(
        r"L = \*\*([\d.]+)\*\*, by `losses.info_nce` ([\d.]+); chance is log (\d+) = \*\*([\d.]+)\*\*", text
    )
    assert hand == library < chance == pytest.approx(np.log(pairs), abs=1e-4)
    assert float(re.search(r"differs by more than \*\*(\d+e-\d+)\*\*", text)[1]) < 1e-6
    hand, library = numbers(r"By hand its loss is (\d+\.\d+), by the library (\d+\.\d+)", text)
    assert hand == library


def test_loss_lesson_shows_collapse_and_the_false_negative(run):
    text = said(run(LOSS)[0])
    without, with_ = numbers(r"the others too: (-?\d+\.\d+) against (-?\d+\.\d+)", text)
    assert without > with_ + 0.2
    without, with_ = numbers(r"right for \*\*([\d.]+)\*\* against \*\*([\d.]+)\*\* of n", text)
    assert without < with_
    pushed, left = numbers(r"with G = \*\*([+-][\d.]+)\*\*.*multi-positive has \*\*([+-][\d.]+)\*\*", text)
    assert left < 0 < pushed


def test_loss_solutions_agree_with_their_formulas(run):
    text = said(run(LOSS_SOLUTIONS)[0])
    assert numbers(r"\*\*([\d.]+)\*\* = 2 log 4", text)[0] == pytest.approx(2 * np.log(4), abs=1e-4)
    found, formula = numbers(r"At −10: \*\*([\d.]+)\*\* \(formula ([\d.]+)\)", text)
    assert found == formula == pytest.approx(10.0, abs=1e-3)
    assert numbers(r"−log 3: \*\*([\d.]+)\*\*", text)[0] == pytest.approx(np.log(4) + 3 * np.log(4 / 3), abs=1e-3)
    plain, tiled = numbers(r"plain \*\*([\d.]+)\*\*, in tiles of 128 \*\*([\d.]+)\*\*", text)
    assert plain == pytest.approx(tiled, abs=2e-5)
    expected, own = numbers(r"shares expect \(([\d.]+)\) equals that of the pairs \(([\d.]+)\)", text)
    assert expected == pytest.approx(own, abs=0.01)


# --- lesson 4 ---------------------------------------------------------------------------------------------------
def test_attention_lesson_counts_pairs_and_costs_as_written_out(run):
    text = said(run(ATTENTION)[0])
    tokens, frames, patches = 7, 3, 2
    joint, time, space = numbers(r"= \*\*(\d+)\*\* pairs, time uses \*\*(\d+)\*\* and space \*\*(\d+)\*\*", text)
    assert joint == tokens**2
    assert time == tokens + frames * patches * (1 + frames)
    assert space == tokens + frames * patches * (1 + patches)
    joint, divided = numbers(r"joint attention takes \*\*(\d+)\*\* billion, divided \*\*(\d+)\*\* billion", text)
    many, d = 1 + 32 * 196, 768
    pairs = 2 * many + 32 * 196 * (1 + 32) + 32 * 196 * (1 + 196)
    assert joint == round((4 * many * d**2 + 2 * d * many**2) / 1e9)
    assert divided == round((8 * many * d**2 + 2 * d * pairs) / 1e9)


def test_attention_lesson_agrees_with_the_library_and_shows_the_dead_start(run):
    text = said(run(ATTENTION)[0])
    assert float(re.search(r"differ by at most \*\*(\d+e-\d+)\*\*", text)[1]) < 1e-5
    assert numbers(r"changes the tokens that exist by \*\*(\d+)\*\*", text) == [0]
    frozen, learned = numbers(r"errs by \*\*([\d.]+)\*\* and `zero_output` by \*\*([\d.]+)\*\*", text)
    assert learned < 0.05 < 0.5 < frozen
    assert numbers(r"is \*\*(\d+)\*\*, and \*\*(\d+)\*\* of 512 weights", text) == [0, 0]
    first, second = numbers(r"norm is \*\*(\d+)\*\* in step 1 and \*\*([\d.]+)\*\* in step 2", text)
    assert first == 0 < second


def test_attention_solutions_agree_with_their_formulas(run):
    text = said(run(ATTENTION_SOLUTIONS)[0])
    pays = numbers(r"From \*\*(\d+)\*\* frames on", text)[0]
    n, d = 16, 128

    def dearer(f):
        tokens = 1 + f * n
        pairs = 2 * tokens + f * n * (1 + f) + f * n * (1 + n)
        return (4 * tokens * d**2 + 2 * d * tokens**2) > (8 * tokens * d**2 + 2 * d * pairs)

    assert dearer(pays)
    assert not dearer(pays - 1)
    assert numbers(r"It learns: \*\*([\d.]+)\*\*", text)[0] < 0.05
    assert numbers(r"product: \*\*(\d+)\*\* and \*\*(\d+)\*\* of their weights.*at most (\d+)\.", text) == [0, 0, 0]
    assert numbers(r"The error is \*\*([\d.]+)\*\*, that", text)[0] == pytest.approx(1 - 1 / 6, abs=0.06)
    assert numbers(r"between \*\*([\d.]+)\*\* and \*\*([\d.]+)\*\*, which", text) == pytest.approx(
        [1 / 7] * 2, abs=1e-4
    )
    assert float(re.search(r"library differ by at most \*\*(\d+e-\d+)\*\*", text)[1]) < 1e-5
    assert numbers(r"values are \*\*(\d+)\*\*, \*\*(\d+)\*\* and", text) == [0, 0]


# --- lesson 5 ---------------------------------------------------------------------------------------------------
def test_retrieval_lesson_shows_one_model_with_many_numbers(run):
    """Oracles: arithmetic of ties, Wilson's formula written out, the shipped gallery's own lines."""
    text = said(run(RETRIEVAL)[0])
    small, large = numbers(r"\*\*([\d.]+)\*\* in galleries of 50 and \*\*([\d.]+)\*\* in one of 200", text)
    assert small > large + 0.2
    won, fair = numbers(r"has R@1 = \*\*([\d.]+)\*\* if .* and \*\*([\d.]+)\*\* = 1 / 200", text)
    assert (won, fair) == (1.0, 0.005)
    true, lifted, lowered = numbers(r"R@1 from ([\d.]+) to ([\d.]+) by the first rule .* to ([\d.]+) by", text)
    assert lowered < true < lifted
    z, share, n = 1.959964, 0.95, 40
    middle, margin = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    wilson = [(middle + sign * margin) / (1 + z**2 / n) for sign in (-1, 1)]
    assert numbers(r"from \*\*([\d.]+) to ([\d.]+)\*\* is compatible", text) == pytest.approx(wilson, abs=0.006)
    mean, exact = numbers(r"the mean is ([\d.]+), exactly ([\d.]+), chance", text)
    assert mean == pytest.approx(exact, abs=0.01)


def test_retrieval_lesson_counts_the_lines_that_equal_others(run):
    """Oracle: the shipped gallery, read and counted here."""
    import csv
    from collections import Counter

    text = said(run(RETRIEVAL)[0])
    with open(ROOT / "weights" / "demo" / "gallery" / "reports.csv", newline="", encoding="utf-8") as file:
        lines = [
            re.split(r"(?<=[.;]) ", re.sub(r"^\d+[.)] *", "", row["impression"]))[0] for row in csv.DictReader(file)
        ]
    counts = Counter(" ".join(line.casefold().split()) for line in lines)
    equal = sum(count for count in counts.values() if count > 1)
    assert numbers(r"first lines (\d+) are different, and (\d+) have an equal", text) == [len(counts), equal]
    ceiling = len(counts) / len(lines)  # each group of g gives g times 1 / g
    best, own, credited = numbers(r"\*\*([\d.]+)\*\* at most; the model's ([\d.]+) becomes \*\*([\d.]+)\*\*", text)
    assert best == pytest.approx(ceiling, abs=0.006)
    assert own < credited
    assert own <= best


def test_retrieval_solutions_agree_with_their_formulas(run):
    text = said(run(RETRIEVAL_SOLUTIONS)[0])
    hand, library = numbers(r"By hand \*\*([\d.]+)\*\*, by the library \*\*([\d.]+)\*\*", text)
    assert hand == library == pytest.approx(1 - (17 * 16 * 15 * 14 * 13) / (20 * 19 * 18 * 17 * 16), abs=1e-4)
    assert numbers(r"same answer to everything scores \*\*([\d.]+)\*\*", text) == [0.0]
    scipy, library = numbers(r"\(([\d.]+) by scipy, as the library: ([\d.]+)\)", text)
    assert scipy == library
    a, b = numbers(r"In galleries of 200 A has \*\*([\d.]+)\*\*, B \*\*([\d.]+)\*\*", text)
    assert b > a


# --- lesson 6 ---------------------------------------------------------------------------------------------------
def test_mistakes_lesson_shows_what_each_mistake_is_worth(run):
    text = said(run(MISTAKES)[0])
    pattern = r"still reads \*\*([\d.]+)\*\* .* the right one \*\*([\d.]+)\*\* \(([\d.]+) to ([\d.]+);"
    wrong, right, low, high = numbers(pattern, text)
    assert wrong > 0.9
    assert low <= 0.5 <= high
    assert low < right < high
    mean, lower, upper = numbers(r"mean of \*\*([\d.]+)\*\* \(middle 95 %: ([\d.]+) to ([\d.]+)\)", text)
    assert mean == pytest.approx(0.5, abs=0.03)
    assert lower < 0.5 < upper
    wrong, right = numbers(r"\*\*(\d+)\*\* pairs of studies .* patient \*\*(\d+)\*\*", text)
    assert wrong > right == 0
    chosen, honest = numbers(r"reaches \*\*([\d.]+)\*\* if .* and \*\*([\d.]+)\*\* if on as many", text)
    assert chosen > 0.55
    assert honest == pytest.approx(0.5, abs=0.03)
    winner, others = numbers(r"best of 20 has \*\*([\d.]+)\*\* .* and \*\*([\d.]+)\*\* on others", text)
    # The expected largest of 20 normals lies 1.87 standard deviations up (tables of order statistics).
    assert winner == pytest.approx(0.7 + 1.87 * np.sqrt(0.7 * 0.3 / 100), abs=0.015)
    assert others == pytest.approx(0.7, abs=0.01)
    by_row, by_patient = numbers(r"with 10, ([\d.]+) and ([\d.]+) \(n", text)
    # Variance of the mean is 1 + 1/10 by patient, and 2/10 as if studies were independent: too narrow by 2.3.
    assert by_row == pytest.approx(0.60, abs=0.12)
    assert by_patient > 0.87


def test_mistakes_solutions_show_what_decides_their_size(run):
    text = said(run(MISTAKES_SOLUTIONS)[0])
    none, all_ = numbers(r"\*\*([\d.]+)\*\* where nothing is the patient's own and \*\*([\d.]+)\*\*", text)
    assert none == pytest.approx(0.5, abs=0.12)
    assert all_ > 0.9
    few, more = numbers(r"\*\*([\d.]+)\*\* on 25 studies, \*\*[\d.]+\*\* on 100 and \*\*([\d.]+)\*\* on 400", text)
    assert few == pytest.approx(4 * more, rel=0.1)
    passed, caught = numbers(r"leaking split scores \*\*([\d.]+)\*\* and .* it scores \*\*([\d.]+)\*\*", text)
    assert passed < 0.65
    assert caught > 0.9


# --- lesson 7 ---------------------------------------------------------------------------------------------------
def test_maps_lesson_tells_a_trained_model_from_what_knows_nothing(run):
    text = said(run(MAPS)[0])
    trained, untrained, dice, chance = numbers(
        r"Trained \*\*([\d.]+)\*\*, untrained \*\*([\d.]+)\*\*, dice ([\d.]+), a random pixel ([\d.]+)", text
    )
    assert trained > untrained + 0.1
    assert trained > dice + 0.3
    assert 0.05 < chance < 0.2  # the left ventricle's blood on a crop of 128 mm
    trained, untrained, dice = numbers(r"trained \*\*(\+[\d.]+)\*\*, untrained (\+?-?[\d.]+), dice (\+?-?[\d.]+)", text)
    assert trained > untrained  # by how much depends on the shipped weights
    assert trained > dice + 0.1


def test_maps_lesson_shows_what_does_not_notice_a_forgotten_model(run):
    """The edge detector never asks the model; rollout does not use the projection: both correlations are exactly 1."""
    text = said(run(MAPS)[0])
    readout, gradient, edges = numbers(
        r"readout correlates \*\*(-?[\d.]+)\*\*.*gradient (-?[\d.]+), edges \*\*(-?[\d.]+)\*\*", text
    )
    assert edges == 1
    assert max(readout, gradient) < 0.6
    assert numbers(r"the projection is gone \(([\d.]+)\)", text) == [1]


def test_maps_solutions_state_what_must_be(run):
    text = said(run(MAPS_SOLUTIONS)[0])
    least, most, beating, tried = numbers(
        r"From \*\*([\d.]+)\*\* to \*\*([\d.]+)\*\*.*\*\*(\d+)\*\* of (\d+) beat", text.replace("\n", " ")
    )
    assert 0 <= least < most <= 1
    assert 0 <= beating <= tried
    assert numbers(r"Entropy \*\*([\d.]+)\*\*", text) == [0]
    before, after = numbers(r"trained \*\*([\d.]+)\*\* \(before ([\d.]+)\)", text)[::-1]
    assert ("nor does the trained one" in text) == (after <= before / 2)
