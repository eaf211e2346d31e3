"""The page in a real browser: patients are picked, the slider moves the fan, nothing fails, nothing is fetched."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from personalize.report import write_patient, write_report
from tests.personalize.browsing import browser
from tests.personalize.report_clinic import FORMULA, SCRIPT, of_patient, report_inputs

SLOWEST_MS = 2000
WATCH = """<script>
window.__bad = [];
window.addEventListener("error", function (e) { __bad.push("error: " + e.message); });
document.addEventListener("securitypolicyviolation", function (e) { __bad.push("policy: " + e.blockedURI); });
["error", "warn"].forEach(function (k) {
  console[k] = function () { __bad.push(k + ": " + [].join.call(arguments, " ")); };
});
window.alert = function (t) { __bad.push("alert " + t); };
</script>"""
ACT = """<script>
(function () {
  var out = {}, q = function (id) { return document.getElementById(id); };
  function look() {
    var line = q("fan-mean");
    return { who: q("who").textContent, mean: JSON.parse(line.getAttribute("data-mean")), path: line.getAttribute("d"),
      said: q("moved").textContent, shift: q("shift-out").textContent, outside: q("outside").textContent };
  }
  function slide(i) { q("shift").value = i; q("shift").dispatchEvent(new Event("input")); }
  function pick(name) { q("find").value = name; q("find").dispatchEvent(new Event("change")); }
  out.start = look();
  slide(6); out.up = look();
  slide(2); out.down = look();
  q("reset").click(); out.back = look();
  q("after").click(); out.next = look();
  pick(PICKED); out.picked = look();
  pick("nobody at all"); out.nobody = q("nobody").textContent;
  document.querySelector("a[data-patient-link]").click(); out.linked = look();
  out.focus = document.activeElement.id;
  q("theme").click(); out.theme = document.documentElement.getAttribute("data-theme");
  window.addEventListener("load", function () {
    setTimeout(function () {
      var t = performance.getEntriesByType("navigation")[0];
      out.ms = t.domContentLoadedEventEnd;
      out.fetched = performance.getEntriesByType("resource").map(function (r) { return r.name; });
      out.bad = window.__bad;
      out.images = document.images.length;
      var pre = document.createElement("pre");
      pre.id = "outcome";
      pre.textContent = JSON.stringify(out);
      document.body.appendChild(pre);
    }, 50);
  });
})();
</script>"""


def drive(page: Path, act: str, folder: Path, *flags: str) -> dict:
    """Open a copy of the page that watches itself and carries out ``act``."""
    text = page.read_text(encoding="utf-8").replace("<head>", f"<head>{WATCH}", 1)
    copy = page.with_name("driven.html")
    copy.write_text(text.replace("</body>", f"{act}</body>"), encoding="utf-8")
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}", "--virtual-time-budget=4000", *flags,
        "--dump-dom", copy.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="outcome">(.*?)</pre>', done.stdout, re.S)
    assert found is not None, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    browser()
    folder = tmp_path_factory.mktemp("browser")
    page = write_report(folder, report_inputs())
    return drive(page, ACT.replace("PICKED", json.dumps(SCRIPT).replace("</", "<\\/")), folder / "profile")


def test_page_loads_fast_without_errors_or_requests(seen):
    assert seen["bad"] == []
    assert seen["fetched"] == []
    assert seen["images"] == 0  # the identifier that is an image tag made none
    assert seen["ms"] < SLOWEST_MS


def test_slider_moves_the_fan_by_the_effect(seen):
    inputs = report_inputs()
    patient = inputs.panel.patient_ids[0]
    own = of_patient(inputs.scenarios, patient)
    for key, shift in (("up", 1.0), ("down", -1.0)):
        moved = own.loc[own["shift"] == shift]
        difference = [after - before for after, before in zip(seen[key]["mean"], seen["start"]["mean"], strict=True)]
        assert difference == pytest.approx(moved["moved"].tolist(), abs=0.02)  # five digits are drawn
        assert seen[key]["path"] != seen["start"]["path"]
        assert seen[key]["shift"].startswith("+1 SD" if shift > 0 else "−1 SD")
    assert seen["back"]["mean"] == seen["start"]["mean"]
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", seen["up"]["path"])]
    before = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", seen["start"]["path"])]
    falls = own.loc[own["shift"] == 1.0, "moved"].iloc[3] < 0
    assert (heights[3] > before[3]) == falls  # further down the picture is a lower score


def test_sentence_names_both_numbers(seen):
    assert "instead of" in seen["up"]["said"]
    assert "Expected course" in seen["start"]["said"]


def test_patients_are_picked_by_name_button_and_ranking(seen):
    panel = report_inputs().panel
    names = [str(p) for p in panel.patient_ids]
    assert seen["start"]["who"].startswith(names[0])
    assert seen["next"]["who"].startswith(names[1])
    assert seen["picked"]["who"].startswith(SCRIPT)
    assert {FORMULA, SCRIPT} <= set(names)
    assert seen["nobody"] == "No patient of that name."
    first = names[int(report_inputs().hinge["benefit"].to_numpy().argmax())]
    assert seen["linked"]["who"].startswith(first)
    assert seen["focus"] == "patient"
    assert seen["theme"] in ("dark", "light")


def pages(page: Path, folder: Path) -> int:
    """Pages of a page that is printed to PDF."""
    pdf = folder / "printed.pdf"
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=3000", f"--print-to-pdf={pdf}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes()))


def test_one_patient_is_printed_on_one_page(tmp_path):
    inputs = report_inputs()
    own = write_patient(tmp_path / "p.html", inputs, 0)
    assert pages(own, tmp_path) == 1
    text = write_report(tmp_path, inputs).read_text(encoding="utf-8")
    # what the button does before it opens the dialogue, with every table opened by the reader
    act = """<script>document.body.classList.add("one");
      [].forEach.call(document.querySelectorAll("details"), function (d) { d.open = true; });</script>"""
    whole, alone = tmp_path / "whole.html", tmp_path / "alone.html"
    whole.write_text(text, encoding="utf-8")
    alone.write_text(text.replace("</body>", f"{act}</body>"), encoding="utf-8")
    assert pages(alone, tmp_path) == 1
    assert pages(whole, tmp_path) > 5


def test_slider_is_hidden_without_an_effect(tmp_path):
    page = write_report(tmp_path, replace(report_inputs(), scenarios=None))
    act = """<script>window.addEventListener("load", function () {
      var pre = document.createElement("pre"); pre.id = "outcome";
      pre.textContent = JSON.stringify({ height: document.getElementById("slider").offsetHeight,
        fan: document.getElementById("fan-mean").getAttribute("d").length, bad: __bad });
      document.body.appendChild(pre); });</script>"""
    found = drive(page, act, tmp_path / "profile")
    assert (found["height"], found["bad"]) == (0, [])
    assert found["fan"] > 0


def test_narrow_page_does_not_overflow(tmp_path):
    page = write_report(tmp_path, report_inputs())
    act = """<script>window.addEventListener("load", function () { setTimeout(function () {
      var pre = document.createElement("pre"); pre.id = "outcome";
      var wide = document.documentElement.scrollWidth;
      pre.textContent = JSON.stringify({ width: window.innerWidth, wide: wide, bad: __bad });
      document.body.appendChild(pre); }, 50); });</script>"""
    found = drive(page, act, tmp_path / "profile", "--window-size=500,900")
    assert found["bad"] == []
    assert found["wide"] <= found["width"]
