"""The documents are true: commands exist, run files validate, links lead somewhere."""

import re
from pathlib import Path

import pytest
from typer.main import get_group

from anogen_core.config import load_config
from flows.cli.app import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "deployments/configs").glob("*.yaml"), ROOT / "flows/demo.yaml"]), ids=lambda p: p.name
)
def test_every_shipped_run_file_validates(path: Path) -> None:
    """A run file that is shipped is accepted as it stands (its photos need not be there)."""
    assert load_config(path).name


def test_readme_lists_every_command_and_no_other() -> None:
    """The table of commands is the command line's own list."""
    listed = set(re.findall(r"^\| `([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE))

    groups = {group.name for group in app.registered_groups if group.name}
    assert listed | groups == set(get_group(app).commands)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_named_files_exist(path: Path) -> None:
    """Relative links, and files named in the reading tour, are there."""
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    named = re.findall(r"`((?:anogen_core|tasks|flows|deployments|tests|benchmarks|docs)/[\w/.-]+\.\w+)`", text)

    assert [link for link in links if not (path.parent / link).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []
