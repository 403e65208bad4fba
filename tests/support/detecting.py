"""Cameras and jobs of detection for tests: the settings are the defaults, changed where a test says so."""

from ctcascade.data.camera import Camera
from ctcascade.study.jobs import DetectJob
from ctcascade.study.settings import FrameLimits

USUAL = {"name": "test", "files": None}


def camera(**about):
    return Camera.model_validate({**USUAL, **about})


def camera_of(assay):
    """Return the camera of an assay given as a mapping, which may have gates and factors beside it."""
    return camera(**{key: assay[key] for key in Camera.model_fields if key in assay})


def detect_job(of, *images, sample="S1", form="auto", **settings):
    """Return the job that detects images with a camera, or with an assay given as a mapping."""
    own = of if isinstance(of, Camera) else camera_of(of)
    about = {"sample": sample, "images": images, "format": form, "assay": own, "frame_limits": FrameLimits()}
    return DetectJob.model_validate({**about, **settings})
