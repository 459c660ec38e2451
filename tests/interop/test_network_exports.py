#!/usr/bin/env python3
"""The exports of whole networks, each read by software that is not ours: ONNX by onnx's own checker and by ONNX Runtime,
Keras' weight file by h5py with Keras' rule, the arithmetic then done by PyTorch in float64."""
import csv
import json
import os
import shutil
import subprocess

import h5py
import numpy as np

import helpers
import onnxruntime_node
from helpers import ASAN, SLOW

TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())
HERE = helpers.ROOT / "tests" / "interop"
ADAM = ["--epochs=20"]
LBFGS = ["--optimizer=lbfgs", "--standardize", "--l2=1e-4", "--epochs=100"]
NAMES = {"onnx": "network.onnx", "keras": "network.h5"}
worst = {}


def train(*arguments, **options):
    return subprocess.run([TRAIN, *map(str, arguments)], env=helpers.environment(), capture_output=True, text=True, **options)


class Exports(helpers.Case):
    @classmethod
    def setUpClass(cls):
        cls.node = onnxruntime_node.install() if shutil.which("npm") else None
        cls.weights, cls.tensors = helpers.weights_file()
        cls.count = 1000 // SLOW
        cls.data = helpers.digits(cls.count, cls.count)
        cls.dataset = helpers.write_dataset(helpers.SCRATCH / "exports", cls.data)

    def fit(self, *options, engine="gemm", size=56, mode="rescale", limit=None, classes=None):
        """A cache and a head on it; then (cache, head)."""
        cache, head, dataset = self.folder / "features.h5", self.folder / "head.h5", self.dataset
        if classes:
            images, labels, test_images, test_labels = self.data
            dataset = helpers.write_dataset(self.folder / "data", (images, (labels + images.max(axis=(1, 2)) % 2 * 10) % classes,
                                                                   test_images, test_labels % classes))
        self.succeed("-q", "-f", f"--output={cache}", f"--weights={self.weights}", f"--engine={engine}", f"--size={size}",
                     f"--preprocess={mode}", f"--limit={limit or self.count}", dataset)
        done = train("-q", *options, f"--output={head}", cache)
        self.assertEqual(done.returncode, 0, done.stderr)
        return cache, head

    def export(self, name, head, *options):
        path = self.folder / NAMES[name]
        done = train(f"--export={name}", f"--head={head}", f"--weights={self.weights}", f"--output={path}", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def predicted(self, head, cache):
        """Probabilities of the test rows, by --predict."""
        rows = [row for row in csv.reader(train(f"--predict={head}", cache).stdout.splitlines()) if row[0] == "test"]
        self.assertGreater(len(rows), 0)
        return np.array([[float(value) for value in row[4:]] for row in rows])

    def run_onnx(self, path, pictures):
        """Both outputs of ONNX Runtime on RGB u8[n][3][size][size], or on gray u8[n][size][size], then in all channels."""
        if self.node is None:
            self.skipTest("ONNX Runtime is not there: npm is missing or reaches no registry")
        if pictures.ndim == 3:
            pictures = np.repeat(pictures[:, None], 3, axis=1)
        pictures.astype(np.float32).tofile(self.folder / "images")
        done = subprocess.run(["node", HERE / "run_onnx.js", path, str(len(pictures)), str(pictures.shape[-1]), self.folder / "images",
                               self.folder / "out"], cwd=self.node, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        shapes = json.loads(done.stdout)
        self.assertEqual(shapes["inputs"], ["image"])
        self.assertEqual(list(shapes["outputs"]), ["probabilities", "features"])
        return [np.fromfile(self.folder / f"out.{name}", np.float32).reshape(shapes["outputs"][name])
                for name in ("probabilities", "features")]

    def check_onnx(self, name, *options, **how):
        cache, head = self.fit(*options, **how)
        path = self.export("onnx", head)
        size, limit = how.get("size", 56), how.get("limit", self.count)
        probabilities, features = self.run_onnx(path, helpers.resize_all(self.data[2][:limit], size))
        with h5py.File(cache) as f:
            self.assertLess(helpers.worst_relative(features, f["test/features"][:]), 1e-4)
        difference = np.abs(probabilities - self.predicted(head, cache)).max()
        worst[name] = difference
        self.assertTrue(difference <= 1e-4, f"{difference:.3g}")

    def test_onnx_adam(self):
        self.check_onnx("adam, gemm", *ADAM, limit=100 // SLOW)

    def test_onnx_lbfgs(self):
        """Of few rows (a slow build has but some) the weights are larger, and with them what winograd's rounding becomes."""
        engine = "winograd" if SLOW == 1 else "gemm"
        self.check_onnx(f"lbfgs, {engine}, {self.count} images", *LBFGS, engine=engine)

    def test_onnx_caffe(self):
        self.check_onnx("caffe, lbfgs, gemm", *LBFGS, mode="caffe", limit=60 // SLOW)

    def test_onnx_torch(self):
        self.check_onnx("torch, lbfgs, gemm", *LBFGS, mode="torch", limit=60 // SLOW)

    def test_onnx_of_four_pixels(self):
        """Keras flattens rows, columns, channels."""
        self.check_onnx("size 64", *LBFGS, size=64, limit=60 // SLOW)

    def test_onnx_of_odd_size(self):
        self.check_onnx("size 75", *LBFGS, size=75, limit=40 // SLOW)

    def test_onnx_of_other_classes(self):
        self.check_onnx("17 classes", *LBFGS, classes=17, limit=60 // SLOW)

    def test_onnx_of_colours(self):
        """Red first: what the gray values of digits cannot tell apart."""
        pictures = np.random.default_rng(helpers.SEED).integers(0, 256, (3, 3, 56, 56)).astype(np.uint8)
        pictures[0] //= np.array([1, 4, 16], np.uint8)[:, None, None]
        for mode in helpers.MODES:
            with self.subTest(mode=mode):
                cache, head = self.fit("--epochs=1", mode=mode, limit=5)
                found = self.run_onnx(self.export("onnx", head), pictures)[1]
                difference = helpers.worst_relative(found, helpers.torch_features(self.tensors, pictures, mode))
                self.assertTrue(difference <= 1e-4, f"{difference:.3g}")
                swapped = helpers.worst_relative(found, helpers.torch_features(self.tensors, pictures[:, ::-1], mode))
                self.assertGreater(swapped, 1e-2)

    def test_onnx_is_valid(self):
        """By the checker of ONNX itself; and it says what it is."""
        import onnx
        for mode, size in (("rescale", 56), ("caffe", 64), ("torch", 32)):
            with self.subTest(mode=mode, size=size):
                cache, head = self.fit("--epochs=1", mode=mode, size=size, limit=20)
                model = onnx.load(str(self.export("onnx", head)))
                onnx.checker.check_model(model, full_check=True)
                onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
                self.assertEqual((model.ir_version, [(o.domain, o.version) for o in model.opset_import]), (7, [("", 13)]))
                told = {p.key: p.value for p in model.metadata_props}
                with h5py.File(cache) as f:
                    self.assertEqual(told["weights_sha256"], f.attrs["weights_sha256"])
                self.assertEqual((told["preprocess"], told["input_size"]), (mode, str(size)))
                self.assertEqual((told["weights_source"], told["backbone"]), ("weights.h5", "vgg16"))
                self.assertEqual(json.loads(told["class_names"]), [str(c) for c in range(10)])
                self.assertEqual((model.producer_name, bool(model.doc_string)), ("vggcache", True))

    def test_keras(self):
        """Keras' rule: layers in the order of layer_names, of those the ones with weights, their weights by weight_names."""
        cache, head = self.fit(*LBFGS, limit=100)
        path = self.export("keras", head)
        with h5py.File(path) as f:
            self.assertEqual((f.attrs["backend"], f.attrs["keras_version"].split(".")[0]), ("tensorflow", "2"))
            for name in ("backend", "keras_version"):  # Keras before 2.4 decodes them, and h5py 2 gives bytes for ASCII alone
                self.assertEqual(f.attrs.get_id(name).get_type().get_cset(), h5py.h5t.CSET_ASCII, name)
            layers = [name.decode() for name in f.attrs["layer_names"]]
            weights = [[f[layer][name.decode()][:] for name in f[layer].attrs["weight_names"]] for layer in layers]
        wanted = ["input_1"]
        for name, _, _, pool in helpers.LAYERS:
            wanted += [name] + [name[:6] + "_pool"] * pool
        self.assertEqual(layers, wanted + ["flatten", "dense"])
        found = [weight for layer in weights for weight in layer]
        self.assertEqual(len(found), 28)
        for tensor, source in zip(found, self.tensors):
            self.assertEqual(tensor.tobytes(), np.ascontiguousarray(source, "<f4").tobytes())
        some = 50 // SLOW
        features = helpers.torch_features(found[:26], helpers.resize_all(self.data[2][:some], 56), "rescale")
        logits = features @ found[26].astype(np.float64) + found[27]
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        difference = np.abs(probabilities - self.predicted(head, cache)[:some]).max()
        worst["keras"] = difference
        self.assertTrue(difference <= 1e-4, f"{difference:.3g}")

    def test_keras_goes_back_into_extract(self):
        """The backbone of the file is the one that it came from."""
        cache, head = self.fit("--epochs=1", limit=5)
        again = self.folder / "again.h5"
        self.succeed("-q", f"--output={again}", f"--weights={self.export('keras', head)}", "--engine=gemm", "--limit=5", self.dataset)
        with h5py.File(cache) as f, h5py.File(again) as g:
            self.assertEqual(f.attrs["weights_sha256"], g.attrs["weights_sha256"])
        self.assert_same_bits(self.features(again), self.features(cache))

    def refused(self, status, words, *arguments, **options):
        before = sorted(os.listdir(self.folder))
        done = train(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(str(word), done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def digest(self):
        return helpers.tensors_sha256(self.tensors)

    def test_what_is_read_is_not_replaced(self):
        """By whatever name it is called."""
        cache, head = self.fit("--epochs=1", limit=5)
        weights, link = self.folder / "weights.h5", self.folder / "link.h5"
        shutil.copy(self.weights, weights)
        os.symlink(weights, link)
        for path in (head, weights, link):
            for name in ("onnx", "keras"):
                around = path.parent / ".." / path.parent.name / path.name
                self.refused(2, ["would replace what is read"], f"--export={name}", f"--head={head}", f"--weights={weights}", "-o", around)

    def test_random_backbone(self):
        """The head tells it, so that --weights is not needed; heads of before do not."""
        cache, head, out = self.folder / "features.h5", self.folder / "head.h5", self.folder / "network.onnx"
        self.succeed("-q", f"--output={cache}", "--weights=random:7", "--engine=gemm", "--limit=5", self.dataset)
        self.assertEqual(train("-q", "--epochs=1", f"--output={head}", cache).returncode, 0)
        done = train("--export=onnx", f"--head={head}", "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        whole = out.read_bytes()
        with h5py.File(head, "r+") as f:
            self.assertEqual(f.attrs.pop("cache_weights_source"), "random:7")
        out.unlink()
        self.refused(1, ["--weights"], "--export=onnx", f"--head={head}", "-o", out, cwd=self.folder)
        done = train("--export=onnx", f"--head={head}", "--weights=random:7", "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(len(out.read_bytes()), 58_858_752)
        self.assertGreater(len(whole), len(out.read_bytes()))  # by what it says about the source

    def test_refusals(self):
        cache, head = self.fit("--epochs=1", limit=5)
        head_is, weights_are = f"--head={head}", f"--weights={self.weights}"
        cut, full = self.folder / "cut.h5", head.read_bytes()
        cut.write_bytes(full[:len(full) // 2])
        poisoned = self.folder / "nan.h5"
        shutil.copy(head, poisoned)
        with h5py.File(poisoned, "r+") as f:
            f["dense/dense/bias:0"][3] = np.nan
        strange = self.folder / "strange.h5"
        shutil.copy(head, strange)
        with h5py.File(strange, "r+") as f:
            f.attrs["cache_input_size"] = "96"
        for name in ("onnx", "keras"):
            export, out = f"--export={name}", self.folder / NAMES[name]
            self.refused(2, ["needs an --output"], export, head_is)
            self.refused(2, ["needs a --head"], export, "-o", out)
            self.refused(2, ["takes no CACHE", cache], export, head_is, "-o", out, cache)
            self.refused(2, ["standard output"], export, head_is, "-o", "-")
            self.refused(2, ["--epochs is of no use"], export, head_is, "-o", out, "--epochs=3")
            self.refused(1, ["other weights", "--weights", self.digest(), "random:3"], export, head_is, "--weights=random:3", "-o", out)
            self.refused(1, ["no-such"], export, head_is, "--weights=no-such", "-o", out)
            self.refused(1, ["no-such"], export, "--head=no-such", weights_are, "-o", out)
            self.refused(1, [cut.name], export, f"--head={cut}", weights_are, "-o", out)
            self.refused(1, ["not a finite number"], export, f"--head={poisoned}", weights_are, "-o", out)
            self.refused(1, [strange.name, "96"], export, f"--head={strange}", weights_are, "-o", out)
            self.refused(1, ["feature cache"], export, f"--head={cache}", weights_are, "-o", out)
            self.refused(1, ["no-such"], export, head_is, weights_are, "-o", self.folder / "no-such" / NAMES[name])
        for ending in ("weights.h5", "keras", "onnx", "h5x"):
            self.refused(2, ["NAME.h5"], "--export=keras", head_is, weights_are, "-o", self.folder / f"network.{ending}")
        self.refused(2, ["--head is of no use"], head_is, cache)
        self.refused(2, ["--weights is of no use"], weights_are, cache)

    def test_full_disk(self):
        cache, head = self.fit("--epochs=1", limit=5)
        for name in ("onnx", "keras"):
            with self.subTest(name=name):
                line = f"ulimit -f 2000; trap '' XFSZ; exec {TRAIN} --export={name} --head={head} --weights={self.weights} -o {self.folder}/x{NAMES[name]}"
                done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("x")], [])

    @classmethod
    def tearDownClass(cls):
        for name, difference in worst.items():
            print(f"worst difference of probabilities, {name}: {difference:.2e}", flush=True)


helpers.main(__name__)
