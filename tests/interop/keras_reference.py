"""Keras' fit() of a Dense softmax head, line by line in NumPy float64, and what it takes to feed it: the programs' random
numbers (common/base/rng.h) and a writer of feature caches (common/cache/cache.h). All of it is written from the descriptions,
not from the C code, so that the two check each other."""

import math

import h5py
import numpy as np

MASK = (1 << 64) - 1


# ---- common/base/rng.h: xoshiro256++, seeded by splitmix64; Lemire's bounded numbers; Fisher-Yates ----

class Rng:
    def __init__(self, seed, stream):
        state, scrambled = self.splitmix64(stream & MASK)
        state = (seed ^ scrambled) & MASK
        self.s = []
        for _ in range(4):
            state, word = self.splitmix64(state)
            self.s.append(word)

    @staticmethod
    def splitmix64(state):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return state, z ^ (z >> 31)

    def next(self):
        def rotl(x, k):
            return ((x << k) | (x >> (64 - k))) & MASK
        s = self.s
        result = (rotl((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return result

    def below(self, bound):
        product = self.next() * bound
        if product & MASK < bound:
            threshold = (1 << 64) % bound
            while product & MASK < threshold:
                product = self.next() * bound
        return product >> 64

    def uniform(self):
        return (self.next() >> 11) * 2.0 ** -53

    def permutation(self, count):
        order = list(range(count))
        for i in range(count, 1, -1):
            j = self.below(i)
            order[i - 1], order[j] = order[j], order[i - 1]
        return np.array(order)


def glorot_uniform(dim, classes, seed):
    """keras.initializers.GlorotUniform's distribution, drawn from stream 0 of the seed in the order [dim][classes]."""
    rng = Rng(seed, 0)
    limit = math.sqrt(6.0 / (dim + classes))
    draws = [(2 * rng.uniform() - 1) * limit for _ in range(dim * classes)]
    return np.array(draws, np.float32).astype(np.float64).reshape(dim, classes)


# ---- keras.optimizers ----

class Adam:
    def __init__(self, learning_rate=0.001):
        self.rate, self.t, self.m, self.v = learning_rate, 0, {}, {}

    def begin_step(self):
        self.t += 1

    def apply(self, key, w, g):
        beta1, beta2, epsilon = 0.9, 0.999, 1e-7
        m = self.m.setdefault(key, np.zeros_like(w))
        v = self.v.setdefault(key, np.zeros_like(w))
        alpha = self.rate * math.sqrt(1 - beta2 ** self.t) / (1 - beta1 ** self.t)
        m += (g - m) * (1 - beta1)
        v += (g ** 2 - v) * (1 - beta2)
        w -= alpha * m / (np.sqrt(v) + epsilon)


class SGD:
    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False):
        self.rate, self.momentum, self.nesterov, self.u = learning_rate, momentum, nesterov, {}

    def begin_step(self):
        pass

    def apply(self, key, w, g):
        if self.momentum == 0:
            w -= self.rate * g
            return
        u = self.u.setdefault(key, np.zeros_like(w))
        u *= self.momentum
        u -= self.rate * g
        if self.nesterov:
            w += self.momentum * u - self.rate * g
        else:
            w += u


# ---- sklearn.preprocessing.StandardScaler ----

def moments(features):
    """Mean and deviation of each feature; that of a constant one is infinite, so that it becomes 0."""
    features = features.astype(np.float64)
    constant = features.min(axis=0) == features.max(axis=0)
    return features.mean(axis=0), np.where(constant, np.inf, features.std(axis=0))


# ---- keras.Model.fit and evaluate ----

def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def split_at(rows, fraction):
    return int(math.floor(rows * (1.0 - fraction))) if fraction else rows


def evaluate(kernel, bias, features, labels, l2=0.0):
    logits = features @ kernel + bias
    losses = -log_softmax(logits)[np.arange(len(labels)), labels]
    return losses.mean() + l2 * (kernel ** 2).sum(), (logits.argmax(axis=1) == labels).mean()


def fit(features, labels, classes, optimizer, epochs, batch_size, validation_split=0.0, l2=0.0, seed=0, patience=0,
        class_weight=None, schedule=None):
    """Returns (history, kernel, bias), with `patience` as keras.callbacks.EarlyStopping with restore_best_weights does; history rows are (loss, accuracy, val_loss, val_accuracy)."""
    features = features.astype(np.float64)
    cut = split_at(len(labels), validation_split)
    x, y, val_x, val_y = features[:cut], labels[:cut], features[cut:], labels[cut:]
    kernel, bias = glorot_uniform(features.shape[1], classes, seed), np.zeros(classes)
    history, best = [], (math.inf, 0, None, None)  # lowest loss, epochs since, its weights
    for epoch in range(1, epochs + 1):
        if schedule:
            optimizer.rate = schedule(epoch - 1)  # keras.callbacks.LearningRateScheduler
        order = Rng(seed, epoch).permutation(cut)
        loss_sum = accuracy_sum = weight_sum = 0.0
        for begin in range(0, cut, batch_size):
            rows = order[begin:begin + batch_size]
            batch_x, batch_y = x[rows], y[rows]
            logits = batch_x @ kernel + bias
            log_p = log_softmax(logits)
            weight = np.ones(len(rows)) if class_weight is None else class_weight[batch_y]
            loss = -(weight * log_p[np.arange(len(rows)), batch_y]).sum() / len(rows) + l2 * (kernel ** 2).sum()
            loss_sum += loss * len(rows)
            accuracy_sum += (logits.argmax(axis=1) == batch_y).sum()
            weight_sum += len(rows)
            error = np.exp(log_p)
            error[np.arange(len(rows)), batch_y] -= 1
            error *= weight[:, None] / len(rows)
            kernel_gradient = batch_x.T @ error + 2 * l2 * kernel
            bias_gradient = error.sum(axis=0)
            optimizer.begin_step()
            optimizer.apply("kernel", kernel, kernel_gradient)
            optimizer.apply("bias", bias, bias_gradient)
        line = [loss_sum / weight_sum, accuracy_sum / weight_sum]
        line += evaluate(kernel, bias, val_x, val_y, l2) if len(val_y) else (None, None)
        history.append(line)
        if patience:
            if line[2] < best[0]:
                best = line[2], 0, kernel.copy(), bias.copy()
            else:
                best = best[0], best[1] + 1, *best[2:]
            if best[1] >= patience:
                break
    return (history, *best[2:]) if patience else (history, kernel, bias)


# ---- common/cache/cache.h: a writer of caches ----

def crc32c_step(register, byte):
    """The register of CRC-32C (reflected polynomial 0x82F63B78) behind one more byte, for arrays of both."""
    return CRC32C_TABLE[(register ^ byte) & 0xFF] ^ (register >> np.uint32(8))


CRC32C_TABLE = np.arange(256, dtype=np.uint32)
for _ in range(8):
    CRC32C_TABLE = (CRC32C_TABLE >> np.uint32(1)) ^ (CRC32C_TABLE & np.uint32(1)) * np.uint32(0x82F63B78)


def crc32c_blocks(blocks):
    """CRC-32C of each row of blocks[n][nbytes]. The register is linear in what went in: each row is cut into pieces, which
    begin at zero and are done at once, byte by byte; then neighbours are joined, the left one as if zeros followed it."""
    count, nbytes = blocks.shape
    pieces = 1 << (nbytes // 256).bit_length()
    length = -(-nbytes // pieces)
    padded = np.zeros((count, pieces * length), np.uint8)  # zeros in front change nothing
    padded[:, -nbytes:] = blocks
    padded[:, -nbytes:][:, :4] ^= 0xFF  # as a register that begins with ones
    register = np.zeros(count * pieces, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(-1, length).T):
        register = crc32c_step(register, column)
    behind = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)  # of each byte of a register
    for _ in range(length):
        behind = crc32c_step(behind, np.uint32(0))

    def shifted(registers):
        return np.bitwise_xor.reduce([behind[i][(registers >> np.uint32(8 * i)) & 0xFF] for i in range(4)])

    register = register.reshape(count, pieces)
    while register.shape[1] > 1:
        register = shifted(register[:, ::2]) ^ register[:, 1::2]
        behind = shifted(behind)
    return register[:, 0] ^ np.uint32(0xFFFFFFFF)


assert crc32c_blocks(np.frombuffer(b"123456789", np.uint8)[None])[0] == 0xE3069283  # the usual check value


def block_checksums(features, labels, block_rows):
    """CRC-32C of the features, then the labels, of each block of rows."""
    sums = []
    whole = len(labels) // block_rows
    for begin, end, rows in ((0, whole * block_rows, block_rows),
                             (whole * block_rows, len(labels), len(labels) - whole * block_rows)):
        if begin == end:
            continue
        count = (end - begin) // rows
        parts = [np.ascontiguousarray(a[begin:end]).view(np.uint8).reshape(count, -1) for a in (features, labels)]
        sums.append(crc32c_blocks(np.concatenate(parts, axis=1)))
    return np.concatenate(sums)


PROVENANCE = {"backbone": "vgg16", "layer": "block5_pool", "input_size": 56, "resize": "opencv-linear",
              "preprocess": "rescale", "weights_sha256": "ab" * 32}


def write_cache(path, train, test, classes=10, block_rows=64, complete=True, progress=None, **provenance):
    """train and test are (features float32 [rows][dim], labels [rows]); progress = (train rows, test rows) so far."""
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        root = {"format": "vggcache", "created_by": "keras_reference.py", "weights_source": "a test",
                "engine": "reference", "isa": "double", **PROVENANCE, **provenance}
        for name, value in root.items():
            file.attrs[name] = value
        file.attrs["format_version"] = 1
        file.attrs["classes"] = classes
        file.attrs["complete"] = int(complete)
        for index, (name, (features, labels)) in enumerate((("train", train), ("test", test))):
            features = np.ascontiguousarray(features, "<f4")
            labels = np.ascontiguousarray(labels, "u1" if classes <= 256 else "<u2")
            group = file.create_group(name)
            for attribute in ("images_sha256", "labels_sha256"):
                group.attrs[attribute] = "cd" * 32
            group.attrs["source"] = "a test"
            group.attrs["image_height"] = group.attrs["image_width"] = 28
            group.attrs["block_rows"] = block_rows
            group["features"] = features
            group["labels"] = labels
            group["checksums"] = block_checksums(features, labels, block_rows).astype("<u4")
            rows = len(labels) if progress is None else progress[index]
            group["progress"] = np.array([rows], "<u8")


def make_rows(rows, dim, classes, seed, noise=1.0):
    """Features like a rectifier's: not negative, many zeros, clusters that overlap."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1234).normal(size=(classes, dim))
    labels = random.integers(0, classes, rows)
    features = np.maximum(centres[labels] * 0.5 + noise * random.normal(size=(rows, dim)), 0)
    return features.astype(np.float32), labels
