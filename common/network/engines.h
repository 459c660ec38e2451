/* engines: the table of the ways to compute a convolution, and the choice among them. A new engine is a file with its
 * struct conv_engine and a row here. */
#ifndef COMMON_NETWORK_ENGINES_H
#define COMMON_NETWORK_ENGINES_H

#include "common/base/status.h"
#include "common/network/conv.h"

/* "auto", "winograd", "gemm", "reference", NULL. */
extern const char *const engines_names[];

/* The engine of engines_names[index], ready for `threads` threads, and in *isa_ret what of the machine decides its last
 * bits: the instruction set of its kernels, or OpenBLAS's name for them. "auto" chooses winograd; a name never falls
 * back to another engine. STATUS_USAGE and STATUS_UNSUPPORTED, what blas_init() says. */
enum status engines_choose(int index, int threads, const struct conv_engine **engine_ret,
                           const char **isa_ret);

#endif
