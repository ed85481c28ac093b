"""How much do two runs on one machine slow each other down?

python benchmarks/shared_machine.py [--steps N] [--rounds R] [--spins S ...]

A process trains the default detector on drawn surfaces, first alone, then beside another one that does the same, with
the threads that PyTorch takes by default. Threads of GNU OpenMP turn in place while they wait for each other
(GOMP_SPINCOUNT: how often before they sleep): where two processes share the cores, they turn in place of those that
have work. Printed is the median over rounds of the seconds of a step; the last line is for sleeping at once
(OMP_WAIT_POLICY=PASSIVE). Nothing else should run meanwhile.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

PHOTOS, SIZE = 12, 256


def main() -> None:
    """Print a line for each way of waiting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spins", type=int, nargs="+", default=[300_000, 10_000, 1000, 100])
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        print(_seconds_of_a_step(args.steps))
        return
    ways = {f"GOMP_SPINCOUNT={spins}": {"GOMP_SPINCOUNT": str(spins)} for spins in args.spins}
    ways["OMP_WAIT_POLICY=PASSIVE"] = {"OMP_WAIT_POLICY": "PASSIVE"}
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(args.rounds):
        for way, environment in ways.items():
            alone, beside = (_run(environment, args.steps, together) for together in (1, 2))
            taken[way].append((alone, beside))
    for way, seconds in taken.items():
        alone, beside = (statistics.median(of) for of in zip(*seconds, strict=True))
        print(f"{way}: {alone:.3f} s a step alone, {beside:.3f} s beside another")


def _run(environment: dict[str, str], steps: int, together: int) -> float:
    """Return the mean over so many processes at once of the seconds of their steps."""
    kept = {name: said for name, said in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--train", "--steps", str(steps)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=kept | environment)  # noqa: S603 - this file
        for _ in range(together)
    ]
    return statistics.mean(float(process.communicate()[0]) for process in processes)


def _seconds_of_a_step(steps: int) -> float:
    import numpy as np  # noqa: PLC0415 - PyTorch reads the environment when it is imported
    import torch  # noqa: PLC0415

    from anogen_core.detectors import FpnSettings  # noqa: PLC0415
    from anogen_core.detectors.training import train_detector  # noqa: PLC0415
    from anogen_core.detectors.training_set import TrainingSet  # noqa: PLC0415
    from anogen_core.procedural.scene import render_scene  # noqa: PLC0415
    from anogen_core.seeding import numpy_generator  # noqa: PLC0415

    photos = np.stack([render_scene(numpy_generator(index), size=SIZE).flawless for index in range(PHOTOS)])
    ended: list[float] = []
    train_detector(
        FpnSettings(steps=steps + 2),
        TrainingSet(photos),
        seed=0,
        device=torch.device("cpu"),
        on_progress=lambda *_: ended.append(time.perf_counter()),
    )
    return (ended[-1] - ended[1]) / steps


if __name__ == "__main__":
    main()
