/* test_h5: attributes and datasets in all the forms that a file may bring, friendly and hostile. Each file is
 * closed with H5F_CLOSE_SEMI, so a handle leaked on an error path fails the close. */
#include "common/base/h5.h"
#include "tests/unit/unit.h"

static hid_t make(const char *name) {
    hid_t file;
    assert_ok(h5_create(&file, unit_path(name)));
    return file;
}

static void put(hid_t object, const char *name, hid_t type, int rank, const hsize_t dims[],
                const void *data) {
    hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims, NULL);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0);
    if (data != NULL)
        assert_true(H5Awrite(attribute, type, data) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
}

static hid_t fixed(size_t size, H5T_str_t padding) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    H5Tset_strpad(type, padding);
    return type;
}

static hid_t variable(H5T_cset_t charset) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, charset);
    return type;
}

static void assert_list(hid_t object, const char *name, const char *const want[], size_t count) {
    char **list;
    size_t got;
    assert_ok(h5_read_strings(object, name, &list, &got));
    assert_int_equal(got, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(list[i], want[i]);
    h5_free_strings(list, got);
}

static void test_open(void **state) {
    (void)state;
    hid_t file = H5I_INVALID_HID;
    assert_fails(h5_open(&file, unit_path("missing.h5"), false), STATUS_IO, "missing.h5: cannot open");
    unit_write_file(unit_path("text.h5"), "not HDF5 at all", 15);
    assert_fails(h5_open(&file, unit_path("text.h5"), false), STATUS_FORMAT, "text.h5: not an HDF5 file");
    unit_write_file(unit_path("empty.h5"), "", 0);
    assert_fails(h5_open(&file, unit_path("empty.h5"), true), STATUS_FORMAT, "empty.h5: not an HDF5 file");
    assert_fails(h5_open(&file, unit_folder, false), STATUS_FORMAT, "a folder");
    assert_fails(h5_create(&file, unit_path("missing/a.h5")), STATUS_IO, "missing/a.h5");
    assert_int_equal(file, H5I_INVALID_HID);
    file = make("a.h5");
    assert_ok(h5_close_written(&file));
    assert_int_equal(file, H5I_INVALID_HID);
    h5_close(&file); /* harmless */
    assert_ok(h5_open(&file, unit_path("a.h5"), false));
    assert_fails(h5_write_whole(file, "x", 1), STATUS_IO, "cannot write the attribute x");
    h5_close(&file);
    assert_int_equal(file, H5I_INVALID_HID);
}

/* A file with one number in it, in the newest format, with `userblock` bytes before it, by driver `access`. */
static void make_other(const char *name, hid_t access, hsize_t userblock) {
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    assert_true(H5Pset_userblock(creation, userblock) >= 0);
    hid_t file = H5Fcreate(unit_path(name), H5F_ACC_TRUNC, creation, access);
    assert_true(file >= 0);
    assert_ok(h5_write_whole(file, "x", 7));
    assert_true(H5Fclose(file) >= 0);
    h5_close(&creation);
}

static hid_t newest_format(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    assert_true(H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0);
    return access;
}

/* The format of HDF5 1.10 is read, with and without a block of the user's, and not written to. */
static void test_newer_format(void **state) {
    (void)state;
    static const hsize_t userblocks[] = {0, 512, 2048};
    hid_t access = newest_format(), file;
    for (int i = 0; i < 3; i++) {
        uint64_t x = 0;
        make_other("newer.h5", access, userblocks[i]);
        assert_ok(h5_open(&file, unit_path("newer.h5"), false));
        assert_ok(h5_read_whole(file, "x", &x));
        assert_int_equal(x, 7);
        h5_close(&file);
        size_t before, after;
        unsigned char *bytes = unit_read_file(unit_path("newer.h5"), &before);
        assert_int_equal(bytes[userblocks[i] + 8],
                         3); /* the superblock's version: the case really is of this version */
        assert_fails(h5_open(&file, unit_path("newer.h5"), true), STATUS_FORMAT, "superblock 3");
        unsigned char *again = unit_read_file(unit_path("newer.h5"), &after);
        assert_true(before == after && memcmp(bytes, again, before) == 0);
        free(bytes);
        free(again);
    }
    h5_close(&access);
}

static void leave_open(void *path) {
    hid_t access = newest_format(), file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    if (file < 0 || H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        _exit(2);
    _exit(0);
}

/* HDF5 files that cannot be opened are refused with the reason. */
static void test_unopenable(void **state) {
    (void)state;
    hid_t file = H5I_INVALID_HID;
    char path[512], text[256];
    snprintf(path, sizeof path, "%s", unit_path("open.h5"));
    assert_int_equal(unit_child(leave_open, path, text, sizeof text), 0);
    assert_fails(h5_open(&file, path, false), STATUS_FORMAT, "open.h5: marked as open for writing");
    hid_t family = H5Pcreate(H5P_FILE_ACCESS);
    assert_true(H5Pset_fapl_family(family, 1024, H5P_DEFAULT) >= 0);
    make_other("family%d.h5", family, 0);
    assert_fails(h5_open(&file, unit_path("family0.h5"), false), STATUS_FORMAT, "split over several");
    h5_close(&family);
    hid_t access = newest_format();
    make_other("cut.h5", access, 0);
    h5_close(&access);
    size_t nbytes;
    unsigned char *bytes = unit_read_file(unit_path("cut.h5"), &nbytes);
    unit_write_file(unit_path("cut.h5"), bytes, nbytes - 1);
    snprintf(text, sizeof text, "cut short: it has %zu bytes of %zu", nbytes - 1, nbytes);
    assert_fails(h5_open(&file, unit_path("cut.h5"), false), STATUS_FORMAT, text);
    free(bytes);
}

/* Links to other files are followed; one that leads nowhere is reported as such. */
static void test_external_link(void **state) {
    (void)state;
    hid_t file = make("target.h5"), group;
    assert_ok(h5_create_group(&group, file, "g"));
    h5_close(&group);
    assert_ok(h5_close_written(&file));
    file = make("links.h5");
    assert_true(H5Lcreate_external("target.h5", "/g", file, "there", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_external("none.h5", "/g", file, "nowhere", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_ok(h5_open_group(&group, file, "there"));
    h5_close(&group);
    assert_fails(h5_open_group(&group, file, "nowhere"), STATUS_FORMAT,
                 "\"nowhere\" is a link to another file");
    assert_ok(h5_close_written(&file));
}

static void test_leak_is_found(void **state) {
    (void)state;
    hid_t file = make("leak.h5"), group;
    assert_ok(h5_create_group(&group, file, "g"));
    hid_t kept = file;
    assert_fails(h5_close_written(&file), STATUS_IO, "leak.h5");
    h5_close(&group);
    H5Fclose(kept);
}

static void test_same_bytes(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        hid_t file = make(i == 0 ? "one.h5" : "two.h5"), group, dataset;
        hsize_t dims[] = {4, 3};
        float values[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
        assert_ok(h5_create_group(&group, file, "g"));
        assert_ok(h5_write_string(group, "text", "h\xc3\xa4"));
        assert_ok(h5_create_dataset(&dataset, group, "d", H5T_IEEE_F32LE, 2, dims));
        assert_ok(h5_write_rows(dataset, H5T_NATIVE_FLOAT, 0, 4, values));
        h5_close(&dataset);
        h5_close(&group);
        assert_ok(h5_close_written(&file));
        if (i == 0)
            usleep(1100000); /* the times that HDF5 would store have seconds */
    }
    assert_true(unit_same_files(unit_path("one.h5"), unit_path("two.h5")));
}

static void test_string(void **state) {
    (void)state;
    hid_t file = make("string.h5");
    char text[16];
    assert_ok(h5_write_string(file, "a", "fifteen letters"));
    assert_ok(h5_read_string(file, "a", text, sizeof text));
    assert_string_equal(text, "fifteen letters");
    assert_fails(h5_read_string(file, "a", text, 15), STATUS_FORMAT, "attribute a");
    assert_ok(h5_write_string(file, "a", "over"));
    assert_ok(h5_read_string(file, "a", text, sizeof text));
    assert_string_equal(text, "over");
    assert_ok(h5_write_ascii(file, "ascii", "fourteen bytes"));
    assert_ok(h5_read_string(file, "ascii", text, sizeof text));
    assert_string_equal(text, "fourteen bytes");
    const char *const names[] = {"a", "ascii"};
    for (int i = 0; i < 2; i++) {
        hid_t attribute = H5Aopen(file, names[i], H5P_DEFAULT), type = H5Aget_type(attribute);
        assert_int_equal(H5Tget_cset(type), i == 0 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
        h5_close(&type);
        h5_close(&attribute);
    }
    assert_ok(h5_write_string(file, "none", ""));
    assert_ok(h5_read_string(file, "none", text, sizeof text));
    assert_string_equal(text, "");
    hid_t padded = fixed(8, H5T_STR_SPACEPAD), full = fixed(4, H5T_STR_NULLPAD);
    hsize_t one[] = {1}, two[] = {2}, zero[] = {0};
    put(file, "padded", padded, 0, NULL, "abc     ");
    put(file, "full", full, 1, one, "wxyz");
    put(file, "two", full, 1, two, "wxyzabcd");
    put(file, "zero", full, 1, zero, NULL);
    assert_ok(h5_read_string(file, "padded", text, sizeof text));
    assert_string_equal(text, "abc");
    assert_ok(h5_read_string(file, "full", text, sizeof text));
    assert_string_equal(text, "wxyz");
    assert_fails(h5_read_string(file, "two", text, sizeof text), STATUS_FORMAT, "two");
    assert_fails(h5_read_string(file, "zero", text, sizeof text), STATUS_FORMAT, "zero");
    assert_fails(h5_read_string(file, "missing", text, sizeof text), STATUS_FORMAT, "missing");
    int number = 7;
    put(file, "number", H5T_NATIVE_INT, 0, NULL, &number);
    assert_fails(h5_read_string(file, "number", text, sizeof text), STATUS_FORMAT, "number");
    h5_close(&padded);
    h5_close(&full);
    assert_ok(h5_close_written(&file));
}

static void test_numbers(void **state) {
    (void)state;
    hid_t file = make("numbers.h5");
    uint64_t whole;
    double real;
    assert_ok(h5_write_whole(file, "w", INT64_MAX));
    assert_ok(h5_read_whole(file, "w", &whole));
    assert_true(whole == INT64_MAX);
    assert_ok(h5_write_whole(file, "w", 0));
    assert_ok(h5_read_whole(file, "w", &whole));
    assert_int_equal(whole, 0);
    assert_ok(h5_write_real(file, "r", 0.1));
    assert_ok(h5_read_real(file, "r", &real));
    assert_true(real == 0.1);
    assert_true(h5_has_attribute(file, "r"));
    assert_false(h5_has_attribute(file, "s"));
    int negative = -1;
    unsigned char byte = 200;
    float single = 0.5f;
    hsize_t one[] = {1}, two[] = {2};
    put(file, "negative", H5T_NATIVE_INT, 0, NULL, &negative);
    put(file, "byte", H5T_NATIVE_UCHAR, 1, one, &byte);
    put(file, "big", H5T_STD_I32BE, 0, NULL, "\0\0\1\0");
    put(file, "single", H5T_NATIVE_FLOAT, 0, NULL, &single);
    put(file, "pair", H5T_NATIVE_INT, 1, two, ((int[]){1, 2}));
    hid_t null_space = H5Screate(H5S_NULL),
          nothing = H5Acreate2(file, "null", H5T_NATIVE_INT, null_space, H5P_DEFAULT, H5P_DEFAULT);
    H5Aclose(nothing);
    H5Sclose(null_space);
    assert_ok(h5_write_string(file, "text", "12"));
    assert_ok(h5_read_whole(file, "byte", &whole));
    assert_int_equal(whole, 200);
    assert_ok(h5_read_whole(file, "big", &whole));
    assert_int_equal(whole, 256);
    assert_ok(h5_read_real(file, "single", &real));
    assert_true(real == 0.5);
    assert_fails(h5_read_whole(file, "negative", &whole), STATUS_FORMAT, "negative");
    static const char *const bad[] = {"single", "pair", "null", "text", "missing"};
    for (int i = 0; i < 5; i++)
        assert_fails(h5_read_whole(file, bad[i], &whole), STATUS_FORMAT, bad[i]);
    assert_fails(h5_read_real(file, "byte", &real), STATUS_FORMAT, "byte");
    assert_ok(h5_close_written(&file));
}

static void test_lists(void **state) {
    (void)state;
    static const char *const layers[] = {"block1_conv1", "pool", "", "block1_conv2"};
    hid_t file = make("lists.h5");
    hsize_t four[] = {4}, two[] = {2}, zero[] = {0}, square[] = {2, 2};
    assert_ok(h5_write_strings(file, "ours", layers, 4));
    assert_list(file, "ours", layers, 4);
    hid_t vlen = variable(H5T_CSET_UTF8), ascii = variable(H5T_CSET_ASCII), full = fixed(4, H5T_STR_NULLPAD),
          term = fixed(5, H5T_STR_NULLTERM);
    put(file, "variable", vlen, 1, four, layers);
    assert_list(file, "variable", layers, 4);
    put(file, "ascii", ascii, 2, square, layers);
    assert_list(file, "ascii", layers, 4);
    put(file, "full", full, 1, two,
        "pool"
        "flat");
    assert_list(file, "full", ((const char *[]){"pool", "flat"}), 2);
    put(file, "terminated", term, 1, two, "pool\0flat");
    assert_list(file, "terminated", ((const char *[]){"pool", "flat"}), 2);
    put(file, "split0", vlen, 1, two, layers);
    put(file, "split1", full, 1, two,
        "pool"
        "flat");
    put(file, "split3", full, 1, two, "notthis."); /* behind a gap: not part of it */
    assert_list(file, "split", ((const char *[]){"block1_conv1", "pool", "pool", "flat"}), 4);
    put(file, "none", H5T_NATIVE_DOUBLE, 1, zero, NULL); /* h5py's empty list */
    assert_list(file, "none", NULL, 0);
    put(file, "unwritten", vlen, 1, two, NULL); /* null pointers */
    assert_list(file, "unwritten", ((const char *[]){"", ""}), 2);
    h5_close(&vlen);
    h5_close(&ascii);
    h5_close(&full);
    h5_close(&term);
    assert_ok(h5_close_written(&file));
}

static void test_hostile_lists(void **state) {
    (void)state;
    hid_t file = make("hostile.h5");
    hsize_t two[] = {2}, many[] = {(1 << 20) + 1};
    char **list;
    size_t count;
    hid_t one = fixed(1, H5T_STR_NULLPAD), wide = fixed((1 << 16) + 1, H5T_STR_NULLPAD),
          numbers = H5Tvlen_create(H5T_NATIVE_INT), compound = H5Tcreate(H5T_COMPOUND, 8),
          dense = H5Pcreate(H5P_FILE_ACCESS);
    H5Tinsert(compound, "a", 0, H5T_NATIVE_INT);
    put(file, "numbers", H5T_NATIVE_INT, 1, two, ((int[]){1, 2}));
    put(file, "sequence", numbers, 1, two, NULL);
    put(file, "compound", compound, 1, two, NULL);
    put(file, "mixed0", one, 1, two, "ab");
    put(file, "mixed1", H5T_NATIVE_INT, 1, two, ((int[]){1, 2}));
    static const char *const bad[] = {"numbers", "sequence", "compound"};
    for (int i = 0; i < 3; i++)
        assert_fails(h5_read_strings(file, bad[i], &list, &count), STATUS_FORMAT, bad[i]);
    assert_fails(h5_read_strings(file, "mixed", &list, &count), STATUS_FORMAT, "mixed1");
    assert_fails(h5_read_strings(file, "missing", &list, &count), STATUS_FORMAT, "missing");
    h5_close(&dense);
    assert_ok(h5_close_written(&file));
    /* Attributes over 64 KB exist in newer formats only. */
    dense = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(dense, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_attr_phase_change(creation, 0, 0);
    file = H5Fcreate(unit_path("dense.h5"), H5F_ACC_TRUNC, creation, dense);
    put(file, "many", one, 1, many, NULL);
    put(file, "wide", wide, 1, two, NULL);
    assert_fails(h5_read_strings(file, "many", &list, &count), STATUS_FORMAT, "many");
    assert_fails(h5_read_strings(file, "wide", &list, &count), STATUS_FORMAT, "wide");
    h5_close(&one);
    h5_close(&wide);
    h5_close(&numbers);
    h5_close(&compound);
    h5_close(&dense);
    h5_close(&creation);
    assert_ok(h5_close_written(&file));
}

static void test_rows(void **state) {
    (void)state;
    hid_t file = make("rows.h5"), dataset, scalar, group;
    hsize_t dims[] = {5, 3}, found[8];
    int rank;
    float values[15], got[15];
    for (int i = 0; i < 15; i++)
        values[i] = (float)i;
    assert_ok(h5_create_dataset(&dataset, file, "d", H5T_IEEE_F32LE, 2, dims));
    assert_ok(h5_write_rows(dataset, H5T_NATIVE_FLOAT, 0, 2, values));
    assert_ok(h5_write_rows(dataset, H5T_NATIVE_FLOAT, 2, 3, values + 6));
    for (hsize_t first = 0; first < 5; first++)
        for (hsize_t count = 1; first + count <= 5; count++) {
            memset(got, 0xff, sizeof got);
            assert_ok(h5_read_rows(dataset, H5T_NATIVE_FLOAT, first, count, got));
            assert_memory_equal(got, values + 3 * first, count * 3 * sizeof *got);
        }
    assert_ok(h5_dataset_shape(dataset, &rank, found));
    assert_true(rank == 2 && found[0] == 5 && found[1] == 3);
    h5_close(&dataset);
    assert_fails(h5_create_dataset(&dataset, file, "d", H5T_IEEE_F32LE, 2, dims), STATUS_IO, "dataset d");
    assert_fails(h5_open_dataset(&dataset, file, "e"), STATUS_FORMAT, "no dataset \"e\"");
    assert_fails(h5_open_group(&group, file, "d"), STATUS_FORMAT, "no group \"d\"");
    assert_ok(h5_create_group(&group, file, "g"));
    assert_fails(h5_open_dataset(&dataset, file, "g"), STATUS_FORMAT, "no dataset \"g\"");
    assert_fails(h5_create_group(&scalar, file, "g"), STATUS_IO, "group g");
    assert_ok(h5_create_dataset(&scalar, group, "s", H5T_IEEE_F32LE, 0, NULL));
    assert_fails(h5_read_rows(scalar, H5T_NATIVE_FLOAT, 0, 1, got), STATUS_IO, "/g/s");
    h5_close(&scalar);
    hsize_t nine[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_ok(h5_create_dataset(&dataset, group, "nine", H5T_IEEE_F32LE, 9, nine));
    assert_fails(h5_dataset_shape(dataset, &rank, found), STATUS_FORMAT, "/g/nine");
    h5_close(&dataset);
    h5_close(&group);
    assert_ok(h5_close_written(&file));
}

int main(void) {
    h5_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),          cmocka_unit_test(test_leak_is_found),
        cmocka_unit_test(test_newer_format),  cmocka_unit_test(test_unopenable),
        cmocka_unit_test(test_external_link), cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_string),        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_lists),         cmocka_unit_test(test_hostile_lists),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
