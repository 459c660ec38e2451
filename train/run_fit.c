/* run_fit: the job of a fit: trains the session's head, saves it, and reports. */
#include "train/job.h"
#include "train/jobs.h"

enum status run_fit(struct session *session) {
    struct job job = {0};
    size_t fit_count = 0;
    enum status status = job_prepare(&job, session, &fit_count);
    if (status == STATUS_OK)
        status = job_use_rows(&job, fit_count);
    if (status == STATUS_OK && session->options->checkpoint != NULL)
        status = job_use_checkpoint(&job);
    if (status == STATUS_OK)
        status = job_learn(&job);
    if (status == STATUS_OK)
        status = job_save(&job);
    if (status == STATUS_OK)
        status = job_tell(&job);
    if (status == STATUS_OK && session->options->checkpoint != NULL)
        output_remove(session->options->checkpoint);
    job_close(&job);
    return status;
}
