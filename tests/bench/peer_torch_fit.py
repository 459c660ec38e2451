"""peer_torch_fit CACHE VALIDATION_SPLIT BATCH_SIZE EPOCHS THREADS,...: fits the softmax head as a PyTorch user would, and
prints what it measured as JSON, for each number of threads. bench_train.py judges the losses; nothing is judged here.

The loop is the idiomatic one: all rows in one tensor, a new permutation each epoch, batches by index, nothing recorded but
the validation's loss and accuracy after each epoch. The first epoch of each number of threads warms up and is not timed.
"""

import json
import math
import sys
import time

import h5py
import torch
from torch import nn


def initialized(dim, classes):
    """bin/train's (Keras') distribution of initial weights."""
    torch.manual_seed(0)
    model = nn.Linear(dim, classes)
    nn.init.xavier_uniform_(model.weight)
    nn.init.zeros_(model.bias)
    return model


def fit(x, y, validation_x, validation_y, batch_size, epochs):
    """Seconds and validation loss and accuracy of each epoch."""
    model = initialized(x.shape[1], int(y.max()) + 1)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    history = []
    for _ in range(epochs):
        begin = time.perf_counter()
        perm = torch.randperm(len(x))
        for i in range(0, len(x), batch_size):
            rows = perm[i:i + batch_size]
            xb, yb = x[rows], y[rows]
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            logits = model(validation_x)
            validation_loss = criterion(logits, validation_y).item()
            accuracy = (logits.argmax(1) == validation_y).float().mean().item()
        history.append({"seconds": time.perf_counter() - begin, "val_loss": validation_loss, "val_accuracy": accuracy})
    return history


def main():
    path, split, batch_size, epochs = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    with h5py.File(path, "r") as file:
        x, y = torch.from_numpy(file["train/features"][:]), torch.from_numpy(file["train/labels"][:].astype("int64"))
    cut = math.floor(len(x) * (1 - split))
    torch.set_num_interop_threads(1)
    results = []
    for threads in map(int, sys.argv[5].split(",")):
        torch.set_num_threads(threads)
        fit(x[:cut], y[:cut], x[cut:], y[cut:], batch_size, 1)
        results.append({"threads": threads, "history": fit(x[:cut], y[:cut], x[cut:], y[cut:], batch_size, epochs)})
    print(json.dumps({"version": f"PyTorch {torch.__version__}", "results": results}))


if __name__ == "__main__":
    main()
