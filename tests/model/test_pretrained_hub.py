"""The hub's own client against a small server that speaks the hub's endpoints."""

import hashlib
import json
import re
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save

from striate.errors import DataError, ModelError, ResourceError, UsageError
from striate.model.pretrained import open_pretrained
from striate.model.pretrained.hub import fetch_from_hub
from striate.nets import parse_net

COMMITS = {"main": "a" * 40, "v1": "b" * 40}
NET = "input 8x8x3 conv3-4 relu gap fc-2"
WEIGHTS = save(
    {
        "body.conv.weight": torch.ones(4, 3, 3, 3),
        "body.conv.bias": torch.zeros(4),
        "head.weight": torch.ones(2, 4),
        "head.bias": torch.zeros(2),
    }
)
CONFIG = json.dumps(
    {
        "architecture": "tiny",
        "pretrained_cfg": {
            "input_size": [3, 48, 48],
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "mean": [0.1, 0.2, 0.3],
            "std": [0.4, 0.5, 0.6],
            "classifier": "head",
        },
    }
).encode()
PICKLE = b"\x80\x04 never to be fetched"
REPOSITORIES = {
    "timm/tiny": {"model.safetensors": WEIGHTS, "config.json": CONFIG, "pytorch_model.bin": PICKLE},
    "me/plain": {"weights.safetensors": WEIGHTS, "onnx/x.safetensors": WEIGHTS, "README.md": b"#"},
    "me/many": {"a.safetensors": WEIGHTS, "b.safetensors": WEIGHTS},
    "me/pickled": {"pytorch_model.bin": PICKLE, "config.json": CONFIG},
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks for to download a file."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def log_message(self, *_):
        pass

    def _answer(self, *, with_body):
        self.server.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if tree := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(\w+)", path):
            files = REPOSITORIES[tree[1]].items()
            listed = [
                {"type": "file", "path": n, "size": len(c), "oid": _digest(c)} for n, c in files
            ]
            self._send(200, json.dumps(listed).encode(), {"Content-Type": "application/json"}, True)
            return
        owner, name, _, revision, file = path[1:].split("/", 4)
        repository = f"{owner}/{name}"
        content, error = b"", ""
        if repository == "me/gated":
            error = "GatedRepo"
        elif repository not in REPOSITORIES:
            error = "RepoNotFound"
        elif revision not in COMMITS and revision not in COMMITS.values():
            error = "RevisionNotFound"
        elif file not in REPOSITORIES[repository]:
            error = "EntryNotFound"
        else:
            content = REPOSITORIES[repository][file]
        headers = {"X-Repo-Commit": COMMITS.get(revision, revision)}
        if error:
            status = 403 if error == "GatedRepo" else 404
            self._send(status, b"", {**headers, "X-Error-Code": error}, with_body)
        else:
            self._send(200, content, {**headers, "ETag": f'"{_digest(content)}"'}, with_body)

    def _send(self, status, content, headers, with_body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def _digest(content):
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(monkeypatch):
    """A hub on the loopback interface; its `asked` are the requests that came."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(server):
    """The files of which the content was asked for."""
    return [line.rpartition("/")[2] for line in server.asked if line.startswith("GET /timm")]


def test_weights_and_config_are_fetched_and_nothing_else(hub, tmp_path):
    found = fetch_from_hub("hf:timm/tiny", cache=tmp_path)
    assert found.path.read_bytes() == WEIGHTS
    assert (found.path.parent / "config.json").read_bytes() == CONFIG
    assert found.commit == COMMITS["main"]
    assert sorted(fetched(hub)) == ["config.json", "model.safetensors"]


def test_a_revision_is_the_one_asked_for(hub, tmp_path):
    assert fetch_from_hub("hf:timm/tiny@v1", cache=tmp_path).commit == COMMITS["v1"]


def test_what_was_fetched_is_not_fetched_again(hub, tmp_path):
    fetch_from_hub("hf:timm/tiny", cache=tmp_path)
    fetch_from_hub("hf:timm/tiny", cache=tmp_path)
    assert len(fetched(hub)) == 2


def test_without_a_connection_the_cache_serves(hub, tmp_path, monkeypatch):
    before = fetch_from_hub("hf:timm/tiny", cache=tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_from_hub("hf:timm/tiny", cache=tmp_path) == before


def test_the_only_file_with_the_ending_will_do_without_a_config(hub, tmp_path):
    found = fetch_from_hub("hf:me/plain", cache=tmp_path)
    assert found.path.name == "weights.safetensors"
    assert not (found.path.parent / "config.json").exists()


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("hf:timm", UsageError, "is no name on the hub .write hf:OWNER/NAME"),
        ("hf:a/../b", UsageError, "is no name on the hub"),
        ("hf:me/absent", ModelError, "hf:me/absent: there is no such repository"),
        ("hf:timm/tiny@v9", ModelError, "hf:timm/tiny@v9: the repository has no such revision"),
        ("hf:me/gated", ModelError, "hf:me/gated: asks for a login .set HF_TOKEN"),
        ("hf:me/many", ModelError, "several .safetensors files: a.safetensors, b.safetensors"),
        ("hf:me/pickled", ModelError, r"no .safetensors file: config.json, pytorch_model.bin \(no"),
    ],
)
def test_what_is_not_there_is_one_clear_line(source, error, message, hub, tmp_path):
    with pytest.raises(error, match=message) as caught:
        fetch_from_hub(source, cache=tmp_path)
    assert "\n" not in str(caught.value)
    assert not any("pytorch_model.bin" in line for line in hub.asked)


def test_no_connection_is_one_line_with_status_3(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client tries five times in 23 seconds
    message = "hf:timm/tiny: cannot be fetched from the hub: .*refused.*look at the connection"
    with pytest.raises(DataError, match=message) as caught:
        fetch_from_hub("hf:timm/tiny", cache=tmp_path)
    assert caught.value.status == 3
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_status_6(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written") as caught:
        fetch_from_hub("hf:timm/tiny", cache=tmp_path / "file")
    assert caught.value.status == 6


def test_the_weights_of_the_hub_are_opened_with_their_config(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    pretrained = open_pretrained("hf:timm/tiny")
    assert pretrained.commit == COMMITS["main"]
    assert pretrained.settings.mean == (0.1, 0.2, 0.3)
    assert (pretrained.settings.size, pretrained.settings.interpolation) == ((48, 48), "bicubic")
    weights = pretrained.fit(parse_net(NET), ("a", "b")).read()
    assert torch.equal(weights["layers.conv1.weight"], torch.ones(4, 3, 3, 3))


def test_the_client_is_loaded_when_asked_for_and_without_it_the_line_to_install_it_is_given():
    program = """
        import sys
        from striate.errors import UsageError
        from striate.model.pretrained.hub import fetch_from_hub
        print("huggingface_hub" in sys.modules)
        sys.modules["huggingface_hub"] = None  # as if it were not installed
        try:
            fetch_from_hub("hf:timm/tiny")
        except UsageError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("False\n")
    assert 'pip install "striate[hub]"' in done.stdout
