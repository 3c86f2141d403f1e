#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"

namespace ultramem {

// A query q in whole numbers of 16 bits, and in those that panels are multiplied with, which are of 8 bits where the processor
// multiplies bytes; each with its scale and with the norm of what rounding took away. `RowBound` says what follows from these numbers.
struct PreparedQuery {
  float wordScale;
  float wordResidual;
  float panelScale;
  float panelResidual;
  float norm;
  int32_t panelSum;  // of the numbers for panels
  bool bounded;  // false where q is 0, not finite, very small or very large: nothing is known then
};

struct KeyOfToken {
  uint32_t key;
  uint32_t token;
};

// Some tokens' queries against all panels of one list.
struct PanelScores {
  const uint8_t* panels;  // PackedList::panels
  const float* scales;    // PackedList::scales
  size_t panelCount;
  size_t quadCount;
  const uint8_t* queries;  // [tokenCount, queryBytes(quadCount)] as `prepare` wrote them
  const PreparedQuery* prepared;  // [tokenCount]
  size_t tokenCount;
  float* scores;  // [tokenCount, panelCount * 32]
};

// The products of selection: whole numbers for all keys, wider ones for some, f64 for few.
struct ScoreKernels {
  // Bytes of one query in the form that `scorePanels` reads; a multiple of 4.
  size_t (*queryBytes)(size_t quadCount);
  // Writes all forms of q [width]: `wide [width padded to 8]`; `panelQuery [queryBytes]` and `words [width padded to 32]` where it is
  // bounded.
  void (*prepare)(const float* q, size_t width, double* wide, uint8_t* panelQuery, int16_t* words, PreparedQuery* prepared);
  void (*scorePanels)(const PanelScores& task);
  // sums[i] = words of row rows[i] times q, exactly in 16 lanes, the sum of which is rounded; wordStride is a multiple of 32.
  void (*dotWords)(const int16_t* words, size_t wordStride, const uint32_t* rows, size_t count, const int16_t* q, float* sums);
  // refined[i, r] = row r of key pairs[i].key times the query of token pairs[i].token, in f64 in the order of the reference's `dot`,
  // rounded to f32; fastest where pairs of one key stand together. `list` is [keys, rank, rowStride], `queries` [tokens, rowStride],
  // padded with zeros to a multiple of 8.
  void (*dotExact)(const float* list, size_t rowStride, size_t rank, const KeyOfToken* pairs, size_t count, const double* queries,
                   float* refined);
};

ULTRAMEM_TABLES(ScoreKernels, scoreKernels)

}  // namespace ultramem
