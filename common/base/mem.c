/* mem: aligned memory for tensors, and the process's peak memory. */
#include "common/base/mem.h"
#include "common/base/cgroup.h"
#include "common/base/size.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 4 << 20, SMALL_NBYTES = 16 << 20 };

static long fail_countdown; /* set by tests through mem_test_fail_at() alone */

void mem_test_fail_at(long n) {
    fail_countdown = n;
}

static atomic_size_t huge_nbytes; /* of all large blocks in use */

/* Reads from /proc/self/statm, in bytes: the address space in use, and the process's own memory, without that of
 * files, which is shared. Both are 0 where there is no such file. */
static void read_statm(size_t *address_space_ret, size_t *resident_ret) {
    unsigned long long pages = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL && fscanf(file, "%llu %llu %llu", &pages, &resident, &shared) != 3)
        pages = resident = shared = 0;
    if (file != NULL)
        fclose(file);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *address_space_ret = (size_t)pages * page;
    *resident_ret = resident > shared ? (size_t)(resident - shared) * page : 0;
}

/* Whether the control groups leave memory for `nbytes` of large blocks when all of it is written to. The system gives
 * out more memory than there is, and kills the process when it uses it. Some memory is kept for stacks, page tables
 * and small blocks. */
static bool control_groups_allow(size_t nbytes) {
    size_t left = cgroup_read("").memory_nbytes, address_space, resident;
    if (left == SIZE_MAX)
        return true;
    read_statm(&address_space, &resident);
    return nbytes + SMALL_NBYTES <= resident + left;
}

static size_t alignment_of(size_t nbytes) {
    return nbytes >= HUGE_FROM ? HUGE_PAGE : MEM_ALIGNMENT;
}

size_t mem_block_nbytes(size_t nbytes) {
    size_t alignment = alignment_of(nbytes);
    return (nbytes + alignment - 1) / alignment * alignment;
}

void *mem_alloc(size_t count, size_t size) {
    if (fail_countdown > 0 && --fail_countdown == 0)
        return NULL;
    if (size != 0 && count > (SIZE_MAX - HUGE_PAGE) / size)
        return NULL;
    size_t alignment = alignment_of(count * size), rounded = mem_block_nbytes(count * size);
    if (alignment != HUGE_PAGE)
        return aligned_alloc(alignment, rounded ? rounded : alignment);
    /* Counted first, because other threads may ask, too. */
    size_t all = atomic_fetch_add(&huge_nbytes, rounded) + rounded;
    bool allowed = control_groups_allow(all);
    void *block = allowed ? aligned_alloc(alignment, rounded) : NULL;
    if (block == NULL)
        huge_nbytes -= rounded;
    else
        (void)madvise(block, rounded, MADV_HUGEPAGE); /* only advice: without it things are slower */
    return block;
}

void mem_free(void *block) {
    size_t nbytes = malloc_usable_size(block);
    if (nbytes >= HUGE_FROM && (uintptr_t)block % HUGE_PAGE == 0)
        huge_nbytes -= nbytes / HUGE_PAGE * HUGE_PAGE;
    free(block);
}

size_t mem_address_space_nbytes(void) {
    struct rlimit limit;
    size_t used, resident;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    read_statm(&used, &resident);
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

size_t mem_available_nbytes(void) {
    unsigned long long kilobytes;
    char line[128];
    size_t available = size_min(mem_address_space_nbytes(), cgroup_read("").memory_nbytes);
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1)
            available = size_min(available, (size_t)kilobytes * 1024);
    if (file != NULL)
        fclose(file);
    return available;
}

size_t mem_peak_rss_nbytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}
