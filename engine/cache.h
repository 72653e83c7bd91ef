// Cache: what one sequence remembers. Each mixer says what it keeps (StateSpec); the cache holds it in slots keyed
// {layer, iteration, kind}, so that parallel mixers, shared blocks and loops need no special case. Keys and values live
// in 64-token pages that are shared between forks and copied on write. Engine thread only.
//
// A windowed layer holds only its window: a page is given back as soon as no later row can see any of its keys, so that
// the memory of a layer with window W is at most ceil(W / 64) + 1 pages between passes, plus those that a batch of n
// rows writes while it runs. What a layer remembers by its definition (usage_after) is exact to the key.
//
// The other kinds are one block of memory each, constant in the length and overwritten by every token: shared between
// forks and copied before one of them goes on, and never cut back.
//
// To look back at a token (CacheTrail), a cache can be told to retain pages that have left their windows.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "kernels/attention.h"
#include "kernels/base/result.h"

namespace orrery {

// The components of cache.bytes, in its order.
enum class StateKind : uint8_t { kKeysValues, kMatrixState, kConvolution, kFastWeights };
inline constexpr int kStateKinds = 4;

struct StateSpec {
  StateKind kind = StateKind::kKeysValues;
  DType dtype = DType::kF32;
  // kKeysValues: per token 2 vectors; window 0 keeps all.
  int32_t n_kv_heads = 0;
  int32_t d_head_k = 0;
  int32_t d_head_v = 0;  // 0: values lie in the keys
  int64_t window = 0;
  // Other kinds: constant in the length.
  Shape shape;
  int64_t history_width = 0;  // floats that each token puts into the state, for implied rows; 0: none are offered

  bool per_token() const { return kind == StateKind::kKeysValues; }
  // Bytes of one token's keys and values; of the whole state for the other kinds.
  int64_t unit_bytes() const;
};

struct CacheKey {
  int32_t layer = 0;
  int32_t iteration = 0;
  StateKind kind = StateKind::kKeysValues;
  auto operator<=>(const CacheKey&) const = default;
};

struct LayerState {
  CacheKey key;
  StateSpec spec;
  // Of an iteration that has no state of its own: whose it uses.
  std::optional<CacheKey> shared_with = {};
};

class Cache {
 public:
  Cache(std::vector<LayerState> states, std::shared_ptr<Backend> backend);

  int64_t length() const { return length_; }

  // Makes room for positions [length, length + n); keeps what was there if it fails (kOutOfMemory). keeps_history: also
  // for what they put into matrix states; what was put there by tokens before it was first asked for is not known.
  Result<void> reserve(int64_t n, bool keeps_history = false);
  // The next n positions are written: length grows, pages that no later row can see are dropped.
  void advance(int64_t n);
  // Forgets positions from `length` on. kUnsupported, and nothing changes, where what a row at `length` needs is gone:
  // keys that have left a window together with their page, or a state that later tokens have changed. To return for
  // certain, fork before going on.
  Result<void> truncate(int64_t length);
  // The same past, from here on independent, windows included: pages are shared until one of the two writes. It retains
  // nothing.
  Result<Cache> fork() const;

  // From now on pages that have left a window are kept while they take at most max_bytes, the oldest given back first:
  // a fork can then be cut back to any position whose window is still there. No row ever sees them.
  void retain(size_t max_bytes) { most_retained_bytes_ = max_bytes; }
  // Whether it has states that later tokens change, so that it cannot be cut back.
  bool has_constant_states() const { return !constant_.empty(); }
  // What a fork takes for itself once this cache has gone on: its constant states, the pages being written, windows.
  size_t fork_bytes() const;

  // The key and value pages of a layer, for attention. Valid until the next reserve, advance or truncate.
  KvPages pages(int32_t layer, int32_t iteration) const;
  // The pages to write a position to (position >= length, reserved).
  std::byte* key_page(int32_t layer, int32_t iteration, int64_t position);
  std::byte* value_page(int32_t layer, int32_t iteration, int64_t position);

  // The memory of a state that is constant in the length: shape as in its StateSpec, zero before the first token.
  // Valid, and this sequence's own, from reserve() to the next fork(), truncate() or reserve().
  float* state(CacheKey key);

  // The keys and values of one position that a layer holds become another's, which holds as many of the same sizes; of
  // states that are constant in the length, nothing. Both reserved for the position.
  void carry(int32_t from_layer, int32_t to_layer, int64_t position);

  // What tokens put into a matrix state, [tokens, history_width] with room for all that are reserved, where reserve()
  // was asked to keep it. Not counted as cache.
  float* history(int32_t layer, int32_t iteration);
  int64_t history_bytes(int64_t n_tokens) const;

  const StateSpec& spec(CacheKey key) const;

  // --- as bytes of the host, to be kept elsewhere (StateCheckpoint); layouts follow from the states and the length ---
  // What is constant in the length: states, and of windowed layers the keys and values that the next row may see. In
  // order of CacheKey, keys' vectors [n_kv_heads, tokens, d] before values'.
  Result<std::vector<std::byte>> save_states() const;
  // Keys and values of positions [begin, end) of the layers that keep all of them; empty where there are none.
  Result<std::vector<std::byte>> save_keys(int64_t begin, int64_t end) const;
  size_t states_bytes(int64_t length) const;
  size_t keys_bytes(int64_t begin, int64_t end) const;
  bool keeps_all_keys() const;  // whether any layer does
  // What save_keys gave of positions [begin, end).
  struct SavedKeys {
    int64_t begin = 0;
    int64_t end = 0;
    std::vector<std::byte> bytes;
  };
  // An empty cache becomes one of `length` tokens out of their bytes: `keys` cover [0, length), ascending. kInvalidFile
  // where sizes do not fit; it is then empty still.
  Result<void> restore(int64_t length, std::span<const std::byte> states, std::span<const SavedKeys> keys);

 private:
  struct Page {
    std::unique_ptr<Allocation> memory;
  };
  struct KvSlot {
    StateSpec spec;
    int64_t first_page = 0;                    // those before it were dropped
    std::vector<std::shared_ptr<Page>> pages;  // from first_page on; keys, then values
    std::vector<const std::byte*> keys;        // the same pages, as attention wants them
    std::vector<const std::byte*> values;

    int64_t end_page() const { return first_page + static_cast<int64_t>(pages.size()); }
    std::byte* page_of(int64_t position) const;
    void put(int64_t page, std::shared_ptr<Page> memory);
    void drop_before(int64_t page);
    void drop_from(int64_t page);
  };
  struct ConstantSlot {
    StateSpec spec;
    std::shared_ptr<Page> memory;  // none before the first reserve()
    std::shared_ptr<Page> history;
    int64_t history_capacity = 0;  // tokens
  };
  Result<std::shared_ptr<Page>> new_page(size_t n_bytes) const;
  Result<void> reserve_pages(KvSlot& slot, int64_t n);
  Result<void> reserve_state(ConstantSlot& slot);
  Result<void> reserve_history(ConstantSlot& slot, int64_t n_tokens);
  // The state that a key stands for: its own, or that of the iteration that it shares.
  CacheKey owner(CacheKey key) const;
  const KvSlot& slot(int32_t layer, int32_t iteration) const;

  std::shared_ptr<Backend> backend_;
  std::vector<LayerState> states_;
  std::map<CacheKey, KvSlot> kv_;
  std::map<CacheKey, ConstantSlot> constant_;
  std::map<CacheKey, CacheKey> shared_;
  int64_t length_ = 0;
  size_t most_retained_bytes_ = 0;
  int64_t retained_from_ = 0;  // pages from this one on are retained

  void move_retained();

  // A run of bytes of this cache's memory that is saved as it is: a state, or a head's vectors within a page.
  struct Piece {
    CacheKey key;
    int64_t position = -1;  // of the first token, in keys and values; -1: a state
    size_t offset = 0;      // in the page
    size_t n_bytes = 0;
  };
  void add_pieces(CacheKey key, const StateSpec& spec, int64_t begin, int64_t end, std::vector<Piece>& pieces) const;
  std::vector<Piece> state_pieces(int64_t length) const;
  std::vector<Piece> key_pieces(int64_t begin, int64_t end) const;
  std::byte* address(const Piece& piece);
  Result<std::vector<std::byte>> save(const std::vector<Piece>& pieces) const;
  Result<void> load(const std::vector<Piece>& pieces, std::span<const std::byte> bytes);
};

// What a layer's own states hold once position t was processed: cache.bytes, cache.entries, cache.evicted.
struct LayerUsage {
  std::array<int64_t, kStateKinds> bytes{};
  int64_t entries = 0;
  int64_t evicted = 0;
};
LayerUsage usage_after(std::span<const LayerState> states, int32_t layer, int64_t t);

}  // namespace orrery
