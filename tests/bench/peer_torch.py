"""peer_torch JOB.json: runs PyTorch (CPU) on images that lie in memory, already preprocessed, and prints what it measured
as JSON. bench.py writes the job and judges the features; nothing is judged here.

The job is peer_onnxruntime.js's, with the weights as .npz for a model, and in each variant a layout (nchw, channels_last,
or frozen: traced and prepared by torch.jit.optimize_for_inference) and, for the reference, dtype float64.
"""

import json
import sys
import time

import numpy
import torch
from torch.nn.functional import conv2d, max_pool2d


class VGG16(torch.nn.Module):
    """The 13 convolutions with rectifier, and a pooling behind each block; [n][3][s][s] -> block5_pool [n][512][h][w]."""

    def __init__(self, path, dtype, memory_format):
        super().__init__()
        weights = numpy.load(path)
        self.names = [str(name) for name in weights["names"]]
        self.kernels, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for name in self.names:
            kernel = torch.from_numpy(weights[name + "/kernel"]).permute(3, 2, 0, 1)  # [h][w][c][k] -> [k][c][h][w]
            kernel = kernel.to(dtype).contiguous(memory_format=memory_format)
            bias = torch.from_numpy(weights[name + "/bias"]).to(dtype)
            self.kernels.append(torch.nn.Parameter(kernel, requires_grad=False))
            self.biases.append(torch.nn.Parameter(bias, requires_grad=False))
        following = self.names[1:] + ["end"]
        self.pooled = [name[:6] != after[:6] for name, after in zip(self.names, following)]

    def forward(self, x):
        for kernel, bias, pooled in zip(self.kernels, self.biases, self.pooled):
            x = conv2d(x, kernel, bias, padding=1).relu_()
            if pooled:
                x = max_pool2d(x, 2)
        return x


def read_images(path, count, size, dtype, memory_format):
    images = torch.from_numpy(numpy.fromfile(path, numpy.float32, count * 3 * size * size).reshape(count, 3, size, size))
    return images.to(dtype).contiguous(memory_format=memory_format)


def run_for(model, images, batch, seconds):
    """Batch after batch of the images, from the start again when they are used up, until the time is over."""
    usable = len(images) // batch * batch
    begin = time.perf_counter()
    done = elapsed = 0
    while elapsed < seconds:
        first = done % usable
        model(images[first:first + batch])
        done += batch
        elapsed = time.perf_counter() - begin
    return done, elapsed


def run_variant(job, variant):
    dtype = getattr(torch, variant.get("dtype", "float32"))
    memory_format = torch.channels_last if variant["layout"] == "channels_last" else torch.contiguous_format
    batch = variant["batch"]
    model = VGG16(job["model"], dtype, memory_format).eval()
    check = read_images(job["check"], variant["check_count"], job["size"], dtype, memory_format)
    if variant["layout"] == "frozen":
        with torch.no_grad():
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, check[:batch]))
    with torch.inference_mode():
        features = torch.cat([model(check[i:i + batch]).contiguous() for i in range(0, len(check), batch)])
        features.numpy().tofile(variant["features"])
        done = seconds = 0
        if job["seconds"] > 0:
            images = read_images(job["images"], job["image_count"], job["size"], dtype, memory_format)
            run_for(model, images, batch, job["warmup"])
            done, seconds = run_for(model, images, batch, job["seconds"])
    return {"name": variant["name"], "images": done, "seconds": seconds}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    torch.set_num_threads(job["threads"])
    torch.set_num_interop_threads(1)
    results = [run_variant(job, variant) for variant in job["variants"]]
    onednn = "with oneDNN" if torch.backends.mkldnn.is_available() else "without oneDNN"
    print(json.dumps({"version": f"PyTorch {torch.__version__} {onednn}", "results": results}))


if __name__ == "__main__":
    main()
