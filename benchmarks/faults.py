"""How long does a run take to recover from each fault?

python benchmarks/faults.py [pytest arguments, for example -k worker]

Runs tests/faults and prints what `docs/reliability.md` shows. The seconds go from the fault to the verified dataset, so
they hold the rest of the run too; the time of a whole undisturbed run is printed first.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
_PROPERTY = "seconds from fault to verified dataset"


def main() -> None:
    """Run the tests and print one line for each."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "faults.xml"
        command = [sys.executable, "-m", "pytest", "-m", "fleet", "tests/faults", f"--junitxml={report}", *sys.argv[1:]]
        code = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode  # noqa: S603
        cases = [] if not report.exists() else ET.parse(report).iter("testcase")  # noqa: S314 - pytest's own file
        print("| test | outcome | seconds from the fault to the verified dataset |\n|---|---|---|")
        for case in cases:
            properties = {p.get("name"): p.get("value") for p in case.iter("property")}
            outcome = next((c.tag for c in case if c.tag in {"failure", "error", "skipped"}), "passed")
            print(f"| `{case.get('name')}` | {outcome} | {properties.get(_PROPERTY, '')} |")
    sys.exit(code)


if __name__ == "__main__":
    main()
