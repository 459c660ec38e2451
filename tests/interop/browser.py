"""A headless Chromium, driven over WebDriver's HTTP protocol with Python's own library: pages are opened from files, asked
with JavaScript, looked at in any size and colour scheme, and what their console says is kept."""

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile

import machine

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"]


def is_there():
    return shutil.which("chromedriver") is not None and shutil.which("chromium") is not None


class Browser:
    """One browser with one window; close() ends it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                       start_new_session=True)
        self.session = None
        try:
            for line in self.driver.stdout:
                started = re.search(r"started successfully on port (\d+)", line)
                if started:
                    self.port = int(started.group(1))
                    break
            else:
                raise RuntimeError("chromedriver did not start")
            self.session = self.begin(tries=5)["sessionId"]
            self.here("POST", "/timeouts", {"script": 1000 * machine.PATIENCE, "pageLoad": 1000 * machine.PATIENCE})
        except BaseException:
            self.close()
            raise

    def begin(self, tries):
        """Starts Chromium. chromedriver gives it a minute, which is too short for some machines the first time."""
        options = {"binary": shutil.which("chromium"), "args": FLAGS + [f"--user-data-dir={self.folder}/profile{tries}"]}
        try:
            return self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        except RuntimeError as error:
            if tries == 1 or "session not created" not in str(error):
                raise
            return self.begin(tries - 1)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=machine.PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    def here(self, method, path, body=None):
        return self.ask(method, f"/session/{self.session}{path}", body)

    def devtools(self, command, **parameters):
        return self.here("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path, width=1280, height=900, dark=False, script=True):
        """Opens a file in a window of this size."""
        self.devtools("Emulation.setScriptExecutionDisabled", value=not script)
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.here("POST", "/url", {"url": "file://" + os.path.abspath(path)})

    def run(self, script, *arguments):
        """The value that a function body returns."""
        return self.here("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def log(self):
        """What the console has said since the last time."""
        return self.here("POST", "/se/log", {"type": "browser"})

    def screenshot(self, path):
        """The whole page, however long, as PNG."""
        picture = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def close(self):
        try:
            if self.session is not None:
                self.here("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.driver.stdout.close()
            shutil.rmtree(self.folder, ignore_errors=True)
