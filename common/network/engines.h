/* engines: the table of the engines, and the choice among them. A new engine is a file with its struct conv_engine
 * and a row here. */
#ifndef COMMON_NETWORK_ENGINES_H
#define COMMON_NETWORK_ENGINES_H

#include "common/base/status.h"
#include "common/network/conv.h"

/* "auto", "winograd", "gemm", "reference", NULL. */
extern const char *const engines_names[];

/* Gives the engine of engines_names[index], ready for `threads` threads. *isa_ret: what of the machine decides the
 * last bits of its results, which is the instruction set of its kernels, or OpenBLAS's name for them. "auto" chooses
 * winograd; a name never falls back to another engine. STATUS_USAGE, STATUS_UNSUPPORTED, and those of blas_init(). */
enum status engines_choose(int index, int threads, const struct conv_engine **engine_ret,
                           const char **isa_ret);

#endif
