/* export: the features and labels of a cache in files for other software. It computes nothing: each number is
 * the cache's, bit for bit in NPY and with the nine digits that give it back in SVMlight.
 *
 *   npy        NumPy's format 1.0, for numpy.load():
 *              PREFIX-train-features.npy, PREFIX-test-features.npy    float32 [rows][dim], C order
 *              PREFIX-train-labels.npy, PREFIX-test-labels.npy        uint8 [rows] (uint16 past 256 classes)
 *   svmlight   text, for LIBLINEAR, LIBSVM and sklearn.datasets.load_svmlight_file():
 *              PREFIX-train.svmlight, PREFIX-test.svmlight            a line per row, "LABEL INDEX:VALUE
 * ...", indices from 1, zeros left out */
#ifndef TRAIN_EXPORT_EXPORT_H
#define TRAIN_EXPORT_EXPORT_H

#include "common/base/status.h"
#include "common/cache/cache.h"

/* EXPORT_ONNX and EXPORT_KERAS are whole networks (export_model.h), the others features. */
enum export_format { EXPORT_NPY, EXPORT_SVMLIGHT, EXPORT_ONNX, EXPORT_KERAS, EXPORT_FORMATS };

/* "npy", "svmlight", "onnx", "keras", NULL. */
extern const char *const export_names[EXPORT_FORMATS + 1];

/* Writes both splits of a complete cache, a few blocks of rows at a time, each verified. Files of these names
 * are replaced, but not before all are written, and never the cache itself, which is `cache_path`. STATUS_IO,
 * STATUS_NO_MEMORY; STATUS_NOT_FINITE when SVMlight has no word for a feature; STATUS_INTERRUPTED after a
 * signal; or what cache_read() says. */
enum status export_run(struct cache *cache, const char *cache_path, enum export_format format,
                       const char *prefix);

#endif
