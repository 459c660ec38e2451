/* winograd_points: the points at which the minimal filtering algorithms interpolate. It owns the one list of points.
 * The transforms of pixels and sums (winograd_transforms.h) and of weights (winograd_weights.c) are made from it.
 *
 * F(m,3) interpolates at n = m + 2 points, one of them infinity. The others come in pairs +-p, and 0 joins them where
 * n is even. The two points of a pair share almost all of their arithmetic. Only the rounding depends on which points
 * are taken. This is the relative error of one layer, measured on rectified normal activations and normal weights,
 * with the usual points and with those that are used here:
 *
 *     F(4,3)   0, +-1, +-2                1.5e-6     0, +-5/8, +-11/8                6.4e-7   (128 channels)
 *     F(6,3)   0, +-1/2, +-1, +-2         3.1e-6     nothing better found
 *     F(7,3)   +-1/4, +-1/2, +-1, +-2     1.3e-5     +-1/4, +-11/16, +-1, +-9/4      7.0e-6
 *     F(8,3)   0, +-1/2, +-3/4, +-1, +-2  3.1e-5     0, +-3/8, +-3/4, +-5/4, +-9/4   1.2e-5   (64 channels)
 *
 * All points are multiples of 1/16, so every constant of the pixel and output transforms is exact in a float. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_POINTS_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_POINTS_H

/* The positive point of each pair. The order of all points is (0,) +A, -A, +B, -B, ..., infinity. */
#define F2_A (1.0)
#define F3_A (0.5)
#define F3_B (1.0)
#define F4_A (0.625)
#define F4_B (1.375)
#define F6_A (0.5)
#define F6_B (1.0)
#define F6_C (2.0)
#define F7_A (0.25)
#define F7_B (0.6875)
#define F7_C (1.0)
#define F7_D (2.25)
#define F8_A (0.375)
#define F8_B (0.75)
#define F8_C (1.25)
#define F8_D (2.25)

#endif
