"""Run files: mistakes are named with the field that was meant."""

import pytest

from anogen_core.config import parse_config
from anogen_core.errors import InputError


@pytest.mark.parametrize(
    ("field", "value", "meant"),
    [
        ("detector", {"kind": "draem", "steps": 3, "learning_rat": 1}, "learning_rate"),
        ("detector", {"kind": "destseg", "steps": 3, "teacher_dir": "x"}, "teacher_directory"),
        ("evaluation", {"seedz": 1}, "seeds"),
    ],
)
def test_a_misspelt_field_is_met_with_the_one_that_was_meant(field: str, value: object, meant: str) -> None:
    """Inside the members of a union too."""
    with pytest.raises(InputError, match=f"did you mean '{meant}'"):
        parse_config({"output": "out", "reader": {"kind": "mvtec", "root": "photos"}, field: value}, source="run.yaml")
