/* mem: aligned memory for tensors, and the process's peak memory. */
#include "common/mem.h"
#include "common/cgroup.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 4 << 20 };

static long fail_countdown; /* set by tests through mem_test_fail_at() alone */

void mem_test_fail_at(long n) {
    fail_countdown = n;
}

void *mem_alloc(size_t count, size_t size) {
    if (fail_countdown > 0 && --fail_countdown == 0)
        return NULL;
    if (size != 0 && count > (SIZE_MAX - HUGE_PAGE) / size)
        return NULL;
    size_t nbytes = count * size;
    size_t alignment = nbytes >= HUGE_FROM ? HUGE_PAGE : MEM_ALIGNMENT;
    size_t rounded = (nbytes + alignment - 1) / alignment * alignment;
    void *block = aligned_alloc(alignment, rounded ? rounded : alignment);
    if (block != NULL && alignment == HUGE_PAGE)
        (void)madvise(block, rounded, MADV_HUGEPAGE); /* advice: refusal costs speed only */
    return block;
}

void mem_free(void *block) {
    free(block);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t mem_address_space_nbytes(void) {
    struct rlimit limit;
    unsigned long long pages = 0;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL && fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    size_t used = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

size_t mem_available_nbytes(void) {
    unsigned long long kilobytes;
    char line[128];
    size_t available = smaller(mem_address_space_nbytes(), cgroup_read("").memory_nbytes);
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1)
            available = smaller(available, (size_t)kilobytes * 1024);
    if (file != NULL)
        fclose(file);
    return available;
}

size_t mem_peak_rss_nbytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}
