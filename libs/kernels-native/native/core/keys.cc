#include "core/keys.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace ultramem {
namespace {

constexpr int BYTE_MAX = 127;
constexpr int WORD_MAX = amx::SPLIT_MAX;
// Products of whole numbers are added in LANES sums, that of column c in lane c / 2 % LANES. Of two rows whose lanes have norms of at
// most this, every lane's sum is below 2^31, and so is every part of it (Cauchy-Schwarz); rounding to whole numbers adds at most
// sqrt(width / LANES) / 2 to such a norm.
constexpr size_t LANES = 16;
constexpr double LANE_NORM_MAX = 46000;
// Up to this width the sum of all products of a key's bytes with a query's words, lanes of norm LANE_NORM_MAX, is below 2^31 as well:
// 4 * 127 * LANE_NORM_MAX * sqrt(WIDTH_MAX).
constexpr size_t WIDTH_MAX = 8192;
// Ranks that leave the slack of RowBound enough room for their additions.
constexpr size_t RANK_MAX = 16;
// Rows and vectors of at most this norm: no sum of the fast path comes near the largest f32.
constexpr double NORM_MAX = 0x1p60;
// Scales below this are treated as zero, and absolute errors of denormal numbers stay below |q| times the floor (|q| >= 2^-40).
constexpr double SCALE_MIN = 0x1p-100;
constexpr double RESIDUAL_FLOOR = 0x1p-70;

float roundedUp(double x) {
  const float rounded = static_cast<float>(x);
  return rounded < x ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

// Where the parts of one list begin inside the packed memory, in bytes.
struct Layout {
  size_t panels, scales, residuals, norms, folded, foldedBounds, others, otherBounds;
  size_t split, splitScales, splitResiduals, splitNorms, end;
};

Layout layoutOf(const KeyShape& shape) {
  const size_t otherCount = shape.keyCount * (shape.rank - 1);
  Layout layout{};
  size_t at = 0;
  const auto take = [&at](size_t bytes) {
    const size_t start = at;
    at += roundUp(bytes, 64);
    return start;
  };
  layout.panels = take(shape.panelCount() * shape.quadCount() * PANEL_KEYS * QUAD);
  layout.scales = take(shape.paddedKeyCount() * sizeof(float));
  layout.residuals = take(roundUp(shape.panelCount(), 16) * sizeof(float));
  layout.norms = take(roundUp(shape.panelCount(), 16) * sizeof(float));
  layout.folded = take(shape.keyCount * shape.wordStride() * sizeof(int16_t));
  layout.foldedBounds = take(shape.keyCount * sizeof(RowBound));
  layout.others = take(otherCount * shape.wordStride() * sizeof(int16_t));
  layout.otherBounds = take(otherCount * sizeof(RowBound));
  if (shape.isSplit()) {
    layout.split = take(shape.paddedKeyCount() * amx::splitBytes(shape.width));
    layout.splitScales = take(shape.paddedKeyCount() * sizeof(float));
    layout.splitResiduals = take(roundUp(shape.panelCount(), 16) * sizeof(float));
    layout.splitNorms = take(roundUp(shape.panelCount(), 16) * sizeof(float));
  }
  layout.end = at;
  return layout;
}

double normOf(const double* x, size_t width) {
  double sum = 0;
  for (size_t c = 0; c < width; c++) sum += x[c] * x[c];
  return std::sqrt(sum);
}

// The largest norm of a lane.
double laneNormOf(const double* x, size_t width) {
  double sums[LANES] = {};
  for (size_t c = 0; c < width; c++) sums[c / 2 % LANES] += x[c] * x[c];
  return std::sqrt(*std::max_element(sums, sums + LANES));
}

// Whole numbers w of at most `limit`, with lanes of norm at most `normLimit` or thereabouts, with x ~ scale w; `emit(c, w[c])` takes them.
//
// What RowBound promises. Let x be the row that is folded, x = sum over r of u_r k_r in real numbers (a rank's own row is the case
// of one u_r = 1), and N = sum of |u_r| |k_r|, here `magnitude`. Let q be a query, S_r = q k_r in real numbers, s_r the reference's
// refined score, a = sum of u_r s_r its collapsed score.
// 1. The reference's rounding. A dot product of `width` <= 2^16 exact products in f64 errs by at most 2^-36 |q| |k_r|, its rounding
//    to f32 by 2^-24 of itself or 2^-150, and |S_r| <= |q| |k_r|; the f64 sum over at most 16 ranks adds less than 2^-48 N |q|. So
//    |a - q x| <= (2^-24 + 2^-35) |q| N + 2^-149 sum |u_r|.
// 2. Whole numbers. With y = scale w, x = y + d, and q = p + e where p are the query's whole numbers times its scale:
//    q x - p y = q d + e y, at most |q| |d| + |e| |y|. d is measured here in f64, from an x whose own error is below 2^-48 N.
// 3. Evaluation. p y is the sum of 16 exact integers below 2^31, whose magnitudes together are at most |p| |y|. They are rounded to f32
//    and added in pairs (5 times 2^-24 |p| |y|), or added exactly and rounded, and multiplied by two scales (2^-24 each). Of split
//    words it is 65536 h + (256 m + l) with h, m and l exact in f32: two roundings, of p y and of less than half of |p| |y|. The bound is
//    added or subtracted in f32 (2^-24 of the sum), and up to 16 ranks are combined (2^-24 each). Together below 32 * 2^-24 (|p| |y| +
//    bound) <= 2^-19 (|q| + |e|) |y| + 2^-19 bound. Products that are denormal err by at most 2^35 2^-150 = 2^-115 absolutely.
//    Where a rank's score is derived from the folded one, partial sums are at most |q| N: 16 more roundings of 2^-24 |q| N.
// 4. So with residual >= |d| (1 + 2^-18) + 2^-18 |y| + 2^-19 N + 2^-70 (1 + sum |u_r|) and norm >= |y| (1 + 2^-17) the promise holds
//    for |q| >= 2^-40: the last term of the residual covers what is absolute, 2^-110 (1 + sum |u_r|) > 2^-115 + 2^-149 sum |u_r|.
template <class Emit>
RowBound quantise(const double* x, size_t width, double magnitude, double vectorSum, int limit, double normLimit, const Emit& emit) {
  double largest = 0;
  for (size_t c = 0; c < width; c++) largest = std::max(largest, std::fabs(x[c]));
  float scale = roundedUp(std::max(largest / limit, laneNormOf(x, width) / normLimit));
  if (!(scale >= SCALE_MIN)) scale = 0;
  const double inverse = scale == 0 ? 0 : 1.0 / scale;
  double squares = 0;
  double differences = 0;
  for (size_t c = 0; c < width; c++) {
    const double nearest = x[c] * inverse;
    const int whole = std::clamp(static_cast<int>(nearest + std::copysign(0.5, nearest)), -limit, limit);
    emit(c, whole);
    const double kept = static_cast<double>(scale) * whole;
    squares += kept * kept;
    differences += (x[c] - kept) * (x[c] - kept);
  }
  const double norm = std::sqrt(squares);
  RowBound bound{};
  bound.scale = scale;
  bound.residual = roundedUp(std::sqrt(differences) * (1 + 0x1p-18) + norm * 0x1p-18 + magnitude * 0x1p-19 +
                             RESIDUAL_FLOOR * (1 + vectorSum));
  bound.norm = roundedUp(norm * (1 + 0x1p-17));
  return bound;
}

class Packer {
 public:
  Packer(const KeyTable& keys, PackedKeys& packed)
      : keys_(keys), shape_(keys.shape()), layout_(layoutOf(shape_)), packed_(packed) {}

  void prepare(size_t list) {
    PackedList& into = packed_.lists[list];
    const float* vectors = (list % SIDES == 0 ? packed_.row : packed_.column).data() + list / SIDES * shape_.rank;
    into.vector.assign(vectors, vectors + shape_.rank);
    const uint8_t* base = at<uint8_t>(list, 0);
    into.panels = base + layout_.panels;
    into.scales = at<float>(list, layout_.scales);
    into.residuals = at<float>(list, layout_.residuals);
    into.norms = at<float>(list, layout_.norms);
    into.folded = at<int16_t>(list, layout_.folded);
    into.foldedBounds = at<RowBound>(list, layout_.foldedBounds);
    into.others = at<int16_t>(list, layout_.others);
    into.otherBounds = at<RowBound>(list, layout_.otherBounds);
    if (shape_.isSplit()) {
      into.split = at<int8_t>(list, layout_.split);
      into.splitScales = at<float>(list, layout_.splitScales);
      into.splitResiduals = at<float>(list, layout_.splitResiduals);
      into.splitNorms = at<float>(list, layout_.splitNorms);
    }
    double sum = 0;
    bool finite = true;
    for (size_t r = 0; r < shape_.rank; r++) {
      finite = finite && std::isfinite(vectors[r]);
      sum += std::fabs(vectors[r]);
      if (std::fabs(vectors[r]) > std::fabs(vectors[into.derivedRank])) into.derivedRank = r;
    }
    const double derived = std::fabs(vectors[into.derivedRank]);
    into.exactOnly = !finite || sum > NORM_MAX || derived < 0x1p-40 || shape_.width > WIDTH_MAX || shape_.rank > RANK_MAX;
  }

  // False when a key of the panel is too large for the bounds.
  bool packPanel(size_t list, size_t panel) const {
    std::vector<double> folded(shape_.width);
    std::vector<double> other(shape_.width);
    float residual = 0;
    float norm = 0;
    const size_t end = std::min((panel + 1) * PANEL_KEYS, shape_.keyCount);
    uint8_t* bytes = at<uint8_t>(list, layout_.panels) + panel * shape_.quadCount() * PANEL_KEYS * QUAD;
    std::memset(bytes, 128, shape_.quadCount() * PANEL_KEYS * QUAD);
    for (size_t key = panel * PANEL_KEYS; key < end; key++) {
      double magnitude = 0;
      if (!fold(list, key, folded.data(), magnitude)) return false;
      const double sum = vectorSum(list);
      const size_t lane = key % PANEL_KEYS;
      const RowBound coarse = quantise(folded.data(), shape_.width, magnitude, sum, BYTE_MAX,
                                       std::numeric_limits<double>::infinity(), [&](size_t c, int whole) {
                                         bytes[(c / QUAD * PANEL_KEYS + lane) * QUAD + c % QUAD] = static_cast<uint8_t>(whole + 128);
                                       });
      at<float>(list, layout_.scales)[key] = coarse.scale;
      residual = std::max(residual, coarse.residual);
      norm = std::max(norm, coarse.norm);
      int16_t* words = at<int16_t>(list, layout_.folded) + key * shape_.wordStride();
      const RowBound fine = quantise(folded.data(), shape_.width, magnitude, sum, WORD_MAX, LANE_NORM_MAX,
                                     [words](size_t c, int whole) { words[c] = static_cast<int16_t>(whole); });
      at<RowBound>(list, layout_.foldedBounds)[key] = fine;
      if (shape_.isSplit()) split(list, key, words, fine);
      packOthers(list, key, other.data());
    }
    at<float>(list, layout_.residuals)[panel] = residual;
    at<float>(list, layout_.norms)[panel] = norm;
    return true;
  }

 private:
  template <class T>
  T* at(size_t list, size_t offset) const {
    return reinterpret_cast<T*>(packed_.memory.as<uint8_t>() + list * layout_.end + offset);
  }

  double vectorSum(size_t list) const {
    double sum = 0;
    for (float entry : packed_.lists[list].vector) sum += std::fabs(entry);
    return sum;
  }

  bool fold(size_t list, size_t key, double* folded, double& magnitude) const {
    std::fill_n(folded, shape_.width, 0.0);
    for (size_t r = 0; r < shape_.rank; r++) {
      const float* row = keys_.rows(list) + (key * shape_.rank + r) * shape_.rowStride();
      const double weight = packed_.lists[list].vector[r];
      double squares = 0;
      for (size_t c = 0; c < shape_.width; c++) {
        folded[c] += weight * row[c];
        squares += static_cast<double>(row[c]) * row[c];
      }
      const double norm = std::sqrt(squares);
      if (!(norm <= NORM_MAX)) return false;
      magnitude += std::fabs(weight) * norm;
    }
    return magnitude <= NORM_MAX;
  }

  // Residuals and norms of a panel grow to the largest of its keys, which one thread packs.
  void split(size_t list, size_t key, const int16_t* words, const RowBound& bound) const {
    int8_t* tile = at<int8_t>(list, layout_.split) + key / amx::TILE * amx::TILE * amx::splitBytes(shape_.width);
    for (size_t c = 0; c < shape_.width; c++) {
      int8_t* byte = tile + amx::keyByte(key % amx::TILE, c);
      byte[0] = static_cast<int8_t>((words[c] + 128) >> 8);
      byte[amx::LOW] = static_cast<int8_t>(words[c]);
    }
    at<float>(list, layout_.splitScales)[key] = bound.scale;
    float& residual = at<float>(list, layout_.splitResiduals)[key / PANEL_KEYS];
    float& norm = at<float>(list, layout_.splitNorms)[key / PANEL_KEYS];
    residual = std::max(residual, bound.residual);
    norm = std::max(norm, bound.norm);
  }

  void packOthers(size_t list, size_t key, double* x) const {
    size_t other = key * (shape_.rank - 1);
    for (size_t r = 0; r < shape_.rank; r++) {
      if (r == packed_.lists[list].derivedRank) continue;
      const float* row = keys_.rows(list) + (key * shape_.rank + r) * shape_.rowStride();
      std::copy_n(row, shape_.width, x);
      int16_t* words = at<int16_t>(list, layout_.others) + other * shape_.wordStride();
      at<RowBound>(list, layout_.otherBounds)[other] =
          quantise(x, shape_.width, normOf(x, shape_.width), 1, WORD_MAX, LANE_NORM_MAX,
                   [words](size_t c, int whole) { words[c] = static_cast<int16_t>(whole); });
      other++;
    }
  }

  const KeyTable& keys_;
  const KeyShape shape_;
  const Layout layout_;
  PackedKeys& packed_;
};

bool sameVectors(const PackedKeys& packed, const float* row, const float* column) {
  // Bit for bit: a NaN is equal to itself here, and -0 is not 0.
  return std::memcmp(packed.row.data(), row, packed.row.size() * sizeof(float)) == 0 &&
         std::memcmp(packed.column.data(), column, packed.column.size() * sizeof(float)) == 0;
}

}  // namespace

KeyTable::KeyTable(const KeyShape& shape)
    : shape_(shape), memory_(shape.listCount() * shape.keyCount * shape.rank * shape.rowStride() * sizeof(float)) {}

void KeyTable::fill(size_t firstRow, size_t rowCount, const float* rows) {
  for (size_t row = 0; row < rowCount; row++)
    std::memcpy(memory_.as<float>() + (firstRow + row) * shape_.rowStride(), rows + row * shape_.width, shape_.width * sizeof(float));
}

bool KeyTable::isPacked(const float* row, const float* column) const {
  const std::lock_guard lock(mutex_);
  return packed_ != nullptr && sameVectors(*packed_, row, column);
}

std::shared_ptr<const PackedKeys> KeyTable::packed(const float* row, const float* column, Workers& workers) {
  const std::lock_guard lock(mutex_);
  if (packed_ != nullptr && sameVectors(*packed_, row, column)) return packed_;
  auto packed = std::make_shared<PackedKeys>();
  const size_t vectorLength = shape_.headCount * shape_.rank;
  packed->row.assign(row, row + vectorLength);
  packed->column.assign(column, column + vectorLength);
  packed->lists.resize(shape_.listCount());
  packed_ = nullptr;  // before the new one takes its memory
  packed->memory = Memory(shape_.listCount() * layoutOf(shape_).end);
  Packer packer(*this, *packed);
  for (size_t list = 0; list < shape_.listCount(); list++) packer.prepare(list);
  const size_t panelCount = shape_.panelCount();
  std::vector<std::atomic<bool>> tooLarge(shape_.listCount());
  workers.run(static_cast<uint32_t>(shape_.listCount() * panelCount), [&](uint32_t part, uint32_t) {
    const size_t list = part / panelCount;
    if (!packed->lists[list].exactOnly && !packer.packPanel(list, part % panelCount)) tooLarge[list] = true;
  });
  for (size_t list = 0; list < shape_.listCount(); list++)
    if (tooLarge[list]) packed->lists[list].exactOnly = true;
  packed_ = packed;
  return packed;
}

size_t KeyTable::residentBytes() const { return memory_.size() + shape_.listCount() * layoutOf(shape_).end; }

}  // namespace ultramem
