#include "simd/merge.h"

#include "simd/pool-rows.h"

namespace ultramem::ULTRAMEM_ISA {
namespace {

#if defined(ULTRAMEM_ISA_AVX512)
using Wide = __m512d;
ULTRAMEM_INLINE Wide load(const float* from) { return (Wide)widen(loadUnaligned<F32x8>(from)); }
ULTRAMEM_INLINE void store(float* into, Wide sums) { _mm256_storeu_ps(into, _mm512_maskz_cvtpd_ps(0xff, sums)); }
#elif defined(ULTRAMEM_ISA_AVX2)
// g++ 12 passes eight f64 through memory here.
using Wide = __m256d;
ULTRAMEM_INLINE Wide load(const float* from) { return _mm256_cvtps_pd(_mm_loadu_ps(from)); }
ULTRAMEM_INLINE void store(float* into, Wide sums) { _mm_storeu_ps(into, _mm256_cvtpd_ps(sums)); }
#else
using Wide = F64x8;
ULTRAMEM_INLINE Wide load(const float* from) { return widen(loadUnaligned<F32x8>(from)); }
ULTRAMEM_INLINE void store(float* into, Wide sums) {
  const F32x8 rounded = __builtin_convertvector(sums, F32x8);
  __builtin_memcpy(into, &rounded, sizeof rounded);
}
#endif
constexpr size_t STEP = sizeof(Wide) / sizeof(double);

void sumRows(float* into, const float* const* rows, size_t rowCount, size_t at, size_t columns) {
  size_t c = 0;
  for (; c + 2 * STEP <= columns; c += 2 * STEP) {
    Wide low = load(rows[0] + at + c);
    Wide high = load(rows[0] + at + c + STEP);
    for (size_t r = 1; r < rowCount; r++) {
      low += load(rows[r] + at + c);
      high += load(rows[r] + at + c + STEP);
    }
    store(into + c, low);
    store(into + c + STEP, high);
  }
  for (; c < columns; c++) {
    double sum = static_cast<double>(rows[0][at + c]);
    for (size_t r = 1; r < rowCount; r++) sum += static_cast<double>(rows[r][at + c]);
    into[c] = static_cast<float>(sum);
  }
}

}  // namespace

const MergeTable mergeTable{sumRows};

}  // namespace ultramem::ULTRAMEM_ISA
