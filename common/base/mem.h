/* mem: aligned memory for tensors, and how much memory there is. Small strings and structs use malloc() as usual. */
#ifndef COMMON_BASE_MEM_H
#define COMMON_BASE_MEM_H

#include <stddef.h>

enum { MEM_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector register */

/* Allocates `count * size` bytes, aligned to MEM_ALIGNMENT, not initialised. Returns NULL when there is no memory or
 * the product overflows. A block of 4 MiB or more asks for huge pages, and must fit into what the control groups
 * leave. Free it with mem_free(). Thread-safe. */
void *mem_alloc(size_t count, size_t size);

/* The bytes that mem_alloc() takes for a block of `nbytes`; for a large block these are whole huge pages. */
size_t mem_block_nbytes(size_t nbytes);

/* Frees a block of mem_alloc(); NULL is allowed. */
void mem_free(void *block);

/* `nbytes` rounded up to a multiple of MEM_ALIGNMENT. With it, one block is divided into aligned parts. */
static inline size_t mem_round_up(size_t nbytes) {
    return (nbytes + MEM_ALIGNMENT - 1) / MEM_ALIGNMENT * MEM_ALIGNMENT;
}

/* The memory that this process can still get, in bytes. It is the smallest of three: MemAvailable of
 * /proc/meminfo, what the limits of the control groups leave (cgroup.h), and mem_address_space_nbytes(). SIZE_MAX
 * where none is known. */
size_t mem_available_nbytes(void);

/* The address space that the limit of the process (ulimit -v) leaves, in bytes; SIZE_MAX without a limit. */
size_t mem_address_space_nbytes(void);

/* The largest resident set of this process so far, in bytes. */
size_t mem_peak_rss_nbytes(void);

/* For tests: makes the n-th mem_alloc() from now on fail, and no other; 0 switches this off. */
void mem_test_fail_at(long n);

#endif
