#!/usr/bin/env python3
"""Weight files: the same 26 tensors out of every container that Keras writes give the same digest and the same features;
what is not VGG16's is refused, with one line that names it."""

import gzip
import itertools
import json
import os
import pickle
import re
import shlex
import shutil
import struct
import subprocess
import sys
import unittest
import zipfile

import h5py
import numpy as np

import helpers
from helpers import ASSETS, LAYERS, SCRATCH


def model_layers():
    """(layer name, index of its convolution or None) in the model's order, poolings and input included."""
    layers = [("input_1", None)]
    for l, (name, _, _, pool) in enumerate(LAYERS):
        layers.append((name, l))
        if pool:
            layers.append((name[:6] + "_pool", None))
    return layers


def set_names(group, attribute, texts, strings):
    """A list of strings as an attribute: fixed-length bytes, variable-length UTF-8, or split over several."""
    if strings == "variable":
        group.attrs.create(attribute, np.array(texts, dtype=object), dtype=h5py.string_dtype())
    elif strings == "split" and len(texts) > 1:
        third = -(-len(texts) // 3)
        for i in range(3):
            part = [text.encode() for text in texts[i * third:(i + 1) * third]]
            group.attrs[f"{attribute}{i}"] = np.array(part or [], dtype=None if part else "S1")
    else:
        group.attrs[attribute] = np.array([text.encode() for text in texts], dtype=None if texts else "S1")


def write_keras2(path, tensors, root="/", strings="fixed", names="{layer}/{part}:0", head=True, dtype=np.float32, nested=None):
    """Keras 2: names in attributes, datasets at /LAYER/LAYER/kernel:0; a whole model has it all in /model_weights."""
    with h5py.File(path, "w") as f:
        top = f.require_group(root)
        if root != "/":
            f.attrs["model_config"] = "{}"
            f.attrs["training_config"] = "{}"
        layers = model_layers()
        if nested:  # the backbone as one layer of a model
            group = top.create_group(nested)
            all_names = []
            for name, l in layers:
                if l is not None:
                    for v, part in enumerate(("kernel", "bias")):
                        all_names.append(names.format(layer=name, part=part))
                        group.create_dataset(all_names[-1], data=tensors[2 * l + v].astype(dtype))
            set_names(group, "weight_names", all_names, strings)
            layer_names = [nested]
        else:
            for name, l in layers:
                group = top.create_group(name)
                if l is None:
                    set_names(group, "weight_names", [], strings)
                    continue
                pair = [names.format(layer=name, part=part) for part in ("kernel", "bias")]
                for v in range(2):
                    group.create_dataset(pair[v], data=tensors[2 * l + v].astype(dtype))
                set_names(group, "weight_names", pair, strings)
            layer_names = [name for name, _ in layers]
        if head:
            for name in ("flatten", "dense"):
                top.create_group(name)
            set_names(top["flatten"], "weight_names", [], strings)
            top["dense"].create_dataset("dense/kernel:0", data=np.ones((512, 10), np.float32))
            top["dense"].create_dataset("dense/bias:0", data=np.zeros(10, np.float32))
            set_names(top["dense"], "weight_names", ["dense/kernel:0", "dense/bias:0"], strings)
            layer_names += ["flatten", "dense"]
        set_names(top, "layer_names", layer_names, strings)
        top.attrs["backend"] = "tensorflow"
        top.attrs["keras_version"] = "2.15.0"
        top.create_group("top_level_model_weights").attrs["weight_names"] = np.array([], dtype="S1")
    return path


def write_keras3(path, tensors, prefix="/layers", extra=()):
    """Keras 3's .weights.h5: layers/conv2d_K/vars/0 and /1, named by class and not by layer."""
    with h5py.File(path, "w") as f:
        for l, (name, _, _, _) in enumerate(LAYERS):
            group = f.create_group(f"{prefix}/conv2d{'' if l == 0 else f'_{l}'}/vars")
            group.attrs["name"] = name
            for v in range(2):
                group.create_dataset(str(v), data=tensors[2 * l + v])
        for k in range(5):
            f.create_group(f"{prefix}/max_pooling2d{'' if k == 0 else f'_{k}'}/vars")
        for name in extra:
            group = f.create_group(f"{name}/vars")
            group.create_dataset("0", data=np.ones((512, 10), np.float32))
            group.create_dataset("1", data=np.zeros(10, np.float32))
        f.require_group("/vars")
    return path


# ---- Small files: a constant per layer, which stands in the file as a fill value ----

def constant(l, part):
    return np.float32((1 + l / 100) / (9 * LAYERS[l][1]) if part == 0 else (l + 1) / 1000)


def shape(l, part):
    _, channels, filters, _ = LAYERS[l]
    return (3, 3, channels, filters) if part == 0 else (filters,)


CONSTANTS = [np.full(shape(l, part), constant(l, part)) for l in range(13) for part in (0, 1)]


def put(group, name, dims, value, dtype="<f4"):
    return group.create_dataset(name, shape=dims, dtype=dtype, fillvalue=value)


def put_layer(top, name, weights):
    """A layer of the legacy layout, {name of weight: (shape, value)}, behind those that are there."""
    set_names(top, "layer_names", [n.decode() for n in top.attrs.get("layer_names", [])] + [name], "fixed")
    group = top.create_group(name)
    for weight, (dims, value) in weights.items():
        put(group, weight, dims, value)
    set_names(group, "weight_names", list(weights), "fixed")


def nested(order=range(13), names="{layer}/{part}:0"):
    """The weights of VGG16 as one layer, its convolutions in this order."""
    return {names.format(layer=LAYERS[l][0], part=("kernel", "bias")[part], letter="Wb"[part], number=l + 1):
            (shape(l, part), constant(l, part)) for l in order for part in (0, 1)}


def trainable_first(trainable):
    """The order in which Keras lists the convolutions: those whose name begins with one of these come first."""
    first = [l for l in range(13) if LAYERS[l][0].startswith(tuple(trainable))]
    return first + [l for l in range(13) if l not in first]


def put_flat(top, names="{layer}/{part}:0", group="{layer}"):
    for l, (name, _, _, _) in enumerate(LAYERS):
        put_layer(top, group.format(layer=name, number=l + 1), nested([l], names))


def put_vars(f, path, values, name=None):
    """A layer of Keras 3's layout: [(shape, value), ...]."""
    group = f.create_group(f"{path}/vars")
    if name is not None:
        group.attrs["name"] = name
    for v, (dims, value) in enumerate(values):
        put(group, str(v), dims, value)


def put_keras3(f, prefix, numbers=range(13), order=range(13), named=False):
    for number, l in zip(numbers, order):
        put_vars(f, f"{prefix}/conv2d" + (f"_{number}" if number else ""), [(shape(l, p), constant(l, p)) for p in (0, 1)],
                 LAYERS[l][0] if named else None)


BATCH_NORM = {f"batch_normalization/{w}:0": ((3,), 1) for w in ("gamma", "beta", "moving_mean", "moving_variance")}
NORMALIZATION = {f"{w}:0": ((3,), 1) for w in ("mean", "variance")} | {"count:0": ((), 9)}


def adapter(side=3, channels=1, name="conv2d"):
    return {f"{name}/kernel:0": ((side, side, channels, 3), 0.5), f"{name}/bias:0": ((3,), 0)}


class Weights(helpers.Case):
    @classmethod
    def setUpClass(cls):
        cls.file, tensors = helpers.weights_file()
        # Exact in half precision too, so that a float16 file holds the same numbers.
        cls.half = [t.astype(np.float16).astype(np.float32) for t in tensors]
        cls.tensors = tensors
        cls.dataset = helpers.write_dataset(SCRATCH / "data", helpers.digits(3, 2))

    def arguments(self, weights, cache="cache.h5"):
        return ["-q", "--force", f"--output={self.folder / cache}", f"--weights={weights}", "--size=32", "--engine=gemm",
                self.dataset]

    def accept(self, weights):
        """(digest, features, source) of a cache made with these weights."""
        self.succeed(*self.arguments(weights))
        with h5py.File(self.folder / "cache.h5") as f:
            return f.attrs["weights_sha256"], self.features(self.folder / "cache.h5"), f.attrs["weights_source"]

    def refuse(self, weights, *words):
        result = helpers.run(*self.arguments(weights))
        self.assert_one_line(result, 1, weights, *words)
        self.assertEqual([p.name for p in self.folder.iterdir() if "cache" in p.name], [])
        return result.stderr


class Accepted(Weights):
    def test_all_layouts(self):
        layouts = {
            "notop": lambda p, t: helpers.write_notop(p, t),
            "Keras 2, fixed": lambda p, t: write_keras2(p, t),
            "Keras 2, variable": lambda p, t: write_keras2(p, t, strings="variable"),
            "Keras 2, split": lambda p, t: write_keras2(p, t, strings="split"),
            "Keras 2, no head": lambda p, t: write_keras2(p, t, head=False),
            "Keras 2, whole model": lambda p, t: write_keras2(p, t, root="/model_weights"),
            "Keras 2, whole model, variable": lambda p, t: write_keras2(p, t, root="/model_weights", strings="variable"),
            "Keras 2, backbone as a layer": lambda p, t: write_keras2(p, t, root="/model_weights", nested="vgg16"),
            "Keras 2, backbone as a layer, split": lambda p, t: write_keras2(p, t, nested="vgg16", strings="split"),
            "Keras 3, legacy names": lambda p, t: write_keras2(p, t, names="{layer}/{part}", strings="variable"),
            "Keras 3, deep names": lambda p, t: write_keras2(p, t, names="model/vgg16/{layer}/{part}"),
            "names that tell nothing": lambda p, t: write_keras2(p, t, names="{layer}_x_{part}"),
            "Keras 3": lambda p, t: write_keras3(p, t, extra=("/layers/dense",)),
            "Keras 3, nested": lambda p, t: write_keras3(p, t, prefix="/layers/functional/layers", extra=("/layers/dense",)),
            "float64": lambda p, t: write_keras2(p, t, dtype=np.float64),
            "float16": lambda p, t: write_keras2(p, t, dtype=np.float16),
            "big-endian": lambda p, t: write_keras2(p, t, dtype=np.dtype(">f4")),
        }
        wanted = helpers.tensors_sha256(self.half)
        features = None
        for name, write in layouts.items():
            with self.subTest(layout=name):
                path = self.folder / "weights.h5"
                write(path, self.half)
                digest, found, source = self.accept(path)
                self.assertEqual(digest, wanted)
                self.assertEqual(source, "weights.h5")
                if features is None:
                    features = found
                self.assert_same_bits(found, features)
        gray = helpers.resize_all(np.concatenate(helpers.digits(3, 2)[::2]), 32)
        error = helpers.worst_relative(features, helpers.torch_features(self.half, gray, "rescale"))
        self.assertTrue(error <= 1e-5, error)

    def test_compressed_and_chunked(self):
        path = self.folder / "weights.h5"
        helpers.write_notop(path, self.tensors)
        with h5py.File(path, "r+") as f:
            data = f["block2_conv1/block2_conv1_W_1:0"][:]
            del f["block2_conv1/block2_conv1_W_1:0"]
            f["block2_conv1"].create_dataset("block2_conv1_W_1:0", data=data, chunks=(1, 3, 64, 32), compression="gzip",
                                             compression_opts=1, shuffle=True)
        self.assertEqual(self.accept(path)[0], helpers.tensors_sha256(self.tensors))

    def test_digest_tells_weights_apart(self):
        path = self.folder / "weights.h5"
        shutil.copy(self.file, path)
        with h5py.File(path, "r+") as f:
            f["block5_conv3/block5_conv3_b_1:0"][511] += 1e-3
        changed = [t.copy() for t in self.tensors]
        changed[-1][511] += np.float32(1e-3)
        digest = self.accept(path)[0]
        self.assertEqual(digest, helpers.tensors_sha256(changed))
        self.assertNotEqual(digest, helpers.tensors_sha256(self.tensors))

    def test_random_backbone(self):
        """A seed stands for its weights for ever: the digests are in tests/golden/random_weights.json."""
        golden = json.loads((helpers.GOLDEN / "random_weights.json").read_text())
        for spec, wanted in golden.items():
            with self.subTest(spec=spec):
                digest, _, source = self.accept(spec)
                self.assertEqual(digest, wanted)
                self.assertEqual(source, spec if ":" in spec else spec + ":0")
        self.assertEqual(golden["random"], golden["random:0"])
        self.assertEqual(len(set(golden.values())), len(golden) - 1)


class Arrangements(Weights):
    """Where VGG16 stands in a model, and in which order its weights are listed, makes no difference."""

    def write(self, fill, libver=None):
        path = self.folder / "weights.h5"
        with h5py.File(path, "w", libver=libver) as f:
            fill(f)
        return path

    def assert_same(self, cases):
        wanted = helpers.tensors_sha256(CONSTANTS)
        for name, fill in cases.items():
            with self.subTest(case=name):
                self.assertEqual(self.accept(self.write(fill))[0], wanted)

    def test_trainable_weights_first(self):
        def fill(trainable, root="/"):
            def inner(f):
                put_layer(f.require_group(root), "vgg16", nested(trainable_first(trainable)))
                put_layer(f[root], "dense", {"dense/kernel:0": ((512, 10), 1), "dense/bias:0": ((10,), 0)})
            return inner
        names = [layer[0] for layer in LAYERS]
        cases = {"block5": fill(["block5"]), "blocks 4 and 5": fill(["block4", "block5"]),
                 "block5, whole model": fill(["block5"], "/model_weights"), "block5_conv3": fill(["block5_conv3"])}
        for frozen in "block5_conv1", "block4_conv2", "block3_conv2", "block1_conv1":
            cases[f"all but {frozen}"] = fill([name for name in names if name != frozen])
        self.assert_same(cases)

    def test_forms_of_names(self):
        order = trainable_first(["block4_conv3", "block5"])
        forms = ["{layer}/{part}:0", "{layer}/{part}", "{layer}_{letter}_1:0", "{layer}_{letter}", "vgg16/{layer}/{part}:0",
                 "model_1/vgg16/{layer}/{part}:0", "{layer}_1/{part}:0", "{layer}_2/{part}"]
        self.assert_same({form: lambda f, form=form: put_layer(f, "vgg16", nested(order, form)) for form in forms})

    def test_names_of_the_layers_alone(self):
        def fill(f):
            for l in reversed(range(13)):
                put_layer(f, LAYERS[l][0], nested([l], "{part}:0"))
        self.assert_same({"reversed": fill})

    def test_bias_before_kernel(self):
        def fill(f):
            for l in range(13):
                put_layer(f, LAYERS[l][0], dict(reversed(nested([l]).items())))
        self.assert_same({"bias first": fill})

    def test_own_layers_before(self):
        layers = {"convolution": adapter(), "convolution of RGB": adapter(channels=3), "1x1": adapter(side=1),
                  "batch normalization": BATCH_NORM, "normalization": NORMALIZATION, "lambda": {}}

        def fill(first, then):
            def inner(f):
                put_layer(f, "first", first)
                then(f)
            return inner
        cases = {}
        for name, first in layers.items():
            cases[f"{name}, flat"] = fill(first, put_flat)
            cases[f"{name}, flat, names that tell nothing"] = fill(
                first, lambda f: put_flat(f, "conv2d_{number}/{part}:0", "conv2d_{number}"))
            cases[f"{name}, nested"] = fill(first, lambda f: put_layer(f, "vgg16", nested(trainable_first(["block5"]))))
        self.assert_same(cases)

    def test_order_where_it_leaves_no_choice(self):
        def own_layers(f):
            put_flat(f, "conv2d_{number}/{part}:0", "conv2d_{number}")
            put_layer(f, "top", {"top/kernel:0": ((3, 3, 512, 512), 1), "top/bias:0": ((512,), 0)})
        self.assert_same({
            "a layer each": own_layers,
            "one list, ascending": lambda f: put_layer(f, "net", nested(range(13), "conv2d_{number}/{part}:0")),
        })

    def test_keras3(self):
        def several(*fills):
            return lambda f: [fill(f) for fill in fills]

        def layers(prefix, **options):
            return lambda f: put_keras3(f, prefix, **options)

        def optimizer(f):
            group = f.create_group("optimizer/vars")
            put(group, "0", (), 1)
            for i, (l, part) in enumerate(itertools.product(range(13), (0, 1))):
                put(group, str(i + 1), shape(l, part), 9)

        def own(path, channels=1):
            return lambda f: put_vars(f, path, [((3, 3, channels, 3), 1), ((3,), 0)], "own")
        swapped = [0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11, 12]
        self.assert_same({
            "two levels": layers("/layers/sequential/layers/functional/layers"),
            "an attribute of a model": layers("/backbone/layers"),
            "in a wrapper": layers("/layers/time_distributed/layer/layers"),
            "TensorFlow 2.12": layers("/_layer_checkpoint_dependencies"),
            "TensorFlow 2.13": layers("/_layer_checkpoint_dependencies", numbers=range(0, 26, 2)),
            "own layer, same model": several(layers("/layers", numbers=range(1, 14)), own("/layers/conv2d")),
            "own layer of RGB": several(layers("/layers", numbers=range(1, 14)), own("/layers/conv2d", 3)),
            "own layer, outer model": several(layers("/layers/functional/layers"), own("/layers/conv2d")),
            "names against numbers": layers("/layers", order=swapped, named=True),
            "own layer, names": several(layers("/layers", numbers=range(1, 14), named=True), own("/layers/conv2d")),
            "an optimizer": several(layers("/layers"), optimizer),
            "attributes with VGG16's names": lambda f: [
                put_vars(f, LAYERS[l][0], [(shape(l, p), constant(l, p)) for p in (0, 1)]) for l in range(13)],
        })

    def test_newer_format(self):
        """Superblock 3, as h5py's libver='latest' and h5repack -L write it; and a block of the user's in front."""
        path = self.write(put_flat, libver="latest")
        self.assertEqual(path.read_bytes()[8], 3)
        self.assertEqual(self.accept(path)[0], helpers.tensors_sha256(CONSTANTS))
        for libver in "earliest", "latest":
            with h5py.File(path, "w", libver=libver, userblock_size=1024) as f:
                put_flat(f)
            self.assertEqual(self.accept(path)[0], helpers.tensors_sha256(CONSTANTS))

    def test_links_to_another_file(self):
        inner = self.write(put_flat).rename(self.folder / "inner.h5")

        def fill(f):
            set_names(f, "layer_names", [name for name, _, _, _ in LAYERS], "fixed")
            for name, _, _, _ in LAYERS:
                f[name] = h5py.ExternalLink(inner.name, "/" + name)
        self.assert_same({"external links": fill})
        inner.unlink()
        (self.folder / "cache.h5").unlink()
        self.refuse(self.write(fill), "block1_conv1", "link to another file")


class Theano(Weights):
    """Keras 2 on Theano kept kernels turned by 180 degrees, in the same shape, and said so in an attribute."""

    def write(self, backend, kernels_turned=True, root="/", on="/"):
        path = self.folder / "theano.h5"
        tensors = [t[::-1, ::-1] if t.ndim == 4 and kernels_turned else t for t in self.tensors]
        write_keras2(path, tensors, root=root)
        with h5py.File(path, "r+") as f:
            del f[root].attrs["backend"]
            f[on].attrs["backend"] = backend
        return path

    def test_turned(self):
        wanted = helpers.tensors_sha256(self.tensors)
        cases = {
            "bytes": dict(backend=np.bytes_("theano")), "text": dict(backend="theano"),
            "a list": dict(backend=np.array([b"theano"])),
            "whole model": dict(backend="theano", root="/model_weights", on="/model_weights"),
            "whole model, on the root": dict(backend="theano", root="/model_weights"),
        }
        for name, options in cases.items():
            with self.subTest(case=name):
                digest, features, _ = self.accept(self.write(**options))
                self.assertEqual(digest, wanted)
        gray = helpers.resize_all(np.concatenate(helpers.digits(3, 2)[::2]), 32)
        error = helpers.worst_relative(features, helpers.torch_features(self.tensors, gray, "rescale"))
        self.assertTrue(error <= 1e-5, error)

    def test_not_turned(self):
        wanted = helpers.tensors_sha256(self.tensors)
        for backend in "tensorflow", "cntk", "jax", "torch", "another":
            with self.subTest(backend=backend):
                self.assertEqual(self.accept(self.write(backend, kernels_turned=False))[0], wanted)

    def test_a_whole_models_own_word(self):
        """The group that has layer_names is asked first, as Keras does it."""
        path = self.write("tensorflow", kernels_turned=False, root="/model_weights", on="/model_weights")
        with h5py.File(path, "r+") as f:
            f.attrs["backend"] = "theano"
        self.assertEqual(self.accept(path)[0], helpers.tensors_sha256(self.tensors))

    def test_no_text(self):
        self.refuse(self.write(7), "backend")


class Refused(Weights):
    def spoiled(self, spoil):
        path = self.folder / "spoiled.h5"
        shutil.copy(self.file, path)
        with h5py.File(path, "r+") as f:
            spoil(f)
        return path

    def replaced(self, name, change):
        def spoil(f):
            data = f[name][:]
            del f[name]
            f[name] = change(data)
        return self.spoiled(spoil)

    def test_ends_after_block_3(self):
        if not (ASSETS / "vgg16" / "blocks123.h5").is_file():
            self.skipTest(f"no blocks123.h5 in {ASSETS}")
        self.refuse(ASSETS / "vgg16" / "blocks123.h5", "incomplete", "block4_conv1")

    def test_incomplete(self):
        path = self.folder / "short.h5"
        helpers.write_notop(path, self.tensors)
        with h5py.File(path, "r+") as f:
            f.attrs["layer_names"] = f.attrs["layer_names"][:12]
        self.refuse(path, "incomplete", "block4_conv3")
        with h5py.File(write_keras3(path, self.tensors), "r+") as f:
            del f["layers/conv2d_12/vars/1"]
        self.refuse(path, "incomplete", "block5_conv3")

    def test_dataset_missing(self):
        def spoil(f):
            del f["block3_conv2/block3_conv2_W_1:0"]
        self.refuse(self.spoiled(spoil), "block3_conv2_W_1:0")

    def test_group_missing(self):
        def spoil(f):
            del f["block3_conv2"]
        self.refuse(self.spoiled(spoil), "block3_conv2")

    def test_attribute_missing(self):
        def spoil(f):
            del f["block3_conv2"].attrs["weight_names"]
        self.refuse(self.spoiled(spoil), "weight_names", "block3_conv2")

    def test_attribute_of_numbers(self):
        def spoil(f):
            f.attrs["layer_names"] = np.arange(18)
        self.refuse(self.spoiled(spoil), "layer_names")

    def test_wrong_shape(self):
        path = self.replaced("block2_conv1/block2_conv1_W_1:0", lambda data: data[:, :, :, :127])
        self.refuse(path, "block2_conv1", "kernel", "(3, 3, 64, 128)", "(3, 3, 64, 127)")

    def test_wrong_bias(self):
        path = self.replaced("block4_conv2/block4_conv2_b_1:0", lambda data: data[:, None])
        self.refuse(path, "block4_conv2", "bias", "(512,)", "(512, 1)")

    def test_scalar(self):
        path = self.replaced("block4_conv2/block4_conv2_b_1:0", lambda data: np.float32(1))
        self.refuse(path, "block4_conv2", "bias", "(512,)", "()")

    def test_transposed_kernel(self):
        """As PyTorch and Theano have it."""
        path = self.replaced("block1_conv2/block1_conv2_W_1:0", lambda data: data.transpose(3, 2, 0, 1))
        self.refuse(path, "block1_conv2", "kernel", "(64, 64, 3, 3)")

    def test_whole_numbers(self):
        path = self.replaced("block1_conv1/block1_conv1_b_1:0", lambda data: data.astype(np.int32))
        self.refuse(path, "block1_conv1", "bias", "real")

    def test_not_finite(self):
        for value, word in (np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"):
            with self.subTest(value=value):
                def spoil(f):
                    f["block5_conv2/block5_conv2_W_1:0"][2, 2, 511, 510] = value
                self.refuse(self.spoiled(spoil), "block5_conv2", "kernel", word)

    def test_too_large_for_float32(self):
        """In a float64 file: becomes an infinity when read as float32."""
        def change(data):
            data = data.astype(np.float64)
            data[7] = 1e300
            return data
        self.refuse(self.replaced("block1_conv1/block1_conv1_b_1:0", change), "block1_conv1", "bias", "infinity")

    def test_features_overflow(self):
        path = self.replaced("block1_conv1/block1_conv1_W_1:0", lambda data: data * np.float32(1e38))
        result = helpers.run(*self.arguments(path))
        self.assert_one_line(result, 1, "not finite", " of train: a feature")
        self.assertEqual(list(self.folder.glob("cache*")), [])

    def test_not_hdf5(self):
        path = self.folder / "weights.h5"
        path.write_bytes(b"these are no weights\n" * 1000)
        self.refuse(path, "not an HDF5 file")

    def test_cut_short(self):
        path = self.folder / "weights.h5"
        with open(self.file, "rb") as f:
            path.write_bytes(f.read(1 << 20))
        self.refuse(path, "cut short", str(1 << 20))

    def test_empty(self):
        path = self.folder / "weights.h5"
        path.write_bytes(b"")
        self.refuse(path, "not an HDF5 file")

    def test_missing(self):
        self.refuse(self.folder / "none.h5", "No such file")

    def test_directory(self):
        path = self.folder / "folder.h5"
        path.mkdir()
        self.refuse(path, "a folder")

    def test_keras_zip(self):
        path = self.folder / "model.keras"
        inner = write_keras3(self.folder / "model.weights.h5", [t[..., :1] for t in self.tensors])
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("config.json", "{}")
            z.write(inner, "model.weights.h5")
        self.refuse(path, "model.weights.h5")

    def test_foreign_hdf5(self):
        path = self.folder / "foreign.h5"
        with h5py.File(path, "w") as f:
            f["table"] = np.arange(10)
        self.refuse(path, "without weights")

    def test_a_cache_is_no_weights(self):
        path = self.folder / "other.h5"
        self.succeed("-q", f"--output={path}", f"--weights={self.file}", "--size=32", self.dataset)
        self.refuse(path, "without weights")

    def written(self, fill):
        path = self.folder / "other.h5"
        with h5py.File(path, "w") as f:
            fill(f)
        return path

    def test_ambiguous(self):
        """Names that tell nothing, in one list that may have been sorted, and shapes that leave a choice."""
        def unnamed(order):
            return lambda f: put_layer(f, "net", nested(order, "conv2d_{number}/{part}:0"))

        def two(names):
            def fill(f):
                put_layer(f, "a", nested(range(13), names[0]))
                put_layer(f, "b", nested(range(13), names[1]))
            return fill
        frozen = trainable_first([layer[0] for layer in LAYERS if layer[0] != "block4_conv2"])
        cases = {
            "block4_conv2 frozen": (unnamed(frozen), "conv2d_13", "conv2d_9"),
            "block5 trained": (unnamed(trainable_first(["block5"])), "conv2d_13", "conv2d_1"),
            "two of them": (two(["{layer}/{part}:0", "{layer}_1/{part}:0"]), "/a/block1_conv1", "/b/block1_conv1_1"),
            "two of them, unnamed": (two(["x{number}/{part}:0", "y{number}/{part}:0"]), "/a/x1", "/b/y1"),
            "two of them in Keras 3": (lambda f: [put_keras3(f, "a"), put_keras3(f, "b")], "/a/conv2d", "/b/conv2d"),
        }
        for name, (fill, *words) in cases.items():
            with self.subTest(case=name):
                self.refuse(self.written(fill), "ambiguous", *words)

    def test_relatives(self):
        """Networks like VGG16 are called what they are."""
        def conv(f, name, dims, l):
            put_layer(f, name, {f"{name}/kernel:0": (dims, 1), f"{name}/bias:0": (shape(l, 1), 0)})

        def vgg19(f, names="{layer}"):
            for l, (name, _, _, pool) in enumerate(LAYERS):
                conv(f, names.format(layer=name, number=2 * l), shape(l, 0), l)
                if pool and l > 3:
                    conv(f, names.format(layer=name[:6] + "_conv4", number=2 * l + 1), (3, 3) + shape(l, 0)[3:] * 2, l)

        def depth(channels, names):
            def fill(f):
                for l, (name, _, _, _) in enumerate(LAYERS):
                    conv(f, names.format(layer=name, number=l), shape(l, 0) if l else (3, 3, channels, 64), l)
            return fill

        def transposed(names):
            def fill(f):
                for l, (name, channels, filters, _) in enumerate(LAYERS):
                    put_layer(f, name, {names.format(layer=name, part=w): (dims, 1) for w, dims in (
                        ("W", (filters, channels, 3, 3)), ("b", (filters,)))})
            return fill

        def normalized(f):
            for l in range(13):
                put_layer(f, LAYERS[l][0], nested([l]))
                put_layer(f, f"bn_{l}", {f"bn_{l}/{w}:0": (shape(l, 1), 1) for w in (
                    "gamma", "beta", "moving_mean", "moving_variance")})

        def gist(f):
            f.attrs["nb_layers"] = 37
            for layer, l in zip((1, 3, 6, 8, 11, 13, 15, 18, 20, 22, 25, 27, 29), range(13)):
                put(f, f"layer_{layer}/param_0", (LAYERS[l][2], LAYERS[l][1], 3, 3), 1)
                put(f, f"layer_{layer}/param_1", shape(l, 1), 1)

        def bfloat16(f):
            put_keras3(f, "layers")
            del f["layers/conv2d_3/vars/0"]
            put(f, "layers/conv2d_3/vars/0", shape(3, 0), None, "V2").attrs["dtype"] = "bfloat16"
        cases = {
            "VGG19": (vgg19, "VGG19", "block3_conv4"),
            "VGG19, unnamed": (lambda f: vgg19(f, "conv2d_{number}"), "VGG19"),
            "gray": (depth(1, "{layer}"), "pictures of 1 channel,", "(3, 3, 1, 64)"),
            "four channels, unnamed": (depth(4, "conv2d_{number}"), "pictures of 4 channels,"),
            "th kernels": (transposed("{layer}_{part}"), "(64, 3, 3, 3)", "Theano and PyTorch", "tf_kernels"),
            "batch normalization": (normalized, "batch normalization"),
            "before Keras 1": (gist, "layer_1/param_0", "Theano"),
            "bfloat16": (bfloat16, "bfloat16", "float32"),
            "a head": (lambda f: put_layer(f, "dense", {"dense/kernel:0": ((512, 10), 1)}), "no convolutions"),
        }
        for name, (fill, *words) in cases.items():
            with self.subTest(case=name):
                self.refuse(self.written(fill), *words)

    def test_foreign_files(self):
        """Named by their first bytes, whatever they are called."""
        header = json.dumps({"features.0.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        files = {
            "page.h5": (b"\n<!DOCTYPE html>\n<html>Not found</html>", "web page", "data/get.sh"),
            "error.h5": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML", "download failed"),
            "pointer.h5": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS", "git lfs pull"),
            "packed.h5": (gzip.compress(b"x" * 1000), "gzip -dc"), "packed.xz": (b"\xfd7zXZ\0\0\0\0\0", "xz -dc"),
            "packed.bz2": (b"BZh91AY&SY", "bzip2 -dc"), "packed.zst": (b"\x28\xb5\x2f\xfd\0\0", "zstd -dc"),
            "list.json": (b'{"class_name": "Functional"}', "JSON"),
            "old.pth": (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch", "python3 -c"),
            "any.pkl": (pickle.dumps([1, 2]), "pickle"), "one.npy": (b"\x93NUMPY\x01\0v\0{}", "NumPy array"),
            "model.safetensors": (struct.pack("<Q", len(header)) + header + bytes(4), "safetensors", "python3 -c"),
            "model.ckpt.index": (bytes(40) + bytes.fromhex("57fb808b247547db"), "TensorFlow checkpoint"),
            "model.ckpt.data-00000-of-00001": (b"\1\2\3" * 99, "TensorFlow checkpoint"),
            "checkpoint": (b'model_checkpoint_path: "model"\n', "TensorFlow checkpoint"),
            "model.tflite": (b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite"),
            "vgg.caffemodel": (b"\n\x0fVGG_ILSVRC_16_layers", "Caffe"), "vgg.onnx": (b"\x08\x07\x12\x07pytorch", "ONNX"),
            "vgg.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "MATLAB"),
        }
        for name, (content, *words) in files.items():
            with self.subTest(file=name):
                (self.folder / name).write_bytes(content)
                self.refuse(self.folder / name, *words)
        for name, members, words in (("weights.npz", ["conv1_1_W.npy"], ["NumPy arrays"]),
                                     ("any.zip", ["a.txt"], ["zip archive"]),
                                     ("new.pth", ["archive/data.pkl", "archive/data/0"], ["PyTorch", "python3 -c"])):
            with self.subTest(file=name):
                with zipfile.ZipFile(self.folder / name, "w") as z:
                    for member in members:
                        z.writestr(member, "x" * 100)
                self.refuse(self.folder / name, *words)
        self.refuse(self.folder / "model.ckpt", "TensorFlow checkpoint")
        (self.folder / "saved").mkdir()
        self.refuse(self.folder / "saved", "folder")
        (self.folder / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
        self.refuse(self.folder / "saved", "SavedModel")

    def test_line_that_converts(self):
        """The line of Python that the message on a .pth file gives does what it says."""
        import torch
        state = {}
        for layer, l in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), range(13)):
            state[f"features.{layer}.weight"] = torch.from_numpy(self.tensors[2 * l].transpose(3, 2, 0, 1).copy())
            state[f"features.{layer}.bias"] = torch.from_numpy(self.tensors[2 * l + 1])
        state["classifier.0.weight"] = torch.zeros(2, 2)
        for new in True, False:
            path, converted = self.folder / "vgg16.pth", self.folder / "vgg16.h5"
            torch.save(state, path, _use_new_zipfile_serialization=new)
            line = re.search(r"(python3 -c .*) FILE vgg16\.h5,", self.refuse(path, "PyTorch")).group(1)
            command = shlex.split(line)
            subprocess.run([sys.executable, *command[1:], path, converted], check=True)
            self.succeed(*self.arguments(converted, "converted.h5"))
            with h5py.File(self.folder / "converted.h5") as f:
                self.assertEqual(f.attrs["weights_sha256"], helpers.tensors_sha256(self.tensors))
            os.remove(self.folder / "converted.h5")

    def test_other_network(self):
        """A file as Keras writes it, of another model."""
        path = self.folder / "resnet.h5"
        with h5py.File(path, "w") as f:
            f.attrs["layer_names"] = np.array([b"conv1"])
            group = f.create_group("conv1")
            group.attrs["weight_names"] = np.array([b"conv1/kernel:0", b"conv1/bias:0"])
            group["conv1/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)
            group["conv1/bias:0"] = np.zeros(64, np.float32)
        self.refuse(path, "block1_conv1", "(3, 3, 3, 64)", "(7, 7, 3, 64)")


helpers.main(__name__)
