/* run: the jobs of `extract`, one for each of options.h. The status and its message report a failure. */
#ifndef EXTRACT_RUN_H
#define EXTRACT_RUN_H

#include "common/base/status.h"
#include "extract/options.h"

enum status run_extract(const struct options *options); /* fills a cache, prints a line, writes JSON */
enum status run_summary(const struct options *options); /* prints the model table */
enum status run_info(const struct options *options);    /* prints what is in a cache */
enum status run_verify(const struct options *options);  /* reads a cache again and checks every checksum */

#endif
