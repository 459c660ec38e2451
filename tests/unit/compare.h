/* compare: the only way in which the tests compare real numbers.
 *
 * An element passes when |got - want| <= absolute + relative * |want|, written so that NaN cannot pass. Before that,
 * NaN and infinities are rejected everywhere. A tolerance of 100 % or more of the largest value is rejected, too,
 * because such a comparison compares nothing. */
#ifndef TESTS_UNIT_COMPARE_H
#define TESTS_UNIT_COMPARE_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The largest absolute value of values[count]. */
static inline double compare_largest(const float *values, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)values[i]) <= largest))
            largest = fabs((double)values[i]);
    return largest;
}

/* Whether got[count] is want[count] within the tolerances; false is explained on standard error: `what`, the
 * worst index, both values. `count` = 0 is false: nothing was compared. */
static inline bool compare_floats(const char *what, const float *got, const float *want, size_t count,
                                  double relative, double absolute) {
    if (count == 0) {
        fprintf(stderr, "%s: nothing to compare\n", what);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!isfinite(got[i]) || !isfinite(want[i])) {
            fprintf(stderr, "%s: [%zu] of %zu is %g, wanted %g\n", what, i, count, (double)got[i],
                    (double)want[i]);
            return false;
        }
    double largest = compare_largest(want, count);
    if (largest > 0 && !(absolute + relative * largest < largest)) {
        fprintf(stderr, "%s: a tolerance of %g where the largest value is %g compares nothing\n", what,
                absolute + relative * largest, largest);
        return false;
    }
    size_t worst = 0, bad = 0;
    double worst_excess = -1;
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        double bound = absolute + relative * fabs((double)want[i]);
        if (!(error <= bound))
            bad++;
        if (!(error - bound <= worst_excess) || i == 0) {
            worst_excess = error - bound;
            worst = i;
        }
    }
    if (bad == 0)
        return true;
    fprintf(stderr, "%s: %zu of %zu differ; worst [%zu]: got %.9g, wanted %.9g, off by %g, allowed %g\n",
            what, bad, count, worst, (double)got[worst], (double)want[worst],
            fabs((double)got[worst] - (double)want[worst]), absolute + relative * fabs((double)want[worst]));
    return false;
}

/* Whether ||got - want|| <= tolerance * ||want||; NaN and infinities are rejected. */
static inline bool compare_norm(const char *what, const float *got, const float *want, size_t count,
                                double tolerance) {
    double difference = 0, norm = 0, worst_error = -1;
    size_t worst = 0;
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!isfinite(got[i]) || !isfinite(want[i])) {
            fprintf(stderr, "%s: [%zu] of %zu is %g, wanted %g\n", what, i, count, (double)got[i],
                    (double)want[i]);
            return false;
        }
        if (error > worst_error) {
            worst_error = error;
            worst = i;
        }
        difference += error * error;
        norm += (double)want[i] * (double)want[i];
    }
    if (count > 0 && tolerance < 1 && sqrt(difference) <= tolerance * sqrt(norm))
        return true;
    if (count == 0 || !(tolerance < 1))
        fprintf(stderr, "%s: %zu values and a tolerance of %g compare nothing\n", what, count, tolerance);
    else
        fprintf(stderr,
                "%s: norm of the error %g, of the values %g; worst [%zu] of %zu: got %.9g, wanted %.9g\n",
                what, sqrt(difference), sqrt(norm), worst, count, (double)got[worst], (double)want[worst]);
    return false;
}

/* The tolerance for a sum of `terms` products in float, relative to the largest value of a result whose
 * products are of random sign: rounding errors add up like a random walk, sqrt(terms) half ulps, and the
 * largest of many such sums is some 6 times off. */
static inline double compare_sum_tolerance(size_t terms) {
    return 6 * (1 + sqrt((double)terms)) * 0.5 * (double)FLT_EPSILON;
}

#endif
