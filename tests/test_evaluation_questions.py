"""Questions to a gallery: what counts as right, search by sentence, and one sentence where nothing can be found."""

import numpy as np
import pandas as pd
import pytest

from cmr_lib import labels, params
from cmr_lib.evaluation import freetext, prompts, questions, statistics

SETTINGS = params.Retrieval(
    out_dir="o", in_root="i", seed=1, recall_at=[1, 10], gallery_size=10, gallery_draws=5, bootstrap=50
)
N = 40


def unit(array):
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def studies():
    """Twenty patients with two studies each; twins have the same words; one study alone has a thrombus."""
    return pd.DataFrame(
        {
            "patient_key": [f"p{n // 2}" for n in range(N)],
            "diagnosis": np.repeat(["NOR", "DCM"], N // 2),
            "lge": np.tile([0, 1], N // 2),
            "thrombus": [1] + [0] * (N - 1),
            "effusion": [np.nan] + [0.0] * (N - 1),
            "same_clinical": np.arange(N) // 2,
        }
    )


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(N, 5)) + 4 * np.eye(5)[np.repeat([0, 1], N // 2)])


def value(table, **wanted):
    for name, one in wanted.items():
        table = table[table[name] == one]
    assert len(table) == 1
    return table.iloc[0]


def test_more_right_answers_raise_recall_and_its_chance(image, studies):
    text = image[np.arange(N) ^ 1]  # every report lies where the twin's images lie
    table, found = questions.report_questions(image, text, studies, SETTINGS)
    own, same = (
        value(table, question="image → report", right=right, metric="recall_at_k", k=1)
        for right in ("own", "same_clinical")
    )
    assert (own["value"], same["value"]) == (0, 1)
    assert own["chance"] == pytest.approx(1 / N)
    assert same["chance"] == pytest.approx(2 / N)
    assert found["image → report"].first.gallery == N


def test_a_scan_asks_for_others_of_its_kind_and_itself_is_left_out(image, studies):
    table = questions.image_questions(image, studies, SETTINGS)
    diagnosis = value(table, right="diagnosis", metric="precision_at_k")
    similarity = image.astype(float) @ image.T.astype(float)
    np.fill_diagonal(similarity, -9)
    nearest = np.argsort(-similarity, axis=1)[:, :10]
    same = (studies["diagnosis"].to_numpy()[nearest] == studies["diagnosis"].to_numpy()[:, None]).mean()
    assert diagnosis["value"] == pytest.approx(same)
    assert diagnosis["gallery"] == N - 1
    assert diagnosis["chance"] == pytest.approx((N / 2 - 1) / (N - 1))
    lge = value(table, right="lge", metric="precision_at_k")
    assert (lge["n"], lge["unanswered"]) == (N / 2, N / 2)


def test_a_class_with_one_member_gives_one_sentence_and_an_unjudged_finding_is_not_asked(image, studies):
    table = questions.image_questions(image, studies, SETTINGS)
    alone = value(table, right="thrombus")
    assert alone["note"] == "No two of 40 studies share it: nothing to find."
    assert alone["n"] == 0
    assert "effusion" not in set(table["right"])
    assert table.loc[table["value"].isna(), "note"].ne("").all()


def test_without_reports_labels_or_studies_tables_are_empty(image, studies):
    table, found = questions.report_questions(image[:0], image[:0], studies.iloc[:0], SETTINGS)
    assert table.empty
    assert questions.gallery_curve(found, studies.iloc[:0], SETTINGS).empty
    bare = studies.assign(diagnosis="")[["patient_key", "diagnosis"]]
    assert questions.image_questions(image, bare, SETTINGS).empty
    assert questions.question_metrics(table) == {}


def test_metrics_name_question_label_and_gallery(image, studies):
    table = questions.image_questions(image, studies, SETTINGS)
    found = questions.question_metrics(table)
    entry = found["image_to_image.diagnosis.precision_at_10"]
    assert set(entry) == {"value", "low", "high", "n", "chance", "gallery"}
    assert found["image_to_image.thrombus.mrr"]["n"] == 0


def test_sizes_of_galleries_end_in_the_whole_one():
    assert questions.gallery_sizes(350) == [10, 20, 50, 100, 200, 350]
    assert questions.gallery_sizes(7) == [7]


# --- search by a sentence ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(4))
def test_precision_and_ndcg_of_resamples_are_those_of_the_gallery_written_out(seed):
    rng = np.random.default_rng(seed)
    values = np.stack([rng.integers(0, 2, 30), rng.integers(0, 6, 30)], axis=1).astype(float)
    values[0, 0] = 1
    weights = rng.integers(0, 3, (5, 30)).astype(float)
    weights[:, 0] = 1
    precision, ndcg = (make(10)(values, weights) for make in (freetext.precision_at, freetext.ndcg_at))
    for row in range(5):
        drawn = np.repeat(values, weights[row].astype(int), axis=0)
        shuffled = [drawn[rng.permutation(len(drawn))] for _ in range(3000)]
        first = np.stack([one[np.argsort(-one[:, 1], kind="stable")][:10, 0] for one in shuffled])
        discount = 1 / np.log2(np.arange(2, 12))
        ideal = discount[: int(min(10, drawn[:, 0].sum()))].sum()
        assert precision[row] == pytest.approx(first.mean(), abs=0.02)
        assert ndcg[row] == pytest.approx((first @ discount).mean() / ideal, abs=0.02)


def test_a_sentence_that_says_nothing_scores_the_share_of_studies_and_a_perfect_one_all():
    label = np.repeat([1, 0], [20, 60])
    truth = pd.DataFrame({"lge": label, "effusion": 0})
    scores = {"lge": label * 0.5, "effusion": np.zeros(80)}
    table = freetext.text_query_table(scores, truth, range(80), 10, 50, 0)
    right = value(table, finding="lge", metric="precision_at_k")
    assert (right["value"], right["chance"], right["gallery"]) == (1, 0.25, 80)
    assert right["low"] == pytest.approx(statistics.wilson(10, 10)[0])  # no interval of width zero
    assert value(table, finding="effusion")["note"] == "None of 80 studies has it: nothing to find."
    level = freetext.text_query_table({"lge": np.zeros(80)}, truth, range(80), 10, 50, 0)
    assert value(level, metric="precision_at_k")["value"] == pytest.approx(0.25)
    with pytest.raises(ValueError, match="lge: 80 finite scores wanted"):
        freetext.text_query_table({"lge": np.full(80, np.nan)}, truth, range(80), 10, 50, 0)


def test_every_diagnosis_and_finding_has_several_wordings_and_none_is_on_both_sides():
    for name in labels.FINDINGS:
        sides = [prompts.finding_wordings(name, which) for which in (prompts.PRESENT, prompts.ABSENT)]
        assert min(map(len, sides)) >= 3
        assert not set(sides[0]) & set(sides[1])
        assert sides[0][0] == labels.FINDING_PROMPTS[name][0]
    wordings = [sentence for code in labels.Diagnosis for sentence in prompts.diagnosis_wordings(code)]
    assert len(set(wordings)) == len(wordings) >= 3 * len(labels.Diagnosis)
