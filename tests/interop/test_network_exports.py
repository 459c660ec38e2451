#!/usr/bin/env python3
"""The exports of whole networks, each read by software that is not ours: ONNX by onnx's own checker, by ONNX Runtime and by
OpenCV, Keras' weight file by h5py with Keras' rule, the arithmetic then done by PyTorch in float64."""
import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import h5py
import numpy as np

import helpers
import onnxruntime_node
from helpers import ASAN, SLOW

TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())
HERE = helpers.ROOT / "tests" / "interop"
MANUAL = (helpers.ROOT / "train" / "README.md").read_text("utf-8")
ADAM = ["--epochs=20"]
LBFGS = ["--optimizer=lbfgs", "--standardize", "--l2=1e-4", "--epochs=100"]
NAMES = {"onnx": "network.onnx", "keras": "network.h5"}
OUTPUTS = ["probabilities", "features"]
FEATURES = {"gemm": 1e-5, "winograd": 1e-4}  # as test_features has them
# A probability moves by half of what the logits do at most, and these by about the features' error times their own size, 10 to
# 20 here: by 0.5 * 20 * 7e-7 for gemm (measured over 1,000 digits: 5e-6), and by 0.5 * 20 * 1e-5 for winograd (6e-5).
PROBABILITIES = {"gemm": 2e-5, "winograd": 1e-4}
worst = {}


def train(*arguments, **options):
    return subprocess.run([TRAIN, *map(str, arguments)], env=helpers.environment(), capture_output=True, text=True, **options)


def colours(size):
    """Three pictures, red first: what the gray values of digits cannot tell apart."""
    pictures = np.random.default_rng(helpers.SEED).integers(0, 256, (3, 3, size, size)).astype(np.uint8)
    pictures[0] //= np.array([1, 4, 16], np.uint8)[:, None, None]
    return pictures


class Network:
    """A cache of a few digits, a head on it, and what came of both: made once, for all tests."""

    def __init__(self, size, mode, options, engine="gemm", classes=10, counts=(30 // SLOW, 6)):
        self.size, self.mode, self.engine, self.classes = size, mode, engine, classes
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=helpers.SCRATCH))
        self.cache, self.head = self.folder / "features.h5", self.folder / "head.h5"
        weights, self.tensors = helpers.weights_file()
        images, labels, self.images, test_labels = helpers.digits(*counts)
        if classes > 10:
            labels = (labels + 10 * (np.arange(counts[0]) % 2).astype(np.uint8)) % classes
        labels = np.concatenate([[np.uint8(classes - 1)], labels[1:]])  # however few there are
        self.dataset = helpers.write_dataset(self.folder / "data", (images, labels, self.images, test_labels))
        done = helpers.run("-q", f"--output={self.cache}", f"--weights={weights}", f"--engine={engine}", f"--size={size}",
                           f"--preprocess={mode}", self.dataset)
        assert done.returncode == 0, done.stderr
        done = train("-q", *options, f"--output={self.head}", self.cache)
        assert done.returncode == 0, done.stderr
        self.onnx = self.export("onnx")

    def export(self, name):
        path = self.folder / NAMES[name]
        done = train(f"--export={name}", f"--head={self.head}", f"--weights={helpers.weights_file()[0]}", f"--output={path}")
        assert done.returncode == 0, done.stderr
        return path

    def pictures(self):
        """RGB u8[n][3][size][size]: the digits of the test rows, and colours unless float64 takes long for them."""
        gray = np.repeat(helpers.resize_all(self.images, self.size)[:, None], 3, axis=1)
        return np.concatenate([gray, colours(self.size)]) if self.size < 100 else gray

    def predicted(self):
        """Probabilities of the test rows, by --predict."""
        rows = [row for row in csv.reader(train(f"--predict={self.head}", self.cache).stdout.splitlines()) if row[0] == "test"]
        return np.array([[float(value) for value in row[4:]] for row in rows])

    def expected(self):
        """Of the digits: probabilities and features, by our programs."""
        if not hasattr(self, "ours"):
            with h5py.File(self.cache) as f:
                self.ours = self.predicted(), f["test/features"][:]
            assert self.ours[0].shape == (len(self.images), self.classes)
        return self.ours

    def judged(self):
        """Features of the colours, and of the first of them with red and blue exchanged, in float64."""
        if not hasattr(self, "judge"):
            pictures = colours(self.size)
            both = np.concatenate([pictures, pictures[:1, ::-1]])
            features = helpers.torch_features(self.tensors, both, self.mode)
            self.judge = features[:3], features[3:]
        return self.judge


NETWORKS = {
    "adam": lambda: Network(32, "rescale", ADAM),
    "17 classes": lambda: Network(56, "caffe", LBFGS, classes=17),
    "four pixels": lambda: Network(64, "rescale", LBFGS),  # Keras flattens rows, columns, channels
    "odd size": lambda: Network(75, "torch", LBFGS),
    "winograd": lambda: Network(56, "rescale", LBFGS, engine="winograd", counts=(60 // SLOW, 12)),
}
if not ASAN:
    NETWORKS["large"] = lambda: Network(224, "torch", ["--epochs=1", "--learning-rate=1e-6"], counts=(2, 2))
made = {}


def network(name):
    if name not in made:
        made[name] = NETWORKS[name]()
    return made[name]


def run_onnxruntime(node, folder, path, pictures):
    """Both outputs of ONNX Runtime on RGB u8[n][3][size][size]."""
    pictures.astype(np.float32).tofile(folder / "images")
    done = subprocess.run(["node", HERE / "run_onnx.js", path, str(len(pictures)), str(pictures.shape[-1]), folder / "images",
                           folder / "out"], cwd=node, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shapes = json.loads(done.stdout)
    assert (shapes["inputs"], list(shapes["outputs"])) == (["image"], OUTPUTS), shapes
    return [np.fromfile(folder / f"out.{name}", np.float32).reshape(shapes["outputs"][name]) for name in OUTPUTS]


class Exports(helpers.Case):
    def small(self):
        """Copies of the smallest cache and head."""
        some = network("adam")
        return [pathlib.Path(shutil.copy(path, self.folder)) for path in (some.cache, some.head)]

    def export(self, name, head):
        path = self.folder / NAMES[name]
        done = train(f"--export={name}", f"--head={head}", f"--weights={helpers.weights_file()[0]}", f"--output={path}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def check(self, reader, name, probabilities, features):
        """What a reader makes of the first pictures, and of the colours when it was given all of them."""
        some, count = network(name), len(network(name).images)
        wanted_probabilities, wanted_features = (array[:len(features)] for array in some.expected())
        error = helpers.worst_relative(features[:count], wanted_features)
        self.assertTrue(error <= FEATURES[some.engine], f"{error:.3g}")
        self.assertEqual(probabilities[:count].shape, wanted_probabilities.shape)
        difference = np.abs(probabilities[:count] - wanted_probabilities).max()
        worst[reader, name] = max(worst.get((reader, name), (0, 0)), (difference, error))
        self.assertTrue(difference <= PROBABILITIES[some.engine], f"{difference:.3g}")
        if len(features) > count:
            judged, exchanged = some.judged()
            error = helpers.worst_relative(features[count:], judged)
            self.assertTrue(error <= FEATURES["gemm"], f"colours: {error:.3g}")
            self.assertGreater(helpers.worst_relative(features[count:count + 1], exchanged), 1e-2)

    def test_onnx_in_onnxruntime(self):
        node = onnxruntime_node.install() if shutil.which("npm") else None
        if node is None:
            self.skipTest("ONNX Runtime is not there: npm is missing or reaches no registry")
        for name in NETWORKS:
            with self.subTest(network=name):
                found = run_onnxruntime(node, self.folder, network(name).onnx, network(name).pictures())
                self.check("ONNX Runtime", name, *found)

    def test_onnx_in_opencv(self):
        """One picture, all, some: the shape of the first batch must not stick."""
        import cv2
        for name in NETWORKS:
            net, pictures = cv2.dnn.readNetFromONNX(str(network(name).onnx)), network(name).pictures().astype(np.float32)
            for count in (1, len(pictures), 2, 1):
                with self.subTest(network=name, count=count):
                    net.setInput(pictures[:count])
                    self.check("OpenCV", name, *net.forward(OUTPUTS))

    def test_readme_in_opencv(self):
        """The example of train's manual, as it stands."""
        code = re.search(r"^```python\n(import cv2[^`]*readNetFromONNX[^`]*)^```$", MANUAL, re.M).group(1)
        some = network("17 classes")
        (self.folder / "mnist.onnx").symlink_to(some.onnx)
        before, names = os.getcwd(), {"gray": some.images[0]}
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        exec(code, names)  # pylint: disable=exec-used
        self.check("OpenCV", "17 classes", names["probabilities"], names["features"])

    def test_onnx_is_valid(self):
        """By the checker of ONNX itself; and it says what it is."""
        import onnx
        for name in NETWORKS:
            some = network(name)
            with self.subTest(network=name):
                model = onnx.load(str(some.onnx))
                onnx.checker.check_model(model, full_check=True)
                onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
                self.assertEqual((model.ir_version, [(o.domain, o.version) for o in model.opset_import]), (7, [("", 13)]))
                told = {p.key: p.value for p in model.metadata_props}
                with h5py.File(some.cache) as f:
                    self.assertEqual(told["weights_sha256"], f.attrs["weights_sha256"])
                self.assertEqual((told["preprocess"], told["input_size"]), (some.mode, str(some.size)))
                self.assertEqual((told["weights_source"], told["backbone"]), ("weights.h5", "vgg16"))
                self.assertEqual(json.loads(told["class_names"]), [str(c) for c in range(some.classes)])
                self.assertEqual((model.producer_name, bool(model.doc_string)), ("vggcache", True))

    def test_onnx_of_few_forms(self):
        """Kinds of nodes and forms of their attributes that other readers are known to take."""
        import onnx
        known = {"Conv", "Relu", "MaxPool", "Flatten", "Gemm", "Softmax"}
        for name in ("adam", "17 classes", "odd size"):
            model = onnx.load(str(network(name).onnx))
            kinds = {node.op_type for node in model.graph.node}
            self.assertEqual(kinds, known | ({"Transpose"} if network(name).size >= 64 else set()))
            self.assertEqual({tensor.data_type for tensor in model.graph.initializer}, {onnx.TensorProto.FLOAT})
            for node in model.graph.node:
                told = {attribute.name for attribute in node.attribute}
                self.assertEqual(told, {"Conv": {"dilations", "group", "kernel_shape", "pads", "strides"}, "Gemm": {"transB"},
                                        "MaxPool": {"kernel_shape", "pads", "strides"}, "Relu": set(),
                                        "Transpose": {"perm"}}.get(node.op_type, {"axis"}))

    def test_keras(self):
        """Keras' rule: layers in the order of layer_names, of those the ones with weights, their weights by weight_names."""
        some = network("17 classes")
        path = some.export("keras")
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
        for tensor, source in zip(found, some.tensors):
            self.assertEqual(tensor.tobytes(), np.ascontiguousarray(source, "<f4").tobytes())
        features = helpers.torch_features(found[:26], helpers.resize_all(some.images, some.size), some.mode)
        logits = features @ found[26].astype(np.float64) + found[27]
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        difference = np.abs(probabilities - some.expected()[0]).max()
        worst["float64", "keras"] = difference, helpers.worst_relative(some.expected()[1], features)
        self.assertTrue(difference <= PROBABILITIES[some.engine], f"{difference:.3g}")

    def test_keras_goes_back_into_extract(self):
        """The backbone of the file is the one that it came from."""
        cache, head = self.small()
        again = self.folder / "again.h5"
        self.succeed("-q", f"--output={again}", f"--weights={self.export('keras', head)}", "--engine=gemm", "--size=32",
                     network("adam").dataset)
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
        return helpers.tensors_sha256(helpers.weights_file()[1])

    def test_what_is_read_is_not_replaced(self):
        """By whatever name it is called."""
        cache, head = self.small()
        weights, link = self.folder / "weights.h5", self.folder / "link.h5"
        shutil.copy(helpers.weights_file()[0], weights)
        os.symlink(weights, link)
        for path in (head, weights, link):
            for name in ("onnx", "keras"):
                around = path.parent / ".." / path.parent.name / path.name
                self.refused(2, ["would replace what is read"], f"--export={name}", f"--head={head}", f"--weights={weights}", "-o", around)

    def test_random_backbone(self):
        """The head tells it, so that --weights is not needed; heads of before do not."""
        cache, head, out = self.folder / "features.h5", self.folder / "head.h5", self.folder / "network.onnx"
        self.succeed("-q", f"--output={cache}", "--weights=random:7", "--engine=gemm", "--size=32", "--limit=5",
                     network("adam").dataset)
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
        cache, head = self.small()
        head_is, weights_are = f"--head={head}", f"--weights={helpers.weights_file()[0]}"
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
            self.refused(2, ["--epochs does not go with"], export, head_is, "-o", out, "--epochs=3")
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
        self.refused(2, ["--head does not go with"], head_is, cache)
        self.refused(2, ["--weights does not go with"], weights_are, cache)

    def test_full_disk(self):
        cache, head = self.small()
        for name in ("onnx", "keras"):
            with self.subTest(name=name):
                line = (f"ulimit -f 2000; trap '' XFSZ; exec {TRAIN} --export={name} --head={head} "
                        f"--weights={helpers.weights_file()[0]} -o {self.folder}/x{NAMES[name]}")
                done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("x")], [])

    @classmethod
    def tearDownClass(cls):
        for (reader, name), (difference, error) in worst.items():
            print(f"{reader}, {name}: probabilities differ by {difference:.2e}, features by {error:.2e}", flush=True)


helpers.main(__name__)
