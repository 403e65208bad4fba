"""JSON results as mappings, by the name of their kind: tests change and compare single keys."""

import json

from ctcascade.data import store
from ctcascade.data.results import FILES

KINDS = {file.file_name.removesuffix(".json"): file for file in FILES}


def write_result(path, kind, data):
    """Write a result that is checked as the stage that makes it would."""
    store.write_json(path, KINDS[kind].model_validate(data))


def read_result(path, kind):
    """Return a result as a mapping, after it was checked."""
    store.read_json(path, KINDS[kind])
    return json.loads(path.read_text(encoding="utf-8"))
