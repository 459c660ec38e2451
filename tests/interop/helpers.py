"""What the tests of `extract` share: where things are, data sets, weight files, the program, the judges.

Programs and folders come from the environment: EXTRACT (bin/extract), BUILD (build/release), VGGCACHE_ASSETS
(../shared/assets beside the checkout). A test that lacks the real data says so and is skipped.
"""

import atexit
import gzip
import hashlib
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine  # noqa: E402
from machine import wait_for  # noqa: E402,F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("BUILD", "build/release")).resolve()
EXTRACT = str((ROOT / os.environ.get("EXTRACT", "bin/extract")).resolve())
ASSETS = pathlib.Path(os.environ.get("VGGCACHE_ASSETS", ROOT.parent / "shared" / "assets")).resolve()
GOLDEN = ROOT / "tests" / "golden"
ASAN = BUILD.name.endswith("asan")
SLOW = 6 if ASAN else 1  # about how many times slower this build is; counts are divided by it
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
MODES = ["rescale", "caffe", "torch"]
ISAS = ["generic", "avx2", "avx512"]
ENGINES = [("reference", None), ("gemm", None)] + [("winograd", isa) for isa in ISAS]

# name, channels in, channels out, whether the 2x2 maximum follows
LAYERS = [
    ("block1_conv1", 3, 64, False), ("block1_conv2", 64, 64, True),
    ("block2_conv1", 64, 128, False), ("block2_conv2", 128, 128, True),
    ("block3_conv1", 128, 256, False), ("block3_conv2", 256, 256, False), ("block3_conv3", 256, 256, True),
    ("block4_conv1", 256, 512, False), ("block4_conv2", 512, 512, False), ("block4_conv3", 512, 512, True),
    ("block5_conv1", 512, 512, False), ("block5_conv2", 512, 512, False), ("block5_conv3", 512, 512, True),
]


# ---- The folder of this process, removed at its end ----

SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="vggcache-test-"))
os.chmod(SCRATCH, 0o755)
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)


# ---- Data sets ----

def has_digits():
    return all((ASSETS / "mnist" / (name + ".gz")).is_file() for name in NAMES)


def has_realistic_weights():
    return (ASSETS / "vgg16" / "complete.py").is_file()


def real_digits(split, count):
    """The first images and labels of MNIST's "train" or "t10k": u8[count][28][28], u8[count]."""
    with gzip.open(ASSETS / "mnist" / f"{split}-images-idx3-ubyte.gz") as f:
        images = np.frombuffer(f.read(16 + count * 784), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(ASSETS / "mnist" / f"{split}-labels-idx1-ubyte.gz") as f:
        labels = np.frombuffer(f.read(8 + count), np.uint8, offset=8)
    assert len(images) == len(labels) == count
    return images, labels


def synthetic_digits(count, seed, side=28):
    """Digits drawn by OpenCV, shifted, with noise on some of them: u8[count][side][side], u8[count]."""
    import cv2
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((count, side, side), np.uint8), rng.integers(0, 10, count).astype(np.uint8)
    for i in range(count):
        at = (int(rng.integers(1, side // 3)), int(rng.integers(2 * side // 3, side - 2)))
        cv2.putText(images[i], str(labels[i]), at, cv2.FONT_HERSHEY_SIMPLEX, side / 36, int(rng.integers(128, 256)), 2)
        if i % 3 == 2:
            images[i] = np.clip(images[i] + rng.integers(0, 60, (side, side)), 0, 255)
    return images, labels


def digits(train_count, test_count):
    """(train images, train labels, test images, test labels), real ones where they are at hand."""
    if has_digits():
        return real_digits("train", train_count) + real_digits("t10k", test_count)
    return synthetic_digits(train_count, 1) + synthetic_digits(test_count, 2)


def idx_bytes(array):
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_dataset(folder, data, gz=False):
    """Writes the four IDX files of (train images, train labels, test images, test labels)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, data):
        body = idx_bytes(array)
        (folder / (name + (".gz" if gz else ""))).write_bytes(gzip.compress(body, 6) if gz else body)
    return folder


# ---- Weights ----

def random_tensors(seed, bias=0.05):
    """26 tensors, kernel (3, 3, C, K) and bias (K,) in turn: He-normal kernels, small biases of both signs."""
    rng = np.random.default_rng(seed)
    tensors = []
    for _, channels, filters, _ in LAYERS:
        scale = np.float32(np.sqrt(2 / (9 * channels)))
        tensors.append(rng.standard_normal((3, 3, channels, filters), dtype=np.float32) * scale)
        tensors.append(rng.standard_normal(filters, dtype=np.float32) * np.float32(bias))
    return tensors


def write_notop(path, tensors):
    """The layout of keras.applications' download."""
    with h5py.File(path, "w") as f:
        names = []
        for l, (name, _, _, pool) in enumerate(LAYERS):
            names.append(name)
            group = f.create_group(name)
            group.create_dataset(f"{name}_W_1:0", data=tensors[2 * l])
            group.create_dataset(f"{name}_b_1:0", data=tensors[2 * l + 1])
            group.attrs["weight_names"] = np.array([f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()])
            if pool:
                names.append(name[:6] + "_pool")
                f.create_group(names[-1]).attrs["weight_names"] = np.array([], dtype="S1")
        f.attrs["layer_names"] = np.array([n.encode() for n in names])
    return str(path)


def read_notop(path):
    with h5py.File(path) as f:
        return [f[f"{name}/{name}_{part}_1:0"][:] for name, _, _, _ in LAYERS for part in "Wb"]


_weights = {}


def weights_file():
    """(path, 26 tensors) of one file per process: with realistic activations where the assets are at hand."""
    if not _weights:
        path = SCRATCH / "weights.h5"
        if has_realistic_weights():
            subprocess.run([sys.executable, str(ASSETS / "vgg16" / "complete.py"), str(path)], check=True)
        else:
            write_notop(path, random_tensors(1))
        _weights["file"] = str(path), read_notop(path)
    return _weights["file"]


def tensors_sha256(tensors):
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
    return digest.hexdigest()


# ---- The judges ----

PREPROCESS = {  # (x / divisor - mean) / deviation, per channel
    "rescale": (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def resize_all(images, size):
    import cv2
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR) for image in images])


def torch_features(tensors, pictures, mode):
    """VGG16 in float64 by PyTorch: gray u8[n][size][size] or RGB u8[n][3][size][size] -> f64[n][dim], flattened as (H, W, C)."""
    import torch
    torch.set_num_threads(os.cpu_count())
    divisor, mean, deviation = PREPROCESS[mode]
    x = pictures.astype(np.float64) / divisor
    if x.ndim == 3:
        x = np.repeat(x[:, None], 3, axis=1)
    if mode == "caffe":
        x = x[:, ::-1]  # RGB to BGR
    x = (x - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(deviation, (1, 3, 1, 1))
    with torch.no_grad():
        x = torch.from_numpy(x)
        for l, (_, _, _, pool) in enumerate(LAYERS):
            kernel = torch.from_numpy(tensors[2 * l].astype(np.float64).transpose(3, 2, 0, 1).copy())
            bias = torch.from_numpy(tensors[2 * l + 1].astype(np.float64))
            x = torch.relu(torch.nn.functional.conv2d(x, kernel, bias, padding=1))
            if pool:
                x = torch.nn.functional.max_pool2d(x, 2)
        return x.permute(0, 2, 3, 1).reshape(len(pictures), -1).numpy()


def worst_relative(found, wanted):
    """max over the rows of ||found - wanted|| / ||wanted||; infinite if anything is not finite or the shapes differ."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if found.shape != wanted.shape or found.size == 0 or not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return float("inf")
    norms = np.linalg.norm(wanted, axis=1)
    if not (norms > 0).all():
        return float("inf")
    return float((np.linalg.norm(found - wanted, axis=1) / norms).max())


def _crc32c_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# ---- The program ----

def environment(isa=None):
    env = dict(os.environ, LC_ALL="C")
    env.pop("VGGCACHE_ISA", None)
    if isa is not None:
        env["VGGCACHE_ISA"] = isa
    return env


def start(*arguments, isa=None, **options):
    """Starts the program with pipes for its output; `with` it, or wait for it."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([EXTRACT, *map(str, arguments)], env=environment(isa), **options)


def run(*arguments, isa=None, **options):
    """Runs the program to its end: .returncode, .stdout, .stderr, the last without progress."""
    return machine.run([EXTRACT, *map(str, arguments)], env=environment(isa), **options)


def lacks_isa(isa):
    """Whether this processor (or this program) lacks an instruction set, by the program's own word."""
    if isa is None:
        return False
    if isa not in _isas:
        empty = SCRATCH / "no-data"
        empty.mkdir(exist_ok=True)
        result = run("--engine=winograd", empty, isa=isa)
        _isas[isa] = isa in result.stderr and "no such file" not in result.stderr
    return _isas[isa]


_isas = {}


def progress_of(path):
    """Rows written per split of a partial cache, or None while it is not there or has no structure yet."""
    try:
        if os.stat(path).st_size == 0:
            return None
        with h5py.File(path, "r", locking=False) as f:
            return [int(f[f"{split}/progress"][0]) for split in ("train", "test")]
    except FileNotFoundError:
        return None


class Case(unittest.TestCase):
    """A temporary folder per test, and the claims that many tests make."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def succeed(self, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def assert_one_line(self, result, status, *words):
        """A failure: this exit status, and one line on standard error that has all the words."""
        self.assertEqual(result.returncode, status, f"{result.stdout}\n{result.stderr}")
        self.assertRegex(result.stderr, r"\Aextract: [^\n]+\n\Z")
        for word in words:
            self.assertIn(str(word), result.stderr)

    def features(self, cache):
        with h5py.File(cache) as f:
            return np.concatenate([f["train/features"][:], f["test/features"][:]])

    def assert_same_bits(self, found, wanted):
        self.assertEqual(found.shape, wanted.shape)
        self.assertGreater(found.size, 0)
        self.assertTrue(np.isfinite(found).all(), "not finite")
        self.assertEqual(np.count_nonzero(found.view(np.uint32) != wanted.view(np.uint32)), 0, "bits differ")


def main(name):
    if name == "__main__":
        print(f"extract: {EXTRACT}; build: {BUILD}; seed: {SEED} (SEED=... repeats it)", flush=True)
        if not has_digits() or not has_realistic_weights():
            print(f"NOTE: no real data in {ASSETS}: synthetic digits and random weights instead", flush=True)
        unittest.main()
