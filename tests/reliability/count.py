"""A pytest plugin that says how many lines of the reliability matrix hold: `make reliability`."""

import re

LINES = 52  # of the matrix; some belong to parts of Striate that are not built yet


def pytest_terminal_summary(terminalreporter):
    """Print the lines whose tests all passed, and those with a failure."""
    held, broken = set(), set()
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if outcome == "passed":
                held |= lines_of(report.nodeid)
            elif outcome in ("failed", "error"):
                broken |= lines_of(report.nodeid)
    held -= broken
    terminalreporter.write_line(f"reliability: {len(held)}/{LINES} lines hold")
    if broken:
        terminalreporter.write_line(f"broken: {', '.join(map(str, sorted(broken)))}")


def lines_of(test):
    """The numbers of the matrix in a test's name: {7, 8} of "test_07_08_a_signal_saves"."""
    found = re.search(r"::test_((?:\d\d_)+)", test)
    return {int(number) for number in found[1].split("_") if number} if found else set()
