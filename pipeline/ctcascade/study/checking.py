"""What pydantic finds wrong, as our own faults: where it stands, what was found, what was expected, what to do.

What a fault says was expected stands in the model, as the field's ``expected`` or else its `description`; the first of
its `examples` is what to write instead.
"""

import difflib
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ctcascade.data.errors import Fault, RefusedValueError, plain

T = TypeVar("T")
JsonSchema = Mapping[str, Any]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def check(kind: Any, value: object, file: str, faults: list[Fault], at: str = "") -> Any:
    """Return a value as the type `kind`, or None where it is not of that type; each reason goes to `faults`."""
    try:
        return _adapter(kind).validate_python(_named(value))
    except ValidationError as error:
        found: dict[Fault, None] = {}  # keeps the order, and one of each
        errors = sorted(error.errors(), key=lambda e: [str(step) for step in e["loc"]])
        inside = {e["loc"][:n] for e in errors for n in range(len(e["loc"]))}
        for one in (e for e in errors if e["loc"] not in inside):  # of a list and its items, the items are named
            found.update(dict.fromkeys(_explain(one, schema(kind), file, at)))
        faults.extend(found)
        return None


def schema(kind: Any) -> JsonSchema:
    """Return the JSON schema of a type."""
    return _schema(kind)


def columns(kind: Any) -> dict[str, JsonSchema]:
    """Return the schema of each field of a model, by name, in order."""
    whole = schema(kind)
    return {name: _resolved(field, whole) for name, field in whole["properties"].items()}


def nearest(word: str, words: Sequence[str], else_say: str) -> str:
    """Return the "did you mean" that ends a fault, or `else_say` where nothing comes near."""
    # case is no reason to miss a likeness
    near = difflib.get_close_matches(word.lower(), [w.lower() for w in words], n=1, cutoff=0.6)
    found = [w for w in words if near and w.lower() == near[0]]
    return f"did you mean {found[0]}?" if found else else_say


def not_one_of(file: str, at: str, found: str, known: Sequence[str], of: str = "") -> Fault:
    """Return the fault of a word that is none of those known; where there are none, of a cell to be left empty."""
    if not known:
        return Fault(file, at, plain(found), f"an empty cell{of}", "empty the cell")
    wanted = f"one of {', '.join(known)}{of}"
    return Fault(file, at, plain(found), wanted, nearest(found, known, "choose one of them"))


def from_text(text: str, by: JsonSchema, whole: JsonSchema) -> Any:
    """Return text as the number, truth value or list that a schema wants there, or unchanged where it is none."""
    by = _resolved(by, whole)
    kind = by.get("type")
    if kind in ("number", "integer") and _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if kind == "integer" and number.is_integer() else number
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "array":
        items = _step(by, 0, whole)
        if items.get("type") == "object":  # its text has a grammar of its own
            return text
        own = by.get("separator")  # of a sheet, where names may have brackets
        parts = [part.strip() for part in (text.split(own) if own else text.strip("[]").split(",")) if part.strip()]
        return [from_text(part, items, whole) for part in parts]
    return text


def typed(value: Any, by: JsonSchema, whole: JsonSchema) -> Any:
    """Read text inside a mapping or list as the types of a schema.

    Snakemake hands on as text what stands inside ``--config x='{...}'``.
    """
    by = _resolved(by, whole)
    if isinstance(value, Mapping):
        properties = by.get("properties", {})
        return {str(key): typed(item, properties.get(key, {}), whole) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item, _step(by, number, whole), whole) for number, item in enumerate(value)]
    return from_text(value, by, whole) if isinstance(value, str) else value


def _named(value: object) -> object:
    """Return a value whose mappings have names only: YAML makes numbers and days of names too."""
    if isinstance(value, Mapping):
        return {str(key): _named(item) for key, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, list) else value


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@functools.cache
def _schema(kind: Any) -> JsonSchema:
    return _adapter(kind).json_schema()


def _resolved(by: JsonSchema, whole: JsonSchema) -> JsonSchema:
    """Return a schema without a reference or "or null" at its top; what stands beside them goes before."""
    beside = {key: value for key, value in by.items() if key not in ("$ref", "anyOf")}
    if "$ref" in by:
        return _resolved({**whole["$defs"][by["$ref"].removeprefix("#/$defs/")], **beside}, whole)
    if "anyOf" in by:
        one: JsonSchema = next((choice for choice in by["anyOf"] if choice.get("type") != "null"), {})
        return _resolved({**one, **beside}, whole)
    return by


def _step(by: JsonSchema, step: str | int, whole: JsonSchema) -> JsonSchema:
    """Return the schema of what lies under a name or a number."""
    if isinstance(step, int):
        each = by.get("prefixItems", [])
        inner = each[step] if step < len(each) else by.get("items", {})
    else:
        others = by.get("additionalProperties")
        patterns = [*by.get("patternProperties", {}).values(), others if isinstance(others, dict) else {}]
        inner = by.get("properties", {}).get(step, patterns[0])
    return _resolved(inner if isinstance(inner, dict) else {}, whole)


def _explain(error: ErrorDetails, whole: JsonSchema, file: str, at: str) -> list[Fault]:
    path = list(error["loc"])
    last = path[-1] if path else ""
    of_parent = error["type"] in ("extra_forbidden", "missing") or last == "[key]"
    by = parent = _resolved(whole, whole)
    for step in path:
        parent, by = by, _step(by, step, whole)
    if last == "[key]":
        path, by = path[:-1], parent.get("propertyNames", {})
    names = [step for step in (path[:-1] if of_parent else path) if isinstance(step, str)]
    place = ", ".join(filter(None, (at, ".".join(names))))
    if error["type"] == "extra_forbidden":
        known = list(parent.get("properties", {}))
        todo = nearest(str(last), known, "remove it")
        return [Fault(file, place, f"an unknown name {plain(last)!r}", "one of " + ", ".join(known), todo)]
    if error["type"] == "missing" and isinstance(last, str):
        return [Fault(file, place, f"no {last}", _expected(by, "a value"), "add it")]
    if error["type"] == "missing":  # an item of a list of fixed length: the whole list is too short
        by = parent
    refused = error.get("ctx", {}).get("error")
    if isinstance(refused, RefusedValueError):
        return [Fault(file, place, *one) for one in refused.faults]
    return [_of_value(error, by, file, place)]


def _of_value(error: ErrorDetails, by: JsonSchema, file: str, place: str) -> Fault:
    value = error["input"]
    found, instead = _shown(value, by)
    if error["type"] == "literal_error":
        choices = [str(choice) for choice in by.get("enum", [by.get("const")])]
        begun = [choice for choice in choices if value and choice.startswith(str(value).lower())]
        todo = nearest(str(value), choices, f"write {begun[0]}" if len(begun) == 1 else "choose one of them")
        return Fault(file, place, found, "one of " + ", ".join(choices), todo)
    examples = by.get("examples", [])
    todo = instead or (f"write it like {examples[0]}" if examples else "fix the value")
    return Fault(file, place, found, _expected(by, error["msg"]), todo)


def _shown(value: object, by: JsonSchema) -> tuple[str, str]:
    """Return a value as a fault shows it, and what to write instead where only its form is wrong."""
    if isinstance(value, str) and by.get("type") in ("number", "integer", "boolean"):
        meant = from_text(value, by, {})
        if meant != value:
            word = str(meant).lower() if isinstance(meant, bool) else f"{meant}"
            return f"the text '{plain(value)}'", f"write {word} without quotes"
    if isinstance(value, float):
        whole = by.get("type") == "integer" and value.is_integer()
        return (str(value), f"write {value:.0f}") if whole else (f"{value:g}", "")
    return plain(value), ""


def _expected(by: JsonSchema, otherwise: str) -> str:
    return str(by.get("expected") or by.get("description") or otherwise)
