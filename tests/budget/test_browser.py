"""The report in a real browser: nothing is fetched, nothing is said on the console, nothing is wider than the screen.

A harness page of the test's own shows the report in frames as wide as a phone and a desk (a headless window is never as
narrow as a phone) and writes what it measures into its own document, which Chromium then dumps.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from flopwise.cli.commands.budget import _document

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PHONE, DESK = 390, 1280
SCENARIOS = (
    "code-assistant",
    "financial-risk",
    "medical-imaging",
    "pretrain-domain-model",
)  # long names; owned machines
HARNESS = """<!doctype html><title>harness</title><body style="margin:0">
<script>
const widths = %s, found = {};
const box = element => { const r = element.getBoundingClientRect(); return [r.width, r.height]; };
function measure(frame, width) {
  const page = frame.contentDocument, shown = each => each.checkVisibility();
  const edge = page.documentElement.clientWidth;
  found[width] = {
    screen: edge,
    scroll: page.documentElement.scrollWidth,
    charts: [...page.querySelectorAll("svg")].filter(shown).map(box),
    letters: [...page.querySelectorAll("svg text")].filter(shown).map(each => each.getBoundingClientRect().height),
    clipped: [...page.querySelectorAll("svg")].filter(shown).flatMap(svg => [...svg.querySelectorAll("text")]
      .filter(text => { const t = text.getBoundingClientRect(), s = svg.getBoundingClientRect();
        return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1; })
      .map(text => text.textContent)),
    tables: [...page.querySelectorAll("table")].map(table => {
      const outer = table.closest(".wide").getBoundingClientRect();
      return [outer.left, outer.right, outer.height, table.scrollWidth - outer.width];
    }),
    fetched: frame.contentWindow.performance.getEntriesByType("resource").map(each => each.name),
  };
  if (Object.keys(found).length == widths.length) {
    const out = document.createElement("pre");
    out.id = "found";
    out.textContent = JSON.stringify(found);
    document.body.replaceChildren(out);
  }
}
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0;display:block`;
  frame.onload = () => measure(frame, width);
  frame.src = "report.html";
  document.body.append(frame);
}
</script>"""


def browse(page: Path, profile: Path, *options: str) -> tuple[str, str]:
    """Open a page with no way to the network; return what Chromium dumps of it and what it logs."""
    assert CHROMIUM is not None
    quiet = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-sync")
    ran = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-component-update", *(f"--{each}" for each in quiet)),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files", f"--user-data-dir={profile}"),
            *("--enable-logging=stderr", "--window-size=1400,2000", *options, "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return ran.stdout, ran.stderr


@pytest.fixture(scope="module", params=SCENARIOS)
def measured(request, scenario, tmp_path_factory) -> tuple[dict[str, Any], str]:
    """What the harness measured of a scenario's report, and the console's words."""
    folder = tmp_path_factory.mktemp("browser")
    _, writers = _document(scenario(request.param), everything=True)
    (folder / "report.html").write_bytes(writers["html"]())
    (folder / "harness.html").write_text(HARNESS % json.dumps([PHONE, DESK]), encoding="utf-8")
    dumped, log = browse(folder / "harness.html", folder / "profile", "--virtual-time-budget=10000")
    held = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.DOTALL)
    assert held, f"the harness measured nothing: {dumped[-500:]}"
    return json.loads(unescape(held[1])), log


def test_nothing_is_said_on_the_console_and_nothing_is_fetched(measured):
    found, log = measured
    assert "CONSOLE" not in log
    assert [found[str(width)]["fetched"] for width in (PHONE, DESK)] == [[], []]


def test_the_console_is_listened_to(tmp_path):
    """A page with a fault is noticed, so silence above means something."""
    (tmp_path / "bad.html").write_text("<script>nosuchname()</script>", encoding="utf-8")
    _, log = browse(tmp_path / "bad.html", tmp_path / "profile")
    assert "CONSOLE" in log
    assert "nosuchname" in log


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_is_no_wider_than_the_screen(measured, width):
    found = measured[0][str(width)]
    assert width - 20 <= found["screen"] <= width  # a scroll bar takes the rest
    assert found["scroll"] <= found["screen"]
    assert len(found["tables"]) >= 6
    for left, right, height, _ in found["tables"]:
        assert left >= 0
        assert right <= found["screen"]
        assert height > 20


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_chart_is_drawn_and_can_be_read(measured, width):
    found = measured[0][str(width)]
    assert len(found["charts"]) == 5
    for wide, tall in found["charts"]:
        assert 300 <= wide <= found["screen"]
        assert tall >= 150
    assert found["clipped"] == []
    assert min(found["letters"]) >= 10  # pixels: letters of 12 px, scaled


def test_no_table_is_cut_at_a_desk(measured):
    assert [over for *_, over in measured[0][str(DESK)]["tables"] if over > 1] == []
