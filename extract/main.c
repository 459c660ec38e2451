/* main: `extract` from its command line to its exit status. It only starts the job. */
#include "common/base/cli.h"
#include "common/base/h5.h"
#include "common/base/interrupt.h"
#include "common/base/log.h"
#include "common/base/streams.h"
#include "extract/options.h"
#include "extract/run.h"

#include <errno.h>

const char *argp_program_version = "vggcache " VGGCACHE_VERSION;

static enum status (*const jobs[OPTIONS_JOBS])(const struct options *) = {[OPTIONS_EXTRACT] = run_extract,
                                                                          [OPTIONS_SUMMARY] = run_summary,
                                                                          [OPTIONS_INFO] = run_info,
                                                                          [OPTIONS_VERIFY] = run_verify};

int main(int argc, char *argv[]) {
    struct options options;
    streams_init();
    interrupt_init();
    options_parse(&options, argc, argv);
    log_init(program_invocation_short_name, (enum log_level)options.level);
    h5_init();
    return cli_exit_status(jobs[options.job](&options));
}
