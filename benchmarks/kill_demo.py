"""Does a demo that is killed at random moments end with the digests of an undisturbed one?

python benchmarks/kill_demo.py UNDISTURBED WORK [kills] [seed]

UNDISTURBED is the output of a finished `anogen demo`; WORK is where the killed ones go.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def _digests(out: Path) -> dict[str, str]:
    manifests = sorted(out.glob("datasets/*.zarr/manifest.json"))
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in manifests}


def main() -> None:
    """Kill one demo again and again, let it end, and compare; exit 1 when a digest differs."""
    undisturbed, work = Path(sys.argv[1]), Path(sys.argv[2])
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    moments = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    command = [str(Path(sys.executable).with_name("anogen")), "demo", "--out", str(work)]
    for _ in range(kills):
        seconds = moments.uniform(5, 90)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        artifacts = len(list(work.glob("artifacts/*/artifact.json")))
        shards = len(list(work.glob("datasets/*.parts/commits/*.json")))
        found = f"{artifacts} artefacts, {shards} shards in work, {len(_digests(work))} sealed"
        print(f"killed after {seconds:.0f} s: {found}")
    subprocess.run(command, check=True)  # noqa: S603
    same = _digests(work) == _digests(undisturbed)
    print("same digests" if same else f"DIFFERENT: {_digests(work)} {_digests(undisturbed)}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
