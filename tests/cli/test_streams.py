#!/usr/bin/env python3
"""Standard input, output and error: closed at the start, named as a file in any way, and pipes that nobody reads."""

import csv
import json
import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import helpers  # noqa: E402
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())
EXTRACT = helpers.EXTRACT
BROKEN = 128 + signal.SIGPIPE


class Folder(helpers.Case):
    """A folder with a cache features.h5, a head good.h5 for it, and a data set."""

    @classmethod
    def setUpClass(cls):
        cls.cache = helpers.SCRATCH / "features.h5"
        keras.write_cache(cls.cache, *(keras.make_rows(n, 40, 10, n) for n in (9000, 70)))
        cls.head = helpers.SCRATCH / "good.h5"
        machine.run([TRAIN, "-q", "--epochs=1", "-o", cls.head, cls.cache], check=True)
        cls.data = helpers.write_dataset(helpers.SCRATCH / "data", helpers.synthetic_digits(6, 1) + helpers.synthetic_digits(5, 2))
        cls.bytes = cls.cache.read_bytes(), cls.head.read_bytes()

    def setUp(self):
        super().setUp()
        for name, content in zip(("features.h5", "good.h5"), self.bytes):
            (self.folder / name).write_bytes(content)

    def tearDown(self):
        """Whatever happened, what was read is as it was."""
        self.assertEqual(tuple((self.folder / name).read_bytes() for name in ("features.h5", "good.h5")), self.bytes)
        self.assertEqual([name for name in os.listdir(self.folder) if "partial" in name], [])

    def shell(self, line, **variables):
        """Runs a line of bash, in which $T and $E are the programs and $D is the data set."""
        done = machine.run(["bash", "-o", "pipefail", "-c", line], cwd=self.folder,
                           env={**helpers.environment(), "T": TRAIN, "E": EXTRACT, "D": str(self.data), "COLUMNS": "80", **variables})
        self.assertNotIn("line 1:", done.stderr)
        return done

    def read(self, name):
        return (self.folder / name).read_text("utf-8")


class Names(Folder):
    OUTPUTS = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out", "./out", "link", "hard"]

    def results(self, options, program="$T --epochs=2", check=None):
        """Standard output goes to the file `out`, and a result to all names that it has there; and as - does."""
        for name in ["-"] + self.OUTPUTS:
            with self.subTest(options=options, name=name):
                self.shell("rm -f out link hard; touch out; ln -s out link; ln out hard")
                done = self.shell(f"{program} {options.replace('NAME', name)} features.h5 >out")
                self.assertEqual(done.returncode, 0, done.stderr)
                check(self.read("out"))
                self.assertTrue((self.folder / "out").samefile(self.folder / "hard"))
                self.assertTrue((self.folder / "link").is_symlink())
                yield done.stderr

    def test_json(self):
        for error in self.results("--json=NAME", check=lambda text: self.assertEqual(json.loads(text)["epochs"], 2)):
            self.assertIn("confusion on the test rows", error)
        for error in self.results("--json=NAME --evaluate=good.h5", program="$T",
                                  check=lambda text: self.assertEqual(list(json.loads(text)), ["train", "test"])):
            self.assertIn("confusion on the test rows", error)

    def test_history(self):
        for error in self.results("--history=NAME", check=lambda text: self.assertEqual(
                [line["epoch"] for line in csv.DictReader(text.splitlines())], ["1", "2"])):
            self.assertIn("confusion on the test rows", error)

    def test_report(self):
        def check(text):
            self.assertRegex(text, r"(?s)\A<!DOCTYPE html>.*</html>\s*\Z")
        for error in self.results("--report=NAME", check=check):
            self.assertIn("confusion on the test rows", error)

    def test_predictions(self):
        def check(text):
            self.assertEqual(len(list(csv.DictReader(text.splitlines()))), 9070)
        for error in self.results("--predict=good.h5 --output=NAME", program="$T", check=check):
            self.assertEqual(error, "")

    def test_extract(self):
        for name in ["-"] + self.OUTPUTS:
            with self.subTest(name=name):
                self.shell("rm -f a.h5 out link hard; touch out; ln -s out link; ln out hard")
                done = self.shell(f"$E --size=32 --weights=random:1 -o a.h5 --json={name} $D >out")
                self.assertEqual(json.loads(self.read("out"))["images"], 11, done.stderr)
                self.assertIn("a.h5: complete; 11 images", done.stderr)

    def test_pipes_and_devices(self):
        self.assertEqual(json.loads(self.shell("$T --epochs=2 --json=/dev/stdout features.h5").stdout)["epochs"], 2)
        done = self.shell("$T --epochs=2 --json=/dev/null features.h5 >/dev/null")  # nobody's, though the same device
        self.assertEqual((done.returncode, done.stderr), (0, "train: the head was saved as head.h5\n"))

    def test_standard_error(self):
        """Results go between the messages, and nothing is overwritten."""
        for name in "/dev/stderr", "/proc/self/fd/2", "err":
            done = self.shell(f"echo first >err; $T -v --epochs=2 --json={name} features.h5 2>>err")
            self.assertIn("confusion", done.stdout)
            text = self.read("err")
            self.assertTrue(text.startswith("first\ntrain: features.h5: read and verified"), text)
            self.assertTrue(text.endswith("}\ntrain: the head was saved as head.h5\n"), text)
            self.assertEqual(json.loads(text[text.index("{"):text.rindex("}") + 1])["epochs"], 2)

    def test_refusals(self):
        for words, line in (("two results cannot go to one file", "$T --json=- --history=/dev/fd/1 features.h5 >out"),
                            ("two results cannot go to one file", "$T --json=out --report=- features.h5 >out"),
                            ("a head is an HDF5 file", "$T -o /proc/self/fd/1 features.h5 >out"),
                            ("a head is an HDF5 file", "$T -o out features.h5 >out"),
                            ("--checkpoint=out", "$T --checkpoint=out features.h5 >out"),
                            ("a network cannot go to standard output", "$T --export=keras --head=good.h5 -o x.h5 >x.h5"),
                            ("a cache is an HDF5 file", "$E -o /proc/self/fd/1 $D >out"), ("a cache is an HDF5 file", "$E -o - $D"),
                            ("a cache is an HDF5 file", "$E -o out $D >out")):
            with self.subTest(line=line):
                done = self.shell(line)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(words, done.stderr)


class Closed(Folder):
    CLOSED = ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]

    def test_files_hold_results_alone(self):
        for closed in self.CLOSED:
            with self.subTest(closed=closed):
                done = self.shell(f"$T -v --epochs=2 --json=j --history=h --report=r features.h5 {closed}")
                self.assertEqual(done.returncode, 1 if ">&-" in closed.split() else 0)
                self.assertEqual(json.loads(self.read("j"))["epochs"], 2)
                self.assertTrue(self.read("h").startswith("epoch,") and self.read("r").startswith("<!DOCTYPE html>"))
                self.assertEqual(len(self.read("h").splitlines()), 3)
                self.assertEqual(self.shell("$T -q --evaluate=head.h5 features.h5").returncode, 0)

    def test_extract(self):
        for i, closed in enumerate(self.CLOSED):
            with self.subTest(closed=closed):
                self.shell(f"$E -v --size=32 --weights=random:1 -o {i}.h5 --json={i}.json $D {closed}")
                self.assertEqual(json.loads(self.read(f"{i}.json"))["images"], 11)
                self.assertEqual(self.shell(f"$E --verify={i}.h5").returncode, 0)
                self.assertEqual((self.folder / f"{i}.h5").read_bytes(), (self.folder / "0.h5").read_bytes())

    def test_results_for_a_closed_output(self):
        for line in ("$T --epochs=1 features.h5", "$T --epochs=1 --json=- features.h5", "$T --epochs=1 --json=/dev/stdout features.h5",
                     "$T --predict=good.h5 features.h5", "$T --predict=good.h5 -o /dev/fd/1 features.h5", "$E --info=features.h5",
                     "$E --verify=features.h5", "$E --summary", "$E --help", "$T --version", "$T --usage"):
            with self.subTest(line=line):
                done = self.shell(line + " >&-")
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr.splitlines()[-1], "^(train|extract): standard output: cannot write: Bad file descriptor$")

    def test_nothing_for_a_closed_output(self):
        self.assertEqual(self.shell("$E -q --size=32 --weights=random:1 -o q.h5 $D >&-").returncode, 0)
        self.assertEqual(self.shell("$T --predict=good.h5 -o p.csv features.h5 <&- >&- 2>&-").returncode, 0)
        self.assertEqual(len(self.read("p.csv").splitlines()), 9071)

    def test_full(self):
        for line in "$E --help", "$T --version", "$E --info=features.h5", "$T --evaluate=good.h5 features.h5":
            done = self.shell(line + " >/dev/full")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\A(train|extract): standard output: cannot write: No space left on device\n\Z")


class Pipes(Folder):
    """The pipe has no reader from the start, so that nothing depends on who is faster."""

    def unread(self, line, ignore=False):
        read, write = os.pipe()
        os.close(read)
        try:
            return machine.run(["bash", "-c", "trap '' PIPE; " * ignore + line], cwd=self.folder, stdout=write,
                               env={**helpers.environment(), "T": TRAIN, "E": EXTRACT, "D": str(self.data)})
        finally:
            os.close(write)

    def quiet(self, line, error=""):
        with self.subTest(line=line):
            done = self.unread(line)
            self.assertEqual((done.returncode, done.stderr), (BROKEN, error))

    def test_filters_end_quietly(self):
        for line in ("$T --predict=good.h5 features.h5; exit $?", "$T --evaluate=good.h5 features.h5; exit $?", "$T --help; exit $?",
                     "$T --version; exit $?", "$E --help; exit $?", "$E --info=features.h5; exit $?", "$E --verify=features.h5; exit $?",
                     "$E --summary; exit $?"):
            self.quiet(line)

    def test_head(self):
        done = self.shell("$T --predict=good.h5 features.h5 | head -n 3")
        self.assertEqual((done.returncode, done.stderr, len(done.stdout.splitlines())), (BROKEN, "", 3))

    def test_ignored(self):
        """Whoever ignores SIGPIPE, as nohup's children may, is told."""
        for line in "$T --predict=good.h5 features.h5", "$E --info=features.h5", "$T --help":
            done = self.unread(line, ignore=True)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\A(train|extract): standard output: cannot write: Broken pipe\n\Z")

    def test_a_fit_is_not_lost(self):
        """Its table has no reader; the head, and all that goes to files, is there."""
        saved = "train: the head was saved as head.h5\n"
        self.quiet("$T --epochs=3 --json=j --report=r features.h5; exit $?", saved)
        self.assertEqual(json.loads(self.read("j"))["epochs"], 3)
        self.assertTrue(self.read("r").rstrip().endswith("</html>"))
        self.assertEqual(self.shell("$T -q --evaluate=head.h5 features.h5").returncode, 0)
        for option in "--json", "--history":
            self.shell("rm -f head.h5 r")
            done = self.unread(f"$T --epochs=3 {option}=- --report=r features.h5; exit $?")
            self.assertEqual(done.returncode, BROKEN)
            self.assertTrue(done.stderr.endswith(saved))
            self.assertNotIn("cannot", done.stderr)
            self.assertTrue(self.read("r").rstrip().endswith("</html>"))
            self.assertEqual(self.shell("$T -q --evaluate=head.h5 features.h5").returncode, 0)

    def test_a_failure_is_told(self):
        done = self.unread("$T --epochs=1 --json=- --report=/dev/full features.h5; exit $?")
        self.assertEqual(done.returncode, 1)
        self.assertIn("train: /dev/full: cannot write: No space left on device", done.stderr)

    def test_a_cache_is_not_lost(self):
        self.quiet("$E --size=32 --weights=random:1 -o c.h5 $D; exit $?")
        self.assertEqual(self.shell("$E --verify=c.h5").returncode, 0)
        done = self.unread("$E -f --size=32 --weights=random:1 -o c.h5 --json=- $D; exit $?")
        self.assertEqual(done.returncode, BROKEN)
        self.assertRegex(done.stderr, r"\Ac\.h5: complete; 11 images[^\n]*\n\Z")


if __name__ == "__main__":
    unittest.main()
