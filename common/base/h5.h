/* h5: the HDF5 calls that all our files need, with statuses and messages. It knows no schema.
 *
 * Messages name the file through h5_name(), so a caller passes on an object handle only. A missing attribute or
 * dataset is STATUS_FORMAT. The caller closes handles with h5_close(). */
#ifndef COMMON_BASE_H5_H
#define COMMON_BASE_H5_H

#include "common/base/status.h"
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stops HDF5's own messages on standard error. Call it once, at the start. */
void h5_init(void);

/* Opens a file with H5F_CLOSE_SEMI (a leaked handle makes the close fail) and without HDF5's file locks. STATUS_IO
 * when the system refuses; STATUS_FORMAT when it is no HDF5 file, is cut short, or is marked as open for writing. It
 * reads files of every format that HDF5 knows. To write, it refuses a file of HDF5 1.10's format (superblock 3): HDF5
 * would mark it as open, and after a kill the mark would stay.
 *
 * HDF5 crashes (and, more rarely, hangs) on about one in a hundred files with damaged metadata (1.10.8, measured
 * by the fuzz test). So until h5_trust(), or until h5_close() of the file, a crash or half a minute without an
 * answer prints one line that names the file, and exits with 1. Call h5_trust() once everything but rows of
 * numbers has been read. */
enum status h5_open(hid_t *file_ret, const char *path, bool writable);
void h5_trust(void);

/* Creates or truncates a file. Its bytes depend on its content alone: it has no times, and the format of HDF5 1.8,
 * whose metadata have checksums. */
enum status h5_create(hid_t *file_ret, const char *path);

/* Closes a handle of any kind and sets it to H5I_INVALID_HID. Does nothing when it is invalid already. */
void h5_close(hid_t *handle);

/* Like h5_close(), for a file that was written: STATUS_IO when the last bytes cannot be written. */
enum status h5_close_written(hid_t *file);

/* Creates a group without times. */
enum status h5_create_group(hid_t *group_ret, hid_t parent, const char *name);

/* Creates a contiguous dataset dims[rank] without times, allocated at once and never filled. */
enum status h5_create_dataset(hid_t *dataset_ret, hid_t parent, const char *name, hid_t type, int rank,
                              const hsize_t dims[]);

/* Creates a dataset of type `stored` like h5_create_dataset(), and writes all of it from values of type `type`. */
enum status h5_write_dataset(hid_t parent, const char *name, hid_t stored, hid_t type, int rank,
                             const hsize_t dims[], const void *values);

/* Ends a file that was written as output->partial (output_reserve()). If `status` is STATUS_OK, it closes the
 * file and gives it its name. If it is not, or if that fails, it removes the file. Returns the first status that
 * is not STATUS_OK. */
struct output;
enum status h5_finish(enum status status, hid_t *file, struct output *output);

/* Opens `name` below `parent` (a group, or a dataset). STATUS_FORMAT when it is not there. */
enum status h5_open_group(hid_t *group_ret, hid_t parent, const char *name);
enum status h5_open_dataset(hid_t *dataset_ret, hid_t parent, const char *name);

/* Rank and dims[8] of a dataset; STATUS_FORMAT when the rank is over 8. */
enum status h5_dataset_shape(hid_t dataset, int *rank_ret, hsize_t dims[8]);

/* Read or write rows first..first+count-1 (all of each row) of a dataset, to or from memory of type `type`. */
enum status h5_read_rows(hid_t dataset, hid_t type, hsize_t first, hsize_t count, void *data);
enum status h5_write_rows(hid_t dataset, hid_t type, hsize_t first, hsize_t count, const void *data);

/* Attributes: one string (variable-length UTF-8 when written; fixed or variable length when read; longer than size -
 * 1 bytes is STATUS_FORMAT) or one number (a whole one has 64 bits and is not negative when read). */
enum status h5_write_string(hid_t object, const char *name, const char *text);
enum status h5_write_ascii(hid_t object, const char *name, const char *text); /* as h5py writes bytes */
enum status h5_read_string(hid_t object, const char *name, char *text, size_t size);
enum status h5_write_whole(hid_t object, const char *name, uint64_t value);
enum status h5_read_whole(hid_t object, const char *name, uint64_t *value_ret);
enum status h5_write_real(hid_t object, const char *name, double value);
enum status h5_read_real(hid_t object, const char *name, double *value_ret);
bool h5_has_attribute(hid_t object, const char *name);

/* A list of strings, as Keras keeps in `layer_names` and `weight_names`: of fixed or variable length, and split over
 * NAME0, NAME1, ... when it was too long for one attribute. Free *list_ret with h5_free_strings(). It is written with
 * a fixed length, as h5py writes a list of bytes. */
enum status h5_read_strings(hid_t object, const char *name, char ***list_ret, size_t *count_ret);
enum status h5_write_strings(hid_t object, const char *name, const char *const list[], size_t count);
void h5_free_strings(char **list, size_t count);

/* Like status_set(), but adds HDF5's innermost reason to the message and clears HDF5's error stack. */
enum status h5_fail(enum status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The file and the place in it, as "features.h5: /train", into text[512]; returns `text`. */
char *h5_name(hid_t object, char text[512]);

#endif
