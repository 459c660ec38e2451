/* summary: the model table, layer by layer, like Keras' model.summary(). */
#ifndef EXTRACT_SUMMARY_H
#define EXTRACT_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Prints VGG16 without its top, Flatten, and Dense(classes, softmax), for inputs of size x size x 3. `train_all`: the
 * backbone is trainable, too, and not frozen. */
void summary_print(FILE *stream, size_t size, size_t classes, bool train_all);

#endif
