// Selection of random and of adversarial keys against plain loops in the reference's order: every index and every bit of a score.
#include <algorithm>
#include <bit>

#include "core/select.h"
#include "test/driver.h"

using namespace ultramem;
using namespace ultramem::test;

namespace {

struct Problem {
  KeyShape shape;
  size_t tokenCount;
  size_t groupCount;
  size_t k;
  size_t coreCount;
  bool hasCores;
  std::vector<float> rows;  // [heads, 2, keyCount, rank, width]
  std::vector<float> query;
  std::vector<uint32_t> groupOfHead;
  std::vector<float> row;
  std::vector<float> column;
  std::vector<float> cores;
};

// The reference's dot product: sums of columns c mod 8, halved three times.
float refinedScore(const float* row, const float* q, size_t width) {
  double s[8] = {};
  for (size_t c = 0; c < width; c++) s[c % 8] += static_cast<double>(row[c]) * static_cast<double>(q[c]);
  return static_cast<float>(s[0] + s[4] + (s[2] + s[6]) + (s[1] + s[5] + (s[3] + s[7])));
}

struct Answer {
  bool isNaN = false;
  std::vector<uint32_t> index;
  std::vector<float> refined;
  std::vector<double> virtualIndex;
  std::vector<float> scores;
  std::vector<float> rankScore;
};

// Positions of the k largest, equal ones by position; isNaN where one is NaN.
std::vector<size_t> best(const std::vector<double>& scores, size_t k, bool& isNaN) {
  std::vector<size_t> order(scores.size());
  for (size_t i = 0; i < order.size(); i++) {
    order[i] = i;
    isNaN = isNaN || std::isnan(scores[i]);
  }
  if (isNaN) return {};
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return scores[i] > scores[j]; });
  order.resize(k);
  return order;
}

void naiveCandidates(const Problem& p, Answer& answer) {
  const auto& [headCount, keyCount, width, rank] = p.shape;
  std::vector<float> refined(keyCount * rank);
  std::vector<double> collapsed(keyCount);
  for (size_t token = 0; token < p.tokenCount; token++)
    for (size_t list = 0; list < p.shape.listCount(); list++) {
      const size_t head = list / SIDES;
      const float* q = &p.query[((token * p.groupCount + p.groupOfHead[head]) * SIDES + list % SIDES) * width];
      for (size_t key = 0; key < keyCount; key++) {
        collapsed[key] = 0;
        for (size_t r = 0; r < rank; r++) {
          refined[key * rank + r] = refinedScore(&p.rows[((list * keyCount + key) * rank + r) * width], q, width);
          collapsed[key] += static_cast<double>(refined[key * rank + r]) * (list % SIDES == 0 ? p.row : p.column)[head * rank + r];
        }
      }
      for (size_t key : best(collapsed, p.k, answer.isNaN)) {
        answer.index.push_back(static_cast<uint32_t>(key));
        for (size_t r = 0; r < rank; r++) answer.refined.push_back(refined[key * rank + r]);
      }
      if (answer.isNaN) return;
    }
}

void naiveGrids(const Problem& p, Answer& answer) {
  const auto& [headCount, keyCount, width, rank] = p.shape;
  for (size_t list = 0; list < p.tokenCount * headCount; list++) {
    const float* rows = &answer.refined[list * SIDES * p.k * rank];
    const float* columns = rows + p.k * rank;
    std::vector<double> sums(p.k * p.k, 0);
    std::vector<double> perCore(p.coreCount * sums.size());
    for (size_t cell = 0; cell < sums.size(); cell++) {
      const float* a = rows + cell / p.k * rank;
      const float* b = columns + cell % p.k * rank;
      if (!p.hasCores) sums[cell] = static_cast<double>(a[0]) + static_cast<double>(b[0]);
      for (size_t c = 0; p.hasCores && c < p.coreCount; c++) {
        const float* core = &p.cores[(c * headCount + list % headCount) * rank * rank];
        double score = 0;
        for (size_t s = 0; s < rank; s++) {
          double bent = 0;
          for (size_t r = 0; r < rank; r++) bent += static_cast<double>(a[r]) * core[r * rank + s];
          score += bent * b[s];
        }
        perCore[c * sums.size() + cell] = score;
        sums[cell] += score;
      }
    }
    for (size_t cell : best(sums, p.k, answer.isNaN)) {
      answer.virtualIndex.push_back(static_cast<double>(answer.index[list * SIDES * p.k + cell / p.k]) * static_cast<double>(keyCount) +
                                    answer.index[(list * SIDES + 1) * p.k + cell % p.k]);
      answer.rankScore.push_back(static_cast<float>(sums[cell]));
      for (size_t c = 0; p.hasCores && c < p.coreCount; c++) answer.scores.push_back(static_cast<float>(perCore[c * sums.size() + cell]));
    }
    if (answer.isNaN) return;
  }
}

float nextBit(float x, int steps) { return std::bit_cast<float>(std::bit_cast<int32_t>(x) + steps); }

// What makes choosing hard: keys that differ by less than whole numbers resolve, by one bit, or not at all.
void makeKeys(Random& random, Problem& p) {
  const size_t rowLength = p.shape.rank * p.shape.width;
  const size_t keys = p.shape.listCount() * p.shape.keyCount;
  p.rows.resize(keys * rowLength);
  const size_t kind = random.below(7);
  const float scale = random.oneIn(6) ? std::ldexp(1.0f, static_cast<int>(random.between(0, 160)) - 100) : 1.0f;
  for (size_t i = 0; i < p.rows.size(); i++) {
    p.rows[i] = kind == 1 ? static_cast<float>(random.below(3)) - 1 : random.normal();  // few values: many exact ties
    p.rows[i] *= scale;
    if (kind == 2 && random.oneIn(40)) p.rows[i] *= 1000;  // rows whose largest element says little about the rest
  }
  const size_t distinct = random.between(1, p.shape.keyCount);
  const float nudge = std::pow(10.0f, -static_cast<float>(random.between(2, 8)));
  for (size_t key = 0; kind >= 3 && key < keys; key++) {
    const size_t first = key / p.shape.keyCount * p.shape.keyCount;
    const size_t original = first + (key - first) % distinct;
    if (original == key) continue;
    for (size_t c = 0; c < rowLength; c++) {
      const float x = p.rows[original * rowLength + c];
      float& copy = p.rows[key * rowLength + c];
      copy = x;
      if (kind == 4 && random.oneIn(rowLength)) copy = nextBit(x, random.oneIn(2) ? 1 : -1);
      if (kind == 5) copy = x * (1 + nudge * random.normal());
      if (kind == 6) copy = x * static_cast<float>(random.between(1, 3));
    }
  }
}

// Everything in one of the sums that products of whole numbers are added in, and queries along keys: as near to 2^31 as it gets.
void fillOneLane(Random& random, Problem& p) {
  const size_t width = p.shape.width;
  const size_t lane = random.below(16);
  const float rest = random.oneIn(2) ? 0 : 1e-3f;
  for (size_t i = 0; i < p.rows.size(); i++)
    if (i % width / 2 % 16 != lane) p.rows[i] *= rest;
  for (size_t t = 0; t < p.query.size() / width; t++) {
    const size_t row = random.below(p.rows.size() / width);
    const float sign = random.oneIn(2) ? 1 : -1;
    for (size_t c = 0; c < width; c++) p.query[t * width + c] = sign * p.rows[row * width + c];
  }
}

// Rows of the largest width that bounds are known for, and wider ones: numbers of about one size in all columns, along which queries
// point. No sum of a key's bytes with a query's words comes nearer to 2^31.
void makeWide(Random& random, Problem& p) {
  const size_t width = random.between(8180, 8200);
  p.shape = {1, random.between(2, 30), width, p.shape.rank == 1 ? size_t{1} : size_t{2}};
  p.tokenCount = random.between(1, 3);
  p.k = random.between(1, p.shape.keyCount);
  std::vector<float> signs(width);
  for (float& sign : signs) sign = random.oneIn(2) ? 1 : -1;
  p.rows.resize(SIDES * p.shape.keyCount * p.shape.rank * width);
  for (size_t i = 0; i < p.rows.size(); i++) p.rows[i] = signs[i % width] * (1 - 1e-4f * std::fabs(random.normal()));
  p.query.resize(p.tokenCount * p.groupCount * SIDES * width);
  for (size_t i = 0; i < p.query.size(); i++) p.query[i] = signs[i % width] * (random.oneIn(2) ? 1 : 0.999f);
}

Problem makeProblem(Random& random) {
  Problem p;
  const bool isMemoryPlus = random.oneIn(4);
  const bool isWide = random.oneIn(25);
  p.hasCores = !isMemoryPlus;
  p.shape = {random.between(1, 3), random.oneIn(4) ? random.between(200, 700) : random.between(1, 120),
             random.oneIn(3)    ? random.between(1, 8)
             : random.oneIn(4)  ? random.between(97, 260)
             : random.oneIn(16) ? random.between(505, 520)
                                : random.between(1, 70),
             isMemoryPlus ? 1 : random.between(1, 4)};
  p.tokenCount = random.oneIn(3) ? random.between(9, 80) : random.between(0, 6);
  p.groupCount = random.between(1, 2);
  p.k = std::min(p.shape.keyCount, random.oneIn(5) ? random.between(30, 70) : random.between(1, 20));
  p.coreCount = isMemoryPlus ? 1 : random.between(1, 3);
  if (isWide) makeWide(random, p);
  else makeKeys(random, p);
  const size_t vectorLength = p.shape.headCount * p.shape.rank;
  for (size_t head = 0; head < p.shape.headCount; head++) p.groupOfHead.push_back(static_cast<uint32_t>(random.below(p.groupCount)));
  const bool zeros = random.oneIn(12);
  for (size_t i = 0; i < vectorLength; i++) {
    p.row.push_back(isMemoryPlus ? 1.0f : zeros ? 0.0f : random.normal());
    p.column.push_back(isMemoryPlus ? 1.0f : random.oneIn(5) ? 1e-6f * random.normal() : random.normal());
  }
  const bool whole = random.oneIn(4);
  if (!isWide) p.query.resize(p.tokenCount * p.groupCount * SIDES * p.shape.width);
  for (size_t i = 0; !isWide && i < p.query.size(); i++) p.query[i] = whole ? static_cast<float>(random.below(3)) - 1 : random.normal();
  for (size_t t = 0; t < p.tokenCount * p.groupCount * SIDES; t++) {
    float* q = &p.query[t * p.shape.width];
    if (random.oneIn(30)) std::fill_n(q, p.shape.width, 0.0f);
    if (random.oneIn(12))
      for (size_t c = 0; c < p.shape.width; c++) q[c] = std::ldexp(q[c], static_cast<int>(random.between(0, 250)) - 130);
  }
  if (!isWide && random.oneIn(6)) fillOneLane(random, p);
  if (random.oneIn(40) && !p.query.empty())
    p.query[random.below(p.query.size())] = random.oneIn(2) ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  if (p.hasCores) {
    p.cores.resize(p.coreCount * p.shape.headCount * p.shape.rank * p.shape.rank);
    for (float& x : p.cores) x = random.oneIn(30) ? 0 : random.normal();
    if (p.coreCount == 2 && random.oneIn(4))  // cores that nearly cancel
      for (size_t i = 0; i < p.cores.size() / 2; i++) p.cores[p.cores.size() / 2 + i] = -p.cores[i] * (random.oneIn(2) ? 1 : 1.0001f);
  }
  return p;
}

template <class Call>
bool throwsNaN(const Call& call) {
  try {
    call();
    return false;
  } catch (const NonFiniteScore&) {
    return true;
  }
}

template <class T>
void expectSame(const char* what, const std::vector<T>& got, const std::vector<T>& want) {
  for (size_t i = 0; i < want.size(); i++)
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) fail(what, i, static_cast<double>(got[i]), static_cast<double>(want[i]));
}

struct Found {
  explicit Found(const Problem& p)
      : count(p.tokenCount * p.shape.headCount * p.k), virtualIndex(count), scores(p.hasCores ? count * p.coreCount : 0), rankScore(count),
        sums(count) {}
  Winners winners(bool hasCores) {
    return {virtualIndex.data(), hasCores ? scores.data() : nullptr, rankScore.data(), hasCores ? nullptr : sums.data()};
  }
  size_t count;
  std::vector<double> virtualIndex;
  std::vector<float> scores;
  std::vector<float> rankScore;
  std::vector<double> sums;
};

void expectFound(const char* what, bool isNaN, Found& found, const Answer& want) {
  if (isNaN != want.isNaN) fail(what, 0, isNaN, want.isNaN);
  if (isNaN) return;
  expectSame(what, found.virtualIndex, want.virtualIndex);
  expectSame(what, found.rankScore, want.rankScore);
  expectSame(what, found.scores, want.scores);
}

// Block and slot of the winners. The shuffle moves all indices by one number; now and then it says of one winner what cannot be.
void checkAddresses(Random& random, const Problem& p, KeyTable& keys, const ScoreTask& task, const std::vector<double>& virtualIndex,
                    Workers& workers) {
  const size_t virtualCount = p.shape.keyCount * p.shape.keyCount;
  const size_t windowRows = (virtualCount + random.below(4)) / random.between(1, std::min<size_t>(4, virtualCount));
  const size_t tableRows = windowRows + random.below(100);
  const size_t offset = random.below(tableRows);
  const size_t shift = random.below(virtualCount);
  Exact<uint32_t> shuffle(virtualCount);
  for (size_t i = 0; i < virtualCount; i++) shuffle[i] = static_cast<uint32_t>((i + shift) % virtualCount);
  const bool isSpoilt = random.oneIn(4);
  if (isSpoilt) shuffle[static_cast<size_t>(virtualIndex[random.below(virtualIndex.size())])] = static_cast<uint32_t>(virtualCount);
  Found found(p);
  Exact<uint32_t> slot(found.count);
  Exact<uint8_t> block(found.count);
  const bool shuffles = isSpoilt || random.oneIn(2);
  const AddressTask addressing{found.virtualIndex.data(), found.count, shuffles ? shuffle.data() : nullptr,
                               virtualCount, windowRows, tableRows, offset, slot.data(), block.data()};
  const float* cores = p.hasCores ? p.cores.data() : nullptr;
  const bool inside = select(keys, task, cores, p.coreCount, found.winners(p.hasCores), &addressing, workers);
  if (inside == isSpoilt) fail("all inside", 0, inside, !isSpoilt);
  for (size_t i = 0; inside && i < found.count; i++) {
    const auto index = static_cast<size_t>(virtualIndex[i]);
    const size_t shuffled = shuffles ? shuffle[index] : index;
    if (block[i] != shuffled / windowRows) fail("block", i, block[i], static_cast<double>(shuffled / windowRows));
    const size_t row = (shuffled % windowRows + offset) % tableRows;
    if (slot[i] != row) fail("slot", i, slot[i], static_cast<double>(row));
  }
}

void check(Random& random, Workers& workers) {
  const Problem p = makeProblem(random);
  KeyTable keys(p.shape);
  keys.fill(0, p.rows.size() / p.shape.width, p.rows.data());
  const ScoreTask task{p.query.data(), p.tokenCount, p.groupCount, p.groupOfHead.data(), p.row.data(), p.column.data(), p.k};
  Answer want;
  naiveCandidates(p, want);
  std::vector<uint32_t> index(p.tokenCount * p.shape.listCount() * p.k);
  std::vector<float> refined(index.size() * p.shape.rank);
  const bool isNaN = throwsNaN([&] { scoreKeys(keys, task, 0, index.data(), refined.data(), workers); });
  if (isNaN != want.isNaN) fail("scoreKeys is NaN", 0, isNaN, want.isNaN);
  if (!isNaN) {
    expectSame("index", index, want.index);
    expectSame("refined", refined, want.refined);
    naiveGrids(p, want);
  }
  const float* cores = p.hasCores ? p.cores.data() : nullptr;
  Found fused(p);
  expectFound("select", throwsNaN([&] { select(keys, task, cores, p.coreCount, fused.winners(p.hasCores), nullptr, workers); }), fused, want);
  if (isNaN) return;
  if (!want.isNaN && fused.count > 0) checkAddresses(random, p, keys, task, want.virtualIndex, workers);
  Found grid(p);
  const GridShape shape{p.shape.headCount, p.shape.keyCount, p.shape.rank, p.k, p.coreCount, cores};
  const bool gridNaN =
      throwsNaN([&] { selectGrid(shape, {index.data(), refined.data(), p.tokenCount}, grid.winners(p.hasCores), workers); });
  expectFound("selectGrid", gridNaN, grid, want);
}

#if defined(__x86_64__)
// Products of split words, which the bounds of a whole selection would hardly miss: their low bytes count as much as rounding does.
void checkTiles(Random& random) {
  const size_t width = random.oneIn(4) ? random.between(1, amx::WIDTH_MAX) : random.between(1, 200);
  const size_t padded = roundUp(width, 32);
  const size_t keyTiles = random.between(1, 5);
  const size_t tokenCount = random.between(1, 50);
  const size_t tileBytes = amx::TILE * amx::splitBytes(width);
  const auto words = [&](size_t rows) {
    std::vector<int16_t> all(rows * padded);
    const int limit = random.oneIn(3) ? amx::SPLIT_MAX : static_cast<int>(random.between(1, amx::SPLIT_MAX));
    for (size_t i = 0; i < all.size(); i++)
      if (i % padded < width) {
        const int word = random.oneIn(4) ? limit : static_cast<int>(random.below(limit + 1));
        all[i] = static_cast<int16_t>(random.oneIn(2) ? word : -word);
      }
    return all;
  };
  const size_t keyCount = keyTiles * amx::TILE;
  const std::vector<int16_t> keys = words(keyCount);
  const std::vector<int16_t> queries = words(tokenCount);
  std::vector<int8_t> splitKeys(keyTiles * tileBytes);
  std::vector<int8_t> splitQueries(roundUp(tokenCount, amx::TILE) / amx::TILE * tileBytes);
  for (size_t key = 0; key < keyCount; key++)
    for (size_t c = 0; c < width; c++) {
      int8_t* byte = splitKeys.data() + key / amx::TILE * tileBytes + amx::keyByte(key % amx::TILE, c);
      byte[amx::LOW] = static_cast<int8_t>(keys[key * padded + c]);
      byte[0] = static_cast<int8_t>((keys[key * padded + c] - byte[amx::LOW]) / 256);
    }
  for (size_t t = 0; t < tokenCount; t++)
    amx::splitQuery(queries.data() + t * padded, width, t % amx::TILE, splitQueries.data() + t / amx::TILE * tileBytes);
  const auto keyScales = normals(random, keyCount);
  const auto queryScales = normals(random, tokenCount);
  Exact<float> scores(tokenCount * keyCount);
  amx::scoreTiles({splitKeys.data(), keyScales.data(), keyTiles, width, splitQueries.data(), queryScales.data(), tokenCount, scores.data()});
  for (size_t t = 0; t < tokenCount; t++)
    for (size_t key = 0; key < keyCount; key++) {
      int64_t sum = 0;
      double keySquares = 0;
      double querySquares = 0;
      for (size_t c = 0; c < width; c++) {
        const int64_t y = keys[key * padded + c];
        const int64_t q = queries[t * padded + c];
        sum += y * q;
        keySquares += static_cast<double>(y * y);
        querySquares += static_cast<double>(q * q);
      }
      const double scale = static_cast<double>(keyScales[key]) * queryScales[t];
      const double magnitude = std::sqrt(keySquares * querySquares) * std::abs(scale);
      expectClose("tile", t * keyCount + key, scores[t * keyCount + key], static_cast<double>(sum) * scale, magnitude, 5 * 0x1p-24);
    }
}
#endif

}  // namespace

int main(int argc, char** argv) {
  answerIsas(argc, argv);
  const size_t rounds = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 250;
  Workers one(1);
  Workers two(2);
  Workers four(4);
  Workers* all[] = {&one, &two, &four};
  for (size_t round = 0; round < rounds; round++) {
    Random random(round + 1);
    check(random, *all[round % 3]);
#if defined(__x86_64__)
    if (isa() == Isa::amx) checkTiles(random);
#endif
  }
  std::printf("%zu selections", rounds);
}
