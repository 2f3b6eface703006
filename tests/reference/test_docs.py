"""The page of the docs about the room prints what it says."""

import doctest
import re
from pathlib import Path

import pytest

from striate import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_print_what_the_page_shows():
    blocks = "\n".join(FENCED.findall(PAGE.read_text()))
    test = doctest.DocTestParser().get_doctest(blocks, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 10
    failures = []
    doctest.DocTestRunner().run(test, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("path", sorted(Path(reference.__file__).parent.glob("[a-z]*.py")))
def test_every_file_of_the_room_is_on_the_page(path):
    assert f"`{path.name}`" in PAGE.read_text()
