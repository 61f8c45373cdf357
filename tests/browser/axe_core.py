"""axe-core checks the accessibility of a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.async_api import Page

AXE: Final = Path(__file__).with_name("axe") / "axe.min.js"


async def violations(page: Page) -> list[str]:
    """Return the serious and critical violations that axe-core finds: the rule and the element."""
    await page.evaluate(AXE.read_text())
    result: dict[str, Any] = await page.evaluate("axe.run()")
    assert result["passes"]
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
