"""The hospital's numbers for metrics.json against hand-made tables."""

import pandas as pd
import pytest

from cmr_lib.simulate import summary


def test_patients_and_files_are_counted_once():
    truth = pd.DataFrame(
        {
            "patient_id": ["p", "p", "q"],
            "diagnosis": ["NOR", "NOR", "DCM"],
            "vendor": ["GE", "GE", "SIEMENS"],
            "lvef": [60.0, 50.0, 40.0],
            "has_report": [1, 0, 1],
            "has_images": [1, 1, 0],
        }
    )
    contents = pd.DataFrame({"outcome": ["used", "ignored", "used"], "files": [10, 2, 5]})
    found = summary.counts(truth, contents)
    assert (found["studies"], found["patients"]) == (3, 2)
    assert (found["diagnoses"], found["vendors"]) == ({"NOR": 2, "DCM": 1}, {"GE": 2, "SIEMENS": 1})
    assert found["lvef_mean"] == {"value": 50.0, "n": 3}
    assert found["lvef_standard_deviation"]["value"] == pytest.approx(10.0)
    assert (found["without_report"], found["without_images"]) == (1, 1)
    assert found["outcomes"] == {"used": 15, "ignored": 2}


def test_errors_of_both_signs_count_by_size():
    errors = pd.DataFrame({"patient": [7, 8], "full_ef_points": [-3.0, 1.0], "muscle_percent": [0.5, 1.5]})
    found = summary.checked(errors, [0.9, 1.0])
    assert found["disc_summation"] == {"full_ef_points": {"mean": 2.0, "max": 3.0, "n": 2}}
    assert found["muscle_volume_percent"] == {"mean": 1.0, "max": 1.5, "n": 2}
    assert found["crossing_correlation"] == {"mean": pytest.approx(0.95), "lowest": 0.9, "n": 2}
