"""Tables that the page of a sample holds."""

import csv
import io

REFERENCE = {
    "n_leukocytes": 90,
    "ck": {"centre": 5.0, "scale_ln": 0.5, "floor": 1.0},
    "cd45": {"centre": 350.0},
    "dna": {"peak": 1.4},
    "gates": {
        "ck_min_z": {"feature": "ck_contrast", "threshold": 60.0, "direction": "above"},
        "min_diameter_um": {"feature": "equivalent_diameter_um", "threshold": 4.0, "direction": "above"},
        "max_diameter_um": {"feature": "equivalent_diameter_um", "threshold": 400.0, "direction": "below"},
        "min_nucleus_um2": {"feature": "nucleus_area_um2", "threshold": 14.0, "direction": "above"},
    },
    "ck_by_cd45": [[0.0, 60.0], [30.0, 100.0], [70.0, 300.0]],
}


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))
