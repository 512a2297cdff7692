"""A headless Chromium without a network, driven through its DevTools protocol.

The protocol is described at https://chromedevtools.github.io/devtools-protocol/. One socket serves the browser and all
of its tabs.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import websocket

from bookmaker.errors import BookError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
VARIABLE = "FAIGLIB_BROWSER"
START_S, ANSWER_S = 60, 300
DESKTOP = 1280
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name leads anywhere: the network is off
    "--remote-debugging-port=0",
)


def find() -> str | None:
    """The browser to use: the one that FAIGLIB_BROWSER names, else the first of :data:`PROGRAMS`, else None.

    Raises:
        BookError: If FAIGLIB_BROWSER names no program.
    """
    if chosen := os.environ.get(VARIABLE):
        program = shutil.which(chosen)
        if program is None:
            raise BookError(f"{VARIABLE} names {chosen}, which is not a program")
        return program
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def _end(process: subprocess.Popen[bytes], home: tempfile.TemporaryDirectory[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    home.cleanup()


class Browser:
    """A running browser; use it in a ``with`` statement.

    Args:
        program: What :func:`find` returned.

    Raises:
        BookError: If it does not start or does not answer.
    """

    def __init__(self, program: str) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="book-browser-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [program, *SWITCHES, f"--user-data-dir={self._home.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        #: Ends the program with this object, or with Python, whoever forgot the ``with``: it would go on for ever.
        self._end = weakref.finalize(self, _end, self._process, self._home)
        self._number = 0
        self._listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        try:
            self._socket = websocket.create_connection(
                self._address(program), timeout=ANSWER_S, suppress_origin=True, max_size=None
            )
        except BaseException:
            self._end()
            raise

    def _address(self, program: str) -> str:
        """Where the browser listens, as soon as it has written it down."""
        written = Path(self._home.name) / "DevToolsActivePort"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = written.read_text(encoding="utf-8").split() if written.is_file() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.05)
        raise BookError(f"the browser {program} did not start within {START_S} s")

    def __enter__(self) -> Self:
        """The browser."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the browser."""
        self._socket.close()
        self._end()

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result.

        Raises:
            BookError: If the browser answers with an error or not at all.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            self._socket.send(json.dumps(message))
            while True:
                answer = json.loads(self._socket.recv())
                if answer.get("id") == message["id"]:
                    break
                self._hear(answer)
        except (OSError, ValueError, websocket.WebSocketException) as error:
            raise BookError(f"the browser did not answer {method}: {error}") from error
        if "error" in answer:
            raise BookError(f"the browser refused {method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self, event: dict[str, Any]) -> None:
        listener = self._listeners.get(event.get("sessionId", ""))
        if listener and "method" in event:
            listener(event["method"], event["params"])

    def open(self, address: str, *, width: int = DESKTOP, dark: bool = False) -> Tab:
        """A tab with a page, which is loaded with all it refers to when this returns.

        Args:
            address: Of the page, such as ``file:///…``.
            width: Of the window in CSS pixels.
            dark: Whether the user prefers dark pages.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)
        self._listeners[session] = tab.hear
        for domain in ("Page", "Network", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.resize(width)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.call("Emulation.setEmulatedMedia", features=[scheme])
        failed = tab.call("Page.navigate", url=address).get("errorText")
        if failed:
            raise BookError(f"the browser could not open {address}: {failed}")
        tab.evaluate(READY)
        return tab

    def forget(self, session: str) -> None:
        """Listens no more to a tab."""
        self._listeners.pop(session, None)


#: Waits for the page, its formulas and its pictures, also for those that would be loaded on scrolling.
READY = """(async () => {
  if (document.readyState !== "complete") await new Promise(done => addEventListener("load", done));
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  for (const picture of document.images) picture.loading = "eager";
  await Promise.all([...document.images].map(picture => picture.decode().catch(() => {})));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)));
})()"""


class Tab:
    """A page in a browser.

    Attributes:
        requests: Addresses that the page asked for.
        failures: Addresses that could not be loaded, with the reason.
        errors: What the page's scripts threw or wrote to the console as an error.
    """

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser, self._target, self._session = browser, target, session
        self._asked: dict[str, str] = {}
        self.requests: list[str] = []
        self.failures: list[str] = []
        self.errors: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol for this tab."""
        return self._browser.call(method, self._session, **parameters)

    def hear(self, method: str, event: dict[str, Any]) -> None:
        """Notes what the browser says of this tab."""
        match method:
            case "Network.requestWillBeSent":
                self._asked[event["requestId"]] = event["request"]["url"]
                self.requests.append(event["request"]["url"])
            case "Network.loadingFailed":
                self.failures.append(f"{self._asked.get(event['requestId'], 'a file')} ({event['errorText']})")
            case "Runtime.exceptionThrown":
                details = event["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]).splitlines()[0])
            case "Runtime.consoleAPICalled" if event["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in event["args"]))
            case "Log.entryAdded" if event["entry"]["level"] == "error" and event["entry"]["source"] != "network":
                self.errors.append(event["entry"]["text"])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise.

        Raises:
            BookError: If it throws.
        """
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BookError(f"a script failed in the browser: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Makes the window so many CSS pixels wide and high; below 600 the browser takes itself for a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def screenshot(self) -> bytes:
        """The whole page as PNG, from a window as high as the page."""
        width, height = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        self.resize(width, height)
        self.evaluate("new Promise(done => setTimeout(done, 500))")
        return base64.b64decode(
            self.call(
                "Page.captureScreenshot",
            )["data"]
        )

    def pdf(self) -> bytes:
        """The page as PDF on A4, with page numbers and an outline of its headings."""
        number = '<div style="font-size: 8px; width: 100%; text-align: center"><span class="pageNumber"></span></div>'
        printed = self.call(
            "Page.printToPDF",
            paperWidth=8.27,
            paperHeight=11.69,
            printBackground=True,
            displayHeaderFooter=True,
            headerTemplate="<span></span>",
            footerTemplate=number,
            generateTaggedPDF=True,
            generateDocumentOutline=True,
        )
        return base64.b64decode(printed["data"])

    def close(self) -> None:
        """Closes the tab."""
        self._browser.forget(self._session)
        self._browser.call("Target.closeTarget", targetId=self._target)
