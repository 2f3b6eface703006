"""A file is the old one or the new one, never a part."""

import resource
import subprocess
import sys
import textwrap

import pytest

from striate.errors import ResourceError
from striate.model import atomic_file, sweep_temporaries, write_atomically


def test_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_with_what_is_needed(tmp_path):
    path = tmp_path / "model"
    write_atomically(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ResourceError, match="disk full, 3 MB needed"):
            write_atomically(path, b"x" * 2_500_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written: No such file"):
        write_atomically(tmp_path / "absent" / "a", "x")


def test_what_a_killed_writer_leaves_is_swept(tmp_path):
    script = """
        import os, sys
        from striate.model import atomic_file
        with atomic_file(sys.argv[1]) as file:
            file.write(b"half")
            file.flush()
            os._exit(9)
    """
    path = tmp_path / "a.json"
    path.write_text("old")
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), path], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    assert len(sweep_temporaries(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"
