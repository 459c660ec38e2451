/* idx_folder: finds the IDX files of a data set in a folder, by their names. It opens none.
 *
 * A name is [PREFIX]PART-WHAT[-.]idxN-TYPE[.gz], in any case:
 *
 *     PREFIX   anything, as "emnist-letters-" or "qmnist-", the same for all files of a data set
 *     PART     train; t10k or test
 *     WHAT     images, labels
 *     N-TYPE   1-ubyte, 3-ubyte, 4-ubyte, or anything else, which idx.h then reports
 *
 * Some unpackers restore the name that is inside the .gz, which has a dot. Kaggle's archive has folders with the
 * names of the files, and the files in them. Hidden files (macOS' "._...") do not count. A plain file goes before its
 * .gz, "-" before ".", and a file in the folder itself before one in a folder of its own. */
#ifndef COMMON_IMAGES_IDX_FOLDER_H
#define COMMON_IMAGES_IDX_FOLDER_H

#include "common/base/status.h"
#include <stdbool.h>

enum { IDX_FOLDER_TRAIN, IDX_FOLDER_TEST, IDX_FOLDER_PARTS };

/* Paths from malloc(), NULL where there is none. A part has both or neither, unless no labels are asked for. */
struct idx_folder {
    struct idx_folder_part {
        char *images, *labels;
    } parts[IDX_FOLDER_PARTS];
};

/* Finds the files in `folder`. `needed`: bits (1 << part) of the parts that must be there; `labels`: a part must have
 * labels. STATUS_IO when the folder or a needed file is missing. STATUS_FORMAT when there are no files (the message
 * says what it looked for, and which names come near), or too many (it names them). Free with idx_folder_free(). */
enum status idx_folder_find(struct idx_folder *found_ret, const char *folder, unsigned needed, bool labels);
void idx_folder_free(struct idx_folder *found); /* all zero is allowed */

/* Whether a name is the name of such a file. */
bool idx_folder_is_name(const char *name);

#endif
