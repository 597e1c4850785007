"""Chromium without a window, over its DevTools pipe: no Python package, no port.

The browser speaks JSON messages that end in a zero byte, on file descriptors 3 and 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FREE = 20  # file descriptors from here on are not 3 and 4


def find_browser():
    """Return the path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab of a browser that looks at pages."""

    def __init__(self, folder, timeout=40.0):
        self.deadline = time.monotonic() + timeout
        pipes = [os.pipe(), os.pipe()]
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE) for pipe in pipes for end in pipe]
        for pipe in pipes:
            for end in pipe:
                os.close(end)
        its_input, self._input, self._output, its_output = ends
        command = [
            find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage",
            "--hide-scrollbars", f"--user-data-dir={folder}", "--remote-debugging-pipe",
            "about:blank",
        ]  # fmt: skip
        silent = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, silent, number) for number in range(3)]
        actions += [(os.POSIX_SPAWN_DUP2, its_input, 3), (os.POSIX_SPAWN_DUP2, its_output, 4)]
        self._pid = os.posix_spawn(
            command[0], command, os.environ, file_actions=actions, setsid=True
        )
        for end in (its_input, its_output, silent):
            os.close(end)
        self._buffer, self._count, self._session, self.events = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self._input)
        os.close(self._output)
        # A group of its own: the processes it started go with it.
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def open(self, url, width, height=900):
        """Open a page in a window of some width; return what it complained of and requested."""
        self.events = []
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.ask("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._read()
        self.evaluate("Promise.all([...document.images].map(image => image.decode()))")
        complaints = [
            event
            for event in self.events
            if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
            or event["method"] == "Runtime.consoleAPICalled"
        ]
        requests = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return complaints, requests

    def evaluate(self, expression):
        """Return the value of an expression in the page."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def photograph(self, path):
        """Write the whole page as a PNG."""
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def ask(self, method, **parameters):
        """Send a message and return the answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._input, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self):
        """Return the next message; keep it when it is an event."""
        while b"\0" not in self._buffer:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self._output], [], [], left)[0]:
                raise TimeoutError("the browser did not answer in time")
            part = os.read(self._output, 1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message
