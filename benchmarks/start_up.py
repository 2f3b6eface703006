"""How long a user waits: for the help, and for the first step of a training.

    python benchmarks/start_up.py [--repeats 20] [--quick]

Each is a process of its own, timed from outside: `striate --help` to its end, and `striate train
digits` until its progress bar shows the first step, on a terminal of our own. The files of Python
and PyTorch are in the system's cache after the first, which is not counted. The bar comes with the
first step, not before it. Status 1 if the help takes 0.3 s or more, or the first step 6 s.
"""

from __future__ import annotations

import argparse
import os
import pty
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from provenance import write_result

STRIATE = str(Path(sys.executable).parent / "striate")
LONGEST_HELP, LONGEST_START = 0.3, 6.0  # seconds


def seconds_to_help() -> float:
    """The wall time of `striate --help`."""
    start = time.perf_counter()
    subprocess.run([STRIATE, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def seconds_to_first_step() -> float:
    """The wall time of `striate train digits` until the bar of its training is there."""
    leader, follower = pty.openpty()
    with tempfile.TemporaryDirectory() as scratch:
        command = [STRIATE, "train", "digits", "--out", f"{scratch}/run"]
        environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stderr=follower, stdout=subprocess.DEVNULL, env=environment
        )
        os.close(follower)
        seen = b""
        while b"images/s" not in seen:
            seen += os.read(leader, 65536)
        seconds = time.perf_counter() - start
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            try:
                os.read(leader, 65536)
            except OSError:  # the other side is closed
                process.wait()
    os.close(leader)
    return seconds


def row(name: str, measure: Callable[[], float], repeats: int) -> tuple[float, str]:
    """The median of some repeats after one that is not counted, and a line of the table."""
    measure()
    times = sorted(measure() for _ in range(repeats))
    middle = statistics.median(times)
    return middle, f"| {name} | {repeats} | {middle:.2f} | {times[0]:.2f} to {times[-1]:.2f} |"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--repeats", type=int, default=20, help="of the help; a quarter of training"
    )
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    if options.quick:
        options.repeats = 1
    for_help, first = row("`striate --help`", seconds_to_help, options.repeats)
    to_first_step, second = row(
        "`striate train digits` to its first step",
        seconds_to_first_step,
        max(1, options.repeats // 4),
    )
    body = "\n".join(
        ("| command | repeats | median, s | range, s |", "|---|---:|---:|---:|", first, second)
    )
    print(body)
    if options.quick:
        return 0
    print(write_result("start-up", "Starting up", body))
    return int(for_help >= LONGEST_HELP or to_first_step >= LONGEST_START)


if __name__ == "__main__":
    sys.exit(main())
