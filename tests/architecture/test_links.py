"""Every relative link of every page leads to a file, and its anchor to a heading."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {"node_modules", "build", "data"}

_CODE = re.compile(r"^( *)(```|~~~).*?^ *\2[^\n]*$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", re.MULTILINE)
_HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']+)")
_HTML_ANCHOR = re.compile(r"<\w+\b[^>]*?\b(?:id|name)=[\"']([^\"']+)")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def pages(folder: Path) -> Iterator[Path]:
    """Yield all pages below a folder, but those of others and of hidden folders."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in NOT_OURS)
        yield from (Path(place) / file for file in sorted(files) if file.endswith(".md"))


def links(text: str) -> list[str]:
    """Return what a page links to, but what stands in examples."""
    text = _CODE_SPAN.sub("", _CODE.sub("", text))
    return [found for pattern in (_LINK, _REFERENCE, _HTML) for found in pattern.findall(text)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page, as GitHub makes them from headings."""
    text = _CODE.sub("", text)
    seen: Counter[str] = Counter()
    found = set(_HTML_ANCHOR.findall(text))
    for heading in _HEADING.findall(text):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(anchor if not seen[anchor] else f"{anchor}-{seen[anchor]}")
        seen[anchor] += 1
    return found


def dead_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    return [link for link in links(page.read_text(encoding="utf-8")) if not _leads(page, link)]


def _leads(page: Path, link: str) -> bool:
    if _ELSEWHERE.match(link):
        return True
    path, _, anchor = link.partition("#")
    target = page.parent / unquote(path) if path else page
    if not target.exists():
        return False
    if not anchor or target.suffix != ".md":
        return True
    return unquote(anchor) in anchors(target.read_text(encoding="utf-8"))


def test_every_link_leads_somewhere() -> None:
    found = list(pages(ROOT))
    dead = [f"{page.relative_to(ROOT)}: {link}" for page in found for link in dead_links(page)]

    assert len(found) > 30
    assert dead == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        pytest.param("[a](other.md)", [], id="a page"),
        pytest.param("[a](gone.md)", ["gone.md"], id="a page that is gone"),
        pytest.param("![a](gone.svg)", ["gone.svg"], id="a picture"),
        pytest.param('[a](gone.md "title")', ["gone.md"], id="with a title"),
        pytest.param("[a]\n\n[a]: gone.md", ["gone.md"], id="a reference"),
        pytest.param('<img alt="" src="gone.svg">', ["gone.svg"], id="in HTML"),
        pytest.param("[a](other.md#log-in)", [], id="an anchor"),
        pytest.param("[a](other.md#log-out)", ["other.md#log-out"], id="an anchor that is gone"),
        pytest.param("[a](other.md#rule-1)", [], id="the second of the same name"),
        pytest.param("[a](other.md#rule-2)", ["other.md#rule-2"], id="the third of two"),
        pytest.param("[a](other.md#call-pfdo-verify)", [], id="a heading with code"),
        pytest.param("[a](other.md#no-heading)", ["other.md#no-heading"], id="in an example"),
        pytest.param("# Here\n[a](#here) [b](#there)", ["#there"], id="in the same page"),
        pytest.param("[a](https://example.invalid/gone.md)", [], id="of others"),
        pytest.param("`[a](gone.md)`\n```\n[a](gone.md)\n```", [], id="examples"),
        pytest.param("[`a`](gone.md) and `b`", ["gone.md"], id="a link that looks like code"),
    ],
)
def test_a_dead_link_is_noticed(tmp_path: Path, text: str, dead: list[str]) -> None:
    other = "# Log in\n## Rule\n## Rule\n## Call `pfdo verify`\n```sh\n# No heading\n```\n"
    (tmp_path / "other.md").write_text(other)
    (tmp_path / "page.md").write_text(text)

    assert dead_links(tmp_path / "page.md") == dead
