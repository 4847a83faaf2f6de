"""docs/models.md is what models.json says, and every operator of ours is in its table."""

from __future__ import annotations

import json
import os
from pathlib import Path

import models_page
import quantised

import vllm_cann._ops as _ops


def test_the_page_is_current() -> None:
    assert Path(os.environ["MODELS_PAGE"]).read_text() == models_page.markdown(), (
        "run: python tests/serving/models_page.py > docs/models.md"
    )


def test_the_readme_has_the_first_rows() -> None:
    """README shows some rows of the page as they are."""
    rows = [
        line for line in Path(os.environ["README"]).read_text().splitlines() if line.startswith("| ") and "For" in line and "works" in line
    ]
    assert len(rows) >= 5
    assert set(rows) <= set(models_page.markdown().splitlines())


def test_every_model_is_there() -> None:
    rows = json.loads(models_page.FILE.read_text())
    assert list(rows) == list(models_page.NAMES)
    for name, row in rows.items():
        assert set(row) == set(quantised.dtypes(name) if name in quantised.NAMES else models_page.DTYPES)


def test_every_operator_is_called_or_has_a_reason() -> None:
    rows = json.loads(models_page.FILE.read_text())
    called = {kernel for row in rows.values() for one in row.values() for kernel in one.get("kernels", ())}
    assert called | set(models_page.NOT_CALLED) == set(_ops.operators())
    assert not called & set(models_page.NOT_CALLED)
