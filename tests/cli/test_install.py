#!/usr/bin/env python3
"""make install and uninstall below a DESTDIR: the programs run, the manual pages name every option, nothing stays behind."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest


def make(target, destdir):
    # Without the variables of the make that runs these tests: install is about the release build.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CONFIG", "CC", "CFLAGS")}
    subprocess.run(["make", "-s", target, "PREFIX=/usr", f"DESTDIR={destdir}"], check=True, env=environment, capture_output=True)


class Install(unittest.TestCase):
    def setUp(self):
        self.destdir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.destdir)

    def files(self):
        return sorted(os.path.join(d, f)[len(self.destdir):] for d, _, names in os.walk(self.destdir) for f in names)

    def test_install_and_uninstall(self):
        make("install", self.destdir)
        self.assertEqual(self.files(), ["/usr/bin/vggcache-extract", "/usr/bin/vggcache-train",
                                        "/usr/share/man/man1/vggcache-extract.1", "/usr/share/man/man1/vggcache-train.1"])
        for program in "extract", "train":
            installed = f"{self.destdir}/usr/bin/vggcache-{program}"
            text = subprocess.run([installed, "--help"], capture_output=True, text=True, check=True).stdout
            page = pathlib.Path(f"{self.destdir}/usr/share/man/man1/vggcache-{program}.1").read_text("utf-8").replace("\\-", "-")
            options = set(re.findall(r"--[a-z][a-z0-9-]*", text))
            self.assertGreater(len(options), 10)
            self.assertEqual({option for option in options if option not in page}, set())
            self.assertIn(f"vggcache-{program}", page)
        make("uninstall", self.destdir)
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    unittest.main()
