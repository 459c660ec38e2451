"""peer_sklearn_fit CACHE VALIDATION_SPLIT L2 TOLERANCE OUT.npz: fits scikit-learn's LogisticRegression by L-BFGS to the
standardized features in float64, and prints how long it took as JSON; kernel and bias go to OUT.npz. Only fit() is timed:
reading and standardizing are not. bench_train.py judges the weights.
"""

import json
import math
import sys
import time

import h5py
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


def main():
    path, split, l2, tolerance, out = sys.argv[1], *map(float, sys.argv[2:5]), sys.argv[5]
    with h5py.File(path, "r") as file:
        x, y = file["train/features"][:], file["train/labels"][:]
    cut = math.floor(len(x) * (1 - split))
    z, y = StandardScaler().fit_transform(x[:cut].astype(np.float64)), y[:cut]
    model = LogisticRegression(C=1 / (2 * l2 * cut), solver="lbfgs", multi_class="multinomial", tol=tolerance, max_iter=5000)
    begin = time.perf_counter()
    model.fit(z, y)
    seconds = time.perf_counter() - begin
    np.savez(out, kernel=model.coef_.T, bias=model.intercept_)
    print(json.dumps({"version": f"scikit-learn {sklearn.__version__}", "seconds": seconds, "iterations": int(model.n_iter_[0])}))


if __name__ == "__main__":
    main()
