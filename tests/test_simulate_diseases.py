"""Eight diseases: numbers overlap, scar and akinesia share segments, and some strata no cine can tell apart."""

from collections import defaultdict

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import aha, ranges
from cmr_lib.simulate.latents import draw_latents

SHARES = {code.value: 0.125 for code in Diagnosis}


@pytest.fixture(scope="module")
def drawn():
    found = defaultdict(list)
    for patient in range(2400):
        latents = draw_latents(1, patient, 1, SHARES)
        found[latents.disease.diagnosis].append(latents)
    return found


def numbers(latents):
    """Everything that one could put a threshold on."""
    targets, bsa = latents.targets, latents.person.bsa_m2
    return {
        "lvef": targets.lvef,
        "lvedvi": targets.lvedv_ml / bsa,
        "wall": targets.wall_mm,
        "rvedvi": targets.rvedv_ml / bsa,
        "rvef": targets.rvef,
        "aorta": targets.aorta_mm,
        "effusion": targets.effusion_mm,
        "age": float(latents.person.age),
        "bsa": bsa,
        "heart_rate": latents.heart_rate,
    }


def test_all_eight_are_drawn_at_their_share(drawn):
    for code in Diagnosis:
        assert len(drawn[code]) == pytest.approx(300, abs=60)


@pytest.mark.parametrize("code", list(Diagnosis))
def test_no_single_number_separates_a_class(drawn, code):
    everyone = [(item, item.disease.diagnosis == code) for items in drawn.values() for item in items]
    mine = np.array([is_mine for _, is_mine in everyone])
    for name in numbers(everyone[0][0]):
        values = np.array([numbers(item)[name] for item, _ in everyone])
        for sign in (1, -1):
            false, true, cuts = roc_curve(mine, sign * values)
            best = cuts[np.argmax(true - false)]
            assert balanced_accuracy_score(mine, sign * values >= best) < 0.96, (code, name)


def test_neighbouring_diseases_overlap(drawn):
    lvef = {code: [item.targets.lvef for item in items] for code, items in drawn.items()}
    wall = {code: [item.targets.wall_mm for item in items] for code, items in drawn.items()}
    assert max(lvef[Diagnosis.ICM]) > min(lvef[Diagnosis.NOR])
    assert max(lvef[Diagnosis.DCM]) > min(lvef[Diagnosis.ICM])
    assert min(wall[Diagnosis.HCM]) < 13 < np.median(wall[Diagnosis.AMY]) < max(wall[Diagnosis.HCM])


def test_ranges_depend_on_sex_and_body(drawn):
    men, women = (
        [item for item in drawn[Diagnosis.NOR] if item.person.sex == sex and item.study == 1] for sex in ("M", "F")
    )
    index = [np.mean([item.targets.lvedv_ml / item.person.bsa_m2 for item in group]) for group in (men, women)]
    assert index[0] == pytest.approx(80, abs=2.5)  # Maceira 2006
    assert index[1] == pytest.approx(75, abs=2.5)
    volume = [item.targets.lvedv_ml for item in men]
    assert np.corrcoef(volume, [item.person.bsa_m2 for item in men])[0, 1] > 0.4


def test_an_infarct_is_thin_weak_and_enhanced_in_the_same_segments_of_its_territory(drawn):
    for item in drawn[Diagnosis.ICM]:
        disease = item.disease
        assert disease.weak_segments == disease.scar_segments
        assert set(disease.scar_segments) & set(aha.TERRITORIES[disease.territory])
        assert disease.contraction <= 0.5
    deep = [item.disease for item in drawn[Diagnosis.ICM] if item.disease.lge_pattern == "transmural"]
    shallow = [item.disease for item in drawn[Diagnosis.ICM] if item.disease.lge_pattern == "subendocardial"]
    assert np.mean([one.thinning for one in deep]) > np.mean([one.thinning for one in shallow]) + 0.1


def test_strata_that_a_cine_cannot_tell_apart_exist(drawn):
    with_scar = [item for item in drawn[Diagnosis.DCM] if item.disease.lge_pattern == "midwall_septal"]
    without = [item for item in drawn[Diagnosis.DCM] if item.disease.lge_pattern == "none"]
    assert 0.25 < len(with_scar) / len(drawn[Diagnosis.DCM]) < 0.55
    for name in ("lvef", "lvedvi", "wall"):
        first, second = ([numbers(item)[name] for item in group] for group in (with_scar, without))
        assert abs(np.mean(first) - np.mean(second)) < 3 * np.std(first) / np.sqrt(len(first)) * np.sqrt(2)
    for code in (Diagnosis.MYO, Diagnosis.NIF):
        silent = [item for item in drawn[code] if item.disease.silent]
        assert len(silent) / len(drawn[code]) == pytest.approx(ranges.SILENT_SHARE, abs=0.1)
        for item in silent:
            low, high = ranges.LVEF[Diagnosis.NOR][2:]
            assert low <= item.targets.lvef <= high
            assert not item.disease.weak_segments
            assert item.disease.lge_pattern != "none"


def test_nothing_but_enhancement_tells_a_silent_heart_from_a_normal_one(drawn):
    silent = [item for code in (Diagnosis.MYO, Diagnosis.NIF) for item in drawn[code] if item.disease.silent]
    loud = [item for code in (Diagnosis.MYO, Diagnosis.NIF) for item in drawn[code] if not item.disease.silent]

    def told_apart(items):
        both = [*drawn[Diagnosis.NOR], *items]
        table = np.array([[*numbers(item).values(), item.person.sex == "M"] for item in both], dtype=float)
        model = make_pipeline(StandardScaler(), RandomForestClassifier(200, min_samples_leaf=5, random_state=0))
        kinds = [item in items for item in both]
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        return roc_auc_score(kinds, cross_val_predict(model, table, kinds, cv=folds, method="predict_proba")[:, 1])

    assert told_apart(silent) == pytest.approx(0.5, abs=0.07)  # about 300 against 300: standard error .024
    assert told_apart(loud) > 0.75
    fluid = [np.mean([item.targets.effusion_mm > 0 for item in items]) for items in (silent, drawn[Diagnosis.NOR])]
    assert fluid[0] == pytest.approx(fluid[1], abs=0.04)


def test_only_a_normal_heart_never_enhances(drawn):
    assert {item.disease.lge_pattern for item in drawn[Diagnosis.NOR]} == {"none"}
    patterns = {code: {item.disease.lge_pattern for item in items} for code, items in drawn.items()}
    assert patterns[Diagnosis.AMY] == {"diffuse", "none"}
    assert patterns[Diagnosis.MYO] == {"subepicardial"}
    assert patterns[Diagnosis.NIF] == {"midwall_lateral", "patchy"}
    shared = patterns[Diagnosis.HCM] & patterns[Diagnosis.NIF] & {"patchy"}
    assert shared  # a pattern does not name a disease


def test_fluid_and_thrombus_go_with_the_diseases_that_have_them(drawn):
    fluid = {code: np.mean([item.targets.effusion_mm > 0 for item in items]) for code, items in drawn.items()}
    assert fluid[Diagnosis.AMY] > fluid[Diagnosis.MYO] > fluid[Diagnosis.NOR]
    clots = {code: np.mean([item.disease.thrombus for item in items]) for code, items in drawn.items()}
    assert 0.05 < clots[Diagnosis.ICM] < 0.3
    assert clots[Diagnosis.NOR] == 0
