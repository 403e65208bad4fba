"""Every JSON result, declared once, as a schema that it is checked against when it is written and when it is read.

`None` as a value is allowed only where it is said. `tests/test_schema.py` freezes the names.
"""

from collections.abc import Iterable
from typing import Any

from ctcascade.data.vocabulary import CONTROLS, CUTOFFS, HORIZONS_YEARS, IMAGING, MARKERS, ORGANS


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, closed: bool = True) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
        "additionalProperties": not closed,
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _map(values: dict[str, Any], keys: Iterable[object] | None = None) -> dict[str, Any]:
    if keys is None:
        return {"type": "object", "additionalProperties": values}
    return _object({str(k): values for k in keys})


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_POSITIVE = {"type": "number", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_RISK = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_KIND = {"enum": ["measured", "derived", "assumption"]}
_INTERVAL = _object({"estimate": _POSITIVE, "low": _POSITIVE, "high": _POSITIVE, "level": _SHARE})
_BAND = _object({"mean": _RISK, "low": _RISK, "high": _RISK})
_FACTOR = _object({"mean": _POSITIVE, "low": _POSITIVE, "high": _POSITIVE, "kind": _KIND, "source": _TEXT})
_PROVENANCE = _object(
    {"software": _TEXT, "version": _TEXT, "settings": {"type": "object"}, "inputs": _map(_TEXT)}, {"evidence": _TEXT}
)
_AGREEMENT = _or_null(  # null without a cell or a pair of readers
    _object(
        {
            "n_cells": _COUNT,
            "n_readers": _COUNT,
            "agreement": _SHARE,
            "kappa": _or_null(_NUMBER),  # null where all cells have one call: chance agrees as often
            "low": _or_null(_NUMBER),
            "high": _or_null(_NUMBER),
            "level": _SHARE,
        }
    )
)
_REVIEW = _object(
    {
        "consensus": _TEXT,
        "n_reviewed": _COUNT,  # cells
        "n_changed": _COUNT,
        "changed": _array(_object({"frame": _TEXT, "cell": _COUNT, "call": _TEXT, "reviewed": _TEXT})),
        "between_reviewers": _AGREEMENT,  # over the cells that all of them reviewed
        "with_classifier": _AGREEMENT,  # of what they agree on, over all reviewed cells
        "reviewers": _array(_object({"reviewer": _TEXT, "n_reviewed": _COUNT, "with_classifier": _AGREEMENT})),
    }
)
OPERATOR_JSON = _object(
    {
        "sample": _TEXT,
        "status": {"enum": ["ok", "no_events", "not_comparable"]},  # no_events: the images come without such calls
        "reason": _TEXT,  # why they cannot be compared
        "compared": _or_null(  # null unless the status is ok
            _object(
                {
                    "n_events": _COUNT,  # of frames that were analysed: only these are compared
                    "n_elsewhere": _COUNT,  # of other frames
                    "both": _COUNT,  # events by who called them CTC
                    "operator_only": _COUNT,
                    "ours_only": _COUNT,
                    "neither": _COUNT,
                    "ours_without_event": _COUNT,  # CTCs that the operator was not shown
                    "agreement": _AGREEMENT,  # over the events, of CTC and not, between operator and classifier
                    "differing": _array(
                        _object(
                            {
                                "frame": _TEXT,
                                "y_px": _NUMBER,
                                "x_px": _NUMBER,
                                "operator": {"type": "boolean"},  # called CTC
                                "call": _or_null(_TEXT),  # null where no cell is near
                                "cell": _or_null(_COUNT),
                            }
                        )
                    ),
                }
            )
        ),
        "provenance": _PROVENANCE,
    }
)
CONTROLS_JSON = _object(
    {
        "charts": _array(  # one for each assay, lot and kind of control
            _object(
                {
                    "assay": _TEXT,
                    "lot": _or_null(_TEXT),
                    "role": {"enum": list(CONTROLS)},
                    "mean": _or_null(_POSITIVE),  # null until the lot has as many controls as set its limits
                    "sd": _or_null(_POSITIVE),
                    "limits": _array(_object({"name": _TEXT, "value": _POSITIVE})),
                    "controls": _array(  # in order of time
                        _object(
                            {
                                "sample": _TEXT,
                                "collected": _TEXT,
                                "n_ctc": _or_null(_COUNT),
                                "state": {"enum": ["ok", "warn", "fail"]},
                                "why": _TEXT,
                            }
                        )
                    ),
                }
            )
        ),
        "provenance": _PROVENANCE,
    }
)
_QUANTILES = {"type": "array", "items": _POSITIVE, "minItems": 2}

CALLS_REFERENCE = _object(
    {
        "n_leukocytes": _COUNT,  # the sample's own that its cells were compared with; 0: with its noise
        # centre and floor in counts above the surroundings, scale of ln(counts + floor)
        "ck": _object({"centre": _NUMBER, "scale_ln": _POSITIVE, "floor": _POSITIVE}),
        "cd45": _object({"centre": _NUMBER}),
        "dna": _object({"peak": _POSITIVE}),
        # by gate: a CTC lies above or below the threshold in that feature. A feature is a column of cells, or
        # ck_contrast or cd45_contrast (`markers.contrast_of`), or dna_peak or ck_evenness (`classify.call_cells`)
        "gates": _map(
            _object({"feature": _TEXT, "threshold": _NUMBER, "direction": {"enum": ["above", "below"]}}),
        ),
        # points [cd45_contrast, ck_contrast] of the line above which a CTC lies: the more CD45, the more cytokeratin
        "ck_by_cd45": _array({"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}),
    }
)
"""What stands as `reference` in the metadata of calls: what its cells were compared with, for drawing the gates."""

_MARKER = _object(  # a further marker of the sample's CTCs
    {
        "role": _TEXT,
        "marker": {"enum": list(MARKERS)},
        "place": {"enum": ["cell", "nucleus"]},
        "min_z": _object({"value": _NUMBER, "source": _TEXT}),
        "min_nucleus_ratio": _or_null(_object({"value": _NUMBER, "source": _TEXT})),  # null: the whole cell is judged
        "rule": _object({"min_ctcs": _COUNT, "min_positive": _COUNT, "min_share": _SHARE, "source": _TEXT}),
        # null where nothing could be seen
        "n_evaluable": _or_null(_COUNT),
        "n_positive": _or_null(_COUNT),
        "n_negative": _or_null(_COUNT),
        "share": _or_null(_INTERVAL),  # of positive ones among the blood's CTCs
        "status": {"enum": ["positive", "negative", "not_evaluable"]},
        "reason": _TEXT,
    }
)

COUNTS_JSON = _object(
    {
        "sample": _TEXT,
        "patient": _TEXT,
        "collected": _TEXT,
        "assay": _TEXT,
        "role": _or_null(_TEXT),
        "note": _or_null(_TEXT),
        "status": {"enum": ["ok", "not_evaluable"]},
        "reason": _TEXT,
        "n_frames": _COUNT,
        "n_frames_usable": _COUNT,
        "n_cells": _COUNT,
        # null where status is not_evaluable: nothing was seen, which is not the same as nothing there
        "n_ctc": _or_null(_COUNT),
        "n_clusters": _or_null(_COUNT),
        "n_ctc_leukocyte_groups": _or_null(_COUNT),
        "n_leukocytes": _or_null(_COUNT),
        "n_uncertain": _or_null(_COUNT),
        "cluster_sizes": _map(_COUNT),  # number of cells in a cluster -> number of clusters
        "clusters_with_leukocytes": _or_null(_COUNT),
        "blood_volume_ml": _POSITIVE,
        "sampled_fraction": _SHARE,
        "imaged_fraction": _SHARE,
        "recovery": _FACTOR,  # share of the blood's CTCs that the assay keeps on the slide
        "sensitivity": _FACTOR,  # share of those on the slide that are called, relative to the reader of `recovery`
        "background_per_7_5_ml": _FACTOR,  # false CTC calls
        "reference_equivalent": _or_null(_FACTOR),  # recovery relative to the reference assay
        "ctc_per_7_5_ml": _or_null(_INTERVAL),
        "clusters_per_7_5_ml": _or_null(_INTERVAL),  # a cluster is lost as often as a single cell is
        "ctc_per_ml": _or_null(_INTERVAL),
        # the posteriors for the stages that follow: quantiles at probabilities (i + 0.5) / number of them
        "ctc_quantiles_per_7_5_ml": _or_null(_QUANTILES),
        "cluster_quantiles_per_7_5_ml": _or_null(_QUANTILES),
        "p_at_least": _map(_or_null(_SHARE), CUTOFFS),  # each null too where there is no reference_equivalent
        "limit_of_blank": _object({"count": _COUNT, "level": _SHARE}),
        "above_blank": _or_null({"type": "boolean"}),
        "assumptions": _array(_TEXT),  # the keys above that rest on an assumption; always clusters_per_7_5_ml
        "provenance": _PROVENANCE,
    },
    optional={
        # of single CTCs that no border cuts, at probabilities (i + 0.5) / number; null where none was measured
        "ctc_diameters_um": _or_null(_object({"n": _COUNT, "quantiles": _array(_POSITIVE)})),
        "tube_to_tube": _or_null(_FACTOR),  # one tube's blood relative to the patient's; null: not allowed for
        "markers": _array(_MARKER),  # always written; files without it are still read
        "review": _or_null(_REVIEW),  # likewise; null without one: the calls are the classifier's
    },
)

_STATE = {"enum": ["ok", "warn", "fail"]}
_CHANGED = _object({name: {"type": "number", "minimum": -1, "maximum": 1} for name in ("mean", "low", "high")})
_LIMIT = _or_null(_NUMBER)
QUALITY_JSON = _object(
    {
        "sample": _TEXT,
        "lot": _or_null(_TEXT),
        "tube": _or_null(_TEXT),
        "hours_to_processing": _or_null(_POSITIVE),
        "status": _STATE,  # the worst of the checks
        "checks": _array(
            _object(
                {
                    "check": _TEXT,
                    "meaning": _TEXT,
                    "value": _or_null(_NUMBER),  # null where there was nothing to measure it on
                    "state": _STATE,
                    "limit": {"enum": ["at least", "at most"]},
                    "warn": _LIMIT,
                    "fail": _LIMIT,
                }
            )
        ),
        # each frame: which of its own checks are beyond a limit; one that is not usable fails for that alone
        "frames": _array(_object({"frame": _TEXT, "state": _STATE, "warn": _array(_TEXT), "fail": _array(_TEXT)})),
        "frame_states": _map(_COUNT, _STATE["enum"]),  # how many frames have which
        "provenance": _PROVENANCE,
    }
)

_ORGAN = _object(
    {
        "organ": {"enum": list(ORGANS)},
        "p_metastasis": _map(_BAND, HORIZONS_YEARS),
        "first_organ_share": _object({"mean": _SHARE, "low": _SHARE, "high": _SHARE}),
        "founders_per_year": _object({"mean": _POSITIVE, "low": _POSITIVE, "high": _POSITIVE}),
        "modality": _TEXT,  # the imaging that shows this organ's lesions best
        "time_to_detectability": _array(  # of a lesion founded at the latest sample, by modality
            _object({"modality": _TEXT, "median_years": _POSITIVE, "low_years": _POSITIVE, "high_years": _POSITIVE})
        ),
    }
)

CASCADE_JSON = _object(
    {
        "patient": _TEXT,
        "primary": _TEXT,
        "status": {"enum": ["ok", "not_applicable", "not_evaluable"]},
        "reason": _TEXT,
        "latest_sample": _or_null(_TEXT),
        "samples": _array(_TEXT),
        "organs": _array(_ORGAN),
        "p_any": _or_null(_map(_BAND, HORIZONS_YEARS)),
        "level": _SHARE,
        # the cells' road, from shed to detectable, in order, per day at the latest sample
        "flow": _array(
            _object(
                {"step": _TEXT, "meaning": _TEXT, "unit": _TEXT, "mean": _POSITIVE, "low": _POSITIVE, "high": _POSITIVE}
            )
        ),
        "p_founding_per_ctc": _or_null(_object({"mean": _SHARE, "low": _SHARE, "high": _SHARE})),
        "share_due_to_clusters": _or_null(_object({"mean": _SHARE, "low": _SHARE, "high": _SHARE})),
        "prior_dominated": _or_null({"type": "boolean"}),
        "switched_off": _array(_TEXT),
        "outside_the_model": _array(_TEXT),
        "evidence_ids": _array(_TEXT),  # table/id of pipeline/ctcascade/evidence
        "assumptions": _array(_TEXT),  # those of kind assumption
        "provenance": _PROVENANCE,
    },
    optional={
        # imaging of the patient sheet, by date, and what each finding was used for
        "findings": _array(
            _object({"date": _TEXT, "modality": _TEXT, "organ": _TEXT, "n_lesions": _COUNT, "use": _TEXT})
        ),
        "statements": _array(_TEXT),  # what a reader of the risks must know
        # of the variance of "a lesion in sight, yes or no": chance within a draw, and what the draws differ in
        "variance_shares": _or_null(_map(_object({"aleatoric": _SHARE, "epistemic": _SHARE}), HORIZONS_YEARS)),
        # from the latest sample to the first lesion in sight, where none is yet and one comes within the last horizon
        "lead_time": _or_null(
            _object(
                {
                    "median_years": _POSITIVE,
                    "low_years": _POSITIVE,
                    "high_years": _POSITIVE,
                    "within_years": _POSITIVE,
                    "p_within": _BAND,
                }
            )
        ),
        "what_if": _array(
            _object(
                {
                    "name": _TEXT,
                    "shedding_cut": _or_null(_SHARE),
                    "resection_in_years": _or_null(_POSITIVE),
                    "therapy": _or_null(_TEXT),
                    "from_years": _or_null(_POSITIVE),
                    "to_years": _or_null(_POSITIVE),
                    "shedding": _or_null(_SHARE),
                    "growth": _or_null(_SHARE),
                    "killing": _or_null(_POSITIVE),
                    "scans_every_years": _or_null(_POSITIVE),
                    "p_any": _map(_BAND, HORIZONS_YEARS),
                    "p_any_lower_by": _map(_CHANGED, HORIZONS_YEARS),
                    "organs": _array(
                        _object({"organ": {"enum": list(ORGANS)}, "p_metastasis": _map(_BAND, HORIZONS_YEARS)})
                    ),
                }
            )
        ),
    },
)

_STRATUM = _object(
    {
        "evidence_id": _TEXT,
        "label": _TEXT,  # "below 5", "5 or more"
        "weight": _or_null(_SHARE),  # probability that a reference assay's count falls into it; null: not known
        "median_months": _or_null(_POSITIVE),
        "low_months": _or_null(_POSITIVE),
        "high_months": _or_null(_POSITIVE),
        "median_is_lower_bound": {"type": "boolean"},  # printed as "more than"
    }
)
_STATEMENT = _object({"evidence_id": _TEXT, "text": _TEXT})
_CURVE = _array(_object({"time_months": _POSITIVE, "p": _SHARE}))
_DIFFERENCE = {
    "curve": _CURVE,
    "max_difference": _or_null(_SHARE),  # largest distance to the main curve where both are drawn
    "disagrees": _or_null({"type": "boolean"}),
}
_ROW = _object(  # another published comparison of the same setting
    {
        "evidence_id": _TEXT,
        "population": _TEXT,
        "subtype": _TEXT,  # empty where all are pooled
        "endpoint": _TEXT,
        "time_zero": {"enum": ["baseline", "landmark", "not_stated"]},
        "n": _or_null(_COUNT),
        "accrual": _TEXT,
        "era": _TEXT,
        "strata": _array(_STRATUM),
        "why_no_curve": _TEXT,
        "hr_flag": _TEXT,  # what is odd about its hazard ratio beside its medians
        **_DIFFERENCE,
    }
)
_SENSITIVITY = _object({"model": _TEXT, "meaning": _TEXT, "evidence_ids": _array(_TEXT), **_DIFFERENCE})
_CHANGE = _object(  # the exact conditional test of two counts
    {
        "rate_ratio": _or_null(_POSITIVE),
        "low": _POSITIVE,
        "high": _or_null(_POSITIVE),
        "level": _SHARE,
        "p_value": _SHARE,
        "verdict": _TEXT,
        "verdict_with_tube_variation": _TEXT,
    }
)
_PUBLISHED_CHANGE = _object(
    {
        "evidence_id": _TEXT,
        "study": _TEXT,
        "label": _TEXT,
        "p_category": _SHARE,  # that a replicate pair of reference-assay counts falls into the class
        "window": {"enum": ["inside", "outside", "not stated"]},
        "endpoint": _TEXT,
        "time_zero": {"enum": ["baseline", "landmark", "not_stated"]},
        "n": _or_null(_COUNT),
        # null outside the published window
        "median_months": _or_null(_POSITIVE),
        "median_is_lower_bound": {"type": "boolean"},
        "relative": _TEXT,
        "era": _TEXT,
        "note": _TEXT,
    }
)
_KINETICS = _object(
    {
        "sample": _TEXT,
        "earlier_sample": _TEXT,
        "days_between": _COUNT,
        "weeks_on_therapy": _or_null(_POSITIVE),
        "n_ctc_earlier": _COUNT,
        "n_ctc_later": _COUNT,
        "change": _CHANGE,
        "published": _array(_PUBLISHED_CHANGE),
        "why_no_category": _TEXT,
    }
)
_CITATION = _object(
    {
        "evidence_id": _TEXT,
        "population": _TEXT,
        "n": _or_null(_COUNT),
        "accrual": _TEXT,
        "era": _TEXT,  # before or with which drugs its patients were treated
        "citation": _TEXT,
        "identifier": _TEXT,
        "locator": _TEXT,
        "how_read": _TEXT,
        "readings": _TEXT,
        "note": _TEXT,
    }
)

_SURVIVAL = _array(_object({"time_months": _POSITIVE, "p": _SHARE, "low": _SHARE, "high": _SHARE}))
_EARLIER_CURVE = _object(  # of the last draw before therapy, where the main curve is a later draw's
    {
        "sample": _TEXT,
        "collected": _TEXT,
        "n_ctc_observed": _COUNT,
        "time_zero": {"enum": ["baseline"]},
        "endpoint": _TEXT,
        "main_evidence_id": _TEXT,
        "cutoff": _COUNT,
        "reason": _TEXT,
        "horizon_months": _POSITIVE,
        "survival": _SURVIVAL,
        "strata": _array(_STRATUM),
    }
)

_ASSOCIATION: dict[str, Any] = {
    "evidence_id": _TEXT,
    "text": _TEXT,
    "direction": {"enum": ["positive", "negative", "mixed", "descriptive"]},
    "group": _TEXT,
    "n": _or_null(_COUNT),
    "outcome": _TEXT,
    "hr": _or_null(_POSITIVE),
    "hr_low": _or_null(_POSITIVE),
    "hr_high": _or_null(_POSITIVE),
    "hr_against": _TEXT,
    "era": _TEXT,
}
_CLUSTERS = _object(
    {
        "sample": _TEXT,
        "collected": _TEXT,
        "n_clusters": _COUNT,
        "cluster_sizes": _map(_COUNT),
        "clusters_with_leukocytes": _COUNT,
        "n_ctc_leukocyte_groups": _COUNT,
        "survival_factor": _or_null({"const": 1.0}),  # clusters change no survival; null where that is refused
        "expected": _or_null(_object({"evidence_id": _TEXT, "share": _SHARE})),  # samples like this with clusters
        "balance": _TEXT,
        "statements": _array(_object({**_ASSOCIATION, "definition": _TEXT, "timepoint": _TEXT, "adjusted": _TEXT})),
    }
)
_VERDICT: dict[str, Any] = {
    "sample": _TEXT,
    "collected": _TEXT,
    "n_evaluable": _or_null(_COUNT),
    "n_positive": _or_null(_COUNT),
    "n_negative": _or_null(_COUNT),
    "share": _or_null(_INTERVAL),
    "status": {"enum": ["positive", "negative", "not_evaluable"]},
}
_PANEL = _object(
    {
        "marker": {"enum": list(MARKERS)},
        **_VERDICT,
        "reason": _TEXT,
        "place": {"enum": ["cell", "nucleus"]},
        "rule": _TEXT,
        "earlier": _array(_object(_VERDICT)),
        "survival_factor": _or_null({"const": 1.0}),
        "conflicts": _array(_TEXT),
        "statements": _array(
            _object({**_ASSOCIATION, "assay": _TEXT, "threshold": _TEXT, "drug_class": _TEXT, "conflict": _TEXT})
        ),
        "why_no_statement": _TEXT,
    }
)
_STAGE = _object(
    {
        "category": _or_null({"enum": ["M0", "cM0(i+)", "M1"]}),
        "wording": _TEXT,
        "reason": _TEXT,
        "evidence_id": _or_null(_TEXT),
        "source": _TEXT,
        "imaging": _array(
            _object(
                {
                    "date": _TEXT,
                    "modality": {"enum": list(IMAGING)},
                    "organ": {"enum": list(ORGANS)},
                    "lesions": _COUNT,
                    "distant": {"type": "boolean"},  # not the primary tumour's own organ
                }
            )
        ),
        "cells_in": _array(_TEXT),  # samples with more cells than blank ones have
        # when imaging would show a lesion founded at the latest sample, by the cascade
        "visible": _array(
            _object(
                {
                    "organ": {"enum": list(ORGANS)},
                    "modality": _TEXT,
                    "median_years": _POSITIVE,
                    "low_years": _POSITIVE,
                    "high_years": _POSITIVE,
                }
            )
        ),
    }
)

PROGNOSIS_JSON = _object(
    {
        "patient": _TEXT,
        "primary": _TEXT,
        "setting": _TEXT,
        "status": {"enum": ["ok", "relative_only", "no_evidence", "not_applicable"]},
        "reason": _TEXT,
        "summary": _TEXT,  # one sentence about the published group; empty unless ok
        "sample": _or_null(_TEXT),  # the draw that the survival starts at
        "time_zero": _or_null({"enum": ["baseline", "landmark"]}),
        "endpoint": _or_null(_TEXT),
        "cutoff": _or_null(_COUNT),
        "n_ctc_observed": _or_null(_COUNT),
        "horizon_months": _or_null(_POSITIVE),
        "level": _SHARE,
        "survival": _SURVIVAL,
        "strata": _array(_STRATUM),
        "other_rows": _array(_ROW),  # other published rows of the setting, shown faint
        "sensitivity": _array(_SENSITIVITY),
        "relative": _array(_STATEMENT),  # hazard-ratio-only evidence
        "negative_findings": _array(_STATEMENT),
        "kinetics": _array(_KINETICS),  # one entry per later draw: published category, statistical change
        "evidence": _array(_CITATION),  # where the rows shown are from
        "evidence_ids": _array(_TEXT),
        "assumptions": _array(_TEXT),
        "provenance": _PROVENANCE,
    },
    optional={  # always written; files without them are still read
        "collected": _or_null(_TEXT),  # day of `sample`
        "main_evidence_id": _or_null(_TEXT),  # the published row that draws `survival`
        "earlier_curve": _or_null(_EARLIER_CURVE),
        "clusters": _or_null(_CLUSTERS),
        "phenotype": _array(_PANEL),
        "stage": _or_null(_STAGE),
    },
)

_FITTED = _object({"estimate": _NUMBER, "low": _NUMBER, "high": _NUMBER, "level": _SHARE})
RECOVERY_JSON = _object(
    {
        "assay": _TEXT,
        "title": _TEXT,
        "background": {"enum": ["samples", "phantom"]},  # what the CTCs were pasted into
        "samples": _array(_TEXT),
        "n_frames": _COUNT,  # different ones
        "ctc": _object({"ctc_diameter_um": _POSITIVE, "ck": _SHARE, "weak_ck": _SHARE}),
        "levels": _array(
            _object(
                {
                    "expected": _COUNT,  # CTCs pasted
                    "observed": _COUNT,  # CTCs called
                    "found": _COUNT,  # of those pasted
                    "false": _COUNT,
                    "n_frames": _COUNT,
                    "recovery": _or_null(_INTERVAL),  # found of pasted; null where none was
                }
            )
        ),
        "regression": _object(
            {
                "model": _TEXT,
                "weights": _TEXT,
                "slope": _FITTED,
                "intercept": _FITTED,
                "r2": _FITTED,
                "n_levels": _COUNT,
            }
        ),
        "sensitivity": _FACTOR,
        "background_per_7_5_ml": _or_null(_FACTOR),
        "why_no_background": _TEXT,
        "published": _object(
            {
                "evidence_id": _TEXT,
                "meaning": _TEXT,
                "least_recovery": _SHARE,
                "citation": _TEXT,
                "identifier": _TEXT,
                "locator": _TEXT,
                "how_read": _TEXT,
                "note": _TEXT,
            }
        ),
        "provenance": _PROVENANCE,
    }
)

_REASONS = _array(_object({"reason": _TEXT, "n": _COUNT}))
COHORT_JSON = _object(  # of a laboratory's own patients with follow-up; nothing in it names one of them
    {
        "level": _SHARE,
        "min_events": _COUNT,  # deaths that a number is asked to rest on
        "advised_events": _COUNT,
        "n_patients": _COUNT,  # with follow-up
        "left_out": _REASONS,
        "groups": _array(
            _object(
                {
                    "primary": _TEXT,
                    "setting": _TEXT,
                    "n": _COUNT,
                    "events": _COUNT,  # deaths
                    "cutoff": _or_null(_COUNT),  # count that parts them; null where none is published
                    "cutoff_evidence_id": _or_null(_TEXT),  # null where the patients' own curve has it
                    "n_without_group": _COUNT,  # no reference count can be told of these
                    "strata": _array(
                        _object(
                            {
                                "label": _TEXT,
                                "n": _COUNT,
                                "events": _COUNT,
                                "last_month": _POSITIVE,
                                "curve": _SURVIVAL,  # a step at each death
                                "at_risk": _array(_object({"time_months": _POSITIVE, "n": _COUNT})),
                                # null where not reached
                                "median_months": _or_null(_POSITIVE),
                                "median_low": _or_null(_POSITIVE),
                                "median_high": _or_null(_POSITIVE),
                            }
                        )
                    ),
                    "log_rank": _or_null(_object({"chi2": _POSITIVE, "p": _SHARE})),
                    "model": _or_null(
                        _object(
                            {
                                "covariate": _TEXT,
                                "hr_per_doubling": _object({**_INTERVAL["properties"], "p": _SHARE}),
                                "c_index": _INTERVAL,
                            }
                        )
                    ),
                    "why_no_model": _TEXT,
                    "calibration": _or_null(
                        _object(
                            {
                                "n": _COUNT,  # with a published curve from their first draw
                                "left_out": _REASONS,
                                "deaths_seen": _COUNT,  # up to each curve's end
                                "deaths_expected": _POSITIVE,
                                "seen_of_expected": _INTERVAL,
                                "is_small": {"type": "boolean"},  # fewer deaths than advised
                                "rows": _array(
                                    _object(
                                        {
                                            "label": _TEXT,
                                            "time_months": _POSITIVE,
                                            "n": _COUNT,
                                            "foretold": _or_null(_SHARE),  # mean of the published curves
                                            "seen": _or_null(_INTERVAL),
                                            "why": _TEXT,
                                        }
                                    )
                                ),
                            }
                        )
                    ),
                    "why_no_calibration": _TEXT,
                }
            )
        ),
        "provenance": _PROVENANCE,
    }
)

JSON_SCHEMAS = {
    "cohort": COHORT_JSON,
    "recovery": RECOVERY_JSON,
    "counts": COUNTS_JSON,
    "quality": QUALITY_JSON,
    "operator": OPERATOR_JSON,
    "controls": CONTROLS_JSON,
    "cascade": CASCADE_JSON,
    "prognosis": PROGNOSIS_JSON,
}
