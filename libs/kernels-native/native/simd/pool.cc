#include "simd/pool.h"

#if defined(ULTRAMEM_ISA_AVX512)
#include "simd/pool-registers.h"
#else
#include "simd/pool-groups.h"
#endif

namespace ultramem::ULTRAMEM_ISA {

const PoolTable poolTable{sumRows<RowF32>, sumRows<RowBf16>, sumRows<RowF16>, sumScaledRows};

}  // namespace ultramem::ULTRAMEM_ISA
