/* mem: aligned memory for tensors, and the process's peak memory. It refuses to hand out memory whose
 * size overflowed. Small strings and structs use malloc() as usual. */
#ifndef COMMON_BASE_MEM_H
#define COMMON_BASE_MEM_H

#include <stddef.h>

enum { MEM_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector register */

/* `count * size` bytes, aligned to MEM_ALIGNMENT, not initialised; NULL when they cannot be had or the
 * product overflows. Blocks of 4 MiB and more ask for huge pages, and must fit into what control groups leave. Free with mem_free(). Thread-safe. */
void *mem_alloc(size_t count, size_t size);

/* Bytes that mem_alloc() takes for a block of `nbytes`: whole huge pages for a large one. */
size_t mem_block_nbytes(size_t nbytes);

/* Frees a block of mem_alloc(); NULL is allowed. */
void mem_free(void *block);

/* `nbytes` rounded up to a multiple of MEM_ALIGNMENT, for carving parts out of one block. */
static inline size_t mem_round_up(size_t nbytes) {
    return (nbytes + MEM_ALIGNMENT - 1) / MEM_ALIGNMENT * MEM_ALIGNMENT;
}

/* Memory that this process can still get, in bytes: the least of MemAvailable of /proc/meminfo, what the limits of its
 * control groups leave (cgroup.h), and mem_address_space_nbytes(). SIZE_MAX where nothing says. */
size_t mem_available_nbytes(void);

/* Address space that the limit of the process (ulimit -v) leaves, in bytes; SIZE_MAX without a limit. */
size_t mem_address_space_nbytes(void);

/* Largest resident set of this process so far, in bytes. */
size_t mem_peak_rss_nbytes(void);

/* For tests: the n-th mem_alloc() from now on, and none after it, fails; 0 switches that off. */
void mem_test_fail_at(long n);

#endif
