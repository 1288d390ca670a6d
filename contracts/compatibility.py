"""Whether a schema still takes what the last release took, field by field.

`docs/events.md`, section 6.

What was sent stays in the log for ever and is read again, so nothing that was valid may become
invalid under the same type; what is published may not lose what its readers rely on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    is_published: bool


def breaking_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], *, is_published: bool
) -> list[str]:
    """Return one line for each field of an event's schema that would break someone.

    `is_published` is for what services publish: there a field that may be absent from now on breaks
    its readers.
    """
    compared = _Compared(old=old, new=new, is_published=is_published)
    return list(_object_or_value(compared, "", old, new))


def _object_or_value(
    compared: _Compared, path: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[str]:
    old_nullable, old = _core(old, compared.old)
    new_nullable, new = _core(new, compared.new)
    name = path or "the event"
    if old_nullable and not new_nullable:
        yield f"{name}: null is no longer allowed"
    if "type" in new and old.get("type") != new["type"] and ("type" in old or not _listed(old)):
        yield f"{name}: was {old.get('type', 'anything')}, is {new['type']}"
        return
    yield from _values(name, old, new)
    yield from _bounds(name, old, new)
    yield from _members(compared, path, old, new)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from _object_or_value(compared, f"{path}[]", old["items"], new["items"])
    elif "items" in new and old.get("items") != new["items"]:
        yield f"{name}: items are limited"


def _core(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any]]:
    """Return whether null is allowed, and what else is, with references followed."""
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return _core(target, root)
    if "anyOf" in schema:
        others = [item for item in schema["anyOf"] if item != {"type": "null"}]
        nullable = len(others) < len(schema["anyOf"])
        if len(others) == 1:
            return nullable, _core(others[0], root)[1]
    return False, schema


def _values(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    allowed = _listed(new)
    if allowed is None:
        return
    before = _listed(old)
    if before is None:
        yield f"{name}: only {', '.join(map(repr, allowed))} is allowed from now on"
        return
    for value in before:
        if value not in allowed:
            yield f"{name}: {value!r} is no longer allowed"


def _listed(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return list(found) if found is not None else None


def _bounds(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for bound in _LOWER:
        if bound in new and (bound not in old or new[bound] > old[bound]):
            yield f"{name}: {bound} was {old.get(bound, 'none')}, is {new[bound]}"
    for bound in _UPPER:
        if bound in new and (bound not in old or new[bound] < old[bound]):
            yield f"{name}: {bound} was {old.get(bound, 'none')}, is {new[bound]}"
    for rule in ("pattern", "format"):
        if rule in new and old.get(rule) != new[rule]:
            yield f"{name}: {rule} was {old.get(rule, 'none')}, is {new[rule]}"


def _members(
    compared: _Compared, path: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[str]:
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
    for name, schema in old_fields.items():
        inner = f"{path}.{name}" if path else name
        if name not in new_fields:
            yield f"{inner}: is gone, and unknown fields are refused"
            continue
        if name in new_required - old_required:
            yield f"{inner}: is required from now on"
        if compared.is_published and name in old_required - new_required:
            yield f"{inner}: may be absent from now on"
        yield from _object_or_value(compared, inner, schema, new_fields[name])
    for name in sorted(new_required - set(old_fields)):
        yield f"{path}.{name}: is new and required".lstrip(".")
    for rule in ("propertyNames", "patternProperties", "additionalProperties"):
        if rule in new and old.get(rule) != new[rule] and new[rule] is not True:
            yield f"{path or 'the event'}: {rule} was {old.get(rule, 'none')}, is {new[rule]}"
