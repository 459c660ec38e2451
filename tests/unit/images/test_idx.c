/* test_idx: IDX files plain and gzipped, whole, cut short at every length, with wrong headers, damaged. */
#include "common/images/idx.h"
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <zlib.h>

enum { COUNT = 5, HEIGHT = 3, WIDTH = 4, PIXELS = COUNT * HEIGHT * WIDTH, HEADER = 16 };

static unsigned char images[HEADER + PIXELS] = {0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH};
static unsigned char labels[8 + COUNT] = {0, 0, 8, 1, 0, 0, 0, COUNT, 3, 1, 9, 0, 2};

static int fill(void **state) {
    for (int i = 0; i < PIXELS; i++)
        images[HEADER + i] = (unsigned char)(37 * i + 11);
    return unit_scratch_make(state);
}

/* A gzip stream of the bytes, from malloc(). */
static unsigned char *gzip(const void *bytes, size_t nbytes, size_t *out_nbytes_ret) {
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, nbytes) + 64;
    unsigned char *out = malloc(room), *in = malloc(nbytes + 1);
    assert_true(out != NULL && in != NULL);
    memcpy(in, bytes, nbytes);
    stream.next_in = in;
    stream.avail_in = (unsigned)nbytes;
    stream.next_out = out;
    stream.avail_out = (unsigned)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *out_nbytes_ret = stream.total_out;
    deflateEnd(&stream);
    free(in);
    return out;
}

/* Only FOLDER/f, or only FOLDER/f.gz, holds these bytes. */
static void put(bool zipped, const void *bytes, size_t nbytes) {
    unlink(unit_path("f"));
    unlink(unit_path("f.gz"));
    unit_write_file(unit_path(zipped ? "f.gz" : "f"), bytes, nbytes);
}

static void put_zipped(const void *bytes, size_t nbytes) {
    size_t zipped_nbytes;
    unsigned char *zipped = gzip(bytes, nbytes, &zipped_nbytes);
    put(true, zipped, zipped_nbytes);
    free(zipped);
}

/* The one of FOLDER/f and FOLDER/f.gz that is there. */
static enum status open_f(struct idx **idx_ret, enum idx_kind kind) {
    return idx_open(idx_ret, unit_path(unit_exists(unit_path("f")) ? "f" : "f.gz"), kind);
}

/* Opens and scans FOLDER/f: the status of the first that fails. */
static enum status try_file(enum idx_kind kind) {
    struct idx *idx = NULL;
    char sha256[DIGEST_HEX_SIZE];
    uint8_t largest;
    enum status status = open_f(&idx, kind);
    if (status != STATUS_OK) {
        assert_null(idx);
        return status;
    }
    status = idx_scan(idx, idx_count(idx), sha256, &largest);
    idx_close(idx);
    return status;
}

static void sha256_of(const void *bytes, size_t nbytes, char hex[DIGEST_HEX_SIZE]) {
    struct digest *digest;
    assert_ok(digest_begin(&digest));
    digest_update(digest, bytes, nbytes);
    digest_final(digest, hex);
}

static void read_images(bool zipped) {
    struct idx *idx;
    char sha256[DIGEST_HEX_SIZE], want[DIGEST_HEX_SIZE];
    uint8_t largest, want_largest = 0, got[PIXELS];
    assert_ok(open_f(&idx, IDX_IMAGES));
    assert_int_equal(idx_count(idx), COUNT);
    assert_int_equal(idx_height(idx), HEIGHT);
    assert_int_equal(idx_width(idx), WIDTH);
    assert_string_equal(idx_path(idx), unit_path(zipped ? "f.gz" : "f"));
    for (int i = 0; i < PIXELS; i++)
        want_largest = images[HEADER + i] > want_largest ? images[HEADER + i] : want_largest;
    for (size_t count = 0; count <= COUNT; count++) { /* scanning ends at the first item each time */
        assert_ok(idx_scan(idx, count, sha256, &largest));
        sha256_of(images + HEADER, count * HEIGHT * WIDTH, want);
        assert_string_equal(sha256, want);
        assert_int_equal(largest, want_largest);
    }
    assert_ok(idx_read(idx, COUNT, got));
    assert_memory_equal(got, images + HEADER, PIXELS);
    assert_ok(idx_read(idx, 0, got));
    idx_close(idx);
    for (size_t skip = 0; skip <= COUNT; skip++) {
        assert_ok(open_f(&idx, IDX_IMAGES));
        if (skip % 2 == 0)
            assert_ok(idx_scan(idx, COUNT, sha256, &largest));
        assert_ok(idx_seek(idx, skip / 2));
        assert_ok(idx_seek(idx, skip));
        for (size_t i = skip; i < COUNT; i++)
            assert_ok(idx_read(idx, 1, got + i * HEIGHT * WIDTH));
        assert_memory_equal(got + skip * HEIGHT * WIDTH, images + HEADER + skip * HEIGHT * WIDTH,
                            PIXELS - skip * HEIGHT * WIDTH);
        idx_close(idx);
    }
}

static void test_images(void **state) {
    (void)state;
    put(false, images, sizeof images);
    read_images(false);
    put_zipped(images, sizeof images);
    read_images(true);
    size_t nbytes; /* a gzip stream under the plain name is read too */
    unsigned char *zipped = gzip(images, sizeof images, &nbytes);
    put(false, zipped, nbytes);
    read_images(false);
    free(zipped);
}

static void test_labels(void **state) {
    (void)state;
    for (int zipped = 0; zipped < 2; zipped++) {
        struct idx *idx;
        char sha256[DIGEST_HEX_SIZE], want[DIGEST_HEX_SIZE];
        uint8_t largest, got[COUNT];
        if (zipped)
            put_zipped(labels, sizeof labels);
        else
            put(false, labels, sizeof labels);
        assert_ok(open_f(&idx, IDX_LABELS));
        assert_int_equal(idx_count(idx), COUNT);
        assert_int_equal(idx_height(idx) * idx_width(idx), 1);
        assert_ok(idx_scan(idx, 2, sha256, &largest));
        sha256_of(labels + 8, 2, want);
        assert_string_equal(sha256, want);
        assert_int_equal(largest, 9); /* of all labels, not of the first two */
        assert_ok(idx_read(idx, COUNT, got));
        assert_memory_equal(got, labels + 8, COUNT);
        idx_close(idx);
    }
    idx_close(NULL);
}

static void test_cut_short(void **state) {
    (void)state;
    for (size_t nbytes = 0; nbytes < sizeof images; nbytes++) {
        put(false, images, nbytes);
        assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, unit_path("f"));
        put_zipped(images, nbytes); /* a sound stream of too few bytes */
        assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, unit_path("f.gz"));
    }
    for (size_t nbytes = 0; nbytes < sizeof labels; nbytes++) {
        put(false, labels, nbytes);
        assert_fails(try_file(IDX_LABELS), STATUS_FORMAT, unit_path("f"));
    }
    size_t zipped_nbytes;
    unsigned char *zipped = gzip(images, sizeof images, &zipped_nbytes);
    for (size_t nbytes = 0; nbytes < zipped_nbytes; nbytes++) {
        put(true, zipped, nbytes);
        assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, unit_path("f.gz"));
    }
    free(zipped);
}

/* A file that loses its end between open and read. */
static void test_cut_while_open(void **state) {
    (void)state;
    struct idx *idx;
    char sha256[DIGEST_HEX_SIZE];
    uint8_t largest, got[PIXELS];
    enum { SIDE = 512, MANY = 4 };
    static unsigned char large[HEADER + MANY * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, MANY,
                                                               0, 0, 2, 0, 0, 0, 2, 0};
    static unsigned char item[SIDE * SIDE];
    put(false, large, sizeof large);
    assert_ok(open_f(&idx, IDX_IMAGES));
    assert_int_equal(truncate(unit_path("f"), HEADER + 2 * SIDE * SIDE + 5), 0);
    assert_fails(idx_scan(idx, 1, sha256, &largest), STATUS_FORMAT, "cut short: it ends after 2 of 4 images");
    idx_close(idx);
    put(false, large, sizeof large);
    assert_ok(open_f(&idx, IDX_IMAGES));
    assert_int_equal(truncate(unit_path("f"), HEADER + 2 * SIDE * SIDE), 0);
    assert_ok(idx_seek(idx, 1));
    assert_ok(idx_read(idx, 1, item));
    assert_fails(idx_read(idx, 1, item), STATUS_FORMAT, "cut short: it ends after 2 of 4 images");
    idx_close(idx);
    (void)got;
}

static void test_lying_header(void **state) {
    (void)state;
    unsigned char bytes[sizeof images];
    for (size_t at = 0; at < HEADER; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, images, sizeof bytes);
            bytes[at] ^= (unsigned char)(1 << bit);
            put(false, bytes, sizeof bytes);
            assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, unit_path("f"));
            put_zipped(bytes, sizeof bytes);
            assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, unit_path("f.gz"));
        }
    for (size_t at = 0; at < 8; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, labels, sizeof labels);
            bytes[at] ^= (unsigned char)(1 << bit);
            put(false, bytes, sizeof labels);
            assert_fails(try_file(IDX_LABELS), STATUS_FORMAT, unit_path("f"));
        }
}

/* One field of the header replaced, and what the message says. */
static void test_header_fields(void **state) {
    (void)state;
    static const struct {
        size_t at;
        unsigned char bytes[4];
        const char *says;
    } cases[] = {
        {0, {0, 0, 8, 1}, "not an IDX file of images"},
        {0, {0, 0, 9, 3}, "not an IDX file of images"},
        {0, {0, 0, 13, 3}, "not an IDX file of images"},
        {0, {8, 3, 0, 0}, "00 00 08 03"},
        {4, {0, 0, 0, 0}, "it holds no images"},
        {8, {0, 0, 0, 0}, "images of 0 x 4 pixels"},
        {12, {0, 0, 0, 0}, "images of 3 x 0 pixels"},
        {8, {0, 0, 16, 1}, "images of 4097 x 4 pixels"},
        {12, {0, 0, 16, 1}, "images of 3 x 4097 pixels"},
        {12, {255, 255, 255, 255}, "sides must be 1 to 4096"},
        {4, {255, 255, 255, 255}, "76 bytes"},
        {4, {0, 0, 0, COUNT + 1}, "asks for 88"},
        {4, {0, 0, 0, COUNT - 1}, "asks for 64"},
        {4, {COUNT, 0, 0, 0}, "get the file again"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char bytes[sizeof images];
        memcpy(bytes, images, sizeof bytes);
        memcpy(bytes + cases[i].at, cases[i].bytes, 4);
        put(false, bytes, sizeof bytes);
        assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, cases[i].says);
    }
    put(false, images, sizeof images);
    assert_fails(try_file(IDX_LABELS), STATUS_FORMAT, "not an IDX file of labels");
}

static void test_largest_side(void **state) {
    (void)state;
    static unsigned char bytes[HEADER + IDX_SIDE_MAX] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 1};
    put(false, bytes, sizeof bytes);
    assert_ok(try_file(IDX_IMAGES));
    static const unsigned char wide[] = {0, 0, 0, 1, 0, 0, 16, 0};
    memcpy(bytes + 8, wide, 8);
    put(false, bytes, sizeof bytes);
    assert_ok(try_file(IDX_IMAGES));
}

static void test_trailing(void **state) {
    (void)state;
    unsigned char bytes[sizeof images + 1] = {0};
    memcpy(bytes, images, sizeof images);
    put(false, bytes, sizeof bytes);
    assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, "get the file again");
    put_zipped(bytes, sizeof bytes);
    assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, "longer than its header says");
    size_t a_nbytes, b_nbytes; /* a second gzip member is more data too */
    unsigned char *a = gzip(images, sizeof images, &a_nbytes), *b = gzip("x", 1, &b_nbytes);
    a = realloc(a, a_nbytes + b_nbytes);
    assert_non_null(a);
    memcpy(a + a_nbytes, b, b_nbytes);
    put(true, a, a_nbytes + b_nbytes);
    assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, "longer than its header says");
    free(a);
    free(b);
}

/* Each bit flipped: found, or one that carries no data (times in gzip's header, padding behind the last code). */
static void test_damaged_gzip(void **state) {
    (void)state;
    size_t nbytes, found = 0;
    unsigned char *zipped = gzip(images, sizeof images, &nbytes);
    for (size_t at = 0; at < nbytes; at++)
        for (int bit = 0; bit < 8; bit++) {
            zipped[at] ^= (unsigned char)(1 << bit);
            put(true, zipped, nbytes);
            zipped[at] ^= (unsigned char)(1 << bit);
            enum status status = try_file(IDX_IMAGES);
            if (status == STATUS_OK) {
                struct idx *idx;
                uint8_t got[PIXELS];
                assert_ok(open_f(&idx, IDX_IMAGES));
                assert_ok(idx_read(idx, COUNT, got));
                assert_memory_equal(got, images + HEADER, PIXELS);
                idx_close(idx);
            } else {
                assert_int_equal(status, STATUS_FORMAT);
                found++;
            }
        }
    assert_true(found > 8 * (nbytes - 14));
    for (size_t at = nbytes - 8; at < nbytes; at++) { /* the CRC, and the length behind it */
        zipped[at] ^= 1;
        put(true, zipped, nbytes);
        zipped[at] ^= 1;
        assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, "gzip stream is damaged");
    }
    free(zipped);
}

static void test_missing(void **state) {
    (void)state;
    struct idx *idx = NULL;
    unlink(unit_path("f"));
    assert_fails(idx_open(&idx, unit_path("f"), IDX_IMAGES), STATUS_IO, "/f: cannot open");
    unit_write_file(unit_path("g"), "x", 1);
    assert_fails(idx_open(&idx, unit_path("g/f"), IDX_IMAGES), STATUS_IO, "g/f");
    assert_int_equal(mkdir(unit_path("f"), 0777), 0);
    enum status status = idx_open(&idx, unit_path("f"), IDX_IMAGES); /* a folder of that name */
    assert_true(status == STATUS_IO || status == STATUS_FORMAT);
    assert_null(idx);
    assert_int_equal(rmdir(unit_path("f")), 0);
    assert_int_equal(mkfifo(unit_path("fifo"), 0600), 0);
    assert_fails(idx_open(&idx, unit_path("fifo"), IDX_IMAGES), STATUS_FORMAT, "not a regular file");
}

/* Other files that people have under the name of an IDX file: the message says what each one is. */
static void test_foreign(void **state) {
    (void)state;
    size_t once_nbytes, twice_nbytes;
    unsigned char *once = gzip(images, sizeof images, &once_nbytes),
                  *twice = gzip(once, once_nbytes, &twice_nbytes);
    put(true, twice, twice_nbytes);
    assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, "a gzip file inside of a gzip file");
    free(once);
    free(twice);
    static const struct {
        const char *bytes;
        size_t nbytes;
        const char *part;
    } cases[] = {
        {"PK\3\4abcdefgh", 12, "a zip archive"},
        {"\223NUMPY\1\0abcdef", 14, "a NumPy array"},
        {"<!doctype html>", 15, "a web page"},
        {"version https://git-lfs.github.com/spec/v1", 42, "a Git LFS pointer"},
        {"\211PNG\r\n\32\n", 8, "one PNG picture"},
        {"\3\10\0\0\5\0\0\0", 8, "little-endian"},
        {"\0\0\14\3\0\0\0\5", 8, "int32 values of rank 3"},
        {"\0\0\15\3\0\0\0\5", 8, "float32 values of rank 3"},
        {"\0\0\14\2\0\0\0\5", 8, "QMNIST"},
        {"\0\0\10\2\0\0\0\5", 8, "unsigned bytes of rank 2"},
        {"\0\0\10\1\0\0\0\5", 8, "labels: unsigned bytes of rank 1"},
        {"\1\2\3\4", 4, "the first four bytes must be 00 00 08 03"},
        {"", 0, "the first four bytes must be 00 00 08 03"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int zipped = 0; zipped < 2; zipped++) {
            if (zipped)
                put_zipped(cases[i].bytes, cases[i].nbytes);
            else
                put(false, cases[i].bytes, cases[i].nbytes);
            assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, cases[i].part);
        }
    put(false, images, sizeof images);
    assert_fails(try_file(IDX_LABELS), STATUS_FORMAT, "images: unsigned bytes of rank 3");
}

/* Rank 4: colour, the channels last. */
static void test_colour(void **state) {
    (void)state;
    unsigned char colour[20 + 2 * 2 * 2 * 3] = {0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3};
    uint8_t got[12];
    struct idx *idx;
    for (int i = 0; i < 24; i++)
        colour[20 + i] = (unsigned char)i;
    put(false, colour, sizeof colour);
    assert_ok(try_file(IDX_IMAGES));
    assert_ok(open_f(&idx, IDX_IMAGES));
    assert_int_equal(idx_channels(idx), 3);
    assert_ok(idx_seek(idx, 1));
    assert_ok(idx_read(idx, 1, got));
    assert_memory_equal(got, colour + 32, 12);
    assert_ok(idx_seek(idx, 0)); /* and back */
    assert_ok(idx_read(idx, 1, got));
    assert_memory_equal(got, colour + 20, 12);
    idx_close(idx);
    colour[19] = 4;
    put(false, colour, sizeof colour);
    assert_fails(try_file(IDX_IMAGES), STATUS_FORMAT, "4 channels");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images),       cmocka_unit_test(test_labels),
        cmocka_unit_test(test_cut_short),    cmocka_unit_test(test_cut_while_open),
        cmocka_unit_test(test_lying_header), cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_largest_side), cmocka_unit_test(test_trailing),
        cmocka_unit_test(test_damaged_gzip), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_foreign),      cmocka_unit_test(test_colour),
    };
    return cmocka_run_group_tests(tests, fill, unit_scratch_remove);
}
