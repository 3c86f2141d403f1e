#include "core/select-block.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace ultramem {
namespace {

// Tokens whose 8-bit scores are made in one pass over the keys: as many as fill the registers of a tile.
constexpr size_t TILE_TOKENS = 12;
// Tokens whose 16-bit scores are made in one pass: keys are read twice from the nearest cache, scores stay in the next one.
constexpr size_t SPLIT_TOKENS = 2 * amx::TILE;
// Rows of one list that stay in the second-level cache until all tokens of a block have said what they want.
constexpr size_t FETCH_BYTES = 1024 * 1024;

double collapse(const float* refined, const float* vector, size_t rank) {
  double sum = 0;
  for (size_t r = 0; r < rank; r++) sum += static_cast<double>(refined[r]) * vector[r];
  return sum;
}

}  // namespace

void SelectBlock::begin(const KeyTable& keys, const PackedKeys& packed, const ScoreTask& task, size_t head, size_t firstToken,
                        size_t tokenCount) {
  table_ = &keys;
  packed_ = &packed;
  task_ = &task;
  score_ = &ULTRAMEM_PICK(scoreKernels);
  select_ = &ULTRAMEM_PICK(selectKernels);
  shape_ = keys.shape();
  head_ = head;
  firstToken_ = firstToken;
  tokenCount_ = tokenCount;
  k_ = task.k;
  columnStride_ = roundUp(k_, 16);
  const auto grow = [](auto& vector, size_t size) {
    if (vector.size() < size) vector.resize(size);
  };
  grow(scores_, (inTiles() ? SPLIT_TOKENS : TILE_TOKENS) * shape_.paddedKeyCount());
  grow(errors_, roundUp(shape_.panelCount(), 16));
  const size_t entries = tokenCount * shape_.keyCount + APPEND_SLACK;
  grow(keys_, entries);
  grow(lower_, entries);
  grow(upper_, entries);
  grow(start_, tokenCount + 1);
  grow(sureCount_, tokenCount);
  grow(count_, tokenCount);
  grow(limit_, tokenCount);
  grow(doubtful_, shape_.keyCount + APPEND_SLACK);
  grow(doubtfulUpper_, shape_.keyCount + APPEND_SLACK);
  grow(copy_, shape_.keyCount + APPEND_SLACK);
  grow(sums_, shape_.keyCount);
  grow(otherLower_, k_ * (shape_.rank - 1));
  grow(otherUpper_, k_ * (shape_.rank - 1));
  for (Side& side : sides_) {
    grow(side.query, tokenCount * shape_.rowStride());
    grow(side.panelQuery, tokenCount * score_->queryBytes(shape_.quadCount()) + 64);
    grow(side.words, tokenCount * shape_.wordStride());
    if (inTiles()) grow(side.split, roundUp(tokenCount, amx::TILE) * amx::splitBytes(shape_.width));
    grow(side.prepared, tokenCount);
    grow(side.keys, tokenCount * k_);
    grow(side.lower, tokenCount * k_);
    grow(side.upper, tokenCount * k_);
    grow(side.refined, tokenCount * shape_.rank * columnStride_);
    grow(side.error, tokenCount * shape_.rank);
    grow(side.largest, tokenCount * shape_.rank);
    grow(side.exact, tokenCount * k_ * shape_.rank);
    grow(side.isNeeded, tokenCount * k_);
  }
}

// Rows that lie anywhere come late where nobody asked for them; a model's other weights have driven them out of the caches meanwhile. The second-level
// cache takes more requests at a time than the first.
void SelectBlock::fetch(const int16_t* rows, size_t rowWords, const uint32_t* keys, size_t count) {
  constexpr size_t LINE_WORDS = 64 / sizeof(int16_t);
  const size_t bytes = count * rowWords * sizeof(int16_t);
  if (bytes > fetchLeft_) return;
  fetchLeft_ -= bytes;
  for (size_t i = 0; i < count; i++)
    for (size_t word = 0; word < rowWords; word += LINE_WORDS) __builtin_prefetch(rows + keys[i] * rowWords + word, 0, 2);
}

void SelectBlock::prepareQueries(size_t at) {
  Side& side = sides_[at];
  const size_t bytes = score_->queryBytes(shape_.quadCount());
  const size_t group = task_->groupOfHead[head_];
  for (size_t t = 0; t < tokenCount_; t++) {
    const float* q = task_->query + (((firstToken_ + t) * task_->groupCount + group) * SIDES + at) * shape_.width;
    side.prepared[t] = PreparedQuery{};
    score_->prepare(q, shape_.width, side.query.data() + t * shape_.rowStride(), side.panelQuery.data() + t * bytes,
                    side.words.data() + t * shape_.wordStride(), &side.prepared[t]);
  }
}

void SelectBlock::findKeys(size_t at) {
  prepareQueries(at);
  if (packed_->lists[listOf(at)].exactOnly) return;
  start_[0] = 0;
  if (inTiles()) {
    scoreInTiles(at);
  } else {
    scoreInBytes(at);
    narrowInWords(at);
  }
  fetchLeft_ = FETCH_BYTES;
  for (size_t t = 0; t < tokenCount_; t++)
    if (bounded(at, t)) chooseKeys(at, t);
}

void SelectBlock::scoreInTiles(size_t at) {
#if defined(__x86_64__)
  Side& side = sides_[at];
  const PackedList& list = packed_->lists[listOf(at)];
  const size_t stride = shape_.paddedKeyCount();
  const size_t splitBytes = amx::splitBytes(shape_.width);
  for (size_t t = 0; t < tokenCount_; t++)
    if (bounded(at, t))
      amx::splitQuery(side.words.data() + t * shape_.wordStride(), shape_.width, t % amx::TILE,
                      side.split.data() + t / amx::TILE * amx::TILE * splitBytes);
  for (size_t first = 0; first < tokenCount_; first += SPLIT_TOKENS) {
    const size_t count = std::min(tokenCount_ - first, SPLIT_TOKENS);
    float scales[SPLIT_TOKENS];
    for (size_t t = 0; t < count; t++) scales[t] = side.prepared[first + t].wordScale;
    amx::scoreTiles({list.split, list.splitScales, stride / amx::TILE, shape_.width, side.split.data() + first * splitBytes, scales, count,
                     scores_.data()});
    for (size_t t = 0; t < count; t++) {
      float* scores = scores_.data() + t * stride;
      const size_t token = first + t;
      const size_t start = start_[token];
      findSurvivors(at, token, scores, {list.splitResiduals, list.splitNorms, side.prepared[token].wordResidual});
      if (bounded(at, token))
        select_->boundPanels({scores, errors_.data(), shape_.panelCount()}, keys_.data() + start, count_[token], lower_.data() + start,
                             upper_.data() + start);
    }
  }
#else
  (void)at;
#endif
}

void SelectBlock::narrowInWords(size_t at) {
  fetchLeft_ = FETCH_BYTES;
  for (size_t t = 0; t < tokenCount_; t++) {
    if (!bounded(at, t)) continue;
    scoreInWords(at, t, start_[t], sureCount_[t]);
    dropDoubtful(at, t);
  }
  for (size_t t = 0; t < tokenCount_; t++)
    if (bounded(at, t)) scoreInWords(at, t, start_[t] + sureCount_[t], count_[t] - sureCount_[t]);
}

void SelectBlock::scoreInBytes(size_t at) {
  const Side& side = sides_[at];
  const PackedList& list = packed_->lists[listOf(at)];
  const size_t stride = shape_.paddedKeyCount();
  const size_t bytes = score_->queryBytes(shape_.quadCount());
  fetchLeft_ = FETCH_BYTES;
  for (size_t first = 0; first < tokenCount_;) {
    const size_t left = tokenCount_ - first;
    const size_t count = left == 16 ? 8 : std::min(left, TILE_TOKENS);
    score_->scorePanels({list.panels, list.scales, shape_.panelCount(), shape_.quadCount(), side.panelQuery.data() + first * bytes,
                         side.prepared.data() + first, count, scores_.data()});
    for (size_t t = 0; t < count; t++) {
      const size_t token = first + t;
      findSurvivors(at, token, scores_.data() + t * stride, {list.residuals, list.norms, side.prepared[token].panelResidual});
      if (bounded(at, token)) fetch(list.folded, shape_.wordStride(), keys_.data() + start_[token], sureCount_[token]);
    }
    first += count;
  }
}

void SelectBlock::findSurvivors(size_t at, size_t token, float* scores, const PanelErrors& errors) {
  const size_t start = start_[token];
  start_[token + 1] = start;
  if (!bounded(at, token)) return;
  std::fill(scores + shape_.keyCount, scores + shape_.paddedKeyCount(), -std::numeric_limits<float>::infinity());
  const float largest = select_->panelErrors(errors.residuals, errors.norms, sides_[at].prepared[token].norm, errors.residual,
                                             shape_.panelCount(), errors_.data());
  const BoundedScores bounds{scores, errors_.data(), shape_.panelCount()};
  limit_[token] = select_->threshold(bounds, k_);
  Survivors found{keys_.data() + start, 0, doubtful_.data(), doubtfulUpper_.data(), 0};
  select_->survivors(bounds, largest, limit_[token], k_, &found);
  std::copy_n(found.doubtful, found.doubtfulCount, keys_.data() + start + found.sureCount);
  std::copy_n(found.upper, found.doubtfulCount, upper_.data() + start + found.sureCount);
  sureCount_[token] = found.sureCount;
  count_[token] = found.sureCount + found.doubtfulCount;
  start_[token + 1] = start + count_[token];
}

void SelectBlock::scoreInWords(size_t at, size_t token, size_t begin, size_t count) {
  const Side& side = sides_[at];
  const PackedList& list = packed_->lists[listOf(at)];
  const PreparedQuery& query = side.prepared[token];
  const uint32_t* keys = keys_.data() + begin;
  score_->dotWords(list.folded, shape_.wordStride(), keys, count, side.words.data() + token * shape_.wordStride(), sums_.data());
  select_->boundScores(&list.foldedBounds->scale, keys, sums_.data(), count, query.wordScale, query.norm, query.wordResidual,
                       lower_.data() + begin, upper_.data() + begin);
}

// Keeps the doubtful keys that can still reach a number that at least k lower bounds of the sure ones do.
void SelectBlock::dropDoubtful(size_t at, size_t token) {
  const size_t start = start_[token];
  const size_t sure = sureCount_[token];
  std::copy_n(lower_.data() + start, sure, copy_.data());
  const float lowest = *std::min_element(copy_.begin(), copy_.begin() + static_cast<ptrdiff_t>(sure));
  limit_[token] = select_->kthLargest(copy_.data(), sure, k_, 1, lowest);
  const Entries doubtful = entriesAt(start + sure);
  const size_t kept = select_->keep(doubtful, count_[token] - sure, limit_[token], doubtful);
  count_[token] = sure + kept;
  fetch(packed_->lists[listOf(at)].folded, shape_.wordStride(), doubtful.keys, kept);
}

void SelectBlock::chooseKeys(size_t at, size_t token) {
  Side& side = sides_[at];
  const PackedList& list = packed_->lists[listOf(at)];
  const size_t start = start_[token];
  std::copy_n(lower_.data() + start, count_[token], copy_.data());
  const float limit = select_->kthLargest(copy_.data(), count_[token], k_, 0, limit_[token]);
  const size_t kept = select_->keep(entriesAt(start), count_[token], limit, entriesAt(start));
  if (kept > k_) settle(at, token, kept, limit);
  std::copy_n(keys_.data() + start, k_, side.keys.data() + token * k_);
  std::copy_n(lower_.data() + start, k_, side.lower.data() + token * k_);
  std::copy_n(upper_.data() + start, k_, side.upper.data() + token * k_);
  fetch(list.others, (shape_.rank - 1) * shape_.wordStride(), keys_.data() + start, k_);
}

// Of `count` > k entries with bounds, keeps exactly the k best. A key whose lower bound exceeds a number that at most k upper bounds
// exceed belongs to them: whoever beats it has an upper bound above that number too. The others are scored exactly.
void SelectBlock::settle(size_t at, size_t token, size_t count, float reached) {
  const size_t start = start_[token];
  const PackedList& list = packed_->lists[listOf(at)];
  float* upper = upper_.data() + start;
  std::copy_n(upper, count, copy_.data());
  float limit = select_->kthLargest(copy_.data(), count, k_, 0, reached);
  size_t above = 0;
  for (size_t i = 0; i < count; i++) above += upper[i] > limit;
  if (above > k_) {
    std::nth_element(copy_.begin(), copy_.begin() + static_cast<ptrdiff_t>(k_), copy_.begin() + static_cast<ptrdiff_t>(count), std::greater<>());
    limit = copy_[k_];
  }
  order_.clear();
  rows_.clear();
  for (size_t i = 0; i < count; i++)
    if (!(lower_[start + i] > limit)) {
      order_.push_back(static_cast<uint32_t>(order_.size()));
      rows_.push_back(static_cast<uint32_t>(i));
    }
  const size_t certain = count - rows_.size();
  LineVector<uint32_t>& ambiguous = rows_;
  pairs_.resize(std::max(pairs_.size(), ambiguous.size()));
  exact_.resize(std::max(exact_.size(), ambiguous.size() * shape_.rank));
  collapsed_.resize(ambiguous.size());
  for (size_t i = 0; i < ambiguous.size(); i++) pairs_[i] = {keys_[start + ambiguous[i]], static_cast<uint32_t>(token)};
  score_->dotExact(table_->rows(listOf(at)), shape_.rowStride(), shape_.rank, pairs_.data(), ambiguous.size(), sides_[at].query.data(),
                   exact_.data());
  for (size_t i = 0; i < ambiguous.size(); i++)
    collapsed_[i] = collapse(exact_.data() + i * shape_.rank, list.vector.data(), shape_.rank);
  // Larger first, then the smaller key; those behind the k-th are marked and left out.
  std::sort(order_.begin(), order_.end(), [&](uint32_t i, uint32_t j) {
    return collapsed_[i] > collapsed_[j] || (collapsed_[i] == collapsed_[j] && pairs_[i].key < pairs_[j].key);
  });
  constexpr float OUT = -std::numeric_limits<float>::infinity();
  for (size_t i = k_ - certain; i < order_.size(); i++) upper[ambiguous[order_[i]]] = OUT;
  select_->keep(entriesAt(start), count, std::numeric_limits<float>::lowest(), entriesAt(start));
}

// The folded score bounds a = sum of u_r s_r, 16-bit scores bound s_r for r other than p, and s_p = (a - sum of u_r s_r) / u_p.
void SelectBlock::boundRefined(size_t at) {
  Side& side = sides_[at];
  const PackedList& list = packed_->lists[listOf(at)];
  const size_t otherCount = shape_.rank - 1;
  rows_.resize(std::max(rows_.size(), k_));
  for (size_t t = 0; t < tokenCount_; t++) {
    if (!bounded(at, t)) continue;
    const PreparedQuery& query = side.prepared[t];
    for (size_t other = 0; other < otherCount; other++) {
      for (size_t i = 0; i < k_; i++) rows_[i] = static_cast<uint32_t>(side.keys[t * k_ + i] * otherCount + other);
      score_->dotWords(list.others, shape_.wordStride(), rows_.data(), k_, side.words.data() + t * shape_.wordStride(), sums_.data());
      select_->boundScores(&list.otherBounds->scale, rows_.data(), sums_.data(), k_, query.wordScale, query.norm, query.wordResidual,
                           otherLower_.data() + other * k_, otherUpper_.data() + other * k_);
    }
    boundRefinedOf(side, list, t);
  }
}

void SelectBlock::boundRefinedOf(Side& side, const PackedList& list, size_t token) {
  const size_t rank = shape_.rank;
  float* refined = side.refined.data() + token * rank * columnStride_;
  double* error = side.error.data() + token * rank;
  float* largest = side.largest.data() + token * rank;
  float* derived = refined + list.derivedRank * columnStride_;
  // The middle of two bounds and half their distance, which are rounded: 2^-22 of the larger bound covers it.
  const auto middles = [&](const float* lower, const float* upper, size_t r) {
    float widest;
    select_->middles(lower, upper, k_, refined + r * columnStride_, &widest, &largest[r]);
    return 0.5 * widest * (1 + 0x1p-22) + (largest[r] + widest) * 0x1p-22;
  };
  double derivedError = middles(side.lower.data() + token * k_, side.upper.data() + token * k_, list.derivedRank);
  for (size_t other = 0; other + 1 < rank; other++) {
    const size_t r = other < list.derivedRank ? other : other + 1;
    error[r] = middles(otherLower_.data() + other * k_, otherUpper_.data() + other * k_, r);
    select_->subtract(derived, refined + r * columnStride_, list.vector[r], k_);
    derivedError += std::fabs(list.vector[r]) * error[r];
  }
  const double inverse = 1.0 / list.vector[list.derivedRank];
  largest[list.derivedRank] = select_->scale(derived, static_cast<float>(inverse), k_);
  error[list.derivedRank] = derivedError * std::fabs(inverse) * (1 + 0x1p-40) + largest[list.derivedRank] * 0x1p-22;
  for (size_t r = 0; r < rank; r++) std::fill(refined + r * columnStride_ + k_, refined + (r + 1) * columnStride_, 0.0f);
}

// The reference's own way, for one token: all keys exactly, in order.
void SelectBlock::exactKeysOf(size_t at, size_t token, uint32_t* keys, float* refined) {
  const PackedList& list = packed_->lists[listOf(at)];
  const size_t rank = shape_.rank;
  pairs_.resize(std::max(pairs_.size(), shape_.keyCount));
  exact_.resize(std::max(exact_.size(), shape_.keyCount * rank));
  collapsed_.resize(shape_.keyCount);
  order_.resize(shape_.keyCount);
  for (size_t key = 0; key < shape_.keyCount; key++) {
    order_[key] = static_cast<uint32_t>(key);
    pairs_[key] = {static_cast<uint32_t>(key), static_cast<uint32_t>(token)};
  }
  score_->dotExact(table_->rows(listOf(at)), shape_.rowStride(), rank, pairs_.data(), shape_.keyCount, sides_[at].query.data(),
                   exact_.data());
  for (size_t key = 0; key < shape_.keyCount; key++) {
    collapsed_[key] = collapse(exact_.data() + key * rank, list.vector.data(), rank);
    if (std::isnan(collapsed_[key])) throw NonFiniteScore();
  }
  std::partial_sort(order_.begin(), order_.begin() + static_cast<ptrdiff_t>(k_), order_.end(), [&](uint32_t i, uint32_t j) {
    return collapsed_[i] > collapsed_[j] || (collapsed_[i] == collapsed_[j] && i < j);
  });
  for (size_t j = 0; j < k_; j++) {
    keys[j] = order_[j];
    std::copy_n(exact_.data() + order_[j] * rank, rank, refined + j * rank);
  }
}

void SelectBlock::writeCandidates(size_t at, uint32_t firstKey, uint32_t* index, float* refined) {
  Side& side = sides_[at];
  const size_t rank = shape_.rank;
  side.needed.clear();
  for (size_t t = 0; t < tokenCount_; t++)
    for (size_t i = t * k_; bounded(at, t) && i < (t + 1) * k_; i++) side.needed.push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(t)});
  refineNeeded(at);
  const PackedList& list = packed_->lists[listOf(at)];
  for (size_t t = 0; t < tokenCount_; t++) {
    const size_t entry = ((firstToken_ + t) * shape_.headCount * SIDES + listOf(at)) * k_;
    if (!bounded(at, t)) {
      exactKeysOf(at, t, index + entry, refined + entry * rank);
    } else {
      const uint32_t* keys = side.keys.data() + t * k_;
      const float* exact = side.exact.data() + t * k_ * rank;
      collapsed_.resize(k_);
      order_.resize(k_);
      for (size_t j = 0; j < k_; j++) {
        order_[j] = static_cast<uint32_t>(j);
        collapsed_[j] = collapse(exact + j * rank, list.vector.data(), rank);
      }
      std::sort(order_.begin(), order_.end(), [&](uint32_t i, uint32_t j) {
        return collapsed_[i] > collapsed_[j] || (collapsed_[i] == collapsed_[j] && keys[i] < keys[j]);
      });
      for (size_t j = 0; j < k_; j++) {
        index[entry + j] = keys[order_[j]];
        std::copy_n(exact + order_[j] * rank, rank, refined + (entry + j) * rank);
      }
    }
    for (size_t j = 0; j < k_; j++) index[entry + j] += firstKey;
  }
}

// Exact refined scores of the needed entries. Sorted by key: a row that several tokens need comes from memory once.
void SelectBlock::refineNeeded(size_t at) {
  Side& side = sides_[at];
  const size_t rank = shape_.rank;
  const size_t count = side.needed.size();
  keyStart_.assign(shape_.keyCount + 1, 0);
  for (const KeyOfToken& entry : side.needed) keyStart_[side.keys[entry.key]]++;
  uint32_t start = 0;
  for (uint32_t& entry : keyStart_) start += std::exchange(entry, start);
  pairs_.resize(std::max(pairs_.size(), count));
  rows_.resize(std::max(rows_.size(), count));
  exact_.resize(std::max(exact_.size(), count * rank));
  for (const KeyOfToken& entry : side.needed) {
    const uint32_t key = side.keys[entry.key];
    const uint32_t place = keyStart_[key]++;
    pairs_[place] = {key, entry.token};
    rows_[place] = entry.key;
  }
  score_->dotExact(table_->rows(listOf(at)), shape_.rowStride(), rank, pairs_.data(), count, side.query.data(), exact_.data());
  for (size_t i = 0; i < count; i++)
    for (size_t r = 0; r < rank; r++) side.exact[rows_[i] * rank + r] = exact_[i * rank + r];
}

void SelectBlock::writeWinners(const GridShape& shape, const Winners& into, const AddressTask* addressing) {
  grid_.begin(shape, head_);
  const size_t rank = shape_.rank;
  cells_.clear();
  cellStart_.clear();
  for (Side& side : sides_) {
    side.needed.resize(tokenCount_ * k_ + 1);
    std::fill_n(side.isNeeded.begin(), tokenCount_ * k_, uint8_t{0});
  }
  size_t neededCount[SIDES] = {};
  // Without a branch, which nobody could foresee.
  const auto need = [&](size_t at, size_t entry, size_t token) {
    Side& side = sides_[at];
    side.needed[neededCount[at]] = {static_cast<uint32_t>(entry), static_cast<uint32_t>(token)};
    neededCount[at] += 1 - side.isNeeded[entry];
    side.isNeeded[entry] = 1;
  };
  for (size_t t = 0; t < tokenCount_; t++) {
    cellStart_.push_back(cells_.size());
    if (!bounded(0, t) || !bounded(1, t)) continue;
    const auto approximate = [&](const Side& side) {
      return ApproximateSide{side.refined.data() + t * rank * columnStride_, side.error.data() + t * rank, side.largest.data() + t * rank};
    };
    if (!grid_.findCells(approximate(sides_[0]), approximate(sides_[1]), cells_)) continue;
    for (size_t i = cellStart_[t]; i < cells_.size(); i++) {
      need(0, t * k_ + rowOf(cells_[i]), t);
      need(1, t * k_ + columnOf(cells_[i]), t);
    }
  }
  cellStart_.push_back(cells_.size());
  for (size_t side = 0; side < SIDES; side++) {
    sides_[side].needed.resize(neededCount[side]);
    refineNeeded(side);
  }
  for (size_t t = 0; t < tokenCount_; t++) {
    const size_t count = cellStart_[t + 1] - cellStart_[t];
    const auto exact = [&](size_t side) {
      return ExactSide{sides_[side].keys.data() + t * k_, sides_[side].exact.data() + t * k_ * rank,
                       packed_->lists[listOf(side)].vector.data()};
    };
    if (count == 0) writeExactly(t, shape, into);
    else grid_.choose(cells_.data() + cellStart_[t], count, exact(0), exact(1), entryOf(t), into);
    if (addressing != nullptr) fetchShuffled(*addressing, entryOf(t), entryOf(t) + k_);
  }
}

bool SelectBlock::address(const AddressTask& task) const {
  bool inside = true;
  for (size_t t = 0; t < tokenCount_; t++) inside = addressPart(task, entryOf(t), entryOf(t) + k_) && inside;
  return inside;
}

void SelectBlock::writeExactly(size_t token, const GridShape& shape, const Winners& into) {
  ExactSide exact[SIDES];
  for (size_t at = 0; at < SIDES; at++) {
    Side& side = sides_[at];
    exact[at] = {side.keys.data() + token * k_, side.exact.data() + token * k_ * shape.rank, nullptr};
    exactKeysOf(at, token, side.keys.data() + token * k_, side.exact.data() + token * k_ * shape.rank);
  }
  grid_.chooseFromAll(exact[0], exact[1], entryOf(token), into);
}

}  // namespace ultramem
