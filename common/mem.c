/* mem: aligned memory for tensors, and the process's peak memory. */
#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

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

size_t mem_available_nbytes(void) {
    unsigned long long kilobytes;
    char line[128];
    size_t available = SIZE_MAX;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1)
            available = (size_t)kilobytes * 1024;
    if (file != NULL)
        fclose(file);
    return available;
}

size_t mem_peak_rss_nbytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}
