/* test_digest: SHA-256 and CRC-32C against published values, and in pieces. */
#include "common/base/digest.h"
#include "tests/unit/unit.h"

static void sha256(const void *data, size_t nbytes, size_t piece, char hex[DIGEST_HEX_SIZE]) {
    struct digest *digest;
    assert_ok(digest_begin(&digest));
    for (size_t at = 0; at < nbytes; at += piece)
        digest_update(digest, (const char *)data + at, nbytes - at < piece ? nbytes - at : piece);
    digest_final(digest, hex);
}

static void test_sha256(void **state) { /* FIPS 180-2, appendix B */
    (void)state;
    char hex[DIGEST_HEX_SIZE];
    sha256("abc", 3, 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256("", 0, 1, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    static const size_t pieces[] = {1000000, 64, 997};
    for (int i = 0; i < 3; i++) {
        sha256(million, 1000000, pieces[i], hex);
        assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    free(million);
}

static void test_given_up(void **state) {
    (void)state;
    struct digest *digest;
    assert_ok(digest_begin(&digest));
    digest_update(digest, "x", 1);
    digest_free(digest);
    digest_free(NULL);
}

static void test_crc32c(void **state) { /* RFC 3720, B.4, and the usual check value */
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(digest_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(digest_crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(digest_crc32c(0, bytes, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(digest_crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(digest_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(digest_crc32c(0, "", 0), 0);
}

/* CRC-32C one bit at a time, as it is defined. */
static uint32_t crc32c_slow(const unsigned char *bytes, size_t nbytes) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < nbytes; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void test_crc32c_pieces(void **state) {
    (void)state;
    enum { NBYTES = 3000 };
    unsigned char bytes[NBYTES];
    struct rng rng;
    unit_rng(&rng, "test_crc32c_pieces");
    for (int i = 0; i < NBYTES; i++)
        bytes[i] = (unsigned char)rng_next(&rng);
    for (size_t nbytes = 0; nbytes < 300; nbytes++)
        assert_int_equal(digest_crc32c(0, bytes + nbytes % 7, nbytes),
                         crc32c_slow(bytes + nbytes % 7, nbytes));
    uint32_t whole = crc32c_slow(bytes, NBYTES);
    for (int i = 0; i < 200; i++) {
        size_t a = rng_below(&rng, NBYTES + 1), b = a + rng_below(&rng, NBYTES + 1 - a);
        uint32_t crc = digest_crc32c(0, bytes, a);
        crc = digest_crc32c(crc, bytes + a, b - a);
        assert_int_equal(digest_crc32c(crc, bytes + b, NBYTES - b), whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_crc32c_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
