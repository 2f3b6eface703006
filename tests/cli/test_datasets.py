import json

import pytest

from striate.cli import run


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["datasets"]) == 0
    out = capsys.readouterr().out
    assert "digits" in out
    assert "in scikit-learn" in out
    assert "60,000" in out


def test_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = [entry["name"] for entry in document["datasets"]]
    assert names == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
    assert document["datasets"][1]["size"] == [28, 28, 1]
