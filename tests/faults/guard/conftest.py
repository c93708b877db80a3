"""Stages that clean up after themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.guard.stage import SHELLS, Stage

MakeStage = Callable[..., Stage]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell that the guard promises to run under."""
    words = str(request.param)
    if shutil.which(words.split()[0]) is None:
        pytest.skip(f"{words.split()[0]} is not installed")
    return words


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[MakeStage]:
    """Makes stages; every process of theirs is ended with the test."""
    made: list[Stage] = []

    def make(shell: str, name: str = "stage", **settings: object) -> Stage:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        made.append(Stage(folder, shell, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for stage in made:
        stage.clean_up()
