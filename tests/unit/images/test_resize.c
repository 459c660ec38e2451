/* test_resize: hand-computed values, a second implementation of doubling, and the corner cases. tests/golden compares
 * it with cv2 itself. */
#include "common/images/resize.h"
#include "tests/unit/guard.h"
#include "tests/unit/unit.h"

static void run(size_t height, size_t width, size_t size, const uint8_t *in, uint8_t *out) {
    struct resize *resize;
    assert_ok(resize_create(&resize, height, width, size));
    resize_run(resize, in, out);
    resize_free(resize);
}

/* 2x2 -> 4x4 by hand. Weights are 3/4 and 1/4, the border pixels whole. Rows after the horizontal pass, times
 * four: 0 100 300 400 and 40 80 160 200; then (3 * near + far) / 16, each part cut to quarters. */
static void test_by_hand(void **state) {
    (void)state;
    static const uint8_t in[] = {0, 100, 10, 50},
                         want[] = {0, 25, 75, 100, 3, 24, 66, 88, 8, 21, 49, 63, 10, 20, 40, 50};
    uint8_t out[16];
    run(2, 2, 4, in, out);
    for (int i = 0; i < 16; i++)
        assert_int_equal(out[i], want[i]);
}

/* Doubling: h = neighbour + 3 own per row (4 own at the border); P, Q are those of the neighbour's and the own row;
 * then ((P >> 2) + ((3 Q) >> 2) + 2) >> 2. */
static int doubled(const uint8_t *in, int height, int width, int y, int x) {
    int own_y = y / 2, own_x = x / 2, near_y = own_y + (y % 2 ? 1 : -1), near_x = own_x + (x % 2 ? 1 : -1);
    near_y = near_y < 0 ? 0 : near_y >= height ? height - 1 : near_y;
    near_x = near_x < 0 ? 0 : near_x >= width ? width - 1 : near_x;
    int p = in[near_y * width + near_x] + 3 * in[near_y * width + own_x];
    int q = in[own_y * width + near_x] + 3 * in[own_y * width + own_x];
    return ((p >> 2) + ((3 * q) >> 2) + 2) >> 2;
}

static void test_doubled(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_doubled");
    uint8_t in[28 * 28], out[56 * 56];
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 28 * 28; i++)
            in[i] = (uint8_t)(round < 20 ? rng_below(&rng, 2) * 255 : rng_next(&rng));
        run(28, 28, 56, in, out);
        for (int y = 0; y < 56; y++)
            for (int x = 0; x < 56; x++)
                if (out[y * 56 + x] != doubled(in, 28, 28, y, x))
                    fail_msg("round %d: [%d][%d] is %d, wanted %d", round, y, x, out[y * 56 + x],
                             doubled(in, 28, 28, y, x));
    }
}

static void test_identity(void **state) {
    (void)state;
    uint8_t in[33 * 33], out[33 * 33];
    for (int i = 0; i < 33 * 33; i++)
        in[i] = (uint8_t)(7 * i);
    run(33, 33, 33, in, out);
    assert_memory_equal(in, out, sizeof in);
}

static void test_halved(void **state) {
    (void)state;
    static const uint8_t in[] = {1, 2, 10, 20, 3, 4, 30, 43, 255, 255, 0, 0, 255, 254, 1, 0};
    static const uint8_t want[] = {3, 26, 255, 0}; /* rounded means: 2.5, 25.75, 254.75, 0.25 */
    uint8_t out[4];
    run(4, 4, 2, in, out);
    assert_memory_equal(out, want, 4);
}

/* Half the height but not half the width is no mean of four. */
static void test_halved_once(void **state) {
    (void)state;
    static const uint8_t in[] = {0, 0, 100, 100, 40, 40, 60, 60}; /* 4 x 2 -> 2 x 2 */
    static const uint8_t want[] = {50, 50, 50, 50};
    uint8_t out[4];
    run(4, 2, 2, in, out);
    assert_memory_equal(out, want, 4);
}

static void test_one_pixel(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 32, 57};
    for (int value = 0; value < 256; value += 51)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            uint8_t in = (uint8_t)value, out[57 * 57];
            run(1, 1, sizes[i], &in, out);
            for (size_t j = 0; j < sizes[i] * sizes[i]; j++)
                assert_int_equal(out[j], value);
        }
    static const uint8_t column[] = {10, 20, 30}; /* 3 x 1 -> 1 x 1: the middle one */
    uint8_t out;
    run(3, 1, 1, column, &out);
    assert_int_equal(out, 20);
}

/* An even gray stays what it is at any size, and values stay between those of the image; exact buffers. */
static void test_guarded(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_guarded");
    static const struct {
        size_t height, width, size;
    } cases[] = {{28, 28, 56},  {28, 28, 32}, {28, 28, 57}, {28, 28, 224}, {1, 1, 32},   {1, 4096, 32},
                 {4096, 1, 33}, {64, 64, 32}, {65, 64, 32}, {64, 65, 32},  {31, 33, 32}, {100, 75, 56},
                 {2, 2, 255},   {7, 5, 6},    {5, 7, 6},    {3, 3, 1},     {56, 28, 56}, {4096, 4096, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t pixels = cases[i].height * cases[i].width, size = cases[i].size;
        for (int round = 0; round < 3; round++) {
            struct guard in = guard_make(pixels, 0), out = guard_make(size * size, 0xa5);
            assert_true(in.block != NULL && out.block != NULL);
            uint8_t least = 255, most = 0;
            for (size_t j = 0; j < pixels; j++) {
                in.block[j] = (uint8_t)(round == 0 ? 255 : round == 1 ? 77 : 60 + rng_below(&rng, 100));
                least = in.block[j] < least ? in.block[j] : least;
                most = in.block[j] > most ? in.block[j] : most;
            }
            run(cases[i].height, cases[i].width, size, in.block, out.block);
            for (size_t j = 0; j < size * size; j++)
                if (out.block[j] < least || out.block[j] > most)
                    fail_msg("%zu x %zu -> %zu: pixel %zu is %d, outside %d..%d", cases[i].height,
                             cases[i].width, size, j, out.block[j], least, most);
            assert_true(guard_free(&in) && guard_free(&out));
        }
    }
    resize_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_doubled),     cmocka_unit_test(test_identity),
        cmocka_unit_test(test_halved),  cmocka_unit_test(test_halved_once), cmocka_unit_test(test_one_pixel),
        cmocka_unit_test(test_guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
