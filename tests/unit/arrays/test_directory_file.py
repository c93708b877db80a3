"""A file that goes while it is copied, and another that takes its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitmirror_drivers.arrays.directory_file import Account, Files
from splitmirror_drivers.arrays.directory_names import Spot


class Replaced(Files):
    """Meets a journal file that its database deletes, and makes anew, at the worst moment."""

    def _file(self, spot: Spot) -> os.stat_result:
        path = Path(self.source) / spot.name
        path.rename(path.with_suffix(".old"))
        path.write_text("another one")
        raise FileNotFoundError(spot.name)


class CopyGone(Files):
    """Meets somebody who works in the mirror."""

    def _file(self, spot: Spot) -> os.stat_result:
        raise FileNotFoundError(spot.name)


def spot_of(folder: Path) -> Spot:
    for name in ("source", "mirror"):
        (folder / name).mkdir()
    path = folder / "source" / "shop.db-journal"
    path.write_text("one")
    source, copy = (os.open(folder / name, os.O_RDONLY) for name in ("source", "mirror"))
    return Spot(path.name, path.name, source, copy, path.stat())


def files(kind: type[Files], folder: Path, spot: Spot) -> Files:
    return kind(str(folder / "source"), str(folder / "mirror"), spot.copy, Account(), lambda: None, is_split=False)


def test_a_name_that_was_taken_by_another_file_meanwhile_went_from_the_source(tmp_path: Path) -> None:
    spot = spot_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        files(Replaced, tmp_path, spot).copied(spot, "")


def test_a_file_that_is_still_the_same_went_from_the_copy(tmp_path: Path) -> None:
    spot = spot_of(tmp_path)
    assert files(CopyGone, tmp_path, spot).copied(spot, "") is None
