"""The base of every settings model, and the one way to digest plain values and to override them."""

import hashlib
import json
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from anogen_core.errors import InputError


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value made of dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: the value holds something else (a set, a path, an array).
        ValueError: the value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any) -> str:
    """Return 16 hex digits that identify a plain value, the same in every process and on every machine."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=8).hexdigest()


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one field of plain values as `--set a.b=value` says.

    Raises:
        InputError: the override has no `=`, or goes through something that has no fields.
    """
    name, separator, text = override.partition("=")
    if not separator or not name:
        raise InputError(f"--set {override}: expected field=value, for example `--set inversion.steps=3000`.")
    *parents, last = name.split(".")
    target = values
    for parent in parents:
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {override}: {parent!r} holds {child!r}, expected a group of fields.")
        target = child
    target[last] = read_yaml(text)


def read_yaml(text: str) -> Any:
    """Return the plain values of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or names a field twice: one of the two would be ignored.
    """
    return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a safe loader


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that takes no field twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the field {key.value!r} stands there twice; keep one of them", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class Settings(BaseModel):
    """Base of every settings model: immutable, strict about names, documented by its own source."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def fingerprint(self) -> str:
        """Return 16 hex digits that identify all values of these settings."""
        return fingerprint(self.model_dump(mode="json"))
