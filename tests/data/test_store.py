import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import load_data, scan
from striate.data.scan import Request
from striate.data.sources.folder import read_folder
from striate.data.store import open_store, store_key
from striate.errors import DataError, ResourceError

LOAD = "import sys, striate.data; d = striate.data.load_data(sys.argv[1]); print(d.manifest_hash)"


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


def finished(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.strip()


def stores(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "stores"
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_second_load_reads_no_image(make_folder: Callable) -> None:
    root = make_folder({"a": 4, "b": 4})
    first = load_data(root)
    stamps = {path: path.stat() for path in root.rglob("*.png")}
    for path, status in stamps.items():  # other bytes, hidden behind the old times
        path.chmod(0o644)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    calls: list[int] = []
    source = read_folder(root)
    store = open_store(source, Request(), progress=lambda *_: calls.append(1))
    again = open_store(source, Request(), progress=lambda *_: calls.append(1))
    assert len(calls) == 1  # the times of change differ once
    assert isinstance(again.images, np.memmap)
    np.testing.assert_array_equal(store.images, first.images)


def test_a_changed_file_gives_another_store(make_folder: Callable) -> None:
    root = make_folder({"a": 4, "b": 4})
    before = load_data(root)
    path = root / "a" / "000.png"
    status = path.stat()
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 1
    path.unlink()
    Image.fromarray(pixels).save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = load_data(root)
    assert before.manifest_hash != after.manifest_hash
    assert (before.images != after.images).any()


def test_the_key_depends_on_what_is_asked_for(make_folder: Callable) -> None:
    files = read_folder(make_folder({"a": 2, "b": 2})).files
    requests = [Request(), Request(8), Request(8, "pad"), Request(8, "pad", (0, 0, 0))]
    assert len({store_key(files, request) for request in requests}) == 4


@pytest.mark.parametrize("held", [1, 1 << 24])
def test_each_image_has_the_digest_of_its_own_file(
    make_folder: Callable, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(scan, "_MOST_HELD", held)
    source = read_folder(make_folder({"a": 11, "b": 11}))
    paths = [Path(file.path) for file in source.files]
    paths[3].write_bytes(b"no image")
    paths[9].write_bytes(paths[9].read_bytes()[:200])
    store = open_store(source, Request())
    assert store.rows.tolist() == [row for row in range(22) if row not in {3, 9}]
    for row, digest in zip(store.rows, store.contents, strict=True):
        content = paths[row].read_bytes()
        assert digest.tobytes() == hashlib.blake2b(content, digest_size=16).digest()


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_count_of_threads_changes_nothing(make_folder: Callable, threads: int) -> None:
    root = make_folder({"a": 70, "b": 60})
    (root / "a" / "033.png").write_bytes(b"broken")
    data = load_data(root, threads=threads)
    assert len(data) == 129
    for name, image in zip(data.names, data.images, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(root / name)))


@pytest.mark.parametrize("colour_at", [0, 30])
def test_headers_read_while_decoding_tell_the_same(
    colour_at: int, make_folder: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a size given, those after the first with colours; the first may come late."""
    root = make_folder({"a": 20, "b": 20}, size=(9, 12))
    for place, path in enumerate(sorted(root.rglob("*.png"))):
        if place != colour_at:
            Image.open(path).convert("L").save(path)
    (root / "b" / "005.png").write_bytes(b"broken")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("L", (12, 9)).save(root / "b" / "turned.jpg", exif=turned)
    Image.new("I;16", (12, 9)).save(root / "b" / "deep.png")
    source = read_folder(root)
    found = []
    for first_look in (scan._FIRST_LOOK, len(source.files)):
        monkeypatch.setattr(scan, "_FIRST_LOOK", first_look)
        looked = scan.inspect_all(source.files, Request(size=8))
        assert len(looked.rows) == 42 - (colour_at > 0 or first_look > 16)  # the broken one
        images = np.concatenate([c.images for c in scan.decode_all(source.files, looked)])
        found.append((images, looked.preprocessing, sorted(map(repr, looked.problems))))
    (images, preprocessing, problems), (all_images, all_preprocessing, all_problems) = found
    assert np.array_equal(images, all_images)
    assert images.shape == (41, 8, 8, 3)
    assert (preprocessing, problems) == (all_preprocessing, all_problems)
    kinds = {"unreadable", "exif-rotation", "sixteen-bit"}
    assert len(problems) == len(kinds)
    assert all(any(kind in problem for problem in problems) for kind in kinds)


def test_progress_counts_every_image(make_folder: Callable) -> None:
    calls: list[tuple[int, int]] = []
    load_data(make_folder({"a": 70, "b": 70}), progress=lambda *call: calls.append(call))
    assert calls[-1] == (140, 140)
    assert calls == sorted(calls)


def test_two_writers_make_one_store(make_folder: Callable, tmp_path: Path) -> None:
    root = make_folder({"a": 150, "b": 150}, size=(200, 200))
    writers = [python(LOAD, root) for _ in range(3)]
    assert len({finished(writer) for writer in writers}) == 1
    assert len(stores(tmp_path)) == 1


def test_a_killed_writer_leaves_nothing_that_lasts(make_folder: Callable, tmp_path: Path) -> None:
    root = make_folder({"a": 200, "b": 200}, size=(300, 300))
    expected = None
    for _ in range(4):
        writer = python(LOAD, root)
        folder = tmp_path / "cache" / "stores"
        deadline = time.monotonic() + 60
        while not list(folder.glob("*.tmp-*/images.npy")) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert len(stores(tmp_path)) <= 2
    expected = finished(python(LOAD, root))
    assert len(stores(tmp_path)) == 1
    assert expected == load_data(root, cache=tmp_path / "other").manifest_hash


def test_what_another_left_is_swept_and_what_lives_is_not(
    make_folder: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "stores"
    (folder / "dead.tmp-1").mkdir(parents=True)
    (folder / "alive.tmp-1").mkdir()
    hold = "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.flock(f, 2); print(1, flush=True)"
    holder = python(f"{hold}; time.sleep(60)", folder / "alive.lock")
    assert holder.stdout is not None
    holder.stdout.readline()
    load_data(make_folder({"a": 2, "b": 2}))
    holder.kill()
    holder.communicate()
    assert not (folder / "dead.tmp-1").exists()
    assert (folder / "alive.tmp-1").exists()


@pytest.mark.parametrize(
    "name", ["images.npy", "rows.npy", "digests.npy", "near.npy", "index.json"]
)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_store_is_made_again(
    make_folder: Callable, tmp_path: Path, name: str, damage: str
) -> None:
    root = make_folder({"a": 3, "b": 3})
    expected = load_data(root)
    before = expected.manifest_hash
    path = next((tmp_path / "cache" / "stores").glob(f"*/{name}"))
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    again = load_data(root)
    assert again.manifest_hash == before
    assert again.images.shape == (6, 32, 32, 3)


def test_a_disk_that_fills_up_is_said(make_folder: Callable, tmp_path: Path) -> None:
    root = make_folder({"a": 30, "b": 30}, size=(64, 64))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    code = (
        "import sys, striate.data, striate.errors\n"
        "try: striate.data.load_data(sys.argv[1])\n"
        "except striate.errors.ResourceError as error: print(error)"
    )
    message = finished(python(code, root, preexec_fn=limit))
    assert "disk full" in message
    assert "STRIATE_CACHE" in message
    assert stores(tmp_path) == []


def test_a_cache_that_is_no_folder(make_folder: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be used"):
        load_data(make_folder({"a": 2, "b": 2}), cache=tmp_path / "file")


def test_memory_stays_flat_while_a_store_is_filled_and_read(
    make_folder: Callable, tmp_path: Path
) -> None:
    """A store of 200 MB is filled, searched and measured in under 80 MB beyond the start."""
    root = make_folder({"a": 40, "b": 40}, size=(48, 48))
    for copy in range(1, 5):
        for path in list(root.rglob("0??.png")):
            path.with_name(f"{copy}-{path.name}").symlink_to(path)
    code = (
        "import pathlib, re, sys, striate.data\n"
        "def peak():\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
        "striate.data.load_data(sys.argv[1], size=64)\n"
        "start = peak()\n"
        "data = striate.data.load_data(sys.argv[1], size=460)\n"
        "data.split().preprocessing\n"
        "print(data.images.nbytes >> 20, peak() - start >> 10)"
    )
    size, growth = map(int, finished(python(code, root)).split())
    assert size > 200
    assert growth < 80


@pytest.mark.parametrize("size", [0, 8])
def test_so_are_sound_headers_without_images(size: int, make_folder: Callable) -> None:
    root = make_folder({"a": 9, "b": 9})
    for path in root.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="18 of 18"):
        load_data(root, size=size)


def test_all_bad_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        (tmp_path / "p" / name / "1.jpg").write_text("text")
    for _ in range(2):  # the second time from the store
        with pytest.raises(DataError, match="2 of 2 images cannot be used"):
            load_data(tmp_path / "p")
