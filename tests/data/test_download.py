import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from striate.data.download import RemoteFile, fetch, unpack_members
from striate.errors import DataError, ResourceError

CONTENT = bytes(range(256)) * 4000
HASH = hashlib.sha256(CONTENT).hexdigest()


class Home(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, with ranges; `/cut` drops the connection, `/plain` knows no range."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        Home.asked.append(self.headers.get("Range"))
        if self.path == "/gone":
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and self.path != "/plain":
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Home)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Home.asked.clear()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_fetched_once(home: str, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    remote = RemoteFile(f"{home}/a", "a.bin", HASH)
    path = fetch(remote, tmp_path / "new", progress=lambda *call: calls.append(call))
    assert path.read_bytes() == CONTENT
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(remote, tmp_path / "new") == path
    assert len(Home.asked) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_lost_connection_is_continued(home: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lost after 512000 of 1024000 bytes"):
        fetch(RemoteFile(f"{home}/cut", "a.bin", HASH), tmp_path)
    assert (tmp_path / "a.bin.part").stat().st_size == 512_000
    assert fetch(RemoteFile(f"{home}/a", "a.bin", HASH), tmp_path).read_bytes() == CONTENT
    assert Home.asked[-1] == "bytes=512000-"


@pytest.mark.parametrize("before", [CONTENT[:100], CONTENT])
def test_a_home_without_ranges_is_read_from_the_start(
    home: str, tmp_path: Path, before: bytes
) -> None:
    (tmp_path / "a.bin.part").write_bytes(before)
    assert fetch(RemoteFile(f"{home}/plain", "a.bin", HASH), tmp_path).read_bytes() == CONTENT


def test_what_came_in_full_is_only_checked(home: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert fetch(RemoteFile(f"{home}/a", "a.bin", HASH), tmp_path).read_bytes() == CONTENT


def test_another_content_is_refused_and_not_kept(home: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its SHA-256 is .*STRIATE_DATA"):
        fetch(RemoteFile(f"{home}/a", "a.bin", "0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there(home: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch(RemoteFile("http://127.0.0.1:9/a", "a.bin", HASH), tmp_path)
    with pytest.raises(DataError, match="Not Found"):
        fetch(RemoteFile(f"{home}/gone", "a.bin", HASH), tmp_path)


def test_a_folder_that_cannot_be_written(home: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"):
        fetch(RemoteFile(f"{home}/a", "a.bin", HASH), tmp_path / "file")


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_hostile_archive_stays_in_its_folder(tmp_path: Path) -> None:
    link = tarfile.TarInfo("x/link.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    names = ("../../up.bin", "/absolute.bin", "deep/er/a.bin", "other.sh")
    members = [(tarfile.TarInfo(name), name.encode()) for name in names]
    sha256 = archive(tmp_path / "a.tar.gz", *members, (link, b""))
    unpack_members(tmp_path / "a.tar.gz", tmp_path / "in", sha256, suffixes=(".bin",))
    found = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    assert found == {
        "up.bin": b"../../up.bin",
        "absolute.bin": b"/absolute.bin",
        "a.bin": b"deep/er/a.bin",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "in"]


def test_archives_that_are_damaged_or_another(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive(path, (tarfile.TarInfo("a.bin"), CONTENT))
    with pytest.raises(DataError, match="not the one known"):
        unpack_members(path, tmp_path, "0" * 64, suffixes=(".bin",))
    path.write_bytes(path.read_bytes()[:-50])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack_members(path, tmp_path, sha256, suffixes=(".bin",))
