"""Settings of a training in a file."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from anogen_core.errors import InputError
from anogen_core.settings import Settings, read_yaml

SettingsT = TypeVar("SettingsT", bound=Settings)


def read_settings(kind: type[SettingsT], path: Path | None, photos: Path | None) -> SettingsT:
    """Return the settings in a YAML file; what it leaves out has its default.

    Args:
        kind: Of the settings; they have a `corpus`.
        path: The file; all defaults when None.
        photos: Directory of normal photos that join the corpus.

    Raises:
        InputError: the file cannot be read, or a field is wrong.
    """
    try:
        given = (read_yaml(path.read_text(encoding="utf-8")) if path else None) or {}
        if photos is not None:
            given["corpus"] = {**given.get("corpus", {}), "photos": str(photos.resolve())}
        return kind.model_validate(given)
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Expected YAML with fields of the training.") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (found {e['input']!r:.60})" for e in error.errors()
        )
        raise InputError(f"{path}: {wrong}.") from error
