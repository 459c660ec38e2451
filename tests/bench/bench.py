#!/usr/bin/env python3
"""bench: images per second of bin/extract beside other software, on the same images, weights, threads and processors.

One VGG16 is written for everybody: Keras' HDF5 for bin/extract, ONNX for ONNX Runtime, .npz for PyTorch. Before anything
is timed, the features of everybody on 16 images are held against PyTorch in float64; if one is wrong, the bench prints by
how much, reports no figure, and exits with 1. Then all run in turn, round after round (A B C A B C ...), each for some
seconds after a warm-up, with a measurement of the machine's multiply-add peak in each round; the features of each timed
run are checked again. A ratio is taken within a round, so that a machine that slows down does so for both.

bin/extract's time is its own report's "seconds": reading, resizing and preprocessing the images, the network, and appending
to the cache; not its start (hashing the data set, loading and transforming the weights) nor the cache's last fsync and
rename. The others' start is not timed either. They get preprocessed images in memory and leave their features there. A
short trial chooses two batch sizes (for PyTorch with the memory layout); both run in each round, and the better counts.

Everything is float32 on the CPU. A child process has exactly as many processors as threads.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from bench_common import (BUILD, HERE, ROOT, Failure, Machine, build_tool, choose_processors, deliver, describe_disturbance,
                          describe_machine, finish, install_missing, lay_out, least_disturbed, listed, need_program, pinned_here,
                          say, show_spread, spread, whole)

PEER_MODULES = {"numpy": "python3-numpy", "h5py": "python3-h5py", "cv2": "python3-opencv", "torch": "python3-torch",
                "onnx": "python3-onnx"}
PEER_PROGRAMS = {"gcc": "gcc", "node": "nodejs", "npm": "npm"}

LAYERS = [("block1_conv1", 3, 64), ("block1_conv2", 64, 64), ("block2_conv1", 64, 128), ("block2_conv2", 128, 128),
          ("block3_conv1", 128, 256), ("block3_conv2", 256, 256), ("block3_conv3", 256, 256), ("block4_conv1", 256, 512),
          ("block4_conv2", 512, 512), ("block4_conv3", 512, 512), ("block5_conv1", 512, 512), ("block5_conv2", 512, 512),
          ("block5_conv3", 512, 512)]
POOLED = {"block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"}

CONTESTANTS = ["winograd", "gemm", "onnxruntime", "torch"]
OURS = "winograd"
CHECKED = 16  # images, half of them from each split
TOLERANCE = 1e-4
SPLITS = ["train", "t10k"]
IMAGES_MAX_NBYTES = 1 << 30  # of preprocessed images in a peer's memory


# ---- What the bench needs ----


def install_peers(contestants):
    install_missing(PEER_MODULES, PEER_PROGRAMS)
    if "onnxruntime" not in contestants:
        return
    lock, installed = HERE / "package-lock.json", BUILD / "package-lock.json"
    stamp = BUILD / "node_modules" / "installed"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    shutil.copy(lock, installed)
    shutil.copy(HERE / "package.json", BUILD / "package.json")
    say("installing ONNX Runtime for Node into build/bench/node_modules")
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=BUILD, check=True,
                   stdout=sys.stderr)
    stamp.write_bytes(lock.read_bytes())


def find_dataset(given):
    if given:
        return pathlib.Path(given)
    assets = pathlib.Path(os.environ.get("VGGCACHE_ASSETS", ROOT.parent / "shared" / "assets"))
    for folder in (assets / "mnist", pathlib.Path("/usr/share/datasets/fashion-mnist")):
        if folder.is_dir():
            return folder
    raise Failure("no data set: name a folder with the four IDX files by --dataset")


def read_images(folder, split, count):
    """The first images of a split, u8[n][h][w]."""
    import numpy
    name = f"{split}-images-idx3-ubyte"
    plain, packed = folder / name, folder / (name + ".gz")
    try:
        with (open(plain, "rb") if plain.exists() else gzip.open(packed, "rb")) as file:
            header = numpy.frombuffer(file.read(16), ">u4")
            if len(header) != 4 or header[0] != 2051:
                raise Failure(f"{folder / name}: not an IDX file of images")
            _, total, height, width = (int(word) for word in header)
            count = min(count, total)
            pixels = numpy.frombuffer(file.read(count * height * width), numpy.uint8)
        return pixels.reshape(count, height, width)
    except (OSError, ValueError) as error:
        raise Failure(f"{folder / name}: {error}") from error


def write_preprocessed(images, size, path):
    """What bin/extract makes of them: resized by OpenCV, gray in three channels, divided by 255; f32[n][3][size][size]."""
    import cv2
    import numpy
    with open(path, "wb") as file:
        for image in images:
            resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
            numpy.broadcast_to(resized.astype(numpy.float32) / numpy.float32(255), (3, size, size)).tofile(file)


# ---- One VGG16 for everybody ----


def random_weights(seed):
    """He-normal kernels, which keep the activations' size, and small biases; {layer: (kernel[3][3][c][k], bias[k])}."""
    import numpy
    rng = numpy.random.default_rng(seed)
    tensors = {}
    for name, channels, kernels in LAYERS:
        kernel = rng.standard_normal((3, 3, channels, kernels), dtype=numpy.float32)
        kernel *= numpy.float32(math.sqrt(2 / (9 * channels)))
        tensors[name] = (kernel, rng.standard_normal(kernels, dtype=numpy.float32) * numpy.float32(0.05))
    return tensors


def keras_weights(path):
    """The first 26 tensors of a Keras file in the layout of layer_names and weight_names."""
    import h5py
    import numpy
    try:
        with h5py.File(path, "r") as file:
            top = file["model_weights"] if "model_weights" in file else file
            found = [numpy.asarray(top[layer][name], numpy.float32) for layer in map(decode, top.attrs["layer_names"])
                     for name in map(decode, top[layer].attrs["weight_names"])]
    except (OSError, KeyError) as error:
        raise Failure(f"{path}: not a Keras weights file with layer_names: {error}") from error
    shapes = [shape for _, c, k in LAYERS for shape in ((3, 3, c, k), (k,))]
    if [tensor.shape for tensor in found[:26]] != shapes:
        raise Failure(f"{path}: the first 26 weights do not have VGG16's shapes")
    return {name: (found[2 * i], found[2 * i + 1]) for i, (name, _, _) in enumerate(LAYERS)}


def decode(text):
    return text.decode() if isinstance(text, bytes) else str(text)


def write_keras(tensors, path):
    import h5py
    import numpy
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = numpy.array([name.encode() for name in tensors])
        for name, (kernel, bias) in tensors.items():
            names = [f"{name}_W_1:0", f"{name}_b_1:0"]
            group = file.create_group(name)
            group.attrs["weight_names"] = numpy.array([text.encode() for text in names])
            group.create_dataset(names[0], data=kernel)
            group.create_dataset(names[1], data=bias)


def write_npz(tensors, path):
    import numpy
    arrays = {f"{name}/{kind}": tensor for name, pair in tensors.items() for kind, tensor in zip(("kernel", "bias"), pair)}
    numpy.savez(path, names=numpy.array(list(tensors)), **arrays)


def write_onnx(tensors, size, path):
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    nodes, initializers, value = [], [], "input"
    for name, (kernel, bias) in tensors.items():
        oihw = numpy.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        initializers += [numpy_helper.from_array(oihw, name + "_kernel"), numpy_helper.from_array(bias, name + "_bias")]
        nodes += [helper.make_node("Conv", [value, name + "_kernel", name + "_bias"], [name], name, pads=[1, 1, 1, 1],
                                   kernel_shape=[3, 3], strides=[1, 1]),
                  helper.make_node("Relu", [name], [name + "_relu"], name + "_relu")]
        value = name + "_relu"
        if name in POOLED:
            pool = name[:6] + "_pool"
            nodes.append(helper.make_node("MaxPool", [value], [pool], pool, kernel_shape=[2, 2], strides=[2, 2]))
            value = pool
    side = size // 32
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, size, size])]
    outputs = [helper.make_tensor_value_info("block5_pool", TensorProto.FLOAT, ["batch", 512, side, side])]
    model = helper.make_model(helper.make_graph(nodes, "vgg16", inputs, outputs, initializers), producer_name="vggcache bench",
                              opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def count_macs(size):
    """Multiply-adds of the direct convolutions of one image."""
    macs = 0
    for name, channels, kernels in LAYERS:
        macs += size * size * 9 * channels * kernels
        size = size // 2 if name in POOLED else size
    return macs


# ---- Right or wrong ----


def worst_error(features, reference):
    """Largest relative error of an image, ||f - ref|| / ||ref||, and which image; infinite for whatever is not a number."""
    import numpy
    if features.shape != reference.shape:
        return math.inf, 0
    worst, where = 0.0, 0
    for i, (feature, wanted) in enumerate(zip(features.astype(numpy.float64), reference)):
        finite = numpy.isfinite(feature).all() and numpy.isfinite(wanted).all() and wanted.any()
        error = float(numpy.linalg.norm(feature - wanted) / numpy.linalg.norm(wanted)) if finite else math.inf
        if not error <= worst:
            worst, where = error, i
    return worst, where


def test_worst_error():
    """The judge must catch what it is there for."""
    import numpy
    right = numpy.random.default_rng(0).random((3, 512)) + 0.5
    wrong = {"a NaN": right.copy(), "an infinity": right.copy(), "zeros": 0 * right, "images in another order": right[::-1],
             "one image too few": right[:2], "one feature off": right.copy()}
    wrong["a NaN"][2, 7], wrong["an infinity"][1, 0] = math.nan, math.inf
    wrong["one feature off"][1, 3] += 0.01
    if worst_error(right.astype(numpy.float32), right)[0] > 1e-6 or worst_error(right, 0 * right)[0] <= TOLERANCE:
        raise Failure("the check itself is broken")
    for what, features in wrong.items():
        if worst_error(features, right)[0] <= TOLERANCE:
            raise Failure(f"the check itself is broken: it lets {what} pass")


# ---- The contestants ----


class Case:
    """One size and number of threads: the files that its contestants share."""

    def __init__(self, work, size, threads, dataset, images):
        self.work, self.size, self.threads, self.dataset, self.images = work, size, threads, dataset, images
        self.macs = count_macs(size)
        self.dim = 512 * (size // 32) ** 2
        self.batches = [1, 8, 16, 32, 64, 128] if size < 112 else [1, 4, 8]
        self.few_batches = [8, 16, 32, 64] if size < 112 else [1, 4, 8]  # with several layouts to try
        self.onnx, self.npz, self.keras = work / f"vgg16-{size}.onnx", work / "vgg16.npz", work / "vgg16.h5"
        self.check, self.resident, self.resident_count = work / f"check-{size}.f32", work / f"images-{size}.f32", 0
        self.reference = None

    def read_features(self, path, dtype):
        """[n][512][h][w] in a file -> the first CHECKED rows, flattened as Keras does: [n][h][w][512]."""
        import numpy
        side = self.size // 32
        features = numpy.fromfile(path, dtype)
        count = features.size // self.dim
        features = features[:count * self.dim].reshape(count, 512, side, side)[:CHECKED]
        return features.transpose(0, 2, 3, 1).reshape(-1, self.dim)


class Extract:
    """bin/extract with one engine. Its variant is always the same: the program as it is."""

    def __init__(self, name, label, engine, program):
        self.name, self.label, self.engine, self.program = name, label, engine, program
        self.version, self.limits, self.peak_rss = "", {}, 0

    def variants(self, case):
        return [{"name": "program", "batch": 0}]

    def _run(self, machine, case, limit, timed):
        import h5py
        import numpy
        cache, report = case.work / f"{self.name}.cache.h5", case.work / f"{self.name}.json"
        machine.run([self.program, f"--engine={self.engine}", f"--weights={case.keras}", f"--size={case.size}",
                     "--preprocess=rescale", f"--threads={case.threads}", f"--limit={limit}", "--force", "--quiet",
                     f"--output={cache}", f"--json={report}", case.dataset], case.threads, timed=timed)
        result = json.loads(report.read_text(encoding="utf-8"))
        if result["engine"] != self.name or result["threads"] != case.threads or not result["images"] > 0:
            raise Failure(f"{self.label}: another engine or number of threads than asked for: {result}")
        with h5py.File(cache, "r") as file:
            if file.attrs["complete"] != 1:
                raise Failure(f"{self.label}: left an unfinished cache")
            rows = [file[split]["features"][:CHECKED // 2] for split in ("train", "test")]
        cache.unlink()
        self.version = f"{self.name} engine, {result['isa']}"
        self.peak_rss = max(self.peak_rss, result["peak_rss_bytes"])
        return {"name": "program", "images": result["images"], "seconds": result["seconds"],
                "checked": numpy.concatenate(rows)}

    def measure(self, machine, case, variants, seconds):
        if seconds == 0:
            return [self._run(machine, case, CHECKED // 2, False)]
        step = case.threads * max(4, 64 * 56 * 56 // case.size ** 2)  # all threads have a block
        if case.images:
            limit = max(CHECKED // 2, case.images // 2)
        elif case not in self.limits:  # how many images take that long: asked once, by a short run
            result = self._run(machine, case, step, False)
            limit = self.limits[case] = step * math.ceil(result["images"] / result["seconds"] * seconds * 1.1 / 2 / step)
        else:
            limit = self.limits[case]
        result = self._run(machine, case, limit, True)
        while not case.images and result["seconds"] < seconds and result["images"] == 2 * limit:  # else the data set ends
            limit = self.limits[case] = step * math.ceil(limit * seconds * 1.2 / result["seconds"] / step)
            result = self._run(machine, case, limit, True)
        return [result]


class Peer:
    """A script in its own process, which measures one variant after another."""

    def __init__(self, name, label, command, model, layouts):
        self.name, self.label, self.command, self.model, self.layouts = name, label, command, model, layouts
        self.version = ""

    def variants(self, case):
        if len(self.layouts) == 1:
            return [{"name": f"batch {batch}", "batch": batch, "layout": self.layouts[0]} for batch in case.batches]
        return [{"name": f"batch {batch} {layout}", "batch": batch, "layout": layout} for layout in self.layouts
                for batch in case.few_batches]

    def measure(self, machine, case, variants, seconds, pinned_blas=False, dtype="float32"):
        job = {"model": str(getattr(case, self.model)), "images": str(case.resident), "image_count": case.resident_count,
               "check": str(case.check), "size": case.size, "threads": case.threads, "seconds": seconds,
               "warmup": min(1, seconds / 4), "variants": []}
        for i, variant in enumerate(variants):
            job["variants"].append({**variant, "dtype": dtype, "check_count": max(CHECKED, variant["batch"]),
                                    "features": str(case.work / f"{self.name}-{i}.features")})
        path = case.work / f"{self.name}.job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        output = machine.run([*self.command, path], case.threads, pinned_blas, timed=seconds > 0)
        answer = json.loads(output.strip().splitlines()[-1])
        self.version = answer["version"]
        for variant, result in zip(job["variants"], answer["results"], strict=True):
            result["checked"] = case.read_features(variant["features"], dtype)
            os.unlink(variant["features"])
        return answer["results"]


def make_contestants(program):
    torch = [sys.executable, HERE / "peer_torch.py"]
    return [Extract("winograd", "vggcache winograd (auto)", "auto", program),
            Extract("gemm", "vggcache gemm (OpenBLAS)", "gemm", program),
            Peer("onnxruntime", "ONNX Runtime", ["node", HERE / "peer_onnxruntime.js"], "onnx", ["nchw"]),
            Peer("torch", "PyTorch", torch, "npz", ["nchw", "channels_last", "frozen"])]


def judge(contestant, case, results):
    """The worst error of some results; stops the bench if it is too large."""
    worst = 0.0
    for result in results:
        error, image = worst_error(result.pop("checked"), case.reference)
        if not error <= TOLERANCE:
            raise Failure(f"{contestant.label} ({result['name']}) is WRONG at {case.size}x{case.size}, {case.threads} threads: "
                          f"relative error {error:.3g} on image {image} (at most {TOLERANCE:g}); no figure is reported")
        worst = max(worst, error)
    return worst


# ---- One size and number of threads ----


def prepare(case, machine, contestants, reference):
    """Writes the check images, has the reference computed, and checks everybody. Returns the worst errors by name."""
    import numpy
    half = [read_images(case.dataset, split, CHECKED // 2) for split in SPLITS]
    images = numpy.concatenate(half)
    if len(images) != CHECKED:
        raise Failure(f"{case.dataset}: fewer than {CHECKED // 2} images in a split")
    repeats = -(-max(CHECKED, *case.batches) // CHECKED)
    write_preprocessed(numpy.tile(images, (repeats, 1, 1)), case.size, case.check)
    variant = {"name": "reference", "batch": CHECKED, "layout": "nchw"}
    # OPENBLAS_* stay as they are for the judge: where they are set, it is because some kernels are not trusted.
    case.reference = reference.measure(machine, case, [variant], 0, pinned_blas=True, dtype="float64")[0]["checked"]
    errors = {}
    for contestant in contestants:
        results = contestant.measure(machine, case, contestant.variants(case), 0)
        errors[contestant.name] = judge(contestant, case, results)
        say(f"{case.size}x{case.size}, {case.threads} threads: {contestant.label} is right, error {errors[contestant.name]:.1e}")
    return errors


def write_resident(case, count):
    """The images that the peers hold in memory: as many of each split as bin/extract reads, as far as memory goes."""
    import numpy
    count = min(count, IMAGES_MAX_NBYTES // (12 * case.size ** 2))
    images = numpy.concatenate([read_images(case.dataset, split, max(count // 2, max(case.batches))) for split in SPLITS])
    write_preprocessed(images, case.size, case.resident)
    case.resident_count = len(images)


def measure_undisturbed(contestant, machine, case, variants, seconds):
    """The best variant's figures."""
    def measure():
        results = contestant.measure(machine, case, variants, seconds)
        judge(contestant, case, results)
        best = max(results, key=lambda result: result["images"] / result["seconds"])
        return {**best, "images_per_second": best["images"] / best["seconds"]}
    return least_disturbed(machine, measure)


def run_case(case, machine, contestants, peak, options):
    """All rounds. Returns the figures, by contestant and round."""
    seconds, chosen, rounds = options.seconds, {}, []
    for contestant in contestants:
        results, variants = [], contestant.variants(case)
        if isinstance(contestant, Extract):
            results = contestant.measure(machine, case, variants, max(0.5, seconds / 4))
            contestant.limits.clear()
            rate = results[0]["images"] / results[0]["seconds"]
            if not case.resident_count:
                write_resident(case, case.images or int(rate * seconds))
        else:
            if not case.resident_count:
                write_resident(case, case.images or 1024)
            passes = [contestant.measure(machine, case, variants, max(0.4, seconds / 8)) for _ in range(2)]
            results = [max(pair, key=lambda result: result["images"] / result["seconds"]) for pair in zip(*passes)]
        judge(contestant, case, results)
        ranked = sorted(zip(results, variants), key=lambda pair: -pair[0]["images"] / pair[0]["seconds"])
        chosen[contestant.name] = [variant for _, variant in ranked[:2]]
        trial = ", ".join(f"{result['name']} {result['images'] / result['seconds']:.1f}" for result, _ in ranked)
        say(f"{case.size}x{case.size}, {case.threads} threads: trial of {contestant.label}: {trial}")
    for number in range(options.rounds):
        peaks = [float(machine.run([peak, case.threads, 0.2], case.threads)) for _ in range(3)]
        figures = {"peak": max(peaks), "runs": {}}
        for contestant in contestants:
            figures["runs"][contestant.name] = measure_undisturbed(contestant, machine, case, chosen[contestant.name], seconds)
        rounds.append(figures)
        rates = ", ".join(f"{name} {run['images_per_second']:.1f}" for name, run in figures["runs"].items())
        say(f"{case.size}x{case.size}, {case.threads} threads: round {number + 1} of {options.rounds}: {rates}")
    case.resident.unlink()
    return rounds


def summarise(case, contestants, rounds, errors):
    rows = []
    for contestant in contestants:
        runs = [figures["runs"][contestant.name] for figures in rounds]
        rates = [run["images_per_second"] for run in runs]
        gflops = [2e-9 * case.macs * rate for rate in rates]
        row = {"contestant": contestant.name, "label": contestant.label, "size": case.size, "threads": case.threads,
               "variants": sorted({run["name"] for run in runs}), "error": errors[contestant.name],
               "images_per_second": spread(rates), "gflops": spread(gflops),
               "share_of_peak": spread([g / figures["peak"] for g, figures in zip(gflops, rounds)]), "rounds": runs}
        if all(OURS in figures["runs"] for figures in rounds):
            ours = [figures["runs"][OURS]["images_per_second"] for figures in rounds]
            row["ratio"] = spread([our / rate for our, rate in zip(ours, rates)])
        rows.append(row)
    return {"size": case.size, "threads": case.threads, "macs": case.macs, "rows": rows,
            "peak_gflops": spread([figures["peak"] for figures in rounds])}


# ---- The report ----


def write_report(report):
    lines, table = [], [["contestant", "best as", "size", "threads", "images/s", f"{OURS} / it", "GFLOP/s", "of peak", "error"]]
    for case in report["cases"]:
        for row in case["rows"]:
            ratio = show_spread(row["ratio"], 2) if "ratio" in row and row["contestant"] != OURS else ""
            table.append([row["label"], ", ".join(row["variants"]), str(row["size"]), str(row["threads"]),
                          show_spread(row["images_per_second"], 1), ratio, f"{row['gflops']['median']:.0f}",
                          f"{100 * row['share_of_peak']['median']:.0f} %", f"{row['error']:.0e}"])
        table.append(["multiply-add peak, measured", "", str(case["size"]), str(case["threads"]), "", "",
                      show_spread(case["peak_gflops"], 0), "", ""])
    machine, settings = report["machine"], report["settings"]
    lines += lay_out(table) + [""]
    lines.append(f"Median (least - greatest) of {settings['rounds']} rounds, all contestants in turn in each; the ratio is taken "
                 "within a round.")
    lines.append("GFLOP/s: 2 x the multiply-adds of direct convolution (" +
                 ", ".join(sorted({f"{case['macs'] / 1e9:.3f} G at {case['size']}x{case['size']}" for case in report["cases"]})) +
                 ") x images/s; Winograd does fewer.")
    lines.append(f"Error: worst ||f - ref|| / ||ref|| of {CHECKED} images against PyTorch in float64, checked before the timing "
                 f"and after each run (at most {TOLERANCE:g}).")
    lines.append("vggcache is timed with reading, resizing and appending to the cache, the others with preprocessed images in "
                 "memory; nobody's start (loading and preparing weights) is timed, nor vggcache's last fsync.")
    images = f", {settings['images']} for vggcache" if settings["images"] else ""
    lines.append(f"Images: {settings['dataset']}{images}. Weights: {settings['weights']}. At least {settings['seconds']:g} s a "
                 "measurement" + (", but for vggcache's." if images else "."))
    lines.append(f"Machine: {describe_machine(machine)}; each contestant may use as many processors as it has threads.")
    lines.append("Versions: " + "; ".join(report["versions"]) + ".")
    runs = [run for case in report["cases"] for row in case["rows"] for run in row["rounds"]]
    lines += describe_disturbance(runs)
    if settings["unset"]:
        lines.append("Unset for the contestants, though set in this environment: " + ", ".join(settings["unset"]) + ".")
    return "\n".join(lines) + "\n"


# ---- The command line ----


def contestant_name(text):
    if text not in CONTESTANTS:
        raise argparse.ArgumentTypeError(f"{text}: must be some of {', '.join(CONTESTANTS)}")
    return text


def seconds_each(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value <= 600:
        raise argparse.ArgumentTypeError(f"{text}: must be from 0.1 to 600")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--rounds", type=whole(1, 1000), default=5, metavar="N", help="default 5")
    parser.add_argument("--sizes", type=listed(whole(32, 512)), default=[56, 224], metavar="N,...", help="default 56,224")
    parser.add_argument("--threads", type=listed(whole(1, 1024)), metavar="N,...",
                        help="default 2,1, or 1 on a machine with one processor")
    parser.add_argument("--seconds", type=seconds_each, default=4.0, metavar="S",
                        help="least time of a measurement, default 4")
    parser.add_argument("--images", type=whole(CHECKED, 1000000), metavar="N",
                        help="so many images for bin/extract instead of as many as take --seconds")
    parser.add_argument("--weights", default="random:1", metavar="FILE", help="Keras weights, or random:SEED (default random:1)")
    parser.add_argument("--dataset", metavar="DIR", help="four IDX files (default: MNIST where it is known, else Fashion-MNIST)")
    parser.add_argument("--contestants", type=listed(contestant_name), default=CONTESTANTS, metavar="NAME,...",
                        help=f"default {','.join(CONTESTANTS)}")
    parser.add_argument("--extract", type=pathlib.Path, default=ROOT / "bin" / "extract", metavar="FILE",
                        help="another build of bin/extract")
    parser.add_argument("--out", type=pathlib.Path, default=BUILD / "result.md", metavar="FILE",
                        help="FILE.md and FILE.json get the results (default build/bench/result)")
    options = parser.parse_args()
    if options.threads is None:
        options.threads = [2, 1] if len(os.sched_getaffinity(0)) > 1 else [1]
    return options


def load_weights(text):
    if text == "random" or text.startswith("random:"):
        seed = text.partition(":")[2] or "1"
        if not seed.isdigit():
            raise Failure(f"--weights={text}: the seed must be a whole number")
        return random_weights(int(seed))
    return keras_weights(text)


def bench(options, work):
    peak, machine, description = build_tool("peak"), Machine(), Machine.describe()
    choose_processors(max(options.threads))
    everybody = make_contestants(options.extract.resolve())
    contestants = [contestant for contestant in everybody if contestant.name in options.contestants]
    dataset, tensors = find_dataset(options.dataset), load_weights(options.weights)
    test_worst_error()
    write_keras(tensors, work / "vgg16.h5")
    write_npz(tensors, work / "vgg16.npz")
    cases = [Case(work, size, threads, dataset, options.images) for size in options.sizes for threads in options.threads]
    for size in set(options.sizes):
        write_onnx(tensors, size, work / f"vgg16-{size}.onnx")
    errors = [prepare(case, machine, contestants, everybody[-1]) for case in cases]  # all of it before anything is timed
    results = [summarise(case, contestants, run_case(case, machine, contestants, peak, options), error)
               for case, error in zip(cases, errors)]
    gcc = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    program = subprocess.run([options.extract, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = [program] + [contestant.version for contestant in contestants] + [f"Python {platform.python_version()}", gcc]
    settings = {"rounds": options.rounds, "seconds": options.seconds, "images": options.images, "dataset": str(dataset),
                "weights": options.weights, "unset": pinned_here()}
    memory = {contestant.name: contestant.peak_rss for contestant in contestants if isinstance(contestant, Extract)}
    return {"machine": description, "settings": settings, "versions": versions,
            "peak_rss_bytes": memory, "cases": results}


def main():
    options = parse_arguments()

    def all_of_it():
        need_program(options.extract)
        install_peers(options.contestants)
        with tempfile.TemporaryDirectory(prefix="work-", dir=BUILD) as work:
            report = bench(options, pathlib.Path(work))
        deliver(report, write_report(report), options.out)
    return finish(all_of_it)


if __name__ == "__main__":
    sys.exit(main())
