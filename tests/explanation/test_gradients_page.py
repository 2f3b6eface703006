"""The page of the docs about gradients shows what `striate backprop` prints."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from striate.cli import run

PAGE = (Path(__file__).parents[2] / "docs" / "gradients.md").read_text()
COMMANDS = re.findall(r"^```\n\$ striate (backprop .*)\n((?:.*\n)*?)^```$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=lambda text: text[:30])
def test_the_commands_print_what_the_page_shows(capsys, command, shown):
    run(shlex.split(command))
    printed = capsys.readouterr()
    for part in shown.split("...\n"):
        assert part in printed.out + printed.err


def test_the_examples_in_python():
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "gradients.md", None, 0)
    assert len(test.examples) >= 4
    failures = []
    doctest.DocTestRunner().run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_the_page_has_its_commands():
    assert len(COMMANDS) >= 4
