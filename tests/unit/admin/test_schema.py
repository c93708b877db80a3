"""`splitmirror schema` prints the schema and nothing else."""

from __future__ import annotations

import json

import pytest

from splitmirror.admin import frame
from splitmirror.policy.schema import schema


def test_it_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_its_help_says_how_an_editor_finds_it() -> None:
    assert "#:schema" in frame.parser("schema").format_help()
