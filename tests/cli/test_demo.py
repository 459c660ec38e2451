#!/usr/bin/env python3
"""Holds data/demo.sh to its word, with stand-ins for extract and train that record how they were called.

Each test has its own copy of data/'s scripts, so that results go into a temporary tree, and mirrors that cannot be reached.
"""

import gzip
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import machine  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("VGGCACHE_ASSETS", ROOT.parent / "shared" / "assets"))
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
IDX = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
WEIGHTS = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
DEADLINE = machine.PATIENCE

EXTRACT_REPORT = {"images": 70000, "resumed": 0, "seconds": 350.0, "images_per_second": 199.6, "engine": "gemm",
                  "isa": "avx2", "threads": 2, "peak_rss_bytes": 1, "cache": "x"}
TRAIN_REPORT = {"epochs": 200, "seconds": 8.0, "history": [], "train": {"loss": 0.40004, "accuracy": 0.86126, "rows": 60000},
                "validation": {"loss": 0.42, "accuracy": 0.852, "rows": 12000},
                "test": {"loss": 0.43216, "accuracy": 0.84567, "rows": 10000}}

STAND_IN = """#!/usr/bin/env bash
# Records its arguments, copies its report to where --json says, and touches its output; exits with the status in NAME.status.
here=$(dirname "$0")
name=$(basename "$0")
printf '%s\\n' "$@" >"$here/$name.arguments"
for argument in "$@"; do
  case $argument in
    --json=*) [ ! -e "$here/$name.report" ] || cp "$here/$name.report" "${argument#*=}" ;;
    --output=* | --history=*) : >"${argument#*=}" ;;
  esac
done
if [ -e "$here/$name.sleep" ]; then
  trap 'exit 130' INT
  : >"$here/$name.sleeps"
  for _ in $(seq 20000); do sleep 0.05; done
fi
[ ! -e "$here/$name.status" ] || { echo "$name: something is wrong" >&2; exit "$(cat "$here/$name.status")"; }
"""


def write_idx(folder, seed=0, compressed=False):
    """A tiny data set in the right format."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in IDX:
        header = struct.pack(">IIII", 2051, 3, 2, 2) if "images" in name else struct.pack(">II", 2049, 3)
        body = header + bytes([seed]) * (12 if "images" in name else 3)
        path = folder / (name + ".gz" if compressed else name)
        path.write_bytes(gzip.compress(body) if compressed else body)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vggcache-demo-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = self.folder / "tree"
        self.data = self.root / "data"
        self.data.mkdir(parents=True)
        for name in ("demo.sh", "get.sh", "files.txt", "SHA256SUMS"):
            shutil.copy2(ROOT / "data" / name, self.data / name)
        self.bin = self.root / "bin"
        self.bin.mkdir()
        for name, report in (("extract", EXTRACT_REPORT), ("train", TRAIN_REPORT)):
            (self.bin / name).write_text(STAND_IN)
            (self.bin / name).chmod(0o755)
            self.set_report(name, report)
        self.fashion = self.folder / "fashion"
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith("VGGCACHE_")
            and name not in ("MNIST", "VGG16_WEIGHTS", "FASHION_MNIST", "BIN")
        }
        self.environment.update(
            NO_PROXY="127.0.0.1",
            HOME=str(self.folder),
            VGGCACHE_MNIST_MIRRORS="http://127.0.0.1:1/",
            VGGCACHE_WEIGHTS_MIRRORS="http://127.0.0.1:1/",
            FASHION_MNIST=str(self.fashion),
        )

    def set_report(self, name, report):
        (self.bin / f"{name}.report").write_text(json.dumps(report))

    def demo(self, *arguments, cwd=None, **environment):
        return subprocess.run([str(self.data / "demo.sh"), *arguments], env={**self.environment, **environment},
                              cwd=cwd or self.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)

    def arguments(self, name):
        path = self.bin / f"{name}.arguments"
        return path.read_text().splitlines() if path.exists() else None

    def assert_succeeds(self, run):
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def assert_fails(self, run, *texts, status=1):
        """The last line on standard error is the demo's, with all of TEXTS in it; the programs did not run."""
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        last = (run.stderr.splitlines() or [""])[-1]
        self.assertTrue(last.startswith("demo.sh: "), run.stderr)
        for text in texts:
            self.assertIn(text, last)
        self.assertEqual(sum(line.startswith("demo.sh: ") for line in run.stderr.splitlines()), 1, run.stderr)

    def assert_said(self, run, *patterns):
        for pattern in patterns:
            self.assertRegex(run.stdout, "(?m)" + pattern)

    def fake_table(self):
        """Makes the files of tiny() and weights() the expected ones, so that get.sh finds them right."""
        rows = []
        for name in IDX:
            raw = (self.data / name).read_bytes()
            rows.append(f"mnist {name}.gz 1 {'0' * 32} {hashlib.sha256(raw).hexdigest()}")
        body = (self.data / WEIGHTS).read_bytes()
        rows.append(f"weights {WEIGHTS} {len(body)} {hashlib.md5(body).hexdigest()} -")
        (self.data / "files.txt").write_text("\n".join(rows) + "\n")


class Choice(Case):
    def test_stand_ins_without_a_network(self):
        write_idx(self.fashion)
        run = self.demo()
        self.assert_succeeds(run)
        self.assertRegex(run.stderr, r"\Aget\.sh: .*no connection.*\n\Z")
        self.assert_said(run, r"^Fetching what data/ lacks",
                         r"^Data .*because MNIST is not in data/ and could not be fetched$",
                         r"^Weights  a random backbone \(random:1\), .*because the ImageNet weights are not in data/ "
                         r"and could not be fetched$")
        cache, *rest = [word.removeprefix("--output=") for word in self.arguments("extract") if word.startswith("--output=")]
        self.assertEqual(rest, [])
        self.assertRegex(cache, r"^build/demo/own-[0-9a-f]{8}-random-1\.h5$")
        stem = cache.removesuffix(".h5")
        self.assertEqual(self.arguments("extract"),
                         [f"--output={cache}", "--weights=random:1", f"--json={stem}.extract.json", str(self.fashion)])
        self.assertEqual(self.arguments("train"), [f"--json={stem}.train.json", f"--history={stem}.history.csv",
                                                   f"--output={stem}.head.h5", cache])
        self.assertTrue((self.root / cache).exists())

    def test_what_was_named(self):
        mnist = self.folder / "my digits"
        write_idx(mnist, compressed=True)
        weights = self.folder / "my weights.h5"
        weights.write_bytes(b"weights")
        run = self.demo(MNIST=str(mnist), VGG16_WEIGHTS=str(weights))
        self.assert_succeeds(run)
        self.assertEqual(run.stderr, "")
        self.assertNotIn("Fetching", run.stdout)
        self.assertEqual(self.arguments("extract")[1::2], [f"--weights={weights}", str(mnist)])
        self.assert_said(run, r"^Data .*because MNIST= names it$", r"^Weights .*because VGG16_WEIGHTS= names it$",
                         r"^Expect .*no figure is known")
        digest = hashlib.md5(b"weights").hexdigest()[:8]
        self.assertRegex(self.arguments("extract")[0], rf"^--output=build/demo/own-[0-9a-f]{{8}}-own-{digest}\.h5$")

    def test_paths_are_relative_to_where_they_were_typed(self):
        write_idx(self.folder / "elsewhere" / "digits")
        (self.folder / "elsewhere" / "w.h5").write_bytes(b"weights")
        shutil.move(self.bin, self.folder / "elsewhere" / "programs")
        self.bin = self.folder / "elsewhere" / "programs"
        run = self.demo(cwd=self.folder / "elsewhere", MNIST="digits", VGG16_WEIGHTS="w.h5", BIN="programs")
        self.assert_succeeds(run)
        self.assertEqual(self.arguments("extract")[1], f"--weights={self.folder}/elsewhere/w.h5")
        self.assertEqual(self.arguments("extract")[3], f"{self.folder}/elsewhere/digits")
        self.assertTrue(list((self.root / "build/demo").glob("*.head.h5")))

    def test_data_folder(self):
        write_idx(self.data)
        (self.data / WEIGHTS).write_bytes(b"weights")
        self.fake_table()
        run = self.demo()
        self.assert_succeeds(run)
        self.assertEqual(run.stderr, "")
        self.assertEqual(self.arguments("extract")[1:], [f"--weights=data/{WEIGHTS}", self.arguments("extract")[2], "data"])
        self.assertRegex(self.arguments("extract")[0], r"-imagenet\.h5$")
        self.assert_said(run, r"^Data .*, from data/$", r"^Weights  VGG16's ImageNet weights, from data/$",
                         r"^  bin/extract --preprocess=caffe ")

    def test_fetches_only_what_is_missing(self):
        write_idx(self.data)
        (self.data / WEIGHTS).write_bytes(b"weights")
        self.fake_table()
        (self.data / WEIGHTS).unlink()
        run = self.demo()
        self.assert_succeeds(run)
        self.assertIn(WEIGHTS, run.stderr)
        self.assertNotIn("idx3", run.stdout.split("Data ")[0])
        self.assertEqual(self.arguments("extract")[1::2], ["--weights=random:1", "data"])

    def test_fetched(self):
        """What get.sh brings is used; the mirror is a folder here, through a get.sh that copies from it."""
        source = self.folder / "mirror"
        write_idx(source)
        (source / WEIGHTS).write_bytes(b"weights")
        for name in [*IDX, WEIGHTS]:
            shutil.copy2(source / name, self.data)
        self.fake_table()
        for name in [*IDX, WEIGHTS]:
            (self.data / name).unlink()
        real = self.data / "get.real.sh"
        (self.data / "get.sh").rename(real)
        (self.data / "get.sh").write_text(f"#!/bin/sh\nexec data/get.real.sh --from={source} \"$@\"\n")
        (self.data / "get.sh").chmod(0o755)
        run = self.demo()
        self.assert_succeeds(run)
        self.assertEqual(self.arguments("extract")[1::2], [f"--weights=data/{WEIGHTS}", "data"])

    def test_random_backbone_by_name(self):
        write_idx(self.folder / "digits")
        for value, tag in (("random:7", "random-7"), ("random", "random")):
            with self.subTest(value):
                run = self.demo(cwd=self.folder, MNIST="digits", VGG16_WEIGHTS=value)
                self.assert_succeeds(run)
                self.assertEqual(self.arguments("extract")[1], f"--weights={value}")
                self.assertRegex(self.arguments("extract")[0], rf"-{tag}\.h5$")

    def test_another_data_set_is_another_cache(self):
        caches = set()
        for seed in (1, 2):
            write_idx(self.folder / "digits", seed)
            self.assert_succeeds(self.demo(MNIST=str(self.folder / "digits"), VGG16_WEIGHTS="random:1"))
            caches.add(self.arguments("extract")[0])
        write_idx(self.folder / "packed", 2, compressed=True)
        self.assert_succeeds(self.demo(MNIST=str(self.folder / "packed"), VGG16_WEIGHTS="random:1"))
        caches.add(self.arguments("extract")[0])
        self.assertEqual(len(caches), 2, caches)

    def test_real_digits(self):
        if not (ASSETS / "mnist").is_dir():
            self.skipTest(f"no real digits in {ASSETS / 'mnist'}; set VGGCACHE_ASSETS")
        run = self.demo(MNIST=str(ASSETS / "mnist"), VGG16_WEIGHTS="random:1")
        self.assert_succeeds(run)
        self.assertEqual(self.arguments("extract")[0], "--output=build/demo/mnist-random-1.h5")
        self.assert_said(run, r"^Data     MNIST, handwritten digits ", r"^Expect   92 to 97 % of the test images")

    def test_fashion(self):
        if not FASHION.is_dir():
            self.skipTest(f"no Fashion-MNIST in {FASHION}; install dataset-fashion-mnist")
        del self.environment["FASHION_MNIST"]
        run = self.demo()
        self.assert_succeeds(run)
        self.assertEqual(self.arguments("extract")[::3], ["--output=build/demo/fashion-random-1.h5", str(FASHION)])
        self.assert_said(run, r"^Data     Fashion-MNIST", r"^Expect   about 85 % of the test images")


class Refusal(Case):
    def test_no_such_folder(self):
        run = self.demo(MNIST=str(self.folder / "nowhere"))
        self.assert_fails(run, "MNIST=" + str(self.folder / "nowhere"), "no such folder")
        self.assertEqual((len(run.stderr.splitlines()), self.arguments("extract")), (1, None))

    def test_folder_lacks_a_file(self):
        for name in IDX:
            with self.subTest(name):
                write_idx(self.folder / "digits")
                (self.folder / "digits" / name).unlink()
                run = self.demo(MNIST=str(self.folder / "digits"))
                self.assert_fails(run, str(self.folder / "digits"), name + " is missing")
                self.assertEqual((len(run.stderr.splitlines()), self.arguments("extract")), (1, None))

    def test_no_such_weights(self):
        write_idx(self.folder / "digits")
        run = self.demo(MNIST=str(self.folder / "digits"), VGG16_WEIGHTS="nowhere.h5")
        self.assert_fails(run, "VGG16_WEIGHTS=nowhere.h5", "no such file")
        self.assertEqual((len(run.stderr.splitlines()), self.arguments("extract")), (1, None))

    def test_no_data_at_all(self):
        self.assert_fails(self.demo(), "no data set", "dataset-fashion-mnist", "MNIST=")
        self.assertIsNone(self.arguments("extract"))

    def test_not_built(self):
        (self.bin / "train").unlink()
        self.assert_fails(self.demo(), "bin/train is missing", "make")
        self.assertIsNone(self.arguments("extract"))

    def test_no_jq(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for name in "bash dirname realpath".split():
            (tools / name).symlink_to(shutil.which(name))
        self.assert_fails(self.demo(PATH=str(tools)), "jq is missing")

    def test_command_line(self):
        self.assert_fails(self.demo("--fast"), "--fast", "--help", status=2)
        run = self.demo("--help")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        for text in ("Usage:", "MNIST", "VGG16_WEIGHTS", "FASHION_MNIST", "BIN", "Exit status"):
            self.assertIn(text, run.stdout)


class Failure(Case):
    def setUp(self):
        super().setUp()
        write_idx(self.folder / "digits")
        self.environment.update(MNIST=str(self.folder / "digits"), VGG16_WEIGHTS="random:1")

    def test_status_of_the_programs_is_passed_on(self):
        for name, status in (("extract", 1), ("extract", 130), ("train", 1), ("train", 2)):
            with self.subTest((name, status)):
                (self.bin / f"{name}.status").write_text(str(status))
                (self.bin / "train.arguments").unlink(missing_ok=True)
                run = self.demo()
                self.assertEqual(run.returncode, status)
                self.assertEqual(run.stderr, f"{name}: something is wrong\n")
                self.assertNotIn("Summary", run.stdout)
                self.assertEqual(self.arguments("train") is None, name == "extract")
                (self.bin / f"{name}.status").unlink()

    def test_interrupted(self):
        (self.bin / "extract.sleep").touch()
        process = subprocess.Popen([str(self.data / "demo.sh")], env=self.environment, cwd=self.root, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        machine.wait_for((self.bin / "extract.sleeps").exists, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C does
        out, err = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 130, out + err)
        self.assertNotIn("Summary", out)
        self.assertIsNone(self.arguments("train"))

    def test_interrupted_while_fetching(self):
        del self.environment["VGG16_WEIGHTS"]
        (self.data / "get.sh").write_text("#!/bin/sh\nexit 130\n")
        run = self.demo()
        self.assertEqual(run.returncode, 130, run.stdout + run.stderr)
        self.assertIsNone(self.arguments("extract"))

    def test_report_that_is_missing_or_wrong(self):
        lacking = {name: value for name, value in TRAIN_REPORT.items() if name != "test"}
        for name, report, field in (("train", lacking, ".test.loss"), ("extract", {}, ".images"), ("train", [], ".epochs"),
                                    ("extract", {**EXTRACT_REPORT, "isa": None}, ".isa")):
            with self.subTest((name, field)):
                self.set_report("extract", EXTRACT_REPORT)
                self.set_report("train", TRAIN_REPORT)
                self.set_report(name, report)
                run = self.demo()
                self.assert_fails(run, f".{name}.json", field)
                self.assertNotIn("Summary", run.stdout)

    def test_report_of_an_earlier_run_is_not_used(self):
        self.assert_succeeds(self.demo())
        (self.bin / "train.report").unlink()
        self.assert_fails(self.demo(), ".train.json")


class Summary(Case):
    def setUp(self):
        super().setUp()
        write_idx(self.folder / "digits")
        self.environment.update(MNIST=str(self.folder / "digits"), VGG16_WEIGHTS="random:1")

    def test_numbers(self):
        run = self.demo()
        self.assert_succeeds(run)
        self.assertEqual(run.stderr, "")
        self.assert_said(run, r"^  extract +200 images per second \(images: 70000; engine gemm, avx2, threads: 2\)$",
                         r"^  train +25\.0 epochs per second \(200 epochs in 8\.0 s\)$",
                         r"^  training set +loss 0\.4000, accuracy 86\.13 % \(60000 images\)$",
                         r"^  test set +loss 0\.4322, accuracy 84\.57 % \(10000 images\)$")

    def test_resumed(self):
        self.set_report("extract", {**EXTRACT_REPORT, "images": 20000, "resumed": 50000})
        run = self.demo()
        self.assert_succeeds(run)
        self.assert_said(run, r"^  extract +200 images per second \(images: 20000, after 50000 that were there; engine ")

    def test_files_that_it_names_exist(self):
        run = self.demo()
        self.assert_succeeds(run)
        named = {}
        for line in run.stdout.split("Summary\n")[1].splitlines():
            words = line.split(None, 1)
            if words and words[0] in ("cache", "head", "history", "reports"):
                named[words[0]] = words[1].split(", ")
        self.assertEqual(sorted(named), ["cache", "head", "history", "reports"])
        for paths in named.values():
            for path in paths:
                self.assertTrue((self.root / path).is_file(), path)

    def test_three_commands_to_try(self):
        run = self.demo()
        lines = run.stdout.split("Try next, from ")[1].splitlines()
        self.assertEqual(lines[0], str(self.root))
        self.assertEqual(len(lines), 4, lines)
        for line in lines[1:]:
            self.assertTrue((self.root / shlex.split(line)[0]).exists(), line)
        self.assertEqual(lines[3], "  data/get.sh && make demo")

    def test_cache_was_there(self):
        for rate in (None, 0, "absent"):
            with self.subTest(rate):
                report = {**EXTRACT_REPORT, "images": 0, "seconds": 0, "images_per_second": rate}
                if rate == "absent":
                    del report["images_per_second"]
                self.set_report("extract", report)
                run = self.demo()
                self.assert_succeeds(run)
                self.assert_said(run, r"^  extract +the feature cache was already there, complete$")
                self.assertNotIn("images per second", run.stdout)

    def test_no_time_at_all(self):
        self.set_report("train", {**TRAIN_REPORT, "seconds": 0})
        run = self.demo()
        self.assert_succeeds(run)
        self.assert_said(run, r"^  train +200 epochs in 0\.0 s$")


if __name__ == "__main__":
    program = unittest.main(exit=False)
    skipped = len(program.result.skipped)
    if skipped:
        print(f"SKIPPED {skipped} of {program.result.testsRun}:", file=sys.stderr)
        for test, reason in program.result.skipped:
            print(f"  {test.id()}: {reason}", file=sys.stderr)
    if program.result.testsRun == 0:
        print("no test ran", file=sys.stderr)
        sys.exit(1)
    sys.exit(not program.result.wasSuccessful())
