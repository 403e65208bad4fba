"""Cascades for tests: a sample, the model conditioned on it, the stage run on files, and what it says."""

import dataclasses
import json

import numpy as np

from ctcascade.blood.course import Assay, Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning
from ctcascade.cascade.parameters import Draws
from ctcascade.cascade.simulate import simulate
from ctcascade.data import store
from ctcascade.data.results import Counts
from ctcascade.data.vocabulary import HORIZONS_YEARS
from ctcascade.study.jobs import SimulateJob
from tests.support import report_cases

TABLE = (np.arange(256) + 0.5) / 256
EXACT = Assay(Factor(0.75, 0.75, 0.75), Factor(1, 1, 1), Factor(0, 0, 0))
FOUND = 0.75  # of the blood's cells, by an assay that is known exactly


class Same(Draws):
    """Every draw at the centre of every row: what differs between trajectories is chance alone."""

    def normal(self, stream):
        return np.zeros(self.n)

    def uniform(self, stream):
        return np.full(self.n, 0.5)


def sample(n_ctc=5, n_clusters=0, age_years=0.0):
    """Return a sample as the model takes it."""
    return conditioning.Sample(age_years, Tube(Seen(n_ctc), 1.0, EXACT), n_clusters)


def cascade(primary="breast", n_ctc=5, draws=500, early=False, off=(), **kwargs):
    """Return the cascade of a patient with one sample."""
    return conditioning.build(
        primary, [sample(n_ctc)], Draws(7, draws), sex="male", early=early, switched_off=off, **kwargs
    )


def expected_cascade(n=4000, samples=None, founding=1.0, off=(), primary="colon", early=True):
    """Return a cascade with every draw at the centre, founding at a multiple of its rate."""
    model = conditioning.build(primary, samples or [sample(5)], Same(1, n), sex="male", early=early, switched_off=off)
    rate = dataclasses.replace(model.founding, rate_per_year=founding * model.founding.rate_per_year)
    return dataclasses.replace(model, founding=rate)


def counts_file(folder, name="S1", n_ctc=5, n_clusters=0, collected="2026-02-01", **other):
    """Write the counts of a sample; return the file."""
    data = report_cases.counts(name, n_ctc=n_ctc, n_clusters=n_clusters, collected=collected, **other)
    store.write_json(folder / f"{name}.json", Counts.model_validate(data))
    return folder / f"{name}.json"


def job(primary="breast", setting="early", *, draws=400, off=(), reseeding=False, cell_sizes=False, **about):
    """Return what the stage is given; `about` is what else the sheet says of the patient."""
    patient = {"patient": "P1", "primary": primary, "setting": setting, "sex": "female", **about}
    return SimulateJob(
        patient={key: value for key, value in patient.items() if value is not None},
        random_seed=1,
        draws=draws,
        level=0.95,
        switched_off=tuple(off),
        reseeding=reseeding,
        cell_sizes=cell_sizes,
    )


def run(folder, paths, *args, what_if=None, **kwargs):
    """Run the stage on files of counts; return what it wrote."""
    simulate(job(*args, **kwargs), paths, folder / "cascade.json", what_if)
    return json.loads((folder / "cascade.json").read_text())


def means(result, organ=None):
    """Return the mean risk by horizon, in an organ or in any."""
    bands = (
        result["p_any"] if organ is None else next(o for o in result["organs"] if o["organ"] == organ)["p_metastasis"]
    )
    return [bands[str(years)]["mean"] for years in HORIZONS_YEARS]
