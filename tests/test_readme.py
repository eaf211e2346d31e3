"""The README keeps its word: its example prints what stands below it, its links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
TOLERANCE = 0.05  # libraries of other versions shift the last digits


def test_the_example_prints_what_the_readme_says() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, expected = re.search(r"```python\n(.*?)```\n```text\n(.*?)```", text, re.S).groups()  # type: ignore[union-attr]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    number = r"-?\d+\.?\d*"
    got, told = printed.getvalue(), expected
    assert re.sub(rf"{number}|[-\s]+", "", got) == re.sub(rf"{number}|[-\s]+", "", told)
    numbers = [np.array([float(n) for n in re.findall(number, part)]) for part in (got, told)]
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=TOLERANCE, atol=TOLERANCE)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken, broken
