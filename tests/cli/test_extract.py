#!/usr/bin/env python3
"""The command line of `extract`: every exit status and message that the manual promises, what is left on the disk after
each of them, the JSON, and the polite stop."""

import contextlib
import ctypes
import gzip
import json
import os
import pathlib
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import unittest

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import helpers  # noqa: E402
import machine  # noqa: E402
from helpers import EXTRACT, NAMES, SCRATCH  # noqa: E402

WEIGHTS = f"--weights={helpers.write_notop(SCRATCH / 'weights.h5', helpers.random_tensors(1))}"  # are read sooner than made
DATA = helpers.synthetic_digits(20, 1) + helpers.synthetic_digits(10, 2)
DATASET = helpers.write_dataset(SCRATCH / "data", DATA)
# Long enough that a signal finds it at work: blocks of 64 images.
LONG_DATA = helpers.synthetic_digits(200, 3) + helpers.synthetic_digits(70, 4)
LONG = helpers.write_dataset(SCRATCH / "long", LONG_DATA)


class Case(helpers.Case):
    def setUp(self):
        super().setUp()
        self.cache = self.folder / "cache.h5"

    def arguments(self, *more, dataset=DATASET, cache=None):
        return [f"--output={cache or self.cache}", WEIGHTS, "--size=32", *more, dataset]

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def assert_fails(self, status, *words, arguments, left=(), **options):
        """One line, this status, nothing on standard output, and nothing new in the folder."""
        result = helpers.run(*arguments, **options)
        self.assert_one_line(result, status, *words)
        self.assertEqual(result.stdout or "", "")
        self.assertEqual(self.names(), sorted(left))
        return result


class Words(Case):
    """What is printed and nothing more."""

    def test_help(self):
        for option in "--help", "-?":
            result = self.succeed(option)
            self.assertEqual(result.stderr, "")
            self.assertTrue(result.stdout.startswith("Usage: extract [OPTION...] DATASET\n"))
            for option in ("--output=FILE", "--weights=FILE", "--size=N", "--preprocess=MODE", "--engine=NAME", "--threads=N",
                           "--limit=N", "--force", "--json=FILE", "--quiet", "--verbose", "--summary", "--trainable", "--info",
                           "--verify", "Exit status: 0 done; 1 failed"):
                self.assertIn(option, result.stdout)

    def test_usage(self):
        result = self.succeed("--usage")
        self.assertEqual(result.stderr, "")
        self.assertIn("Usage: extract", result.stdout)

    def test_version(self):
        for option in "--version", "-V":
            result = self.succeed(option)
            self.assertEqual(result.stderr, "")
            self.assertRegex(result.stdout, r"\Avggcache \d+\.\d+\.\d+\n\Z")

    def test_summary(self):
        """The three models of the exercise, to the letter, and their known totals."""
        models = {
            "summary_224_all.txt": (["--size=224", "--trainable=all"], 14_965_578, 14_965_578, 0),
            "summary_224_head.txt": (["--size=224", "--trainable=head"], 14_965_578, 250_890, 14_714_688),
            "summary_56_head.txt": (["--size=56"], 14_719_818, 5_130, 14_714_688),
        }
        for name, (arguments, total, trainable, frozen) in models.items():
            with self.subTest(model=name):
                text = self.succeed("--summary", *arguments).stdout
                self.assertEqual(text, (helpers.GOLDEN / name).read_text())
                totals = f"Total params: {total:,}\nTrainable params: {trainable:,}\nNon-trainable params: {frozen:,}\n"
                self.assertIn(totals, text)
                column = [int(line.split()[-1].replace(",", "")) for line in text.splitlines() if "(None, " in line]
                self.assertEqual(sum(column), total)
                self.assertEqual(len(column), 1 + 13 + 5 + 2)
        self.assertEqual(self.succeed("--summary").stdout, (helpers.GOLDEN / "summary_56_head.txt").read_text())
        text = self.succeed("--summary", "--classes=3", "--size=75").stdout
        self.assertIn(f"Trainable params: {2048 * 3 + 3:,}\n", text)

    def test_quiet_and_verbose(self):
        result = self.succeed(*self.arguments("--quiet"))
        self.assertEqual((result.stdout, result.stderr), ("", ""))
        result = self.succeed(*self.arguments("--force", "--verbose", "--engine=gemm", "--threads=1"))
        self.assertRegex(result.stderr, r"extract: engine gemm \(.*\), 1 threads\n")
        self.assertRegex(result.stdout, rf"\A{self.cache}: complete; 30 images in .*images/s.*\n\Z")
        result = self.succeed(*self.arguments("--force"))
        self.assertEqual(result.stderr, "")


class WrongCommandLines(Case):
    def test_status_2(self):
        cases = {
            (): "DATASET is missing",
            ("--size=31", "d"): "--size=31: must be a whole number from 32 to 4096",
            ("--size=0", "d"): "--size=0: must be",
            ("--size=-56", "d"): "--size=-56: must be",
            ("--size=4097", "d"): "--size=4097: must be",
            ("--size=abc", "d"): "--size=abc: must be",
            ("--size=56x", "d"): "--size=56x: must be",
            ("--size=56.0", "d"): "--size=56.0: must be",
            ("--size= 56", "d"): "--size= 56: must be",
            ("--size=0x40", "d"): "--size=0x40: must be",
            ("--size=", "d"): "--size=: must be",
            ("--size=18446744073709551672", "d"): "--size=18446744073709551672: must be",
            ("-s31", "d"): "--size=31: must be",
            ("--threads=0", "d"): "--threads=0: must be a whole number from 1 to ",
            ("--threads=-1", "d"): "--threads=-1: must be",
            ("--threads=x", "d"): "--threads=x: must be",
            ("--threads=100000", "d"): "--threads=100000: must be",
            ("--limit=0", "d"): "--limit=0: must be a whole number from 1 to ",
            ("--limit=1e3", "d"): "--limit=1e3: must be",
            ("--limit=-1", "d"): "--limit=-1: must be",
            ("--preprocess=x", "d"): "--preprocess=x: must be rescale, caffe or torch",
            ("--preprocess=", "d"): "--preprocess=: must be rescale, caffe or torch",
            ("--preprocess=Caffe", "d"): "--preprocess=Caffe: must be",
            ("--engine=x", "d"): "--engine=x: must be auto, winograd, gemm or reference",
            ("--weights=random:x", "d"): "--weights=random:x: the seed must be a whole number",
            ("--weights=random:", "d"): "--weights=random:: the seed must be a whole number",
            ("--weights=random:-1", "d"): "--weights=random:-1: the seed",
            ("--weights=random:1 ", "d"): "the seed must be a whole number",
            ("--weights=random:18446744073709551616", "d"): "the seed must be a whole number",
            ("--output=", "d"): "--output=: the name of a file is missing",
            ("--json=", "d"): "--json=: the name of a file is missing",
            ("--json=x.h5", "--output=x.h5", "d"): "--json=x.h5: is the cache or the weights",
            ("--trainable=x", "--summary"): "--trainable=x: must be head or all",
            ("--classes=0", "--summary"): "--classes=0: must be",
            ("d", "e"): "e: one DATASET only",
            ("d", "--summary"): "exclude each other",
            ("--info=x", "--verify=x"): "exclude each other",
            ("--summary", "--info=x"): "exclude each other",
        }
        for arguments, words in cases.items():
            with self.subTest(arguments=arguments):
                self.assert_fails(2, words, "see extract --help", arguments=arguments, cwd=self.folder)

    def test_unknown_option(self):
        """The GNU library words these: what is wrong, then where to look."""
        for arguments, words in {("--bogus", "d"): "extract: unrecognized option '--bogus'",
                                 ("-Z", "d"): "extract: invalid option -- 'Z'",
                                 ("--size",): "extract: option '--size' requires an argument",
                                 ("--force=1", "d"): "extract: option '--force' doesn't allow an argument"}.items():
            with self.subTest(arguments=arguments):
                result = helpers.run(*arguments, cwd=self.folder)
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stdout, "")
                lines = result.stderr.splitlines()
                self.assertEqual(len(lines), 2)
                self.assertEqual(lines[0], words)
                self.assertIn("Try `extract --help'", lines[1])
                self.assertEqual(self.names(), [])

    def test_instruction_set(self):
        result = helpers.run(*self.arguments("--engine=winograd"), isa="sse9")
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Aextract: [^\n]*sse9[^\n]*\n\Z")
        self.assertEqual(self.names(), [])
        self.succeed(*self.arguments("--engine=gemm"), isa="sse9")


class WrongData(Case):
    def dataset(self):
        return shutil.copytree(DATASET, self.folder / "data")

    def spoil(self, name, change):
        """A data set with one file changed; the words that must be in the message are given by the caller."""
        folder = self.folder / "data"
        shutil.rmtree(folder, ignore_errors=True)
        self.dataset()
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
        return folder

    def refuse(self, folder, *words):
        left = ["data"] if folder.parent == self.folder and folder.exists() else []
        self.assert_fails(1, *words, arguments=self.arguments(dataset=folder), left=left)

    def test_missing_folder(self):
        self.refuse(self.folder / "none", f"{self.folder}/none/{NAMES[0]}: no such file", "data/get.sh")

    def test_folder_is_a_file(self):
        self.refuse(DATASET / NAMES[0], f"{NAMES[0]}: a file; DATASET is the folder", "the one that this file is in")

    def test_missing_file(self):
        for name in NAMES:
            with self.subTest(name=name):
                folder = self.folder / "data"
                shutil.rmtree(folder, ignore_errors=True)
                (self.dataset() / name).unlink()
                self.refuse(folder, f"{folder}/{name}: no such file, with or without .gz")

    def test_file_is_a_folder(self):
        folder = self.dataset()
        (folder / NAMES[0]).unlink()
        (folder / NAMES[0]).mkdir()
        self.refuse(folder, NAMES[0])

    def test_gzip_cut_short(self):
        for name in NAMES:
            whole = gzip.compress((DATASET / name).read_bytes())
            for cut in (len(whole) - 1, len(whole) - 8, len(whole) - 9, len(whole) // 2, 30, 11, 5):
                with self.subTest(name=name, cut=cut):
                    folder = self.folder / "data"
                    shutil.rmtree(folder, ignore_errors=True)
                    self.dataset()
                    (folder / name).unlink()
                    (folder / (name + ".gz")).write_bytes(whole[:cut])
                    self.refuse(folder, f"{folder}/{name}.gz")

    def test_gzip_damaged(self):
        whole = gzip.compress((DATASET / NAMES[0]).read_bytes())
        folder = self.dataset()
        (folder / NAMES[0]).unlink()
        rng = np.random.default_rng(helpers.SEED)
        for at in [len(whole) - 1, len(whole) - 5] + rng.integers(20, len(whole) - 8, 10).tolist():
            with self.subTest(at=at, seed=helpers.SEED):
                spoiled = bytearray(whole)
                spoiled[at] ^= 0x10
                (folder / (NAMES[0] + ".gz")).write_bytes(spoiled)
                self.refuse(folder, f"{folder}/{NAMES[0]}.gz")

    def test_gzip_with_more_behind(self):
        """The pixels end where the header says; whatever follows makes the file a wrong one."""
        folder = self.dataset()
        (folder / NAMES[0]).write_bytes(gzip.compress((DATASET / NAMES[0]).read_bytes() + b"\0"))
        self.refuse(folder, NAMES[0], "longer than its header says")

    def test_labels_that_do_not_fit(self):
        folder = self.spoil(NAMES[1], lambda body: helpers.idx_bytes(DATA[1][:-1]))
        self.refuse(folder, f"{folder}/{NAMES[0]}: 20 images, but {folder}/{NAMES[1]} has 19 labels")
        folder = self.spoil(NAMES[3], lambda body: helpers.idx_bytes(DATA[1]))
        self.refuse(folder, f"{folder}/{NAMES[2]}: 10 images, but {folder}/{NAMES[3]} has 20 labels")

    def test_wrong_magic(self):
        for name, magic in zip(NAMES, (3, 1, 3, 1)):
            for at, value in (0, 1), (1, 1), (2, 9), (2, 13), (3, 2), (3, 4 - magic):
                with self.subTest(name=name, at=at, value=value):
                    folder = self.spoil(name, lambda body: body[:at] + bytes([value]) + body[at + 1:])
                    self.refuse(folder, f"{folder}/{name}: not an IDX file of", f"00 00 08 0{magic}")

    def test_images_and_labels_exchanged(self):
        folder = self.dataset()
        (folder / NAMES[0]).rename(folder / "x")
        (folder / NAMES[1]).rename(folder / NAMES[0])
        (folder / "x").rename(folder / NAMES[1])
        self.refuse(folder, f"{folder}/{NAMES[0]}: not an IDX file of images")

    def test_wrong_sizes(self):
        """Every field of a header is held against what the file really holds."""
        image = {"count": 4, "height": 8, "width": 12}
        for name, fields in (NAMES[0], image), (NAMES[1], {"count": 4}), (NAMES[2], image), (NAMES[3], {"count": 4}):
            for field, at in fields.items():
                for value in (0, 1, 27, 29, 4096, 4097, 0x7FFFFFFF, 0xFFFFFFFF):
                    body = (DATASET / name).read_bytes()
                    if struct.unpack(">I", body[at:at + 4])[0] == value:
                        continue
                    for zipped in False, True:
                        with self.subTest(name=name, field=field, value=value, zipped=zipped):
                            wrong = body[:at] + struct.pack(">I", value) + body[at + 4:]
                            folder = self.spoil(name, lambda _: gzip.compress(wrong) if zipped else wrong)
                            self.refuse(folder, f"{folder}/{name}")

    def test_cut_and_long(self):
        for name in NAMES:
            for change in (lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:16], lambda b: b[:7], lambda b: b[:3],
                           lambda b: b""):
                with self.subTest(name=name, size=len(change((DATASET / name).read_bytes()))):
                    folder = self.spoil(name, change)
                    self.refuse(folder, f"{folder}/{name}")

    def test_plain_file_wins_and_gz_is_taken(self):
        folder = self.dataset()
        for name in NAMES:
            (folder / (name + ".gz")).write_bytes(b"nobody reads this")
        self.succeed(*self.arguments("-q", dataset=folder))
        with h5py.File(self.cache) as f:
            self.assertTrue(f["train"].attrs["source"].endswith("ubyte"))

    def test_missing_weights(self):
        arguments = [f"--output={self.cache}", "--size=32", DATASET]
        self.assert_fails(1, "data/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "No such file", arguments=arguments,
                          cwd=self.folder)


class WrongOutput(Case):
    def test_foreign_files(self):
        for name, make in {"text": lambda: self.cache.write_text("precious\n"),
                           "empty": lambda: self.cache.write_bytes(b""),
                           "hdf5": lambda: h5py.File(self.cache, "w").close(),
                           "weights": lambda: helpers.write_notop(self.cache, [np.zeros(1, np.float32)] * 26)}.items():
            with self.subTest(file=name):
                make()
                before = self.cache.read_bytes()
                self.assert_fails(1, self.cache, "choose another --output, or --force", arguments=self.arguments(),
                                  left=["cache.h5"])
                self.assertEqual(self.cache.read_bytes(), before)
                self.succeed(*self.arguments("--force", "-q"))
                with h5py.File(self.cache) as f:
                    self.assertEqual(f.attrs["complete"], 1)

    def test_foreign_partial(self):
        partial = self.folder / "cache.h5.partial"
        partial.write_text("precious\n")
        self.assert_fails(1, partial, "--force", arguments=self.arguments(), left=["cache.h5.partial"])
        self.assertEqual(partial.read_text(), "precious\n")
        self.succeed(*self.arguments("--force", "-q"))
        self.assertEqual(self.names(), ["cache.h5"])

    def test_no_folder(self):
        self.assert_fails(1, self.folder / "none" / "cache.h5", "No such file or directory",
                          arguments=self.arguments(cache=self.folder / "none" / "cache.h5"))

    def test_folder_instead_of_file(self):
        (self.folder / "sub").mkdir()
        for cache in f"{self.folder}/sub", f"{self.folder}/sub/":
            self.assert_fails(1, cache, "not a regular file", "another --output", arguments=self.arguments(cache=cache), left=["sub"])
            self.assert_fails(1, cache, "not a regular file", arguments=self.arguments("--force", cache=cache), left=["sub"])

    def test_devices_are_left_alone(self):
        for device in "/dev/null", "/dev/full":
            if not os.path.exists(device):
                self.skipTest(f"no {device}")
            for force in [], ["--force"]:
                self.assert_fails(1, device, "not a regular file", arguments=self.arguments(*force, cache=device))
                self.assertTrue(stat.S_ISCHR(os.stat(device).st_mode))
            self.assertFalse(os.path.exists(device + ".partial"))

    def test_no_permission(self):
        """As nobody, because root may do everything."""
        self.folder.chmod(0o755)
        program = self.folder / "extract"  # where nobody can reach it
        shutil.copy(EXTRACT, program)
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        try:
            def refuse(*words, arguments):
                result = machine.run([program, *map(str, arguments)], env=helpers.environment(), **machine.NOBODY)
                self.assert_one_line(result, 1, *words)

            refuse(closed / "cache.h5", "Permission denied", "another --output", arguments=self.arguments(cache=closed / "cache.h5"))
            self.assertEqual(list(closed.iterdir()), [])
            folder = shutil.copytree(DATASET, self.folder / "data")
            for name in NAMES[0], NAMES[3]:
                (folder / name).chmod(0)
                refuse(folder / name, "Permission denied", arguments=self.arguments(dataset=folder))
                (folder / name).chmod(0o644)
            self.succeed(*self.arguments("-q"))
            self.cache.chmod(0)
            refuse(self.cache, "Permission denied", arguments=self.arguments())
            refuse(self.cache, "Permission denied", arguments=[f"--info={self.cache}"])
            refuse(self.cache, "Permission denied", arguments=[f"--verify={self.cache}"])
            secret = self.folder / "weights.h5"
            secret.write_bytes(b"x")
            secret.chmod(0)
            refuse(secret, "Permission denied", arguments=[f"--output={closed}/c", f"--weights={secret}", DATASET])
        finally:
            closed.chmod(0o755)

    def test_file_size_limit(self):
        """A disk that is full, wherever it happens to be: below the structure, at the reservation."""
        for limit in (0, 1, 1000, 2048, 5000, 20000, 61000):
            with self.subTest(limit=limit):
                self.assert_fails(1, self.folder, arguments=self.arguments(), preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_FSIZE, (limit, limit)))
        self.succeed(*self.arguments("-q"))
        self.assertGreater(self.cache.stat().st_size, 61000)

    def test_full_disk(self):
        """A file system of a megabyte, filled to different degrees."""
        disk = self.folder / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk],
                                               stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("may not mount a small file system here")
        try:
            for left in (0, 4096, 8192, 40000):
                with self.subTest(left=left):
                    with contextlib.suppress(OSError), open(disk / "ballast", "wb", buffering=0) as f:
                        f.write(bytes((1 << 20) - left))
                        f.write(bytes(4096)) if left == 0 else None
                    result = helpers.run(*self.arguments(cache=disk / "cache.h5"))
                    self.assert_one_line(result, 1, disk, "No space left")
                    self.assertEqual([p.name for p in disk.iterdir()], ["ballast"])
            (disk / "ballast").unlink()
            self.succeed(*self.arguments("-q", cache=disk / "cache.h5"))
            # The next cache is too large. Told before the first image, and what was there stays.
            before = (disk / "cache.h5").read_bytes()
            result = helpers.run(f"--output={disk / 'cache.h5'}", "--force", WEIGHTS, "--size=64", LONG)
            self.assert_one_line(result, 1, "cannot reserve", "MB", "No space left")
            self.assertEqual((disk / "cache.h5").read_bytes(), before)
            self.assertEqual([p.name for p in disk.iterdir()], ["cache.h5"])
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_full_json_and_output(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        result = helpers.run(*self.arguments("--json=/dev/full"))
        self.assert_one_line(result, 1, "/dev/full", "No space left")
        self.assertEqual(self.names(), ["cache.h5"])  # the cache was done by then, and stays
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/full").st_mode))
        with open("/dev/full", "w") as full:
            self.assert_one_line(helpers.run(*self.arguments(), stdout=full), 1, "standard output", "No space left")
            result = helpers.run(*self.arguments("-q", "--json=-"), stdout=full)
            self.assert_one_line(result, 1, "standard output", "No space left")

    def test_json_cannot_be_written(self):
        """Told before the work begins."""
        for name in self.folder / "none" / "x.json", self.folder:
            self.assert_fails(1, name, "cannot create the file", arguments=self.arguments(f"--json={name}"))

    def test_closed_standard_output(self):
        result = helpers.run("--summary", stdout=None, preexec_fn=lambda: os.close(1))
        self.assert_one_line(result, 1, "standard output")


class Mismatch(Case):
    def test_names_each_difference(self):
        self.succeed(*self.arguments("-q", "--engine=gemm"))
        before = self.cache.read_bytes()
        other = helpers.write_dataset(self.folder / "other", (DATA[0] ^ 1, DATA[1], DATA[2], DATA[3][::-1]))
        bigger = helpers.write_dataset(self.folder / "bigger", (np.zeros((20, 30, 29), np.uint8), DATA[1], DATA[2], DATA[3]))
        with h5py.File(self.cache) as f:
            digest, images = f.attrs["weights_sha256"], f["train"].attrs["images_sha256"]
            labels = f["test"].attrs["labels_sha256"]
        cases = [
            (["--engine=gemm", "--size=64"], DATASET, ["input_size is 32, asked for 64"]),
            (["--engine=gemm", "--preprocess=torch"], DATASET, ["preprocess is rescale, asked for torch"]),
            (["--engine=reference"], DATASET, ["engine is gemm, asked for reference", "isa is ", "asked for double"]),
            (["--engine=gemm", "--weights=random:2"], DATASET, [f"weights_sha256 is {digest}, asked for "]),
            (["--engine=gemm", "--limit=5"], DATASET, ["train rows is 20, asked for 5", "test rows is 10, asked for 5",
                                                       f"train images_sha256 is {images}"]),
            (["--engine=gemm"], other, [f"train images_sha256 is {images}, asked for ",
                                        f"test labels_sha256 is {labels}, asked for "]),
            (["--engine=gemm"], bigger, ["train image_height is 28, asked for 30", "train image_width is 28, asked for 29"]),
            (["--engine=reference", "--size=75", "--preprocess=caffe", "--limit=3"], DATASET,
             ["input_size is 32, asked for 75", "preprocess is rescale, asked for caffe", "engine is gemm", "train rows is 20"]),
        ]
        for options, dataset, words in cases:
            with self.subTest(options=options, dataset=dataset.name):
                result = self.assert_fails(1, self.cache, "made another way", "--force", *words,
                                           arguments=self.arguments(*options, dataset=dataset), left=["bigger", "cache.h5", "other"])
                named = set(" ".join(words).split())
                for attribute in {"preprocess", "input_size", "weights_sha256", "engine", "rows", "classes"} - named:
                    self.assertNotIn(f" {attribute} is", result.stderr)
                self.assertEqual(self.cache.read_bytes(), before)

    def test_partial_made_another_way(self):
        self.succeed(*self.arguments("-q", "--engine=gemm"))
        partial = self.folder / "cache.h5.partial"
        self.cache.rename(partial)
        with h5py.File(partial, "r+") as f:
            f.attrs.modify("complete", np.int64(0))
        before = partial.read_bytes()
        self.assert_fails(1, partial, "preprocess is rescale, asked for caffe", left=["cache.h5.partial"],
                          arguments=self.arguments("--engine=gemm", "--preprocess=caffe"))
        self.assertEqual(partial.read_bytes(), before)
        self.succeed(*self.arguments("-q", "--engine=gemm", "--preprocess=caffe", "--force"))
        self.assertEqual(self.names(), ["cache.h5"])

    def test_unfinished_under_the_final_name(self):
        self.succeed(*self.arguments("-q"))
        with h5py.File(self.cache, "r+") as f:
            f.attrs.modify("complete", np.int64(0))
            f["test/progress"][0] = 0
        self.assert_fails(1, self.cache, "unfinished", f"{self.cache}.partial", arguments=self.arguments(), left=["cache.h5"])

    def test_force(self):
        self.succeed(*self.arguments("-q"))
        first = self.cache.read_bytes()
        self.succeed(*self.arguments("-q", "--force", "--preprocess=caffe"))
        self.assertNotEqual(self.cache.read_bytes(), first)
        self.assertEqual(self.succeed(f"--info={self.cache}").stdout.count("caffe"), 1)
        self.succeed(*self.arguments("-q", "--force"))
        self.assertEqual(self.cache.read_bytes(), first)
        self.assertEqual(self.names(), ["cache.h5"])

    def test_a_failed_force_keeps_the_old_cache(self):
        self.succeed(*self.arguments("-q"))
        first = self.cache.read_bytes()
        self.assert_fails(1, "no such file", arguments=self.arguments("--force", dataset=self.folder / "none"), left=["cache.h5"])
        self.assert_fails(1, "cache.h5.partial.new: cannot", arguments=self.arguments("--force", "--size=64"), left=["cache.h5"],
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)))
        self.assertEqual(self.cache.read_bytes(), first)

    def test_nothing_to_do(self):
        self.succeed(*self.arguments("-q"))
        before, when = self.cache.read_bytes(), self.cache.stat()
        result = self.succeed(*self.arguments())
        self.assertEqual(result.stdout, f"{self.cache}: complete already (30 images, made this way); nothing to do\n")
        self.assertEqual(result.stderr, "")
        after = self.cache.stat()
        self.assertEqual((when.st_mtime_ns, when.st_ino), (after.st_mtime_ns, after.st_ino))
        self.assertEqual(self.cache.read_bytes(), before)
        self.assertEqual(self.names(), ["cache.h5"])

    def test_same_command_same_bytes(self):
        self.succeed(*self.arguments("-q", "--threads=1"))
        other = self.folder / "other.h5"
        self.succeed(*self.arguments("-q", "--threads=2", cache=other))
        self.assertEqual(self.cache.read_bytes(), other.read_bytes())


class Json(Case):
    KEYS = {"images": int, "resumed": int, "seconds": (int, float), "images_per_second": (int, float), "engine": str, "isa": str,
            "threads": int, "peak_rss_bytes": int, "cache": str}

    def check(self, text, nothing_done=False):
        found = json.loads(text)
        self.assertEqual(list(found), list(self.KEYS))
        for key, kind in self.KEYS.items():
            if not (nothing_done and key == "images_per_second"):
                self.assertIsInstance(found[key], kind, key)
                self.assertNotIsInstance(found[key], bool)
        return found

    def test_file(self):
        path = self.folder / "run.json"
        result = self.succeed(*self.arguments(f"--json={path}", "--engine=gemm", "--threads=2"))
        self.assertIn("complete; 30 images", result.stdout)
        found = self.check(path.read_text())
        self.assertEqual((found["images"], found["resumed"], found["threads"], found["engine"]), (30, 0, 2, "gemm"))
        self.assertEqual(found["cache"], str(self.cache))
        self.assertGreater(found["seconds"], 0)
        self.assertAlmostEqual(found["images_per_second"], 30 / found["seconds"], delta=1e-6 * found["images_per_second"])
        self.assertGreater(found["peak_rss_bytes"], 59e6)  # the weights alone
        with h5py.File(self.cache) as f:
            self.assertEqual(found["isa"], f.attrs["isa"])
        self.assertEqual(self.names(), ["cache.h5", "run.json"])

    def test_standard_output(self):
        """Stays parseable: the report goes to standard error."""
        result = self.succeed(*self.arguments("--json=-"))
        self.check(result.stdout)
        self.assertIn("complete; 30 images", result.stderr)
        result = self.succeed(*self.arguments("--json=-"))
        found = self.check(result.stdout, nothing_done=True)
        self.assertEqual((found["images"], found["resumed"], found["images_per_second"]), (0, 30, None))
        self.assertIn("nothing to do", result.stderr)
        result = self.succeed(*self.arguments("--json=-", "--quiet", "--force"))
        self.check(result.stdout)
        self.assertEqual(result.stderr, "")

    def test_devices_and_links(self):
        """/dev/null stays a device and a link stays a link."""
        self.succeed(*self.arguments("-q", "--json=/dev/null"))
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        link = self.folder / "link"
        link.symlink_to(self.folder / "target.json")
        self.succeed(*self.arguments("-q", f"--json={link}"))
        self.assertTrue(link.is_symlink())
        self.check((self.folder / "target.json").read_text(), nothing_done=True)
        if os.path.islink("/dev/stdout"):
            with open(self.folder / "out", "w") as out:
                self.succeed(*self.arguments("-q", "--json=/dev/stdout"), stdout=out)
            self.assertTrue(os.path.islink("/dev/stdout"))
            self.check((self.folder / "out").read_text(), nothing_done=True)

    def test_failure_leaves_no_json(self):
        path = self.folder / "run.json"
        arguments = self.arguments(f"--json={path}", dataset=self.folder / "none")
        self.assert_fails(1, "no such file", arguments=arguments)
        path.write_text("of an earlier run")
        self.assert_fails(1, "no such file", arguments=arguments, left=["run.json"])
        self.assertEqual(path.read_text(), "of an earlier run")


class Signals(Case):
    TOTAL = len(LONG_DATA[0]) + len(LONG_DATA[2])

    @classmethod
    def setUpClass(cls):
        cls.whole = SCRATCH / "whole.h5"
        result = helpers.run("-q", f"--output={cls.whole}", WEIGHTS, "--size=32", "--threads=1", LONG)
        assert result.returncode == 0, result.stderr

    def start(self, *more, **options):
        return helpers.start(*self.arguments("--threads=1", *more, dataset=LONG), **options)

    def stopped(self, *more, at_work=None, **options):
        """A run that was stopped behind its first block and before its last one, or when at_work(process) holds."""
        def launch():
            for path in self.folder.iterdir():
                path.unlink()
            self.process = self.start(*more, **options)
            return self.process

        def behind_a_block():
            return 0 < (helpers.progress_of(self.partial) or [0])[0] < len(LONG_DATA[0])

        return machine.stopped(launch, (lambda: at_work(self.process)) if at_work else behind_a_block)

    def stopped_in_first_block(self, seconds, *more):
        """A run that has no block yet, but so many seconds of a processor's time behind the making of the cache."""
        begin = {}

        def at_work(process):
            if helpers.progress_of(self.partial) != [0, 0]:
                return False
            used = machine.cpu_seconds(process)
            return used - begin.setdefault(process.pid, used) >= seconds

        return self.stopped(*more, at_work=at_work)

    @property
    def partial(self):
        return self.folder / "cache.h5.partial"

    def test_interrupted_and_resumed(self):
        for number, status in (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129):
            with self.subTest(signal=number.name):
                process = self.stopped(f"--json={self.folder / 'run.json'}")
                out, err = machine.go_on(process, number)
                self.assertEqual(process.returncode, status)
                self.assertEqual(out, "")
                self.assertRegex(err, rf"\Aextract: {self.cache}: interrupted after \d+ of {self.TOTAL} images; "
                                      r"the same command goes on there\n\Z")
                kept = int(err.split("interrupted after ")[1].split()[0])
                self.assertEqual(self.names(), ["cache.h5.partial"])
                self.assertEqual(sum(helpers.progress_of(self.partial)), kept)
                self.assertTrue(0 < kept < self.TOTAL)
                told = self.succeed(f"--info={self.partial}").stdout
                self.assertIn(f"unfinished, {kept} of {self.TOTAL} rows", told)
                self.assertIn("unfinished", self.succeed(f"--verify={self.partial}").stdout)

                result = self.succeed(*self.arguments("--threads=2", "--json=-", dataset=LONG))
                found = json.loads(result.stdout)
                self.assertEqual((found["images"], found["resumed"]), (self.TOTAL - kept, kept))
                self.assertIn(f"going on after {kept} of {self.TOTAL} images", result.stderr)
                self.assertEqual(self.names(), ["cache.h5"])
                self.assertEqual(self.cache.read_bytes(), self.whole.read_bytes())

    def test_the_block_under_way_is_finished(self):
        """The signal comes before the first block is done; that block is kept all the same."""
        seconds, kept = 0.1, 0
        while kept == 0:  # it came even before the block was read
            process = self.stopped_in_first_block(seconds, "--engine=gemm", "--size=64")  # blocks of 49 images, about half a second each
            _, err = machine.go_on(process, signal.SIGINT)
            self.assertEqual(process.returncode, 130, err)
            kept = int(err.split("interrupted after ")[1].split()[0])
            seconds *= 1.3
        self.assertEqual(kept, 49)

    def test_second_signal_ends_it_at_once(self):
        seconds, status = 0.3, 130
        while status == 130:
            process = self.stopped_in_first_block(seconds, "--engine=reference")  # many seconds for the first block
            process.send_signal(signal.SIGCONT)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
            err, status = process.communicate()[1], process.returncode
            if status == 130:
                self.assertIn("interrupted after 0 of", err)  # the first one came before the block was read
            seconds *= 1.5
        self.assertEqual(status, -signal.SIGINT)
        self.assertFalse(self.cache.exists())

    def test_ignored_signals_stay_ignored(self):
        """As nohup has it."""
        process = self.stopped(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        _, err = machine.go_on(process, signal.SIGHUP)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(self.cache.read_bytes(), self.whole.read_bytes())

    def test_second_extract_is_refused(self):
        process = self.stopped()
        try:
            self.assertEqual(self.names(), ["cache.h5.partial"])
            for more in [], ["--force"], ["--preprocess=caffe"]:
                result = helpers.run(*self.arguments(*more, dataset=LONG))
                self.assert_one_line(result, 1, self.cache, "another extract", "--output")
        finally:
            _, err = machine.go_on(process)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(self.names(), ["cache.h5"])
        self.assertEqual(self.cache.read_bytes(), self.whole.read_bytes())

    def test_many_at_once(self):
        """Whatever the order, one makes the cache, the others say why they do not, and the cache is right."""
        processes = [self.start() for _ in range(4)]
        ends = [(process.communicate(), process.returncode) for process in processes]
        done = [out for (out, _), status in ends if status == 0]
        self.assertGreaterEqual(len(done), 1)
        for (out, err), status in ends:
            if status != 0:
                self.assertEqual(status, 1)
                self.assertRegex(err, r"\Aextract: [^\n]*another extract[^\n]*\n\Z")
        self.assertEqual(self.names(), ["cache.h5"])
        self.assertEqual(self.cache.read_bytes(), self.whole.read_bytes())


helpers.main(__name__)
