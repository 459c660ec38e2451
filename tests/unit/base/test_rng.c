/* test_rng: known values, ranges, moments. The values were computed by another implementation, in Python, of
 * the authors' description; those from the state 1, 2, 3, 4 are also the authors' own. */
#include "tests/unit/unit.h"

#include <math.h>

static void test_generator(void **state) {
    (void)state;
    static const uint64_t values[] = {41943041u,
                                      58720359u,
                                      3588806011781223u,
                                      3591011842654386u,
                                      9228616714210784205u,
                                      9973669472204895162u,
                                      14011001112246962877u,
                                      12406186145184390807u,
                                      15849039046786891736u,
                                      10450023813501588000u};
    struct rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_true(rng_next(&rng) == values[i]);
}

static void test_seeds(void **state) {
    (void)state;
    static const struct {
        uint64_t seed, stream, values[3];
    } cases[] = {
        {0, 0, {0x84f09bf307c1073a, 0xc82ffb597ceee51b, 0xadf96905c5df4417}},
        {1, 2, {0x511f463eff8daca9, 0xd6d13713b9480f3e, 0x7ac8aa9b7159c81e}},
        {2, 1, {0xf0af956594200c45, 0x326129ba704186f8, 0xcf6abe707de6f972}},
        {UINT64_MAX, 13, {0x8b83430fd9dfd63a, 0x482d1533b148bc90, 0xdd957b463fb224cd}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rng rng;
        rng_init(&rng, cases[i].seed, cases[i].stream);
        for (int j = 0; j < 3; j++)
            assert_true(rng_next(&rng) == cases[i].values[j]);
    }
}

static void test_below(void **state) {
    (void)state;
    static const uint64_t known[] = {462, 856, 268, 75, 197, 372, 830, 260};
    struct rng rng;
    rng_init(&rng, 20260101, 7);
    for (int i = 0; i < 8; i++)
        assert_int_equal(rng_below(&rng, 1000), known[i]);
    unit_rng(&rng, "test_below");
    static const uint64_t bounds[] = {1,         2, 3, 10, 1000, (uint64_t)1 << 32, ((uint64_t)1 << 63) + 1,
                                      UINT64_MAX};
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++)
        for (int i = 0; i < 1000; i++)
            assert_true(rng_below(&rng, bounds[b]) < bounds[b]);
    long counts[7] = {0};
    enum { DRAWS = 70000 };
    for (int i = 0; i < DRAWS; i++)
        counts[rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++) /* six standard deviations of a binomial count */
        assert_true(fabs((double)counts[i] - DRAWS / 7.0) < 6 * sqrt(DRAWS / 7.0 * 6 / 7));
    /* Without the rejection of Lemire's method the multiples of 3 would come up twice as often here. */
    uint64_t bound = (uint64_t)3 << 62;
    long low = 0;
    for (int i = 0; i < DRAWS; i++)
        low += rng_below(&rng, bound) % 3 == 0;
    assert_true(fabs((double)low - DRAWS / 3.0) < 6 * sqrt(DRAWS / 3.0 * 2 / 3));
}

static void test_uniform(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    struct rng rng;
    unit_rng(&rng, "test_uniform");
    double sum = 0, squares = 0, least = 1, most = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = rng_uniform(&rng);
        assert_true(x >= 0 && x < 1);
        assert_true(floor(x * 0x1p53) == x * 0x1p53);
        sum += x;
        squares += x * x;
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 6 * sqrt(1.0 / 12 / DRAWS));
    assert_true(fabs(squares / DRAWS - 1.0 / 3) < 6 * sqrt(4.0 / 45 / DRAWS));
    assert_true(least < 1e-3 && most > 1 - 1e-3);
    struct rng largest = {{0, 0, 0, 0}}; /* always gives 0: the least value */
    assert_true(rng_uniform(&largest) == 0);
}

static void test_normal(void **state) {
    (void)state;
    enum { DRAWS = 200000 };
    struct rng rng;
    unit_rng(&rng, "test_normal");
    double power[5] = {0};
    long inside = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = rng_normal(&rng);
        assert_true(isfinite(x));
        inside += fabs(x) < 1;
        for (int p = 1; p <= 4; p++)
            power[p] += pow(x, p) / DRAWS;
    }
    double deviation = 1 / sqrt(DRAWS); /* of a mean of values with variance 1 */
    assert_true(fabs(power[1]) < 6 * deviation);
    assert_true(fabs(power[2] - 1) < 6 * deviation * sqrt(2));
    assert_true(fabs(power[3]) < 6 * deviation * sqrt(15));
    assert_true(fabs(power[4] - 3) < 6 * deviation * sqrt(96));
    assert_true(fabs((double)inside / DRAWS - 0.6826894921) < 6 * deviation * 0.4655);
}

static void test_permutation(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    struct rng rng;
    unit_rng(&rng, "test_permutation");
    uint32_t order[COUNT], other[COUNT];
    for (size_t count = 0; count <= COUNT; count += count < 20 ? 1 : 49) {
        bool seen[COUNT] = {false};
        rng_permutation(&rng, order, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(order[i] < count && !seen[order[i]]);
            seen[order[i]] = true;
        }
    }
    rng_permutation(&rng, order, COUNT);
    rng_permutation(&rng, other, COUNT);
    assert_memory_not_equal(order, other, sizeof order);
    long counts[6] = {0};
    enum { DRAWS = 60000 };
    for (int i = 0; i < DRAWS; i++) { /* each of the 6 orders of 3 is as likely */
        rng_permutation(&rng, order, 3);
        counts[order[0] * 2 + (order[1] > order[2])]++;
    }
    for (int i = 0; i < 6; i++)
        assert_true(fabs((double)counts[i] - DRAWS / 6.0) < 6 * sqrt(DRAWS / 6.0 * 5 / 6));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generator), cmocka_unit_test(test_seeds),  cmocka_unit_test(test_below),
        cmocka_unit_test(test_uniform),   cmocka_unit_test(test_normal), cmocka_unit_test(test_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
