#!/usr/bin/env python3
"""Names that nobody vouches for, of files and inside caches: what a terminal would obey is shown instead, lines stay lines, and
JSON is UTF-8."""

import json
import os
import pathlib
import re
import sys
import unittest

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import helpers  # noqa: E402
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())
HOSTILE = b"a\x1b]0;b\x07\nc\xe9\x9b1m\xc2\x9b2m\xe2\x80\xae.h5"
SHOWN = "a\\x1b]0;b\\x07\\nc\\xe9\\x9b1m\\xc2\\x9b2m\\xe2\\x80\\xae.h5"
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


class Names(helpers.Case):
    def setUp(self):
        super().setUp()
        self.cache = os.path.join(os.fsencode(self.folder), HOSTILE)
        keras.write_cache(self.folder / "features.h5", *(keras.make_rows(n, 20, 10, n) for n in (100, 30)))
        os.rename(self.folder / "features.h5", self.cache)

    def say(self, program, *arguments):
        """What a program says: statuses, standard output and error, which must be UTF-8 without a control character."""
        done = machine.run([program, *arguments], cwd=self.folder, text=False, env=helpers.environment())
        texts = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        for text in texts:
            self.assertNotRegex(text, CONTROL)
        return done.returncode, *texts

    def test_file_names(self):
        status, told, _ = self.say(helpers.EXTRACT, b"--info=" + HOSTILE)
        self.assertEqual((status, told.splitlines()[0]), (0, f"cache            {SHOWN}"))
        status, told, _ = self.say(helpers.EXTRACT, b"--verify=" + HOSTILE)
        self.assertEqual((status, told), (0, f"{SHOWN}: complete; 100 training rows and 30 test rows are as they were written\n"))
        for program, *arguments in ((helpers.EXTRACT, b"--info=no" + HOSTILE), (helpers.EXTRACT, HOSTILE),
                                    (helpers.EXTRACT, b"x", HOSTILE), (TRAIN, b"no" + HOSTILE), (TRAIN, b"x", HOSTILE),
                                    (TRAIN, b"--epochs=1", b"--json=no/" + HOSTILE, HOSTILE),
                                    (TRAIN, b"--evaluate=" + HOSTILE, HOSTILE)):
            with self.subTest(arguments=arguments):
                status, told, error = self.say(program, *arguments)
                self.assertIn(status, (1, 2))
                self.assertIn("a\\x1b]0;b\\x07\\n", error)
                self.assertEqual((told, len(error.splitlines())), ("", 1))

    def test_saved_names(self):
        status, _, error = self.say(TRAIN, b"--epochs=1", b"-o", b"head" + HOSTILE, HOSTILE)
        self.assertEqual((status, error), (0, f"train: the head was saved as head{SHOWN}\n"))

    def test_attributes(self):
        """A cache that was sent by somebody."""
        os.rename(self.cache, self.folder / "sent.h5")
        with h5py.File(self.folder / "sent.h5", "r+") as file:
            for name in "created_by", "weights_source", "engine", "isa", "resize":
                file.attrs[name] = f"{name}\x1b[2J\x9b\n{name}"
            file["train"].attrs["source"] = "\x08\x08\x08a\u202eb"
        status, told, _ = self.say(helpers.EXTRACT, "--info=sent.h5")
        self.assertEqual(status, 0)
        for name in "created_by", "weights_source", "engine", "isa", "resize":
            self.assertRegex(told, rf"(?m)^{name} +{name}\\x1b\[2J\\xc2\\x9b\\n{name}$")
        self.assertIn("source         \\x08\\x08\\x08a\\xe2\\x80\\xaeb\n", told)
        status, _, _ = self.say(TRAIN, "--epochs=1", "--report=r.html", "sent.h5")
        self.assertEqual(status, 0)
        page = (self.folder / "r.html").read_text("utf-8")
        self.assertNotRegex(page, CONTROL)
        self.assertIn("resize\\x1b[2J\\xc2\\x9b\\nresize", page)

    def test_json(self):
        data = helpers.write_dataset(self.folder / "data", helpers.synthetic_digits(6, 1) + helpers.synthetic_digits(5, 2))
        for name, wanted in ((b"caf\xe9\x1b.h5", "caf\ufffd\x1b.h5"), ("naïve\n字.h5".encode(), "naïve\n字.h5")):
            done = machine.run([helpers.EXTRACT, "-q", "--size=32", "--weights=random:1", b"--output=" + name, "--json=-", data],
                               cwd=self.folder, text=False, env=helpers.environment())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout.decode("utf-8"))["cache"], wanted)
            self.assertTrue(os.path.exists(os.path.join(os.fsencode(self.folder), name)))


if __name__ == "__main__":
    unittest.main()
