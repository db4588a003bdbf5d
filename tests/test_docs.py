"""What the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.named import named_tests

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
TESTS = named_tests()
ids = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_tests_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
    assert named <= TESTS, f"{page.name} names tests that do not exist"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in link and not link.startswith("mailto:"):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_exist(page: Path) -> None:
    """Paths in code font that begin with one of our folders."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:core|tui|relay_server|tests|docs|bench|fuzz|packaging)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_threat_model_names_a_test_for_every_promise() -> None:
    for line in (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| promise"):
            assert re.search(r"`test_\w+`", line), line
