/* weights_foreign: names files that are given as weights and are no HDF5, by their first bytes. It reads
 * none of them. */
#include "common/base/size.h"
#include "common/network/weights_keras.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 4096, TAIL = 65536 };

struct bytes {
    unsigned char head[HEAD], tail[TAIL]; /* the first and the last ones of the file */
    size_t head_count, tail_count;
    uint64_t size;
};

static bool has(const unsigned char *bytes, size_t count, const char *text) {
    return memmem(bytes, count, text, strlen(text)) != NULL;
}

#define TAKE_KERAS "; --weights takes Keras' .h5, which data/get.sh fetches"

/* What begins with these bytes, at this place, is that. */
static const struct magic {
    size_t at, count;
    const char *bytes, *what;
} magics[] = {
    {0, 6, "\223NUMPY", "a NumPy array (.npy)" TAKE_KERAS},
    {0, 6, "\3757zXZ\0", "compressed by xz; unpack it first: xz -dc FILE > vgg16.h5"},
    {0, 3, "BZh", "compressed by bzip2; unpack it first: bzip2 -dc FILE > vgg16.h5"},
    {0, 2, "\037\213", "compressed by gzip; unpack it first: gzip -dc FILE > vgg16.h5"},
    {0, 4, "\050\265\057\375", "compressed by zstd; unpack it first: zstd -dc FILE > vgg16.h5"},
    {0, 6, "7z\274\257\047\034", "a 7-Zip archive; unpack it first"},
    {0, 4, "Rar!", "a RAR archive; unpack it first"},
    {257, 5, "ustar", "a tar archive; unpack it first: tar -xf FILE"},
    {0, 24, "version https://git-lfs.",
     "a Git LFS pointer, not the file that it stands for, which \"git lfs pull\" in its repository fetches"},
    {4, 4, "TFL3", "a TensorFlow Lite model" TAKE_KERAS},
    {0, 4, "GGUF", "a GGUF file" TAKE_KERAS},
    {0, 10, "MATLAB 5.0", "a MATLAB file, not MATLAB 7.3's HDF5" TAKE_KERAS},
    {0, 22, "model_checkpoint_path:", "the list of a TensorFlow checkpoint, without weights" TAKE_KERAS},
    {0, 4, "\0\0\010\003", "an IDX file of images; it goes into the folder of the data set"},
};

/* One line of Python that writes PyTorch's tensors in Keras' order, by torchvision's names; %s loads them. */
#define CONVERSION                                                                                           \
    "; to convert torchvision's VGG16: "                                                                     \
    "python3 -c 'import sys, torch, h5py; f = h5py.File(sys.argv[2], \"w\"); "                               \
    "t = [v for k, v in %s.items() if k.startswith(\"features.\")]; "                                        \
    "[f.create_dataset(f\"layers/conv2d_{i // 2}/vars/{i %% 2}\", "                                          \
    "data=(v.permute(2, 3, 1, 0) if v.ndim == 4 else v).numpy()) for i, v in enumerate(t)]' "                \
    "FILE vgg16.h5, then --weights=vgg16.h5 --preprocess=torch"

static void say_torch(char text[WEIGHTS_FOREIGN], const char *what) {
    int used = snprintf(text, WEIGHTS_FOREIGN, "%s", what);
    snprintf(text + used, WEIGHTS_FOREIGN - (size_t)used, CONVERSION,
             "torch.load(sys.argv[1], map_location=\"cpu\")");
}

/* An archive lists the names of its members at its end. */
static void say_zip(char text[WEIGHTS_FOREIGN], const struct bytes *file) {
    const char *what = "a zip archive; unpack it first";
    if (has(file->tail, file->tail_count, "model.weights.h5"))
        what = "a .keras archive; take the model.weights.h5 inside: unzip FILE model.weights.h5";
    else if (has(file->tail, file->tail_count, ".npy"))
        what = "NumPy arrays (.npz)" TAKE_KERAS;
    if (has(file->head, file->head_count, "/data.pkl") || has(file->tail, file->tail_count, "/data.pkl"))
        say_torch(text, "a PyTorch file (.pth), which holds a program to be run (pickle) and is not read");
    else
        snprintf(text, WEIGHTS_FOREIGN, "%s", what);
}

/* A length of eight bytes, then that much JSON. */
static bool is_safetensors(const struct bytes *file) {
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file->head[i];
    return file->head_count > 9 && file->head[8] == '{' && length >= 2 && length <= file->size - 8;
}

/* Text that servers send in the place of a file. */
static const char *name_text(const struct bytes *file) {
    size_t at = 0;
    if (file->head_count >= 3 && memcmp(file->head, "\357\273\277", 3) == 0) /* the mark of UTF-8 */
        at = 3;
    while (at < file->head_count && isspace(file->head[at]))
        at++;
    const char *text = (const char *)file->head + at;
    if (strncasecmp(text, "<!doctype html", 14) == 0 || strncasecmp(text, "<html", 5) == 0)
        return "a web page (HTML), not weights: the download failed; data/get.sh fetches and checks them";
    if (strncmp(text, "<?xml", 5) == 0 || strncmp(text, "<Error>", 7) == 0)
        return "XML, a server's word on an error: the download failed; data/get.sh fetches and checks them";
    return text[0] == '{' ? "JSON, without weights" TAKE_KERAS : NULL;
}

static bool ends_with(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

/* What else has a form of its own, but no mark at its start. */
static const char *name_other(const char *path, const struct bytes *file) {
    static const unsigned char table[] = {0x57, 0xfb, 0x80, 0x8b,
                                          0x24, 0x75, 0x47, 0xdb}; /* of LevelDB's format */
    const char *name = strrchr(path, '/');
    if ((file->tail_count >= 8 && memcmp(file->tail + file->tail_count - 8, table, 8) == 0) ||
        strstr(name != NULL ? name : path, ".data-000") != NULL)
        return "part of a TensorFlow checkpoint; load it into a model in Python, and save that with "
               "model.save_weights(\"vgg16.weights.h5\")";
    if (has(file->head, size_min(file->head_count, 64), "VGG_ILSVRC") || ends_with(path, ".caffemodel"))
        return "a Caffe model" TAKE_KERAS;
    if (ends_with(path, ".onnx"))
        return "an ONNX model" TAKE_KERAS;
    if (ends_with(path, ".pb"))
        return "a TensorFlow graph; load it into a model in Python, and save that with "
               "model.save_weights(\"vgg16.weights.h5\")";
    return name_text(file);
}

static bool read_bytes(const char *path, struct bytes *file) {
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool done = fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
    *file = (struct bytes){.size = done ? (uint64_t)found.st_size : 0};
    ssize_t head =
        done ? pread(fd, file->head, HEAD - 1, 0) : -1; /* one byte stays 0: it is looked at as text, too */
    off_t at = file->size > TAIL ? (off_t)(file->size - TAIL) : 0;
    ssize_t tail = done ? pread(fd, file->tail, TAIL, at) : -1;
    if (fd >= 0)
        close(fd);
    file->head_count = head > 0 ? (size_t)head : 0;
    file->tail_count = tail > 0 ? (size_t)tail : 0;
    return head > 0 && tail > 0;
}

/* A folder, or the name that the files of a checkpoint share. */
static bool name_missing(const char *path, char text[WEIGHTS_FOREIGN]) {
    char inside[4096];
    snprintf(inside, sizeof inside, "%s/saved_model.pb", path);
    bool saved_model = access(inside, F_OK) == 0;
    snprintf(inside, sizeof inside, "%s.index", path);
    if (!saved_model && (access(path, F_OK) == 0 || access(inside, F_OK) != 0))
        return false;
    snprintf(text, WEIGHTS_FOREIGN,
             "a TensorFlow %s; load it into a model in Python, and save that with "
             "model.save_weights(\"vgg16.weights.h5\")",
             saved_model ? "SavedModel" : "checkpoint");
    return true;
}

bool weights_foreign(const char *path, char text[WEIGHTS_FOREIGN]) {
    static const char legacy_torch[] = "\200\2\212\012\154\374\234\106\371\40\152\250\120\31";
    struct bytes file;
    if (!read_bytes(path, &file))
        return name_missing(path, text);
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (file.head_count >= magics[i].at + magics[i].count &&
            memcmp(file.head + magics[i].at, magics[i].bytes, magics[i].count) == 0) {
            snprintf(text, WEIGHTS_FOREIGN, "%s", magics[i].what);
            return true;
        }
    if (memcmp(file.head, "PK\3\4", 4) == 0) {
        say_zip(text, &file);
        return true;
    }
    if (memcmp(file.head, legacy_torch, sizeof legacy_torch - 1) == 0) {
        say_torch(text, "a PyTorch file (.pth), which holds a program to be run (pickle) and is not read");
        return true;
    }
    if (file.head[0] == 0x80 && file.head[1] >= 2 && file.head[1] <= 5) {
        snprintf(text, WEIGHTS_FOREIGN, "%s",
                 "a Python pickle, which is a program to be run and is not read" TAKE_KERAS);
        return true;
    }
    if (is_safetensors(&file)) {
        int used = snprintf(text, WEIGHTS_FOREIGN, "%s", "a safetensors file, which is not read");
        snprintf(text + used, WEIGHTS_FOREIGN - (size_t)used, CONVERSION,
                 "__import__(\"safetensors.torch\").torch.load_file(sys.argv[1])");
        return true;
    }
    const char *what = name_other(path, &file);
    if (what != NULL)
        snprintf(text, WEIGHTS_FOREIGN, "%s", what);
    return what != NULL;
}
