"""The stage as a fixture."""

from __future__ import annotations

from tests.unit.admin.stage import stage

__all__ = ["stage"]
