/* main: `train` from its command line to its exit status, which only this file decides. */
#include "common/base/cli.h"
#include "common/base/h5.h"
#include "common/base/interrupt.h"
#include "common/base/log.h"
#include "common/base/streams.h"
#include "common/base/threads.h"
#include "train/jobs.h"
#include "train/options.h"
#include "train/session.h"

#include <errno.h>

const char *argp_program_version = "vggcache " VGGCACHE_VERSION;

static enum status (*const jobs[OPTIONS_MODES])(struct session *) = {
    [OPTIONS_FIT] = run_fit,       [OPTIONS_EVALUATE] = run_evaluate,         [OPTIONS_PREDICT] = run_predict,
    [OPTIONS_EXPORT] = run_export, [OPTIONS_EXPORT_MODEL] = run_export_model,
};

int main(int argc, char *argv[]) {
    struct options options;
    struct session session;
    streams_init();
    interrupt_init();
    options_parse(&options, argc, argv);
    log_init(program_invocation_short_name, (enum log_level)options.level);
    h5_init();
    options.threads = (uint64_t)threads_settle((int)options.threads);
    enum status status = session_open(&session, &options);
    if (status == STATUS_OK && options.sweep.count > 0)
        status = run_sweep(&session);
    else if (status == STATUS_OK)
        status = jobs[options.mode](&session);
    session_close(&session);
    return cli_exit_status(status);
}
