"""A headless Chromium without a network, driven over a pipe by its DevTools protocol; no package is needed for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60  # seconds: a page has megabytes of script, and WebGL is computed on a busy CPU
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name is found: whatever asks for the network fails
    "--remote-debugging-pipe",
)
# Becomes the browser, which reads commands from the file of number 3 and writes answers to that of number 4.
CONNECT = """
import fcntl, os, sys
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, copy in zip((3, 4), copies):
    os.dup2(copy, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """The only tab of a browser."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = os.fdopen(read, "rb"), os.fdopen(write, "wb")
        self._number, self._session, self._rest = 0, None, b""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.problems: list[str] = []  # errors of scripts, and addresses asked for outside the file
        for domain in ("Page", "Runtime", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command of the protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._message()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def close(self) -> None:
        self._read.close()
        with contextlib.suppress(BrokenPipeError):
            self._write.close()

    def open(self, page: Path) -> None:
        self.ask("Page.navigate", url=page.as_uri())
        self.wait(lambda: self.value("document.readyState") == "complete")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def key(self, name: str) -> None:
        code = {"ArrowLeft": 37, "ArrowRight": 39}[name]
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def point(self, x: float, y: float) -> None:
        """Moves the mouse."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def wait(self, until: Callable[[], Any]) -> Any:
        """Asks again until the answer is true."""
        end = time.monotonic() + PATIENCE
        while not (found := until()):
            assert time.monotonic() < end, f"nothing came in {PATIENCE} s; {self.problems}"
            time.sleep(0.05)
        return found

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._read.read1(1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(str(event["params"]["exceptionDetails"]))
            case "Network.requestWillBeSent" if event["params"]["request"]["url"].startswith(("http", "ws", "//")):
                self.problems.append(event["params"]["request"]["url"])


@contextlib.contextmanager
def browser(profile: Path, width: int = 1200, height: int = 900) -> Iterator[Tab]:
    """A browser with an empty profile, ended at the end."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    started = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    theirs = theirs_in, theirs_out
    process = subprocess.Popen(
        [sys.executable, "-c", CONNECT, *map(str, theirs), *started], pass_fds=theirs, start_new_session=True, **quiet
    )
    for end in theirs:
        os.close(end)
    tab = None
    try:
        tab = Tab(ours_in, ours_out)
        yield tab
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the browser is a dozen processes
        process.wait()
        if tab is not None:
            tab.close()
