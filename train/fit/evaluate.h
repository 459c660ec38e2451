/* evaluate: loss, accuracy and predictions of a head on rows of features, as keras.Model.evaluate() and
 * predict(). */
#ifndef TRAIN_FIT_EVALUATE_H
#define TRAIN_FIT_EVALUATE_H

#include "common/base/status.h"
#include "train/head/head.h"
#include "train/rows/data.h"

/* loss: the mean cross entropy, plus l2 * sum(kernel^2) as Keras adds it; accuracy: the share of rows whose
 * largest logit (the first of several) is that of their label. Both NaN when rows is 0. */
struct evaluate_result {
    double loss, accuracy;
    size_t rows;
};

/* Evaluates rows.count rows with up to `threads` threads; the result does not depend on how many.
 * predicted[count] and probabilities[count][classes] are filled unless NULL. rows.dim is the head's, labels
 * are below head->classes. STATUS_NO_MEMORY; STATUS_INTERRUPTED after a signal; what data_window() says. */
enum status evaluate_run(const struct head *head, struct data_rows rows, double l2, int threads,
                         uint16_t *predicted, float *probabilities, struct evaluate_result *result_ret);

/* ---- for fit, which evaluates in its own threads ---- */

/* Floats of scratch memory that evaluate_block() needs, aligned to 64 bytes. */
size_t evaluate_scratch_count(const struct head *head);

/* Rows first..first+count-1, in memory, count <= head->block_rows, on the calling thread: *loss_ret is the
 * sum of their cross entropies, *correct_ret how many are right; predicted[count];
 * probabilities[count][classes] or NULL.
 */
void evaluate_block(const struct head *head, struct data_rows rows, size_t first, size_t count,
                    float *scratch, uint16_t *predicted, float *probabilities, double *loss_ret,
                    size_t *correct_ret);

/* The result from the sums of blocks, added in order. */
struct evaluate_result evaluate_total(const struct head *head, double l2, size_t rows, size_t block_count,
                                      const double *losses, const size_t *correct);

/* ---- confusion ---- */

/* How one class fared. precision = correct / predicted, recall = correct / support, f1 = their harmonic mean;
 * each 0 where its divisor is 0 (as scikit-learn's zero_division=0). */
struct evaluate_class {
    size_t support, predicted, correct;
    double precision, recall, f1;
};

/* Tallies labels[count] against predicted[count] into per_class[classes] and, unless NULL,
 * matrix[classes][classes] (row: label, column: predicted). */
void evaluate_confusion(const uint16_t *labels, const uint16_t *predicted, size_t count, size_t classes,
                        struct evaluate_class *per_class, size_t *matrix);

#endif
