#pragma once

#include "simd/vector.h"

namespace ultramem::ULTRAMEM_ISA {

// Lane j of row i becomes lane i of row j.
#if defined(ULTRAMEM_ISA_AVX512)
ULTRAMEM_INLINE void transposeSquare(Vec (&r)[WIDTH]) {
  Vec t[WIDTH];
  // Pairs of rows, then fours, inside each 128 bits; then the 128 bits among rows four and eight apart.
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
#elif defined(ULTRAMEM_ISA_AVX2)
ULTRAMEM_INLINE void transposeSquare(Vec (&r)[WIDTH]) {
  Vec t[WIDTH];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) r[i] = t[i];
}
#else
ULTRAMEM_INLINE void transposeSquare(Vec (&r)[WIDTH]) {
  float from[WIDTH][WIDTH];
  float to[WIDTH][WIDTH];
  for (int i = 0; i < WIDTH; i++) store(from[i], r[i]);
  for (int i = 0; i < WIDTH; i++)
    for (int j = 0; j < WIDTH; j++) to[j][i] = from[i][j];
  for (int i = 0; i < WIDTH; i++) r[i] = load(to[i]);
}
#endif

// to[c][r] = from[r][c] for r < rows <= WIDTH and c < columns, with strides in elements. `lanes` elements of each column are written,
// rows <= lanes <= WIDTH: zeros follow the rows.
ULTRAMEM_INLINE void transpose(const float* from, size_t fromStride, size_t rows, size_t columns, float* to, size_t toStride,
                               size_t lanes) {
  for (size_t column = 0; column < columns; column += WIDTH) {
    const size_t taken = columns - column < WIDTH ? columns - column : WIDTH;
    Vec square[WIDTH];
    if (taken == WIDTH && rows == WIDTH) {
#pragma GCC unroll 16
      for (size_t row = 0; row < WIDTH; row++) square[row] = load(from + row * fromStride + column);
    } else {
#pragma GCC unroll 16
      for (size_t row = 0; row < WIDTH; row++)
        square[row] = row < rows ? loadFirst(from + row * fromStride + column, taken) : zero();
    }
    transposeSquare(square);
    float* out = to + column * toStride;
    if (taken == WIDTH && lanes == WIDTH) {
#pragma GCC unroll 16
      for (size_t i = 0; i < WIDTH; i++) store(out + i * toStride, square[i]);
    } else {
#pragma GCC unroll 16
      for (size_t i = 0; i < WIDTH; i++)
        if (i < taken) storeFirst(out + i * toStride, square[i], lanes);
    }
  }
}

}  // namespace ultramem::ULTRAMEM_ISA
