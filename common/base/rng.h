/* rng: seeded random numbers that are the same on every machine. Not for secrets. */
#ifndef COMMON_BASE_RNG_H
#define COMMON_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021). splitmix64 fills its
 * state from the seed, as its authors advise. Use one stream per thread. */
struct rng {
    uint64_t state[4];
};

/* Starts stream `stream` of `seed`. Different streams of one seed count as independent here. */
void rng_init(struct rng *rng, uint64_t seed, uint64_t stream);

/* 64 random bits. */
uint64_t rng_next(struct rng *rng);

/* A whole number of 0..bound-1, all equally likely (Lemire 2019); bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

/* A multiple of 2^-53 in [0, 1). */
double rng_uniform(struct rng *rng);

/* A standard normal number, by Marsaglia's polar method (1964). */
double rng_normal(struct rng *rng);

/* A random permutation of 0..count-1 into order[count] (Fisher-Yates); count <= UINT32_MAX. */
void rng_permutation(struct rng *rng, uint32_t *order, size_t count);

#endif
