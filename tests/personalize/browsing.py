"""A headless browser driven as a reader would: real keys, real focus, screenshots; over a pipe, so nothing listens."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

fcntl = pytest.importorskip("fcntl")  # the pipe needs what Windows does not have
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
PATIENCE = 60  # seconds until an answer that does not come is an error
KEYS = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def browser() -> str:
    """Where the browser is; the test is skipped where there is none."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"no browser found (looked for {', '.join(BROWSERS)})")


class Reader:
    """One open page."""

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back, self.last, self.rest = to, back, 0, b""
        self.bad: list[str] = []
        self.requests: list[str] = []
        target = self.ask("Target.createTarget", {"url": "about:blank"}, session="")["targetId"]
        self.session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True}, session="")["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{part}.enable")

    def ask(self, method: str, params: Mapping[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """Send one command and wait for its answer; what the page reports meanwhile is kept."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": dict(params or {})}
        own = self.session if session is None else session
        os.write(self.to, json.dumps(message | ({"sessionId": own} if own else {})).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.last:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            assert select.select([self.back], [], [], PATIENCE)[0], f"no answer from the browser in {PATIENCE} seconds"
            more = os.read(self.back, 1 << 16)
            assert more, "the browser ended"
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        said = json.loads(text)
        method, about = said.get("method"), said.get("params", {})
        if method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning")
        ):
            self.bad.append(json.dumps(about)[:500])
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.bad.append(about["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.bad.append(f"dialog: {about['message']}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        return said

    def look(self, *, width: int, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Set the size of the window, and what the page is to be shown as."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})

    def open(self, page: Path, fragment: str = "") -> None:
        """Open a file and wait until its script has run."""
        self.ask("Page.navigate", {"url": page.resolve().as_uri() + fragment})
        ready = "new Promise(d => document.readyState === 'complete' ? d(1) : addEventListener('load', () => d(1)))"
        self.run(ready)

    def run(self, script: str) -> Any:
        """Evaluate an expression on the page."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True}
        found = self.ask("Runtime.evaluate", asked)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true, for at most two seconds; a page on its way to another answers nothing."""
        end = time.monotonic() + 2
        while time.monotonic() < end:
            asked = {"expression": f"({condition}) && document.readyState === 'complete'", "returnByValue": True}
            if self.ask("Runtime.evaluate", asked)["result"].get("value"):
                return
            time.sleep(0.02)
        raise AssertionError(f"not within two seconds: {condition}")

    def press(self, key: str, times: int = 1, *, shift: bool = False) -> None:
        """Press and let go a key."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 if shift else 0}
        for _ in range(times):
            down = {"type": "keyDown", "text": "\r"} if key == "Enter" else {"type": "rawKeyDown"}
            self.ask("Input.dispatchKeyEvent", about | down)
            self.ask("Input.dispatchKeyEvent", about | {"type": "keyUp"})

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.ask("Input.insertText", {"text": text})

    def picture(self, path: Path, selector: str = "html") -> Path:
        """Take a picture of one element, however far down it is."""
        box = self.run(
            f"(r => ({{x: r.left + scrollX, y: r.top + scrollY, width: r.width, height: r.height}}))"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        asked = {"format": "png", "captureBeyondViewport": True, "clip": {**box, "scale": 1}}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", asked)["data"]))
        return path


@contextmanager
def reading(folder: Path, *flags: str) -> Iterator[Reader]:
    """A browser with a profile of its own, ended at the end."""
    program = browser()
    theirs_in, to = os.pipe()
    back, theirs_out = os.pipe()
    # out of the way of 3 and 4, the numbers the browser reads from and writes to
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)]
    command = [program, *FLAGS, *flags, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    connected = [(os.POSIX_SPAWN_DUP2, fd, place) for fd, place in zip(high, (3, 4), strict=True)]
    pid = os.posix_spawn(program, command, os.environ, file_actions=[*quiet, *connected])
    for fd in (theirs_in, theirs_out, *high):
        os.close(fd)
    try:
        yield Reader(to, back)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(to)
        os.close(back)
