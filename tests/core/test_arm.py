"""Names of arms."""

import pytest

from anogen_core.arm import Part, main_arms, parse_arm
from anogen_core.config import parse_config
from anogen_core.errors import InputError


def test_an_arm_is_sources_with_amounts() -> None:
    """One source, some of it, or a mixture."""
    assert parse_arm("perlin") == (Part("perlin"),)
    assert parse_arm("generated_box:50") == (Part("generated_box", 50),)
    assert parse_arm("cutpaste+generated:7") == (Part("cutpaste"), Part("generated", 7))


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ("noise", "there is no source 'noise'"),
        ("perlin+generated", "every arm has Perlin noise"),
        ("generated:5+generated", "twice"),
        ("support_only:2", "an amount may be asked of"),
        ("generated:0", "pattern"),
        ("generated:", "pattern"),
        ("generated + cutpaste", "pattern"),
    ],
)
def test_what_is_no_arm_is_named(arm: str, reason: str) -> None:
    """The run file's field, and why."""
    values = {"output": "out", "reader": {"kind": "mvtec", "root": "photos"}, "evaluation": {"arms": ["perlin", arm]}}

    with pytest.raises(InputError, match=reason) as caught:
        parse_config(values, source="run.yaml")

    assert "evaluation.arms.1" in str(caught.value)


def test_arms_of_a_sweep_stand_aside() -> None:
    """Only where the arm with all images is there too."""
    assert main_arms(["generated:5", "perlin", "generated", "generated:9"]) == ["perlin", "generated"]
    assert main_arms(["generated:5", "perlin"]) == ["generated:5", "perlin"]
    assert main_arms(["cutpaste+generated:5", "cutpaste+generated"]) == ["cutpaste+generated:5", "cutpaste+generated"]
