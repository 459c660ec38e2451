/* guard: memory between two unmapped pages. A block ends as close to the second one as its alignment allows. The
 * bytes left over are known and checked, so one byte too many is always found. */
#ifndef TESTS_UNIT_GUARD_H
#define TESTS_UNIT_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_ALIGNMENT = 64, GUARD_SLACK = 0x5c };

struct guard {
    unsigned char *map;
    size_t map_nbytes;
    unsigned char *block, *limit; /* `limit` is the unmapped page's first byte */
    size_t nbytes;
};

/* Allocates `nbytes` bytes, all of value `poison`, aligned to GUARD_ALIGNMENT; .block is NULL without memory. */
static inline struct guard guard_make(size_t nbytes, int poison) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (nbytes + page - 1) / page * page;
    struct guard guard = {.map_nbytes = inner + 2 * page, .nbytes = nbytes};
    guard.map = mmap(NULL, guard.map_nbytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guard.map == MAP_FAILED || (inner > 0 && mprotect(guard.map + page, inner, PROT_READ | PROT_WRITE)))
        return (struct guard){0};
    guard.limit = guard.map + page + inner;
    guard.block = guard.limit - (nbytes + GUARD_ALIGNMENT - 1) / GUARD_ALIGNMENT * GUARD_ALIGNMENT;
    memset(guard.map + page, GUARD_SLACK, inner);
    memset(guard.block, poison, nbytes);
    return guard;
}

/* Frees the memory. False when bytes around the block were written. */
static inline bool guard_free(struct guard *guard) {
    bool clean = true;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned char *at = guard->map + page; at < guard->block; at++)
        clean = clean && *at == GUARD_SLACK;
    for (unsigned char *at = guard->block + guard->nbytes; at < guard->limit; at++)
        clean = clean && *at == GUARD_SLACK;
    munmap(guard->map, guard->map_nbytes);
    *guard = (struct guard){0};
    return clean;
}

#endif
