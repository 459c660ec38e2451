/* head_io: trained heads in HDF5 files.
 *
 * Format, version 1: the layout of a Keras weight file that holds one Dense layer called "dense",
 *
 *   /                      layer_names = ["dense"]
 *   /dense                 weight_names = ["dense/kernel:0", "dense/bias:0"]
 *   /dense/dense/kernel:0  float32 [dim][classes];  /dense/dense/bias:0  float32 [classes]
 *
 * and on / also: format = "vggcache-head", format_version = 1, created_by, class_names (a list of strings), how it was
 * trained (the attributes of settings.h, those that are optional only where they are not 0; isa; penalty, of a
 * standardized head: what --l2 added to the loss, which was l2 * the squares of the kernel before the features' scale
 * was folded in), and what features it is for: each attribute of
 * cache_provenance(), its name behind "cache_", and for people cache_weights_source, which is not compared
 * and which older heads lack. Equal heads, equal bytes. */
#ifndef TRAIN_HEAD_HEAD_IO_H
#define TRAIN_HEAD_HEAD_IO_H

#include "common/base/status.h"
#include "common/cache/cache.h"
#include "train/head/head.h"
#include "train/head/settings.h"
#include <stdbool.h>

/* How a head was trained. */
struct head_io_training {
    struct settings settings;
    char isa[16];   /* of the kernels */
    double penalty; /* of a standardized head only: what l2 added to the loss */
};

/* What features a head is for, as its file tells: the attributes of cache_provenance(), then weights_source
 * if it is told, and some of them by name. And what its classes are called. */
enum { HEAD_IO_SOURCES = 16 };
struct head_io_source {
    size_t count;
    char names[HEAD_IO_SOURCES][CACHE_TEXT], values[HEAD_IO_SOURCES][CACHE_SOURCE];
    uint64_t input_size;
    const char *preprocess, *weights_sha256, *weights_source; /* of values; "" when the file does not tell */
    char **class_names;
    size_t class_count; /* the head's classes */
};

/* Writes a head under a partial name, then publishes it as `path`. STATUS_IO, STATUS_NO_MEMORY. */
enum status head_io_write(const char *path, const struct head *head, const struct head_io_training *training,
                          const struct cache_info *info);

/* Reads a head for the features of the cache `info`, which is called `cache_path` in messages.
 * STATUS_MISMATCH when it was trained on features made in another way, naming each attribute that differs
 * with both values; STATUS_FORMAT, STATUS_IO, STATUS_NO_MEMORY. Freed with head_free(). */
enum status head_io_read(const char *path, const struct head_kernels *kernels, const struct cache_info *info,
                         const char *cache_path, struct head *head_ret,
                         struct head_io_training *training_ret);

/* Like head_io_read(), but for no cache in particular: the shape is the file's own, and *source_ret receives
 * what features it is for. The struct must not be copied, because it points into itself; freed with
 * head_io_source_free(), which is harmless on a zeroed struct. */
enum status head_io_load(const char *path, const struct head_kernels *kernels, struct head *head_ret,
                         struct head_io_source *source_ret);
void head_io_source_free(struct head_io_source *source);

#endif
