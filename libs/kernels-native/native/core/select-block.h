#pragma once

#include "core/grid.h"
#include "core/keys.h"
#include "core/select.h"
#include "simd/score.h"
#include "simd/select.h"

namespace ultramem {

// Some tokens and one head on their way through selection, and the memory for it, which is used again for the next block.
//
// For each side: all keys are scored in 8 bits, and those whose bounds reach the k-th largest lower bound in 16 bits; where there are
// matrix units, all in 16 bits at once. The few that then still stand between the k-th and the next are scored exactly. That gives the
// exact k best. Their other ranks are scored in 16 bits, which bounds every cell of the grid; the cells that may win are evaluated
// exactly, from exact scores of their rows and columns alone. Tokens without bounds go through exact scores of everything.
class SelectBlock {
 public:
  void begin(const KeyTable& keys, const PackedKeys& packed, const ScoreTask& task, size_t head, size_t firstToken, size_t tokenCount);

  // The k best keys of every token on this side.
  void findKeys(size_t side);
  // After `findKeys`: their refined scores, exact, in order, as `scoreKeys` returns them.
  void writeCandidates(size_t side, uint32_t firstKey, uint32_t* index, float* refined);
  // After `findKeys` of this side: bounds of all refined scores.
  void boundRefined(size_t side);
  // After both sides' `boundRefined`: the winners. What `address` will read comes meanwhile.
  void writeWinners(const GridShape& shape, const Winners& into, const AddressTask* addressing);
  // After `writeWinners`: block and slot of the winners. False as the function of this name.
  bool address(const AddressTask& task) const;

 private:
  // What bounds the errors of a token's scores: of each panel, and of the query.
  struct PanelErrors {
    const float* residuals;
    const float* norms;
    float residual;
  };
  struct Side {
    LineVector<double> query;      // [tokens, rowStride]
    LineVector<uint8_t> panelQuery;  // [tokens, queryBytes]
    LineVector<int16_t> words;     // [tokens, wordStride]
    LineVector<int8_t> split;      // [tokens, splitBytes] in tiles, where keys are split
    LineVector<PreparedQuery> prepared;
    LineVector<uint32_t> keys;     // [tokens, k]: chosen
    LineVector<float> lower;       // [tokens, k]: bounds of their collapsed scores
    LineVector<float> upper;
    LineVector<float> refined;     // [tokens, rank, columnStride]
    LineVector<double> error;      // [tokens, rank]
    LineVector<float> largest;     // [tokens, rank]: of the magnitudes in `refined`
    LineVector<float> exact;       // [tokens, k, rank], where needed
    LineVector<uint8_t> isNeeded;  // [tokens, k]
    LineVector<KeyOfToken> needed; // entries of `exact` to compute; `key` is their place in `keys`
  };

  // With fewer tokens tiles are mostly empty, and twice the bytes of 8-bit scores are read for them.
  static constexpr size_t TILE_TOKENS_MIN = 9;

  // Where a token's k entries begin among those of all tokens and heads.
  size_t entryOf(size_t token) const { return ((firstToken_ + token) * shape_.headCount + head_) * k_; }
  size_t listOf(size_t side) const { return head_ * SIDES + side; }
  bool bounded(size_t side, size_t token) const {
    return !packed_->lists[listOf(side)].exactOnly && sides_[side].prepared[token].bounded;
  }
  // Asks for the rows of these keys, `rowWords` from one to the next, which are read once all tokens have come as far as this one.
  void fetch(const int16_t* rows, size_t rowWords, const uint32_t* keys, size_t count);
  void prepareQueries(size_t side);
  // Many tokens, and keys that matrix units can multiply.
  bool inTiles() const { return shape_.isSplit() && tokenCount_ >= TILE_TOKENS_MIN; }
  void scoreInTiles(size_t side);
  void scoreInBytes(size_t side);
  void narrowInWords(size_t side);
  void findSurvivors(size_t side, size_t token, float* scores, const PanelErrors& errors);
  // Bounds of the `count` entries from `begin` on, one token's.
  void scoreInWords(size_t side, size_t token, size_t begin, size_t count);
  void dropDoubtful(size_t side, size_t token);
  void chooseKeys(size_t side, size_t token);
  void settle(size_t side, size_t token, size_t count, float reached);
  Entries entriesAt(size_t at) { return {keys_.data() + at, lower_.data() + at, upper_.data() + at}; }
  void exactKeysOf(size_t side, size_t token, uint32_t* keys, float* refined);
  void refineNeeded(size_t side);
  void writeExactly(size_t token, const GridShape& shape, const Winners& into);
  void boundRefinedOf(Side& side, const PackedList& list, size_t token);

  const KeyTable* table_ = nullptr;
  const PackedKeys* packed_ = nullptr;
  const ScoreTask* task_ = nullptr;
  const ScoreKernels* score_ = nullptr;
  const SelectKernels* select_ = nullptr;
  KeyShape shape_{};
  size_t head_ = 0;
  size_t firstToken_ = 0;
  size_t tokenCount_ = 0;
  size_t k_ = 0;
  size_t columnStride_ = 0;
  size_t fetchLeft_ = 0;  // bytes that `fetch` may still ask for

  Side sides_[SIDES];
  LineVector<float> scores_;  // [tokens at once, paddedKeyCount]
  LineVector<float> errors_;  // [panelCount]
  // Survivors of all tokens one after another: token t's begin at start_[t], first the sure, then the doubtful.
  LineVector<uint32_t> keys_;
  LineVector<float> lower_;
  LineVector<float> upper_;
  LineVector<size_t> start_;
  LineVector<size_t> sureCount_;
  LineVector<size_t> count_;
  LineVector<float> limit_;  // a number that at least k lower bounds of the token's survivors reach
  LineVector<uint32_t> doubtful_;
  LineVector<float> doubtfulUpper_;
  LineVector<float> copy_;
  LineVector<float> sums_;
  LineVector<uint32_t> rows_;
  LineVector<KeyOfToken> pairs_;
  LineVector<uint32_t> keyStart_;
  LineVector<float> exact_;
  LineVector<double> collapsed_;
  LineVector<uint32_t> order_;
  LineVector<float> otherLower_;  // [rank - 1, k]
  LineVector<float> otherUpper_;
  LineVector<uint32_t> cells_;
  LineVector<size_t> cellStart_;
  GridSelection grid_;
};

}  // namespace ultramem
