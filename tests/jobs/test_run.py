"""A finished run as a document."""

import dataclasses
import json

from striate.jobs.run import Run


def test_the_document_holds_every_field(finished_run):
    document = finished_run.to_json()
    fields = {field.name for field in dataclasses.fields(Run)}
    assert set(document) == fields - {"path"} | {"run"}
    assert document["run"] == str(finished_run.path)


def test_a_run_comes_back_from_its_document(finished_run):
    document = json.loads(json.dumps(finished_run.to_json()))
    assert Run.from_json(document) == finished_run
