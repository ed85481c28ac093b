"""Run files: mistakes are named with the field that was meant."""

import re
from pathlib import Path

import pytest

from anogen_core.config import load_config, parse_config, stored_config
from anogen_core.detectors import FpnSettings
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


def test_a_field_of_another_kind_is_met_with_those_of_the_chosen_one() -> None:
    """Who changes the kind in a file that `anogen init` wrote learns which lines to delete."""
    values = {
        "output": "out",
        "reader": {"kind": "mvtec", "root": "photos"},
        "mask_sampler": {"kind": "box", "bend": 0},
    }

    with pytest.raises(InputError, match=r"bend: .* Delete it: those of `kind: box` are width, height, "):
        parse_config(values, source="run.yaml")


def test_results_of_an_earlier_version_stay_readable(tmp_path: Path) -> None:
    """A retired setting that a run stored is left out; in a run file it is an error that names it."""
    current = parse_config({"output": "out", "reader": {"kind": "mvtec", "root": str(tmp_path)}}, source="test")
    values = current.model_dump(mode="json")
    old = {**values, "generation": {**values["generation"], "min_change": 6.0}}
    old["generation"]["refinement"] = {**values["generation"]["refinement"], "peak_share": 0.25}

    moved = stored_config(old, output="elsewhere", source="run.json")

    assert moved == current.model_copy(update={"output": "elsewhere"})
    with pytest.raises(InputError, match=r"generation\.min_change: there is no such field"):
        parse_config(old, source="run.yaml")


def test_detectors_of_earlier_versions_stay_what_they_were(tmp_path: Path) -> None:
    """A stored feature pyramid without later fields learned from whole photos; one with them keeps their values."""
    values = {"output": "out", "reader": {"kind": "mvtec", "root": str(tmp_path)}}
    old = {**values, "detector": {"kind": "fpn", "steps": 300}, "support": {"shots": 2}}

    stored = stored_config(old, output="out", source="run.json")
    earlier = stored.detector
    now = parse_config(values, source="run.yaml")

    assert not stored.support.outline_boxes
    assert earlier == FpnSettings(steps=300, pretrained=False, crop_size=None, wide_share=0)
    assert stored_config(now.model_dump(mode="json"), output="out", source="run.json") == now


@pytest.mark.parametrize(
    ("section", "given"),
    [
        ("base_model", {"precision": "bf16"}),
        ("detector", {"steps": 1200}),
        ("mask_sampler", {"reach": 0.2}),
        ("runner", {"workers": 2}),
    ],
)
def test_sections_of_the_default_kind_need_not_name_it(section: str, given: dict[str, object]) -> None:
    """`--set detector.steps=1200` is enough, and changes nothing else."""
    values = {"output": "out", "reader": {"kind": "mvtec", "root": "photos"}}
    default = parse_config(values, source="run.yaml")

    changed = parse_config({**values, section: given}, source="run.yaml")

    wanted = {**default.model_dump(), section: {**getattr(default, section).model_dump(), **given}}
    assert changed.model_dump() == wanted


@pytest.mark.parametrize(
    ("section", "given", "kinds"),
    [
        ("base_model", {"directory": "sd15"}, "'bundled' or 'stable_diffusion'"),
        ("runner", {"workers": 2, "address": "tcp://10.0.0.1:8786"}, "'threads' or 'dask'"),
        ("reader", {"root": "photos"}, "'mvtec'"),
    ],
)
def test_a_section_of_another_kind_names_it(section: str, given: dict[str, object], kinds: str) -> None:
    """The error says which there are."""
    values = {"output": "out", "reader": {"kind": "mvtec", "root": "photos"}, section: given}

    with pytest.raises(InputError, match=rf"{section}: expected a `kind`, .*{kinds}"):
        parse_config(values, source="run.yaml")


@pytest.mark.parametrize(
    ("runner", "field"),
    [({"kind": "threads", "workers": 2}, "workers"), ({"kind": "dask", "threads_per_worker": 3}, "threads_per_worker")],
)
def test_networks_that_take_turns_serve_one_shard_at_a_time(runner: dict[str, object], field: str) -> None:
    """Two shards in one process would take each other's networks from the device."""
    values = {"output": "out", "reader": {"kind": "mvtec", "root": "photos"}, "base_model": {"offload": True}}

    assert parse_config({**values, "runner": {**runner, field: 1}}, source="run.yaml").base_model.offload
    with pytest.raises(InputError, match=rf"base_model\.offload.*runner\.{field} to be 1"):
        parse_config({**values, "runner": runner}, source="run.yaml")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("s3:/bucket/x", "Did you mean s3://bucket/x?"),
        ("S3:/bucket", "Did you mean S3://bucket?"),
        ("file:/tmp/x", "Did you mean file:///tmp/x?"),
        ("gs://bucket/x", "unknown kind of storage 'gs'"),
        ("s3://", "names no bucket"),
    ],
)
def test_an_output_that_names_no_place_is_refused(output: str, said: str, tmp_path: Path) -> None:
    """Half an address is no directory: a line tells what is meant, before anything is made; a path is a path."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text("reader: {kind: mvtec, root: photos}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"\boutput: .*" + re.escape(said)):
        load_config(run_file, [f"output={output}"])

    for place in ("./s3:/bucket/x", "c:/x", "a b:/x"):
        assert load_config(run_file, [f"output={place}"]).output == str(tmp_path / place)
