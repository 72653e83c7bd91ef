// ProbePlan: what a forward pass is asked to measure, decided before it runs.
//
// A callback per tensor cannot run inside a CUDA graph, and a fused attention has no pattern to hand over. So the
// wanted statistics are planned: each gets a place in one packed buffer, operations fill their places where the data
// are, and after the step (or the prefill batch) the buffer is copied once and cut into Frames.
//
// Layout: the fields one after another; a field is [n_rows, n_layers, width] of 4-byte words (int64: two words), rows
// outermost. So a field's bytes are a Frame's payload as they stand.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "kernels/attention.h"

namespace orrery {

// What operations can measure. The definitions are those of the probes of the same names (probes/).
enum class Quantity : uint8_t {
  kResidualNorm,
  kAttentionEntropy,
  kAttentionFirst,
  kAttentionPrevious,
  kAttentionDistance,
  kAttentionOutput,
  kAttentionTop,
  kAttentionRest,
  kAttentionMass,
  kAttentionRow,
  kStateNorm,
  kStateWrite,
  kStateErase,
  kStateRead,
  kStateKeep,
  kStateRow,
  kConvGateIn,
  kConvGateOut,
  kConvTaps,
  kMoeExperts,
  kMoeWeights,
  kMoeMargin,
  kMoeEntropy,
  kFastLossBefore,
  kFastLossAfter,
  kFastRate,
  kFastUpdate,
  kFastDrift,
  kLoopDepth,
  kLoopExit,
  kLoopStep,
  kLoopCosine,
  kLensTop,
  kOutputTop,
  kOutputEntropy,
  kOutputTail,
  kCacheBytes,
  kCacheEntries,
  kCacheEvicted,
};
inline constexpr size_t kQuantities = static_cast<size_t>(Quantity::kCacheEvicted) + 1;

// How many words a row of one layer takes: fixed + per_key * n_keys + per_block * ceil(n_keys / 64), where n_keys is
// the number of keys that the batch's last row may see, dropped ones included (its position + 1).
struct FieldWidth {
  int64_t fixed = 0;
  int64_t per_key = 0;
  int64_t per_block = 0;
  int64_t words(int64_t n_keys) const {
    return fixed + per_key * n_keys + per_block * ((n_keys + kKvPageTokens - 1) / kKvPageTokens);
  }
};

struct ProbeField {
  Quantity quantity = Quantity::kResidualNorm;
  std::vector<int32_t> layers;  // ascending; empty for what belongs to no layer (output.*), which counts as one
  std::vector<int32_t> heads;   // kAttentionRow, kStateRow: the heads wanted, ascending; else empty
  FieldWidth width;

  int64_t n_layers() const { return layers.empty() ? 1 : static_cast<int64_t>(layers.size()); }
};

struct ProbePlan {
  std::vector<ProbeField> fields;
  // Recurrences keep what every token puts into them, from now on: kStateRow can be asked for once this has been so
  // since the sequence's first token.
  bool keeps_history = false;

  bool empty() const { return fields.empty() && !keeps_history; }
  const ProbeField* find(Quantity quantity) const;
};

// The packed buffer of one forward pass. Engine thread only.
class ProbeBuffer {
 public:
  explicit ProbeBuffer(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  // Lays out `plan`, which has each quantity at most once, for n_rows rows of which the last sees n_keys keys; grows
  // the memory where needed (kOutOfMemory). Contents are undefined until operations fill them. `plan` must outlive the
  // use of this buffer.
  Result<void> prepare(const ProbePlan& plan, int64_t n_rows, int64_t n_keys);

  // The place of a quantity in a layer (layer is ignored where the field has none), for operations of the backend;
  // null where it is not wanted.
  StatSlot slot(Quantity quantity, int32_t layer = 0) const;
  // The same place for the host, to read or fill once finish() has brought wanted().
  StatSlot host_slot(Quantity quantity, int32_t layer = 0) const;
  Fetch wanted() const { return {words_.get(), n_bytes()}; }
  // From here on slot() is that of row `first` of the batch: operations that take a part of it count from 0.
  void set_first_row(int64_t first) { first_row_ = first; }
  // Of a looped model whose rows leave early: how many iterations each row was in, and only those were measured. Empty:
  // all were.
  void set_depths(std::vector<int32_t> depths) { depths_ = std::move(depths); }
  std::span<const int32_t> depths() const { return depths_; }
  const ProbeField* field(Quantity quantity) const;

  // The bytes of field i, once they are brought: [n_rows, n_layers, width].
  std::span<const std::byte> field_bytes(size_t i) const;
  size_t n_fields() const { return offsets_.size(); }
  size_t n_bytes() const { return n_words_ * sizeof(float); }
  int64_t n_rows() const { return n_rows_; }
  int64_t n_keys() const { return n_keys_; }
  const ProbePlan* plan() const { return plan_; }

 private:
  const ProbePlan* plan_ = nullptr;
  int64_t n_rows_ = 0;
  int64_t n_keys_ = 0;
  size_t n_words_ = 0;
  // Where a quantity lies: asked for by every layer of every step.
  struct Place {
    int32_t field = -1;           // of the plan; -1: not wanted
    int64_t width = 0;            // words of a row of one layer
    int64_t row_stride = 0;       // words from row to row
    std::vector<int32_t> slices;  // per layer, its place in the field, or -1; empty: the field has no layers
  };

  std::vector<size_t> offsets_;  // words, per field
  std::array<Place, kQuantities> places_;
  StatSlot slot_in(std::byte* memory, Quantity quantity, int32_t layer) const;
  int64_t first_row_ = 0;
  std::vector<int32_t> depths_;

  std::shared_ptr<Backend> backend_;
  std::unique_ptr<Readback> words_;
};

}  // namespace orrery
