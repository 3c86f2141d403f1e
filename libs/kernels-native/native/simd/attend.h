#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"

namespace ultramem {

// Keys whose scores are computed, and whose values are added, together. Blocks start at multiples of it whatever the query is, so
// that a query's sums have one order.
constexpr size_t KEY_BLOCK = 64;

// Scores of one query over one block of keys.
struct SoftmaxRow {
  float* scores;      // [KEY_BLOCK]: dot products; afterwards e^(score - max), 0 from `count` on
  size_t count;       // keys the query sees, at least 1
  float scale;        // of the dot products
  float slope;        // subtracted once per position of distance
  float distance;     // of the query from the block's first key
  float max;          // of all blocks so far; -infinity before the first
  float sum;          // of this block's exponentials
  float rescale;      // what exponentials and sums of earlier blocks are multiplied with, now that `max` has grown
};

struct AttendKernels {
  void (*softmaxRow)(SoftmaxRow& row);
  // Rows of `width` elements, `stride` apart, to [width][panelRows] of simd/matmul.h: `count` <= panelRows rows, zeros after them.
  void (*packKeys)(const float* rows, size_t stride, size_t count, size_t width, float* panel);
  // Rows of `width` elements, `stride` apart, to panels [KEY_BLOCK][panelRows] for each panelRows columns, zeros beyond the width.
  void (*packValues)(const float* rows, size_t stride, size_t count, size_t width, float* panels);
  // x *= factor
  void (*scaleRow)(float* x, size_t count, float factor);
  // x = x * factor + other * otherFactor
  void (*mergeRow)(float* x, float factor, const float* other, float otherFactor, size_t count);
  // out = x / divisor
  void (*divideRow)(const float* x, float divisor, size_t count, float* out);
};

ULTRAMEM_TABLES(AttendKernels, attendKernels)

}  // namespace ultramem
