#!/usr/bin/env python3
"""The cache as others read it: h5py alone, with nothing of ours; every attribute, digest and checksum computed again;
scikit-learn on top of it; and what --info and --verify say of it."""

import hashlib
import os
import shutil
import unittest

import h5py
import numpy as np

import helpers
from helpers import ASAN, SCRATCH

SPLITS = ["train", "test"]
SIZE = 64


class Cache(helpers.Case):
    """One cache for all the tests, and a copy in each test's folder to be spoiled."""

    @classmethod
    def setUpClass(cls):
        if not hasattr(Cache, "path"):
            Cache.make()

    @classmethod
    def make(cls):
        cls.weights, cls.tensors = helpers.weights_file()
        counts = (70, 9) if ASAN else (120, 50)  # blocks of 49 rows at this size: a short last one in both
        train, train_labels, test, test_labels = helpers.digits(*counts)
        cls.data = {"train": (train, train_labels), "test": (test, test_labels)}
        cls.dataset = helpers.write_dataset(SCRATCH / "plain", (train, train_labels, test, test_labels))
        cls.zipped = helpers.write_dataset(SCRATCH / "zipped", (train, train_labels, test, test_labels), gz=True)
        cls.path = SCRATCH / "cache.h5"
        result = helpers.run("-q", f"--output={cls.path}", f"--weights={cls.weights}", f"--size={SIZE}", "--preprocess=caffe",
                             "--engine=gemm", cls.dataset)
        assert result.returncode == 0, result.stderr

    def copy(self):
        path = self.folder / "copy.h5"
        shutil.copy(self.path, path)
        return path


class Readers(Cache):
    def test_nothing_but_h5py(self):
        for split in SPLITS:
            images, labels = self.data[split]
            features = h5py.File(self.path)[f"{split}/features"][:]
            self.assertEqual((features.dtype, features.shape), (np.dtype("<f4"), (len(images), 2048)))
            self.assertTrue(np.isfinite(features).all())
            self.assertTrue((features >= 0).all())
            self.assertTrue((np.count_nonzero(features, axis=1) > 100).all(), "a row is empty")
            found = h5py.File(self.path)[f"{split}/labels"][:]
            self.assertEqual(found.dtype, np.uint8)
            self.assertEqual(found.tolist(), labels.tolist())

    def test_right_rows(self):
        """Row i is image i."""
        for split in SPLITS:
            count = 8
            gray = helpers.resize_all(self.data[split][0][-count:], SIZE)
            with h5py.File(self.path) as f:
                wanted = helpers.torch_features(self.tensors, gray, "caffe")
                error = helpers.worst_relative(f[f"{split}/features"][-count:], wanted)
            self.assertTrue(error <= 1e-5, error)

    def test_plain_storage(self):
        """Contiguous, little-endian, no filter: what R, Julia, Matlab and mmap can take."""
        with h5py.File(self.path) as f:
            self.assertEqual(sorted(f), ["test", "train"])
            for split in SPLITS:
                self.assertEqual(sorted(f[split]), ["checksums", "features", "labels", "progress"])
                for name, kind in ("features", "<f4"), ("labels", "|u1"), ("checksums", "<u4"), ("progress", "<u8"):
                    dataset = f[f"{split}/{name}"]
                    self.assertEqual(dataset.dtype, np.dtype(kind))
                    self.assertIsNone(dataset.chunks)
                    self.assertIsNone(dataset.compression)
                    self.assertIsNotNone(dataset.id.get_offset())
                features = f[f"{split}/features"]
                mapped = np.memmap(self.path, np.dtype("<f4"), "r", features.id.get_offset(), features.shape)
                self.assert_same_bits(np.array(mapped), features[:])

    def test_attributes(self):
        wanted = {"format": "vggcache", "format_version": 1, "complete": 1, "created_by": None, "backbone": "vgg16",
                  "layer": "block5_pool", "input_size": SIZE, "resize": "cv2 INTER_LINEAR", "preprocess": "caffe",
                  "weights_sha256": helpers.tensors_sha256(self.tensors), "weights_source": "weights.h5", "engine": "gemm",
                  "isa": None, "classes": 10}
        with h5py.File(self.path) as f:
            self.assertEqual(set(f.attrs), set(wanted))
            for name, value in wanted.items():
                with self.subTest(attribute=name):
                    found = f.attrs[name]
                    if isinstance(value, int):
                        self.assertIsInstance(found, (int, np.integer))
                    else:
                        self.assertIs(type(found), str)
                        self.assertGreater(len(found), 0)
                    if value is not None:
                        self.assertEqual(found, value)
            self.assertRegex(f.attrs["created_by"], r"^vggcache \d+\.\d+\.\d+$")

    def test_attributes_of_splits(self):
        for split, prefix in zip(SPLITS, ("train", "t10k")):
            images, labels = self.data[split]
            wanted = {"images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
                      "labels_sha256": hashlib.sha256(labels.tobytes()).hexdigest(),
                      "source": f"{self.dataset}/{prefix}-images-idx3-ubyte", "image_height": 28, "image_width": 28,
                      "block_rows": 49}
            with h5py.File(self.path) as f:
                self.assertEqual(set(f[split].attrs), set(wanted))
                for name, value in wanted.items():
                    with self.subTest(split=split, attribute=name):
                        found = f[split].attrs[name]
                        self.assertIsInstance(found, (int, np.integer) if isinstance(value, int) else str)
                        self.assertEqual(found, value)

    def test_gzipped_data_is_the_same_data(self):
        """Another container of the same pixels: the cache is complete already."""
        path = self.copy()
        result = self.succeed(f"--output={path}", f"--weights={self.weights}", f"--size={SIZE}", "--preprocess=caffe",
                              "--engine=gemm", self.zipped)
        self.assertIn("nothing to do", result.stdout)
        self.assertEqual(path.read_bytes(), self.path.read_bytes())
        other = self.folder / "zipped.h5"
        self.succeed("-q", f"--output={other}", f"--weights={self.weights}", "--size=32", "--limit=50", self.zipped)
        plain = self.folder / "plain.h5"
        self.succeed("-q", f"--output={plain}", f"--weights={self.weights}", "--size=32", "--limit=50", self.dataset)
        with h5py.File(other) as a, h5py.File(plain) as b:
            for split in SPLITS:
                images, labels = self.data[split]
                self.assertEqual(a[split].attrs["images_sha256"], hashlib.sha256(images[:50].tobytes()).hexdigest())
                self.assertEqual(a[split].attrs["labels_sha256"], hashlib.sha256(labels[:50].tobytes()).hexdigest())
                for name in "images_sha256", "labels_sha256":
                    self.assertEqual(a[split].attrs[name], b[split].attrs[name])
                self.assert_same_bits(a[f"{split}/features"][:], b[f"{split}/features"][:])

    def test_sides_that_differ(self):
        """Images that are not square: height and width are not exchanged."""
        rng = np.random.default_rng(3)
        data = (rng.integers(0, 256, (3, 20, 41)).astype(np.uint8), np.array([0, 1, 2], np.uint8),
                rng.integers(0, 256, (2, 33, 9)).astype(np.uint8), np.array([3, 200], np.uint8))
        cache = self.folder / "sides.h5"
        self.succeed("-q", f"--output={cache}", f"--weights={self.weights}", "--size=32", "--engine=gemm",
                     helpers.write_dataset(self.folder / "sides", data))
        with h5py.File(cache) as f:
            self.assertEqual([int(f["train"].attrs[n]) for n in ("image_height", "image_width")], [20, 41])
            self.assertEqual([int(f["test"].attrs[n]) for n in ("image_height", "image_width")], [33, 9])
            self.assertEqual(int(f.attrs["classes"]), 201)
            self.assertEqual(f["test/labels"][:].tolist(), [3, 200])
            for split, images in ("train", data[0]), ("test", data[2]):
                wanted = helpers.torch_features(self.tensors, helpers.resize_all(images, 32), "rescale")
                error = helpers.worst_relative(f[f"{split}/features"][:], wanted)
                self.assertTrue(error <= 1e-5, error)

    def test_checksums(self):
        """CRC-32C (check value of RFC 3720) over the features of a block, then its labels."""
        self.assertEqual(helpers.crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(helpers.crc32c(bytes(32)), 0x8A9136AA)
        blocks = 0
        with h5py.File(self.path) as f:
            for split in SPLITS:
                features, labels = f[f"{split}/features"][:], f[f"{split}/labels"][:]
                block = int(f[split].attrs["block_rows"])
                checksums = f[f"{split}/checksums"][:]
                self.assertEqual(len(checksums), -(-len(labels) // block))
                self.assertEqual(f[f"{split}/progress"][:].tolist(), [len(labels)])
                for b, found in enumerate(checksums.tolist()):
                    rows = slice(b * block, (b + 1) * block)
                    self.assertEqual(found, helpers.crc32c(features[rows].tobytes() + labels[rows].tobytes()))
                    blocks += 1
        self.assertGreaterEqual(blocks, 3)


class Classifiers(helpers.Case):
    """What the features are for, in five lines of scikit-learn."""

    def test_accuracy(self):
        if not helpers.has_digits() or not helpers.has_realistic_weights():
            self.skipTest(f"no real digits or weights in {helpers.ASSETS}")
        if ASAN:
            self.skipTest("too few images in a build with sanitizers")
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        weights, _ = helpers.weights_file()
        cache = self.folder / "features.h5"
        dataset = helpers.write_dataset(self.folder / "digits", helpers.digits(1000, 500))
        self.succeed("-q", f"--output={cache}", f"--weights={weights}", dataset)

        f = h5py.File(cache)
        x, y, x_test, y_test = (f[name][:] for name in ("train/features", "train/labels", "test/features", "test/labels"))
        logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200)).fit(x, y)
        neighbours = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(x, y)
        found = logistic.score(x_test, y_test), neighbours.score(x_test, y_test)

        print(f"1000 digits to learn from, 500 to test: logistic regression {found[0]:.3f}, 3-NN {found[1]:.3f}")
        self.assertTrue(found[0] >= 0.94, "measured: 0.972")
        self.assertTrue(found[1] >= 0.88, "measured: 0.924")
        shuffled = np.random.default_rng(1).permutation(y)
        chance = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(x, shuffled).score(x_test, y_test)
        self.assertTrue(chance < 0.3, "labels that tell nothing must not be learnt")


class InfoAndVerify(Cache):
    def test_info(self):
        lines = self.succeed(f"--info={self.path}").stdout.splitlines()
        told = {line.split(None, 1)[0]: line.split(None, 1)[1] for line in lines if len(line.split(None, 1)) == 2}
        with h5py.File(self.path) as f:
            for name in ("classes", "backbone", "layer", "input_size", "resize", "preprocess", "weights_sha256",
                         "weights_source", "engine", "isa", "created_by"):
                self.assertEqual(told[name], str(f.attrs[name]), name)
            text = "\n".join(lines)
            for split in SPLITS:
                part = text[text.index("\n" + split):]
                for name in "images_sha256", "labels_sha256", "source":
                    self.assertIn(f[split].attrs[name], part)
                rows = len(f[f"{split}/labels"])
                self.assertIn(f"{rows} of {rows}", part)
        self.assertEqual(told["cache"], str(self.path))
        self.assertRegex(told["state"], r"^complete, \d+ rows of 2048 features$")
        self.assertIn("28 x 28 pixels", text)

    def test_verify(self):
        before = self.path.read_bytes()
        result = self.succeed(f"--verify={self.path}")
        self.assertEqual(result.stderr, "")
        rows = [len(self.data[split][0]) for split in SPLITS]
        self.assertEqual(result.stdout, f"{self.path}: complete; {rows[0]} training rows and {rows[1]} test rows are as they "
                                        "were written\n")
        self.assertEqual(self.path.read_bytes(), before, "reading changes the file")

    def test_verify_finds_any_flipped_bit(self):
        """In features, labels and checksums of either split: the first, the last, and some between."""
        path = self.copy()
        rng = np.random.default_rng(helpers.SEED)
        flipped = 0
        places = []
        with h5py.File(path) as f:
            for split in SPLITS:
                for name in "features", "labels", "checksums":
                    dataset = f[f"{split}/{name}"]
                    begin, nbytes = dataset.id.get_offset(), dataset.id.get_storage_size()
                    block = int(f[split].attrs["block_rows"])
                    row = nbytes // len(dataset) if name != "checksums" else nbytes
                    for at in (0, nbytes - 1, *rng.integers(0, nbytes, 4).tolist()):
                        first = at // row // block * block if name != "checksums" else at // 4 * block
                        places.append((split, name, begin + at, first))
        for split, name, at, first in places:
            with self.subTest(split=split, name=name, at=at, seed=helpers.SEED):
                bit = 1 << int(rng.integers(0, 8))
                with open(path, "r+b") as f:
                    f.seek(at)
                    byte = f.read(1)[0]
                    f.seek(at)
                    f.write(bytes([byte ^ bit]))
                result = helpers.run(f"--verify={path}")
                self.assert_one_line(result, 1, path, split, f"rows {first} to ", "checksum")
                self.assertEqual(result.stdout, "")
                with open(path, "r+b") as f:
                    f.seek(at)
                    f.write(bytes([byte]))
                flipped += 1
        self.assertEqual(flipped, 36)
        self.succeed(f"--verify={path}")

    def test_label_out_of_range(self):
        """A wrong label under a right checksum is still found."""
        path = self.copy()
        with h5py.File(path, "r+") as f:
            f["test/labels"][3] = 10
            block = int(f["test"].attrs["block_rows"])
            rows = slice(0, block)
            f["test/checksums"][0] = helpers.crc32c(f["test/features"][rows].tobytes() + f["test/labels"][rows].tobytes())
        self.assert_one_line(helpers.run(f"--verify={path}"), 1, "label 10", "row 3 of test", "10 classes")

    def test_damaged_structure(self):
        """Whatever is changed about the structure, it is one line and exit 1, and never a crash."""
        def drop(name):
            return lambda f: f.__delitem__(name)

        def remove(group, name):
            return lambda f: f[group].attrs.__delitem__(name)

        def replace(name, data):
            def change(f):
                del f[name]
                f[name] = data
            return change

        def attribute(group, name, value):
            return lambda f: f[group].attrs.__setitem__(name, value)

        rows = len(self.data["train"][0])
        changes = {
            "no train": drop("train"), "no features": drop("test/features"), "no labels": drop("train/labels"),
            "no checksums": drop("train/checksums"), "no progress": drop("test/progress"),
            "features of another type": replace("train/features", np.zeros((rows, 2048), np.float64)),
            "features of another shape": replace("train/features", np.zeros((rows, 512), np.float32)),
            "features of rank 3": replace("train/features", np.zeros((rows, 2, 1024), np.float32)),
            "fewer labels": replace("train/labels", np.zeros(rows - 1, np.uint8)),
            "labels of another type": replace("train/labels", np.zeros(rows, np.int64)),
            "more checksums": replace("train/checksums", np.zeros(100, np.uint32)),
            "progress too far": replace("train/progress", np.array([1 << 40], np.uint64)),
            "progress behind": replace("train/progress", np.array([49], np.uint64)),
            "progress inside a block": replace("train/progress", np.array([50], np.uint64)),
            "block_rows 0": attribute("train", "block_rows", 0), "block_rows negative": attribute("train", "block_rows", -1),
            "block_rows a text": attribute("train", "block_rows", "49"),
            "block_rows huge": attribute("train", "block_rows", 1 << 62),
            "classes 0": attribute("/", "classes", 0), "classes huge": attribute("/", "classes", 1 << 40),
            "another version": attribute("/", "format_version", 2), "another format": attribute("/", "format", "other"),
            "format a number": attribute("/", "format", 1), "no format": remove("/", "format"),
            "no input_size": remove("/", "input_size"), "no engine": remove("/", "engine"),
            "a long text": attribute("/", "preprocess", "x" * 5000), "no images_sha256": remove("test", "images_sha256"),
        }
        for name, change in changes.items():
            path = self.copy()
            with h5py.File(path, "r+") as f:
                change(f)
            for option in "--info", "--verify":
                with self.subTest(change=name, option=option):
                    self.assert_one_line(helpers.run(f"{option}={path}"), 1, path)

    def test_not_a_cache(self):
        for option in "--info", "--verify":
            with self.subTest(option=option):
                self.assert_one_line(helpers.run(f"{option}={self.folder / 'none.h5'}"), 1, "none.h5", "No such file")
                self.assert_one_line(helpers.run(f"{option}={self.folder}"), 1, self.folder)
                self.assert_one_line(helpers.run(f"{option}={self.weights}"), 1, "not a feature cache")
                text = self.folder / "text.h5"
                text.write_text("not HDF5\n")
                self.assert_one_line(helpers.run(f"{option}={text}"), 1, text)
                text.write_bytes(self.path.read_bytes()[:100000])
                self.assert_one_line(helpers.run(f"{option}={text}"), 1, text)

    def test_partial(self):
        """An unfinished cache can be looked at, and says so."""
        path = self.folder / "c.h5.partial"
        shutil.copy(self.path, path)
        with h5py.File(path, "r+") as f:
            f.attrs.modify("complete", np.int64(0))
            f["test/progress"][0] = 0
        rows = len(self.data["train"][0])
        self.assertIn(f"unfinished, {rows} of {rows + len(self.data['test'][0])} rows", self.succeed(f"--info={path}").stdout)
        self.assertIn(f"unfinished; {rows} training rows and 0 test rows", self.succeed(f"--verify={path}").stdout)

    def test_standard_output_is_full(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for option in f"--info={self.path}", f"--verify={self.path}", "--summary":
            with self.subTest(option=option), open("/dev/full", "w") as full:
                self.assert_one_line(helpers.run(option, stdout=full), 1, "standard output", "No space left")


class OtherFormats(Cache):
    """Caches that other software wrote again: read where the rows stand as extract writes them, and else told as what they
    are."""

    def rewritten(self, name, libver="latest", change=None, **storage):
        """A copy of the cache made by h5py, with `storage` for the features of train."""
        path = self.folder / name
        with h5py.File(self.path) as source, h5py.File(path, "w", libver=libver) as f:
            f.attrs.update(source.attrs)
            for split in SPLITS:
                if storage and split == "train":
                    f.create_group(split).attrs.update(source[split].attrs)
                    for dataset in source[split]:
                        extra = storage if dataset == "features" else {}
                        f[split].create_dataset(dataset, data=source[f"{split}/{dataset}"][:], **extra)
                else:
                    source.copy(split, f)
            if change:
                change(f)
        return path

    def test_newer_format(self):
        path = self.rewritten("latest.h5")
        self.assertEqual(path.read_bytes()[8], 3, "not superblock 3: the case is not what it says")
        listed = [line for line in self.succeed(f"--info={path}").stdout.splitlines() if "latest.h5" not in line]
        wanted = [line for line in self.succeed(f"--info={self.path}").stdout.splitlines() if "cache.h5" not in line]
        self.assertEqual(listed, wanted)
        self.succeed(f"--verify={path}")
        bytes_before = path.read_bytes()
        self.succeed("-q", f"--output={path}", f"--weights={self.weights}", f"--size={SIZE}", "--preprocess=caffe",
                     "--engine=gemm", self.dataset)  # it is there already
        self.assertEqual(path.read_bytes(), bytes_before)
        with h5py.File(path, "r+", libver="latest") as f:
            f["test/features"][3, 7] += 1
        self.assert_one_line(helpers.run(f"--verify={path}"), 1, "damaged")

    def test_newer_format_is_not_gone_on_with(self):
        def unfinished(f):
            f.attrs.modify("complete", np.int64(0))
            f["test/progress"][0] = 0
        partial = self.rewritten("c.h5.partial", change=unfinished)
        bytes_before = partial.read_bytes()
        arguments = ["-q", f"--output={self.folder / 'c.h5'}", f"--weights={self.weights}", f"--size={SIZE}",
                     "--preprocess=caffe", "--engine=gemm", self.dataset]
        self.assert_one_line(helpers.run(*arguments), 1, "superblock 3", "--force")
        self.assertEqual(partial.read_bytes(), bytes_before)
        self.succeed("--force", *arguments)
        self.assertEqual((self.folder / "c.h5").read_bytes(), self.path.read_bytes())

    def test_other_storage(self):
        def nowhere(f):
            del f["train/features"]
            f["train"].create_dataset("features", shape=(len(self.data["train"][0]), 2048), dtype="<f4")

        def elsewhere(f):
            del f["train/features"]
            layout = h5py.VirtualLayout(shape=(len(self.data["train"][0]), 2048), dtype="<f4")
            layout[:] = h5py.VirtualSource(str(self.path), "train/features", shape=layout.shape)
            f["train"].create_virtual_dataset("features", layout)
        cases = {
            "stored in chunks": dict(chunks=(10, 2048)), "compressed or filtered": dict(compression="gzip"),
            "filtered chunks": dict(fletcher32=True), "without storage": dict(change=nowhere),
            "in other files": dict(change=elsewhere),
        }
        for words, storage in cases.items():
            for libver in "earliest", "latest":
                with self.subTest(case=words, libver=libver):
                    path = self.rewritten("stored.h5", libver=libver, **storage)
                    self.assert_one_line(helpers.run(f"--info={path}"), 1, "/train/features", words)

    def test_left_open(self):
        """By a writer that was killed: HDF5 marks files of its newer format."""
        path = self.folder / "open.h5"
        if os.fork() == 0:
            try:
                f = h5py.File(self.rewritten("open.h5"), "r+", libver="latest")
                f.flush()
            finally:
                os._exit(0)
        os.wait()
        self.assert_one_line(helpers.run(f"--info={path}"), 1, "marked as open", "h5clear")

    def test_cut_short(self):
        for name, libver in ("old.h5", "earliest"), ("new.h5", "latest"):
            path = self.rewritten(name, libver=libver)
            path.write_bytes(path.read_bytes()[:-1])
            self.assert_one_line(helpers.run(f"--info={path}"), 1, name, "cut short")


helpers.main(__name__)
