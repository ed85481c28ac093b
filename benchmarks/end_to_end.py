"""How long does a run take, and how much memory does it need?

python benchmarks/end_to_end.py RUN.yaml [anogen run options]
"""

import datetime as dt
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Run `anogen run` once and print wall time, CPU time and the peak memory of its largest process as JSON."""
    command = [str(Path(sys.executable).with_name("anogen")), "run", *sys.argv[1:]]
    started = time.monotonic()
    done = subprocess.run(command, check=False, stdout=sys.stderr)  # noqa: S603
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "command": " ".join(["anogen", *command[1:]]),
        "exit_code": done.returncode,
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mb": round(usage.ru_maxrss / 1024),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
