/* outputs: the files that a job leaves beside its head: JSON, the report; and what can be known of them before the work. */
#ifndef TRAIN_OUTPUTS_H
#define TRAIN_OUTPUTS_H

#include "train/session.h"

/* Whether the folder of the file `path`, which will be made, can be written to; `what` names it in the message. */
enum status outputs_check_folder(const char *path, const char *what);

/* The same for a head, which must not replace a cache or what is no regular file. */
enum status outputs_check_head(const char *path);

/* Opens what --report needs, so that what is wrong with it is known before the work; nothing without it. */
enum status outputs_open_report(struct session *session);

/* Writes the JSON of a run and publishes it. */
enum status outputs_write_json(struct output *output, const struct record_results *results);

/* Writes the page of --report after session_evaluate() and publishes it. `kept`: index of the epoch whose weights the
 * head has. */
enum status outputs_write_report(struct session *session, const struct record_results *results, size_t kept,
                                 const struct head_io_training *training);

#endif
