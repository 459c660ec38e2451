/* backbone: the table of the convolutions of VGG16 without its top. */
#include "common/network/backbone.h"

const struct backbone_layer backbone_layers[BACKBONE_CONVS] = {
    {"block1_conv1", 3, 64, false},   {"block1_conv2", 64, 64, true},    {"block2_conv1", 64, 128, false},
    {"block2_conv2", 128, 128, true}, {"block3_conv1", 128, 256, false}, {"block3_conv2", 256, 256, false},
    {"block3_conv3", 256, 256, true}, {"block4_conv1", 256, 512, false}, {"block4_conv2", 512, 512, false},
    {"block4_conv3", 512, 512, true}, {"block5_conv1", 512, 512, false}, {"block5_conv2", 512, 512, false},
    {"block5_conv3", 512, 512, true},
};

size_t backbone_dim(size_t size) {
    return BACKBONE_FEATURE_CHANNELS * (size / 32) * (size / 32);
}
