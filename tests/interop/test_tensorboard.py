#!/usr/bin/python3
"""The event files of bin/train --logdir, by a reader of its own: CRC-32C bit by bit, the wire format of protocol buffers by
its definition, and the field numbers of TensorFlow's event.proto and summary.proto. Every frame, tag, step, number and
histogram is held against --history and the head files."""

import csv
import glob
import math
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
ROWS, TEST_ROWS, DIM, CLASSES = 300, 50, 20, 10
BUCKETS = 30


# ---- the reader ----

def crc32c(data):
    """Castagnoli's polynomial, reflected, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    """The records of a file, and the bytes behind the last whole one."""
    found, at = [], 0
    while len(data) - at >= 12:
        length, length_crc = struct.unpack_from("<QI", data, at)
        if masked(crc32c(data[at:at + 8])) != length_crc:
            raise ValueError(f"byte {at}: the length's checksum differs")
        if len(data) - at < 12 + length + 4:
            break
        record = data[at + 12:at + 12 + length]
        if masked(crc32c(record)) != struct.unpack_from("<I", data, at + 12 + length)[0]:
            raise ValueError(f"byte {at}: the record's checksum differs")
        found.append(record)
        at += 12 + length + 4
    return found, data[at:]


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of each field of a message: int, float, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        elif kind == 2:
            length, at = varint(data, at)
            if at + length > len(data):
                raise ValueError("a field ends behind its message")
            value, at = data[at:at + length], at + length
        else:
            raise ValueError(f"wire type {kind}")
        yield number, value


def histogram(data):
    result = {"min": 0.0, "max": 0.0, "num": 0.0, "sum": 0.0, "sum_squares": 0.0}
    names = dict(enumerate(result, 1))
    for number, value in fields(data):
        if number in names:
            result[names[number]] = value
        elif number in (6, 7):
            result[{6: "limits", 7: "counts"}[number]] = np.frombuffer(value, "<f8")
        else:
            raise ValueError(f"field {number} of HistogramProto")
    return result


def event(data):
    """{wall_time, step, file_version or values = [(tag, number or histogram)]}."""
    result = {"wall_time": None, "step": 0}
    for number, value in fields(data):
        if number == 1:
            result["wall_time"] = value
        elif number == 2:
            result["step"] = value
        elif number == 3:
            result["file_version"] = value.decode()
        elif number == 5:
            result["values"] = []
            for inner, summary_value in fields(value):
                if inner != 1:
                    raise ValueError(f"field {inner} of Summary")
                parts = dict(fields(summary_value))
                if set(parts) == {1, 2}:
                    result["values"].append((parts[1].decode(), parts[2]))
                elif set(parts) == {1, 5}:
                    result["values"].append((parts[1].decode(), histogram(parts[5])))
                else:
                    raise ValueError(f"fields {sorted(parts)} of Summary.Value")
        else:
            raise ValueError(f"field {number} of Event")
    return result


def read_events(path):
    """All events of a file, and the bytes that are left."""
    with open(path, "rb") as file:
        found, rest = records(file.read())
    return [event(record) for record in found], rest


class Reader(unittest.TestCase):
    """The reader itself, against published values."""

    def test_checksums(self):
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)  # RFC 3720, B.4
        self.assertEqual(crc32c(b"\xff" * 32), 0x62A8AB43)

    def test_a_record_by_hand(self):
        data = struct.pack("<Q", 3)
        data += struct.pack("<I", masked(crc32c(data))) + b"abc" + struct.pack("<I", masked(crc32c(b"abc")))
        self.assertEqual(records(data), ([b"abc"], b""))
        self.assertEqual(records(data + data[:-1]), ([b"abc"], data[:-1]))
        for i in range(len(data)):
            wrong = bytearray(data)
            wrong[i] ^= 1
            with self.assertRaises(ValueError):
                records(bytes(wrong))

    def test_wire_format(self):
        self.assertEqual(list(fields(b"\x08\x96\x01\x12\x07testing")), [(1, 150), (2, b"testing")])


# ---- the files of a fit ----

class TensorBoard(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.write_cache(DIM, CLASSES)

    def write_cache(self, dim, classes):
        self.data = [keras.make_rows(rows, dim, classes, seed) for rows, seed in ((ROWS, 1), (TEST_ROWS, 2))]
        keras.write_cache(self.path("features.h5"), *self.data, classes)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def train(self, *options, **more):
        return machine.run([TRAIN, *options, "features.h5"], cwd=self.folder, **more)

    def fitted(self, *options):
        done = self.train(*options)
        self.assertEqual(done.returncode, 0, done.stderr)

    def files(self, *names):
        return sorted(glob.glob(self.path(*names, "*")))

    def values(self, *names):
        """{tag: [(step, value)]} of a folder's only file, whose frame and order are checked."""
        (path,) = self.files(*names)
        self.assertRegex(os.path.basename(path), r"^events\.out\.tfevents\.\d{10}\.[^/]+\.\d+\.\d+\.v2$")
        events, rest = read_events(path)
        self.assertEqual(rest, b"")
        self.assertEqual(events[0]["file_version"], "brain.Event:2")
        times = [item["wall_time"] for item in events]
        self.assertEqual(times, sorted(times))
        self.assertLess(abs(times[-1] - time.time()), machine.PATIENCE)
        result = {}
        for item in events[1:]:
            for tag, value in item["values"]:
                result.setdefault(tag, []).append((item["step"], value))
        return result

    def history(self, name="history.csv"):
        with open(self.path(name)) as file:
            return list(csv.DictReader(file))

    def weights(self, name="head.h5"):
        with h5py.File(self.path(name), "r") as file:
            return {part: file[f"dense/dense/{part}:0"][:] for part in ("kernel", "bias")}

    def check_histogram(self, got, weights):
        values = weights.astype(float).ravel()
        self.assertEqual((got["min"], got["max"], got["num"]), (values.min(), values.max(), values.size))
        self.assertTrue(math.isclose(got["sum"], math.fsum(values), rel_tol=1e-9, abs_tol=1e-12))
        self.assertTrue(math.isclose(got["sum_squares"], math.fsum(values * values), rel_tol=1e-9, abs_tol=1e-12))
        limits, counts = got["limits"], got["counts"]
        self.assertEqual(len(limits), len(counts))
        self.assertEqual(counts.sum(), values.size)
        self.assertEqual(limits[-1], values.max())
        if values.min() == values.max():
            self.assertEqual(len(limits), 1)
            return
        self.assertEqual(len(limits), BUCKETS)
        edges = np.linspace(values.min(), values.max(), BUCKETS + 1)
        self.assertLess(np.abs(limits - edges[1:]).max(), 1e-12 * np.abs(edges).max())
        bucket = np.minimum(np.searchsorted(limits, values, side="right"), BUCKETS - 1)
        np.testing.assert_array_equal(counts, np.bincount(bucket, minlength=BUCKETS))

    def check_scalars(self, epochs, rate, batches, validation):
        history = self.history()
        self.assertEqual(len(history), epochs)
        train = self.values("logs", "train")
        wanted = {"epoch_loss": [(i, np.float32(line["loss"])) for i, line in enumerate(history)],
                  "epoch_accuracy": [(i, np.float32(line["accuracy"])) for i, line in enumerate(history)],
                  "epoch_learning_rate": [(i, np.float32(rate)) for i in range(epochs)]}
        for tag, values in wanted.items():
            self.assert_scalars(train[tag], values, tag)
        self.assertEqual({tag for tag in train if "histogram" not in tag}, set(wanted))
        if not validation:
            self.assertEqual(os.listdir(self.path("logs")), ["train"])
            return train
        wanted = {}
        for name in ("loss", "accuracy"):
            numbers = [np.float32(line["val_" + name]) for line in history]
            wanted[f"epoch_{name}"] = list(enumerate(numbers))
            wanted[f"evaluation_{name}_vs_iterations"] = [((i + 1) * batches, x) for i, x in enumerate(numbers)]
        got = self.values("logs", "validation")
        self.assertEqual(set(got), set(wanted))
        for tag, values in wanted.items():
            self.assert_scalars(got[tag], values, tag)
        return train

    def assert_scalars(self, got, wanted, tag):
        """The history has nine digits, so that the last bit of a float may differ."""
        self.assertEqual([step for step, _ in got], [step for step, _ in wanted], tag)
        for (_, x), (step, y) in zip(got, wanted):
            self.assertTrue(abs(x - y) <= 1.2e-7 * abs(y), f"{tag} of step {step}: {x} instead of {y}")

    def test_scalars(self):
        """240 rows in batches of 100 are 3 steps an epoch."""
        self.fitted("--epochs=7", "--batch-size=100", "--logdir=logs", "--history=history.csv")
        train = self.check_scalars(7, 0.001, 3, True)
        self.assertFalse([tag for tag in train if "histogram" in tag])

    def test_without_validation(self):
        self.fitted("--epochs=3", "--validation-split=0", "--logdir=logs", "--history=history.csv",
                    "--optimizer=sgd", "--learning-rate=0.03")
        self.check_scalars(3, 0.03, 3, False)

    def test_histograms_of_every_epoch(self):
        """A fit of k epochs leaves the weights that a longer one had after k."""
        self.fitted("--epochs=5", "--logdir=logs", "--histogram-freq=1", "--history=history.csv")
        train = self.check_scalars(5, 0.001, 2, True)
        self.assertEqual(set(train) - {"epoch_loss", "epoch_accuracy", "epoch_learning_rate"},
                         {"dense/kernel/histogram", "dense/bias/histogram"})
        for epochs in range(1, 6):
            self.fitted(f"--epochs={epochs}", "-o", "short.h5")
            for part, weights in self.weights("short.h5").items():
                step, got = train[f"dense/{part}/histogram"][epochs - 1]
                self.assertEqual(step, epochs - 1)
                self.check_histogram(got, weights)
        with open(self.path("head.h5"), "rb") as logged, open(self.path("short.h5"), "rb") as plain:
            self.assertEqual(logged.read(), plain.read(), "a log changes the fit")

    def test_histogram_frequency(self):
        self.fitted("--epochs=7", "--logdir=logs", "--histogram-freq=3", "--history=history.csv")
        train = self.check_scalars(7, 0.001, 2, True)
        for part, weights in self.weights().items():
            found = train[f"dense/{part}/histogram"]
            self.assertEqual([step for step, _ in found], [0, 3, 6])
            self.check_histogram(found[-1][1], weights)

    def test_shapes(self):
        """One class has gradients of zero, and so a bias whose values are all equal."""
        for dim, classes in ((1, 2), (17, 1), (33, 300)):
            with self.subTest(dim=dim, classes=classes):
                self.write_cache(dim, classes)
                shutil.rmtree(self.path("logs"), ignore_errors=True)
                self.fitted("--epochs=2", "--logdir=logs", "--histogram-freq=1")
                train = self.values("logs", "train")
                for part, weights in self.weights().items():
                    self.check_histogram(train[f"dense/{part}/histogram"][-1][1], weights)

    def test_folders_are_made_and_kept(self):
        for runs in (1, 2, 3):
            self.fitted("--epochs=1", "--logdir=some/where/deep/")
            self.assertEqual(len(self.files("some", "where", "deep", "train")), runs)
            self.assertEqual(len(self.files("some", "where", "deep", "validation")), runs)
        self.fitted("--epochs=1", "--logdir=" + self.path("absolute"))
        self.values("absolute", "train")

    def test_readable_while_the_fit_goes_on(self):
        process = subprocess.Popen([TRAIN, "--epochs=1000000", "--batch-size=4", "--logdir=logs", "--histogram-freq=1",
                                    "features.h5"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        try:
            seen, deadline = [], time.monotonic() + machine.PATIENCE
            while len(seen) < 4 and time.monotonic() < deadline:
                time.sleep(0.05)
                for path in self.files("logs", "train"):
                    with open(path, "rb") as file:
                        data = file.read(40000)  # the reader is slow, and the fit is not
                    size = os.path.getsize(path)
                    events = [event(record) for record in records(data)[0]]
                    if len(events) > 1 and size not in seen:
                        self.assertEqual([item["step"] for item in events[1:]], list(range(len(events) - 1)))
                        seen.append(size)
            self.assertEqual(len(seen), 4)
            self.assertEqual(seen, sorted(seen))
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=machine.PATIENCE)
        self.assertEqual(process.returncode, 130)
        match = re.search(r"train: interrupted in epoch (\d+) of 1000000; no head was saved$", errors.rstrip())
        self.assertTrue(match, errors)
        self.assertFalse(os.path.exists(self.path("head.h5")))
        (path,) = self.files("logs", "validation")
        with open(path, "rb") as file:
            frames = file.read()
        at = count = 0
        while at < len(frames):
            at, count = at + 16 + struct.unpack_from("<Q", frames, at)[0], count + 1
        self.assertEqual((at, count), (len(frames), 1 + 2 * (int(match.group(1)) - 1)))

    # ---- refusals ----

    def refused(self, status, words, *options, **more):
        before = sorted(os.listdir(self.folder))
        done = self.train(*options, **more)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_wrong_command_lines(self):
        self.fitted("--epochs=1")
        for words, *options in ((["--histogram-freq needs --logdir"], "--histogram-freq=1"),
                                (["--histogram-freq=1000001", "to 1000000"], "--logdir=x", "--histogram-freq=1000001"),
                                (["--histogram-freq=-1"], "--logdir=x", "--histogram-freq=-1"),
                                (["--histogram-freq=1.5"], "--logdir=x", "--histogram-freq=1.5"),
                                (["--logdir=", "folder"], "--logdir="),
                                (["two results", "one file"], "--logdir=x", "--json=x"),
                                (["two results", "one file"], "--logdir=head.h5"),
                                (["--logdir does not go with --evaluate"], "--evaluate=head.h5", "--logdir=x"),
                                (["--histogram-freq does not go with"], "--predict=head.h5", "--histogram-freq=0")):
            with self.subTest(options=options):
                self.refused(2, words, *options)

    def test_places_that_are_no_folders(self):
        self.refused(1, ["features.h5/train", "Not a directory", "--logdir"], "--logdir=features.h5")
        self.refused(1, ["/dev/null/x", "Not a directory"], "--logdir=/dev/null/x")

    def test_full_disk(self):
        """The disk fills up at any byte of an event file: the fit ends, and the epochs before are whole."""
        def limit(room):
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        if self.train("--version", preexec_fn=limit(0)).returncode != 0:
            self.skipTest("LLVM's OpenMP itself writes a file before main() begins")
        options = ("--epochs=200", "--histogram-freq=1", "--logdir=logs")
        for room in (0, 1, 39, 40, 700, 5000, 20001):
            with self.subTest(room=room):
                shutil.rmtree(self.path("logs"), ignore_errors=True)
                done = self.train(*options, preexec_fn=limit(room))
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr.splitlines()[-1], r"^train: logs/train/events.*: cannot write: File too large$")
                self.assertFalse(os.path.exists(self.path("head.h5")))
                for path in self.files("logs", "train"):
                    events, rest = read_events(path)
                    self.assertEqual([item["step"] for item in events[1:]], list(range(len(events) - 1)))
                    self.assertLessEqual(len(rest), 1500)


if __name__ == "__main__":
    unittest.main()
