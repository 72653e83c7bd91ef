#include "engine/cache.h"

#include <algorithm>
#include <cstring>

#include "kernels/kv_store.h"

namespace orrery {

namespace {

size_t key_page_bytes(const StateSpec& spec) { return kv_page_bytes(spec.dtype, spec.n_kv_heads, spec.d_head_k); }
size_t value_page_bytes(const StateSpec& spec) { return kv_page_bytes(spec.dtype, spec.n_kv_heads, spec.d_head_v); }
size_t n_pages(int64_t n_tokens) { return static_cast<size_t>((n_tokens + kKvPageTokens - 1) / kKvPageTokens); }

// Keys [0, evicted) are out of reach for every row at position >= length.
int64_t evicted_before(const StateSpec& spec, int64_t length) {
  return spec.window > 0 ? std::max<int64_t>(0, length - spec.window) : 0;
}

}  // namespace

int64_t StateSpec::unit_bytes() const {
  const int64_t n = per_token() ? int64_t{n_kv_heads} * (d_head_k + d_head_v) : shape.n_elements();
  return static_cast<int64_t>(row_bytes(dtype, static_cast<size_t>(n)));
}

Cache::Cache(std::vector<LayerState> states, std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)), states_(std::move(states)) {
  for (const LayerState& state : states_) {
    // The other kinds arrive with their mixers; until then no model in the registry describes one.
    CHECK(state.key.kind == StateKind::kKeysValues);
    kv_[state.key].spec = state.spec;
  }
}

Result<std::shared_ptr<Cache::Page>> Cache::new_page(const StateSpec& spec) const {
  auto page = std::make_shared<Page>();
  ORRERY_ASSIGN_OR_RETURN(page->memory, backend_->allocate(key_page_bytes(spec) + value_page_bytes(spec)));
  return page;
}

Result<void> Cache::reserve(int64_t n) {
  const size_t wanted = n_pages(length_ + n);
  const auto first_written = static_cast<size_t>(length_ / kKvPageTokens);
  for (auto& [key, slot] : kv_) {
    const size_t value_offset = key_page_bytes(slot.spec);
    for (size_t i = first_written; i < wanted; ++i) {
      const bool exists = i < slot.pages.size();
      if (exists && slot.pages[i].use_count() == 1) continue;
      ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<Page> page, new_page(slot.spec));
      if (exists) {  // shared with a fork: copy on write
        std::memcpy(page->memory->data(), slot.pages[i]->memory->data(), page->memory->n_bytes());
      } else {
        slot.pages.emplace_back();
        slot.keys.push_back(nullptr);
        slot.values.push_back(nullptr);
      }
      slot.keys[i] = page->memory->data();
      slot.values[i] = page->memory->data() + value_offset;
      slot.pages[i] = std::move(page);
    }
  }
  return {};
}

void Cache::advance(int64_t n) {
  length_ += n;
  for (auto& [key, slot] : kv_) {
    const auto whole_pages = static_cast<size_t>(evicted_before(slot.spec, length_ + 1) / kKvPageTokens);
    for (size_t i = 0; i < std::min(whole_pages, slot.pages.size()); ++i) {
      slot.pages[i].reset();
      slot.keys[i] = nullptr;
      slot.values[i] = nullptr;
    }
  }
}

Result<void> Cache::truncate(int64_t length) {
  CHECK(length >= 0 && length <= length_);
  for (const LayerState& state : states_) {
    if (!state.spec.per_token() || state.spec.window > 0) {
      return Error{ErrorCode::kUnsupported, "this model's cache cannot be cut back to a shorter text: layer " +
                                                std::to_string(state.key.layer) + " has forgotten what it dropped"};
    }
  }
  for (auto& [key, slot] : kv_) {
    const size_t kept = n_pages(length);
    slot.pages.resize(std::min(kept, slot.pages.size()));
    slot.keys.resize(slot.pages.size());
    slot.values.resize(slot.pages.size());
  }
  length_ = length;
  return {};
}

Result<Cache> Cache::fork() const {
  Cache copy(states_, backend_);
  copy.kv_ = kv_;  // shares the pages
  copy.length_ = length_;
  return copy;
}

const Cache::KvSlot& Cache::slot(int32_t layer, int32_t iteration) const {
  const auto found = kv_.find({.layer = layer, .iteration = iteration, .kind = StateKind::kKeysValues});
  CHECK(found != kv_.end());
  return found->second;
}

KvPages Cache::pages(int32_t layer, int32_t iteration) const {
  const KvSlot& kv = slot(layer, iteration);
  return {.keys = kv.keys, .values = kv.values};
}

std::byte* Cache::key_page(int32_t layer, int32_t iteration, int64_t position) {
  return slot(layer, iteration).pages[static_cast<size_t>(position / kKvPageTokens)]->memory->data();
}

std::byte* Cache::value_page(int32_t layer, int32_t iteration, int64_t position) {
  const KvSlot& kv = slot(layer, iteration);
  return kv.pages[static_cast<size_t>(position / kKvPageTokens)]->memory->data() + key_page_bytes(kv.spec);
}

const StateSpec& Cache::spec(CacheKey key) const { return slot(key.layer, key.iteration).spec; }

LayerUsage usage_after(std::span<const LayerState> states, int32_t layer, int64_t t) {
  LayerUsage usage;
  for (const LayerState& state : states) {
    if (state.key.layer != layer) continue;
    int64_t& bytes = usage.bytes[static_cast<size_t>(state.key.kind)];
    if (!state.spec.per_token()) {
      bytes += state.spec.unit_bytes();
      continue;
    }
    const int64_t evicted = evicted_before(state.spec, t + 1);
    usage.entries += t + 1 - evicted;
    usage.evicted += evicted;
    bytes += (t + 1 - evicted) * state.spec.unit_bytes();
  }
  return usage;
}

}  // namespace orrery
