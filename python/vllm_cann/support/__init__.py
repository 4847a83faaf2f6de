"""What the plugin serves of vLLM's features, and what it refuses when a server starts. docs/support.md is made from the tables here.

Each field of vLLM's configuration is in one of two tables: `refused.REFUSED` refuses what no test has seen work, and `accepted.ACCEPTED`
says why nothing has to be refused. A field that is new in a version of vLLM is in neither of them, and a test names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllm_cann.support.refused import REFUSED

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def check(config: VllmConfig) -> None:
    """Refuses what the plugin does not have.

    Raises:
        ValueError: a sentence with the feature, the option, its value and what to do
    """
    for row in REFUSED:
        value = row.found(config)
        if value is not None:
            raise ValueError(row.sentence(value))
