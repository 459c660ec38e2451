/* test_idx_folder: the names that IDX files have in practice, and the folders that are refused; the message
 * gives the names. */
#include "common/images/idx_folder.h"
#include "tests/unit/unit.h"

#include <sys/stat.h>

enum { TRAIN = 1 << IDX_FOLDER_TRAIN, TEST = 1 << IDX_FOLDER_TEST };

/* A folder "d" with these files, separated by spaces; a name that ends with / is a folder. */
static void make(const char *names) {
    char command[128], copy[512];
    snprintf(command, sizeof command, "rm -rf '%s'/d && mkdir '%s'/d", unit_folder, unit_folder);
    assert_int_equal(system(command), 0);
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " ")) {
        char path[200];
        snprintf(path, sizeof path, "d/%s", name);
        if (name[strlen(name) - 1] == '/')
            assert_int_equal(mkdir(unit_path(path), 0777), 0);
        else
            unit_write_file(unit_path(path), "x", 1);
    }
}

/* The files found, by their names below "d"; "-" for none. */
static void expect(const char *names, const char *train_images, const char *train_labels,
                   const char *test_images, const char *test_labels) {
    struct idx_folder found;
    make(names);
    assert_ok(idx_folder_find(&found, unit_path("d"), TRAIN, true));
    const char *want[] = {train_images, train_labels, test_images, test_labels};
    for (int i = 0; i < 4; i++) {
        const char *got = i % 2 ? found.parts[i / 2].labels : found.parts[i / 2].images;
        if (strcmp(want[i], "-") == 0) {
            assert_null(got);
            continue;
        }
        char path[200];
        snprintf(path, sizeof path, "d/%s", want[i]);
        assert_non_null(got);
        assert_string_equal(got, unit_path(path));
    }
    idx_folder_free(&found);
}

static void expect_refused(const char *names, unsigned needed, enum status status, const char *part) {
    struct idx_folder found;
    make(names);
    assert_fails(idx_folder_find(&found, unit_path("d"), needed, true), status, part);
    assert_null(found.parts[0].images);
}

#define USUAL "train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte"

static void test_names(void **state) {
    (void)state;
    expect(USUAL, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
           "t10k-labels-idx1-ubyte");
    expect(
        "train-images.idx3-ubyte train-labels.idx1-ubyte.gz t10k-images.idx3-ubyte.gz t10k-labels.idx1-ubyte",
        "train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz", "t10k-images.idx3-ubyte.gz",
        "t10k-labels.idx1-ubyte");
    expect("emnist-letters-train-images-idx3-ubyte.gz emnist-letters-train-labels-idx1-ubyte.gz "
           "emnist-letters-test-images-idx3-ubyte.gz emnist-letters-test-labels-idx1-ubyte.gz",
           "emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz",
           "emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters-test-labels-idx1-ubyte.gz");
    expect("TRAIN-IMAGES-IDX3-UBYTE TRAIN-LABELS-IDX1-UBYTE.GZ", "TRAIN-IMAGES-IDX3-UBYTE",
           "TRAIN-LABELS-IDX1-UBYTE.GZ", "-", "-");
    expect("train-images-idx4-ubyte train-labels-idx1-ubyte", "train-images-idx4-ubyte",
           "train-labels-idx1-ubyte", "-", "-");
    expect("qmnist-train-images-idx3-ubyte qmnist-train-labels-idx2-int.gz", "qmnist-train-images-idx3-ubyte",
           "qmnist-train-labels-idx2-int.gz", "-", "-");
}

/* Plain before .gz, "-" before ".", a file before one in a folder of its own; hidden files do not count. */
static void test_precedence(void **state) {
    (void)state;
    expect(USUAL " train-images-idx3-ubyte.gz train-images.idx3-ubyte ._train-images-idx3-ubyte notes.txt",
           "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
           "t10k-labels-idx1-ubyte");
    expect("train-images-idx3-ubyte/ train-images-idx3-ubyte/train-images-idx3-ubyte train-labels-idx1-ubyte",
           "train-images-idx3-ubyte/train-images-idx3-ubyte", "train-labels-idx1-ubyte", "-", "-");
    expect("train-images-idx3-ubyte/ train-images-idx3-ubyte/train-images-idx3-ubyte train-images.idx3-ubyte "
           "train-labels.idx1-ubyte",
           "train-images.idx3-ubyte", "train-labels.idx1-ubyte", "-", "-");
}

static void test_refused(void **state) {
    (void)state;
    expect_refused("notes.txt", TRAIN, STATUS_IO, "train-images-idx3-ubyte: no such file");
    expect_refused("train.idx images-ubyte", TRAIN, STATUS_IO, "names that come near: ");
    expect_refused("train-images-idx3-ubyte", TRAIN, STATUS_IO, "train-labels-idx1-ubyte: no such file");
    expect_refused("t10k-images-idx3-ubyte t10k-labels-idx1-ubyte", TRAIN, STATUS_IO,
                   "train-images-idx3-ubyte: no such");
    expect_refused("train-images-idx3-ubyte train-labels-idx1-ubyte t10k-labels-idx1-ubyte", TRAIN, STATUS_IO,
                   "t10k-images-idx3-ubyte: no such file");
    expect_refused("train-images-idx3-ubyte train-labels-idx1-ubyte", TEST, STATUS_IO,
                   "t10k-images-idx3-ubyte: no such");
    expect_refused(USUAL " test-images-idx3-ubyte", TRAIN, STATUS_FORMAT, "which of them is meant?");
    expect_refused(USUAL " emnist-mnist-train-images-idx3-ubyte", TRAIN, STATUS_FORMAT, "several data sets");
    struct idx_folder found;
    make("t10k-images-idx3-ubyte");
    assert_ok(idx_folder_find(&found, unit_path("d"), TEST, false)); /* pictures alone, to look at */
    assert_true(found.parts[IDX_FOLDER_TEST].images != NULL && found.parts[IDX_FOLDER_TEST].labels == NULL);
    idx_folder_free(&found);
    assert_fails(idx_folder_find(&found, unit_path("nowhere"), TRAIN, true), STATUS_IO,
                 "nowhere/train-images");
    unit_write_file(unit_path("train-images-idx3-ubyte"), "x", 1);
    assert_fails(idx_folder_find(&found, unit_path("train-images-idx3-ubyte"), TRAIN, true), STATUS_FORMAT,
                 "the one that this file is in");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
