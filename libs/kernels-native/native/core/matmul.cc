#include "core/matmul.h"

#include <algorithm>
#include <cstring>

#include "core/isa.h"
#include "core/tiles.h"
#include "simd/matmul.h"
#if defined(__x86_64__)
#include "amx/matmul.h"
#endif

namespace ultramem {
namespace {

// Sizes that the caches suggest. A chunk of x with DEPTH numbers a row stays in a core's second level cache while panels of as many go by; so
// does a piece of a panel while all tiles of the chunk go over it, beside the next one, which is fetched meanwhile. A group of panels
// stays in the last level while all chunks go over the group.
constexpr size_t DEPTH = 4 * SUM_BLOCK;
constexpr size_t PIECE_BYTES = size_t{32} << 10;
constexpr size_t CHUNK_ROWS = 96;
constexpr size_t GROUP_BYTES = size_t{4} << 20;
constexpr size_t SLAB_BYTES = size_t{16} << 20;
constexpr double BYTES_PER_NS = 20;
#if defined(__x86_64__)
// Smaller weights stay in the caches, from where vector units multiply one row faster than tiles are filled.
constexpr size_t TILED_WEIGHTS_MIN = size_t{1} << 18;
// Rows of x whose tiles share one pass over a panel.
constexpr size_t TILED_CHUNK_ROWS = 256;
constexpr size_t TILED_GROUPS_A_LANE = 2;
constexpr double TILED_PRODUCTS_PER_NS = 1000;
#endif

// Numbers that a row of x takes: as many as columns, or half as many words.
size_t numbersOf(Inputs inputs, size_t columns) { return inputs == Inputs::pairs ? (columns + 1) / 2 : columns; }

// One product on x rows that are packed tile by tile, [numbers of a row][height].
struct Product {
  const MatmulKernels& kernels;
  const PackedMatrix& weight;
  const Tiles& tiles;
  Inputs inputs;
  const float* packed;
  const float* bias;
  float* out;

  // Tiles `fromTile .. toTile - 1` times panels `fromPanel .. toPanel - 1`.
  void multiply(size_t fromTile, size_t toTile, size_t fromPanel, size_t toPanel) const {
    const size_t columns = weight.columns();
    const uint32_t height = tiles.height(fromTile);
    const size_t together = kernels.panelsAtOnce(height);
    const size_t depth = DEPTH * (inputs == Inputs::pairs ? 2 : 1);
    // One row fetches nothing, and pieces would only interrupt it.
    const size_t pieceColumns = height == 1 ? depth : std::clamp(PIECE_BYTES / columnBytes(), SUM_BLOCK, depth);
    for (size_t begin = 0; begin == 0 || begin < columns; begin += depth) {
      const size_t end = std::min(columns, begin + depth);
      for (size_t panel = fromPanel; panel < toPanel; panel += together) {
        const size_t panels = std::min(together, toPanel - panel);
        for (size_t column = begin; column == begin || column < end; column += pieceColumns) {
          const size_t after = std::min(end, column + pieceColumns);
          const uint8_t* next = after < end                  ? at(panel, after)
                                : panel + together < toPanel ? at(panel + together, begin)
                                                             : at(fromPanel, end);
          multiplyPiece(fromTile, toTile, {panel, panels, column, after - column, next});
        }
      }
    }
  }

 private:
  // Some columns of neighbouring panels, and where the next ones lie.
  struct Piece {
    size_t panel;
    size_t panels;
    size_t column;
    size_t depth;
    const uint8_t* next;
  };

  size_t columnBytes() const { return kernels.panelRows * bytesOf(weight.dtype()); }
  const uint8_t* at(size_t panel, size_t column) const { return weight.panel(panel) + column * columnBytes(); }

  // Every tile fetches an equal share of the next piece.
  void multiplyPiece(size_t fromTile, size_t toTile, Piece piece) const {
    const size_t step = (columnBytes() + toTile - fromTile - 1) / (toTile - fromTile);
    for (size_t tile = fromTile; tile < toTile; tile++, piece.next += step * piece.depth) {
      // Heights of a chunk's tiles differ by one at most, which may change how many panels go at once.
      if (piece.panels == kernels.panelsAtOnce(tiles.height(tile))) {
        multiplyTile(tile, piece, step);
        continue;
      }
      Piece one = piece;
      for (one.panels = 1; one.panel < piece.panel + piece.panels; one.panel++, one.next += weight.panelBytes())
        multiplyTile(tile, one, step);
    }
  }

  void multiplyTile(size_t index, const Piece& piece, size_t nextStep) const {
    const auto [panel, panels, column, depth, next] = piece;
    const size_t columns = weight.columns();
    const uint32_t height = tiles.height(index);
    const size_t row = panel * kernels.panelRows;
    const size_t width = panels * kernels.panelRows;
    float* place = out + tiles.begin(index) * weight.rows() + row;
    Tile tile{
        at(panel, column),
        weight.panelBytes(),
        packed + tiles.begin(index) * numbersOf(inputs, columns) + numbersOf(inputs, column) * height,
        depth,
        place,
        weight.rows(),
        bias == nullptr || column + depth < columns ? nullptr : bias + row,
        column > 0,
        next,
        nextStep,
    };
    const uint32_t dtype = static_cast<uint32_t>(weight.dtype());
    if (row + width <= weight.rows()) {
      kernels.multiply(dtype, inputs, height, static_cast<uint32_t>(panels), tile);
      return;
    }
    // The last panel reaches over the edge: the same tile with room beside it.
    constexpr size_t ROOM = 2048;
    float padded[ROOM];
    float paddedBias[ROOM / 4];
    const size_t kept = weight.rows() - row;
    if (tile.bias != nullptr) {
      std::fill_n(std::copy_n(tile.bias, kept, paddedBias), width - kept, 0.0f);
      tile.bias = paddedBias;
    }
    std::fill_n(padded, height * width, 0.0f);
    if (tile.adds)
      for (size_t i = 0; i < height; i++) std::copy_n(place + i * weight.rows(), kept, padded + i * width);
    tile.out = padded;
    tile.outStride = width;
    kernels.multiply(dtype, inputs, height, static_cast<uint32_t>(panels), tile);
    for (size_t i = 0; i < height; i++) std::copy_n(padded + i * width, kept, place + i * weight.rows());
  }
};

// One call of `matmul`, or some rows of it.
struct Task {
  const PackedMatrix& weight;
  const float* x;
  size_t rowCount;
  const float* bias;
  float* out;
  Workers& workers;
};

// Rows of x and panels of the weight that bf16 units cannot hold, multiplied once more in f32, row by row.
class Misfits {
 public:
  explicit Misfits(const Task& task) : task_(task), rows_(task.weight.units() == Units::vectors ? 0 : task.rowCount) {}

  void check(size_t row) {
    const size_t columns = task_.weight.columns();
    if (!rows_.empty()) rows_[row] = !ULTRAMEM_PICK(matmulKernels).fitsBf16(F32, task_.x + row * columns, columns);
  }

  void multiply(size_t fromRow, size_t toRow, size_t fromPanel, size_t toPanel) const {
    if (rows_.empty()) return;
    for (size_t row = fromRow; row < toRow; row++)
      if (rows_[row]) multiplyRow(row, fromPanel, toPanel);
    for (size_t panel = fromPanel; panel < toPanel; panel++)
      if (!task_.weight.fits(panel))
        for (size_t row = fromRow; row < toRow; row++) multiplyRow(row, panel, panel + 1);
  }

 private:
  static constexpr uint32_t F32 = static_cast<uint32_t>(Dtype::f32);

  void multiplyRow(size_t row, size_t fromPanel, size_t toPanel) const {
    const MatmulKernels& kernels = ULTRAMEM_PICK(matmulKernels);
    const PackedMatrix& weight = task_.weight;
    const size_t columns = weight.columns();
    const float* numbers = task_.x + row * columns;
    if (weight.roundsX()) {
      float* rounded = static_cast<float*>(scratch(1, columns * sizeof(float)));
      kernels.roundRow(numbers, columns, Inputs::floats, rounded);
      numbers = rounded;
    }
    const Tiles one(1, 1);
    float* out = task_.out + row * weight.rows();
    Product{kernels, weight, one, Inputs::floats, numbers, task_.bias, out}.multiply(0, 1, fromPanel, toPanel);
  }

  const Task& task_;
  std::vector<uint8_t> rows_;  // for each row of x, whether it does not fit
};

#if defined(__x86_64__)
// One product on tiles of up to TILED_CHUNK_ROWS rows of x.
class TiledProduct {
 public:
  explicit TiledProduct(const Task& task)
      : task_(task),
        tileBytes_(amx::splitTileBytes(task.weight.columns(), xParts())),
        tiles_(static_cast<uint8_t*>(scratch(0, tileCount() * tileBytes_))),
        misfits_(task) {}

  void run() {
    const size_t columns = task_.weight.columns();
    Workers& workers = task_.workers;
    workers.run(static_cast<uint32_t>(tileCount()), [&](uint32_t tile, uint32_t) {
      const size_t begin = tile * amx::TILE_ROWS;
      const size_t end = std::min(task_.rowCount, begin + amx::TILE_ROWS);
      for (size_t row = begin; row < end; row++) misfits_.check(row);
      amx::splitRows(task_.x + begin * columns, end - begin, columns, xParts(), tiles_ + tile * tileBytes_);
    });
    const size_t panelCount = task_.weight.panelCount();
    const size_t chunks = (task_.rowCount + TILED_CHUNK_ROWS - 1) / TILED_CHUNK_ROWS;
    const size_t groups = workers.lanes() == 1 ? 1 : std::min(panelCount, TILED_GROUPS_A_LANE * workers.lanes());
    workers.run(static_cast<uint32_t>(groups * chunks), [&](uint32_t part, uint32_t) {
      const size_t group = part / chunks;
      const size_t row = part % chunks * TILED_CHUNK_ROWS;
      multiply(row, std::min(task_.rowCount, row + TILED_CHUNK_ROWS), panelCount * group / groups, panelCount * (group + 1) / groups);
    });
  }

 private:
  size_t xParts() const { return task_.weight.roundsX() ? 1 : 3; }
  size_t tileCount() const { return (task_.rowCount + amx::TILE_ROWS - 1) / amx::TILE_ROWS; }

  void multiply(size_t fromRow, size_t toRow, size_t fromPanel, size_t toPanel) const {
    const PackedMatrix& weight = task_.weight;
    const size_t lane = fromPanel * amx::PANEL_ROWS;
    amx::multiplyTiles({
        static_cast<uint32_t>(weight.dtype()),
        weight.panel(fromPanel),
        toPanel - fromPanel,
        std::min(weight.rows(), toPanel * amx::PANEL_ROWS) - lane,
        weight.columns(),
        tiles_ + fromRow / amx::TILE_ROWS * tileBytes_,
        xParts(),
        toRow - fromRow,
        task_.bias == nullptr ? nullptr : task_.bias + lane,
        task_.out + fromRow * weight.rows() + lane,
        weight.rows(),
        static_cast<uint8_t*>(scratch(1, amx::SCRATCH_BYTES)),
    });
    misfits_.multiply(fromRow, toRow, fromPanel, toPanel);
  }

  const Task& task_;
  size_t tileBytes_;
  uint8_t* tiles_;
  Misfits misfits_;
};
#endif

// One product on vectors: rows of x are packed, then multiplied.
void multiplyVectors(const Task& task) {
  const MatmulKernels& kernels = ULTRAMEM_PICK(matmulKernels);
  const PackedMatrix& weight = task.weight;
  const size_t rowCount = task.rowCount;
  const size_t columns = weight.columns();
  const Inputs inputs = weight.units() == Units::pairs ? Inputs::pairs : Inputs::floats;
  const size_t numbers = numbersOf(inputs, columns);
  const Tiles tiles(rowCount, kernels.heightMax);
  Misfits misfits(task);
  const float* packed = task.x;
  if (rowCount > 1 || weight.roundsX()) {
    float* into = static_cast<float*>(scratch(0, rowCount * numbers * sizeof(float)));
    const auto pack = [&](size_t tile) {
      const size_t row = tiles.begin(tile);
      const uint32_t height = tiles.height(tile);
      const float* from = task.x + row * columns;
      if (weight.roundsX()) {
        float* rounded = height == 1 ? into + row * numbers : static_cast<float*>(scratch(1, height * numbers * sizeof(float)));
        for (uint32_t i = 0; i < height; i++) {
          misfits.check(row + i);
          kernels.roundRow(from + i * columns, columns, inputs, rounded + i * numbers);
        }
        if (height == 1) return;
        from = rounded;
      }
      kernels.packRows(from, numbers, height, into + row * numbers);
    };
    // Little is packed faster than it is handed out.
    if (rowCount * columns < 16'384)
      for (size_t tile = 0; tile < tiles.count; tile++) pack(tile);
    else task.workers.run(static_cast<uint32_t>(tiles.count), [&](uint32_t tile, uint32_t) { pack(tile); });
    packed = into;
  }
  const Product product{kernels, weight, tiles, inputs, packed, task.bias, task.out};
  const size_t panelCount = weight.panelCount();
  const auto multiply = [&](size_t fromTile, size_t toTile, size_t fromPanel, size_t toPanel) {
    product.multiply(fromTile, toTile, fromPanel, toPanel);
    misfits.multiply(tiles.begin(fromTile), tiles.begin(toTile), fromPanel, toPanel);
  };
  const size_t chunkTiles = CHUNK_ROWS / kernels.heightMax;
  const size_t chunks = (tiles.count + chunkTiles - 1) / chunkTiles;
  if (task.workers.lanes() == 1 && chunks == 1) return multiply(0, tiles.count, 0, panelCount);
  // Large groups of panels first, which are fetched one after the other, and single panels last, so that all threads end together. No group
  // is so large that it would not stay in the cache.
  const size_t atOnce = kernels.panelsAtOnce(tiles.height(0));
  const size_t units = (panelCount + atOnce - 1) / atOnce;
  const size_t unitBytes = std::max<size_t>(1, atOnce * weight.panelBytes());  // a weight may have no columns
  const size_t largest = std::max<size_t>(1, GROUP_BYTES / unitBytes);
  std::vector<size_t> begins{0};
  for (size_t begin = 0; begin < units; begins.push_back(begin))
    begin += std::clamp<size_t>((units - begin) * chunks / (2 * task.workers.lanes()), 1, largest);
  task.workers.run(static_cast<uint32_t>((begins.size() - 1) * chunks), [&](uint32_t part, uint32_t) {
    const size_t group = part / chunks;
    const size_t chunk = part % chunks;
    multiply(chunk * chunkTiles, std::min(tiles.count, (chunk + 1) * chunkTiles), begins[group] * atOnce,
             std::min(panelCount, begins[group + 1] * atOnce));
  });
}

}  // namespace

size_t bytesOf(Dtype dtype) { return dtype == Dtype::f32 ? 4 : 2; }

size_t PackedMatrix::panelCount() const {
  const size_t panelRows = ULTRAMEM_PICK(matmulKernels).panelRows;
  return (rows_ + panelRows - 1) / panelRows;
}

size_t PackedMatrix::panelBytes() const {
  return ULTRAMEM_PICK(matmulKernels).panelRows * (dtype_ == Dtype::bf16 ? columns_ + columns_ % 2 : columns_) * bytesOf(dtype_);
}

PackedMatrix::PackedMatrix(Dtype dtype, size_t rows, size_t columns, bool roundsX)
    : dtype_(dtype), rows_(rows), columns_(columns), roundsX_(roundsX), units_(Units::vectors) {
  memory_ = Memory(panelCount() * panelBytes());
#if defined(__x86_64__)
  if (roundsX && dtype == Dtype::bf16 && multipliesPairs()) units_ = Units::pairs;
  if (isa() == Isa::amx && rows * columns >= TILED_WEIGHTS_MIN) units_ = Units::tiles;
#endif
  if (units_ != Units::vectors) misfits_.resize(rows);
}

bool PackedMatrix::fits(size_t panel) const {
  const size_t panelRows = ULTRAMEM_PICK(matmulKernels).panelRows;
  const auto begin = misfits_.begin() + static_cast<ptrdiff_t>(panel * panelRows);
  const auto end = misfits_.begin() + static_cast<ptrdiff_t>(std::min(rows_, (panel + 1) * panelRows));
  return std::find(begin, end, 1) == end;
}

void PackedMatrix::fill(size_t firstRow, size_t rowCount, const uint8_t* bytes, Workers& workers) {
  const MatmulKernels& kernels = ULTRAMEM_PICK(matmulKernels);
  const size_t rowBytes = columns_ * bytesOf(dtype_);
  const size_t firstPanel = firstRow / kernels.panelRows;
  const size_t endPanel = (firstRow + rowCount + kernels.panelRows - 1) / kernels.panelRows;
  if (rowCount == 0 || rowBytes == 0) return;
  workers.run(static_cast<uint32_t>(endPanel - firstPanel), [&](uint32_t part, uint32_t) {
    const size_t panelRow = (firstPanel + part) * kernels.panelRows;
    const size_t begin = std::max(firstRow, panelRow);
    const size_t end = std::min(firstRow + rowCount, panelRow + kernels.panelRows);
    const uint8_t* from = bytes + (begin - firstRow) * rowBytes;
    kernels.packPanel(static_cast<uint32_t>(dtype_), from, static_cast<uint32_t>(end - begin), columns_,
                      static_cast<uint32_t>(begin - panelRow), memory_.as<uint8_t>() + (firstPanel + part) * panelBytes());
    if (units_ == Units::vectors) return;
    for (size_t row = begin; row < end; row++, from += rowBytes)
      misfits_[row] = !kernels.fitsBf16(static_cast<uint32_t>(dtype_), from, columns_);
  });
}

void matmul(const PackedMatrix& weight, const float* x, size_t rowCount, const float* bias, float* out, Workers& workers) {
  if (weight.rows() == 0 || rowCount == 0) return;
  const size_t slabRows = std::max<size_t>(CHUNK_ROWS, SLAB_BYTES / sizeof(float) / std::max<size_t>(1, weight.columns()));
  for (size_t row = 0; row < rowCount; row += slabRows) {
    const Task slab{weight, x + row * weight.columns(), std::min(slabRows, rowCount - row), bias, out + row * weight.rows(), workers};
#if defined(__x86_64__)
    if (weight.units() == Units::tiles) {
      TiledProduct(slab).run();
      continue;
    }
#endif
    multiplyVectors(slab);
  }
}

double matmulNs(const PackedMatrix& weight, size_t rowCount) {
  const double bytes = static_cast<double>(weight.rows() * weight.columns() * bytesOf(weight.dtype()));
  const double weights = static_cast<double>(weight.rows() * weight.columns());
  const double macsPerNs = ULTRAMEM_PICK(matmulKernels).macsPerNs * (weight.units() == Units::pairs ? 2 : 1);
  double productsNs = weights * static_cast<double>(rowCount) / macsPerNs;
#if defined(__x86_64__)
  if (weight.units() == Units::tiles) {
    const size_t products = amx::productsOf(static_cast<uint32_t>(weight.dtype()), weight.roundsX() ? 1 : 3);
    const size_t rows = Tiles(rowCount, amx::TILE_ROWS).count * amx::TILE_ROWS;
    productsNs = weights * static_cast<double>(products * rows) / TILED_PRODUCTS_PER_NS;
  }
#endif
  return std::max(bytes / BYTES_PER_NS, productsNs);
}

}  // namespace ultramem
