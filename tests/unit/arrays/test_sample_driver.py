"""The sample driver for authors keeps the promises of every array."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.array import ArrayContract, Stage, Wrong
from tests.emulators.stage import IMAGEARRAY, ImageStage

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.secret import Secret

SAMPLE = Path(__file__).parents[3] / "samples" / "drivers" / "my_array.py"


def sample() -> Any:
    """The sample as a module, found as a package of somebody else would be."""
    spec = importlib.util.spec_from_file_location("my_array", SAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["my_array"] = module  # msgspec resolves the annotations of Options there
    spec.loader.exec_module(module)
    return module


class SampleStage(ImageStage):
    """The pretend array, spoken to by the sample."""

    def array(self) -> Array:  # type: ignore[override]
        driver = sample().driver()
        table = {
            "program": IMAGEARRAY,
            "devices": {"erp": [f"{self.folder}/p1", f"{self.folder}/p2"]},
            "environment": {"IMAGEARRAY_STATE": f"{self.folder}/state"},
        }
        context = Context(secret=lambda reference: Secret(""), state_folder=str(self.folder))
        made: Array = driver.make("mine", msgspec.convert(table, driver.options), LocalHost(), context)
        return made

    def wrong(self, what: Wrong) -> None:
        if what is Wrong.LOCKED_FOR_A_MOMENT:
            pytest.skip("does not apply: the sample does not wait for locks")
        super().wrong(what)


class TestSampleDriver(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SampleStage(folder)


def test_the_readme_names_the_files_that_are_there() -> None:
    text = SAMPLE.with_name("README.md").read_text(encoding="utf-8")
    for path in ("my_array.py", "tests/unit/arrays/test_sample_driver.py", "tests/contracts/array.py"):
        assert path in text
        assert (SAMPLE.parent / path).exists() or (SAMPLE.parents[2] / path).exists()
