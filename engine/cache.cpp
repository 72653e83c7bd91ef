#include "engine/cache.h"

#include <algorithm>
#include <cstring>

#include "kernels/kv_store.h"

namespace orrery {

namespace {

size_t key_page_bytes(const StateSpec& spec) { return kv_page_bytes(spec.dtype, spec.n_kv_heads, spec.d_head_k); }
size_t value_page_bytes(const StateSpec& spec) { return kv_page_bytes(spec.dtype, spec.n_kv_heads, spec.d_head_v); }
constexpr int64_t kMostSpareHistory = 1024;  // tokens
int64_t n_pages(int64_t n_tokens) { return (n_tokens + kKvPageTokens - 1) / kKvPageTokens; }

// The first key that a row at `position` sees; no later row sees an earlier one.
int64_t first_visible(const StateSpec& spec, int64_t position) {
  return spec.window > 0 ? std::max<int64_t>(0, position + 1 - spec.window) : 0;
}

}  // namespace

std::byte* Cache::KvSlot::page_of(int64_t position) const {
  return pages[static_cast<size_t>(position / kKvPageTokens - first_page)]->memory->data();
}

// Puts a page in the place of an old one, or after the last.
void Cache::KvSlot::put(int64_t page, std::shared_ptr<Page> memory) {
  const auto i = static_cast<size_t>(page - first_page);
  if (i == pages.size()) {
    pages.emplace_back();
    keys.push_back(nullptr);
    values.push_back(nullptr);
  }
  keys[i] = memory->memory->data();
  values[i] = spec.d_head_v == 0 ? keys[i] : keys[i] + key_page_bytes(spec);
  pages[i] = std::move(memory);
}

void Cache::KvSlot::drop_before(int64_t page) {
  const int64_t n = std::clamp<int64_t>(page - first_page, 0, end_page() - first_page);
  pages.erase(pages.begin(), pages.begin() + n);
  keys.erase(keys.begin(), keys.begin() + n);
  values.erase(values.begin(), values.begin() + n);
  first_page += n;
}

void Cache::KvSlot::drop_from(int64_t page) {
  const auto kept = static_cast<size_t>(std::clamp<int64_t>(page - first_page, 0, end_page() - first_page));
  pages.resize(kept);
  keys.resize(kept);
  values.resize(kept);
}

int64_t StateSpec::unit_bytes() const {
  const int64_t n = per_token() ? int64_t{n_kv_heads} * (d_head_k + d_head_v) : shape.n_elements();
  return static_cast<int64_t>(row_bytes(dtype, static_cast<size_t>(n)));
}

Cache::Cache(std::vector<LayerState> states, std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)), states_(std::move(states)) {
  for (const LayerState& state : states_) {
    if (state.shared_with) {
      shared_[state.key] = *state.shared_with;
    } else if (state.spec.per_token()) {
      kv_[state.key].spec = state.spec;
    } else {
      CHECK(state.spec.dtype == DType::kF32, "states that are constant in the length are float32");
      CHECK(!constant_.contains(state.key), "a layer has two states of one kind");
      constant_[state.key].spec = state.spec;
    }
  }
}

Result<std::shared_ptr<Cache::Page>> Cache::new_page(size_t n_bytes) const {
  auto page = std::make_shared<Page>();
  ORRERY_ASSIGN_OR_RETURN(page->memory, backend_->allocate(n_bytes));
  return page;
}

Result<void> Cache::reserve(int64_t n, bool keeps_history) {
  for (auto& [key, slot] : kv_) ORRERY_RETURN_IF_ERROR(reserve_pages(slot, n));
  for (auto& [key, slot] : constant_) {
    ORRERY_RETURN_IF_ERROR(reserve_state(slot));
    if (keeps_history) ORRERY_RETURN_IF_ERROR(reserve_history(slot, length_ + n));
  }
  return {};
}

Result<void> Cache::reserve_pages(KvSlot& slot, int64_t n) {
  for (int64_t page = std::max(length_ / kKvPageTokens, slot.first_page); page < n_pages(length_ + n); ++page) {
    const Page* old = page < slot.end_page() ? slot.pages[static_cast<size_t>(page - slot.first_page)].get() : nullptr;
    if (old != nullptr && slot.pages[static_cast<size_t>(page - slot.first_page)].use_count() == 1) continue;
    ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<Page> fresh,
                            new_page(key_page_bytes(slot.spec) + value_page_bytes(slot.spec)));
    // A page that is shared with a fork is copied before it is written.
    if (old != nullptr) backend_->copy(fresh->memory->data(), old->memory->data(), fresh->memory->n_bytes());
    slot.put(page, std::move(fresh));
  }
  return {};
}

Result<void> Cache::reserve_state(ConstantSlot& slot) {
  if (slot.memory != nullptr && slot.memory.use_count() == 1) return {};
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<Page> fresh, new_page(static_cast<size_t>(slot.spec.unit_bytes())));
  if (slot.memory != nullptr) {
    backend_->copy(fresh->memory->data(), slot.memory->memory->data(), fresh->memory->n_bytes());
  }
  slot.memory = std::move(fresh);
  return {};
}

float* Cache::state(CacheKey key) {
  const auto found = constant_.find(owner(key));
  CHECK(found != constant_.end() && found->second.memory != nullptr);
  return reinterpret_cast<float*>(found->second.memory->memory->data());
}

Result<void> Cache::reserve_history(ConstantSlot& slot, int64_t n_tokens) {
  const bool is_shared = slot.history != nullptr && slot.history.use_count() > 1;
  if (slot.spec.history_width == 0 || (n_tokens <= slot.history_capacity && !is_shared)) return {};
  const int64_t capacity = std::max(n_tokens, std::min(2 * slot.history_capacity, n_tokens + kMostSpareHistory));
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<Page> grown,
                          new_page(static_cast<size_t>(capacity * slot.spec.history_width) * sizeof(float)));
  if (slot.history != nullptr) {
    const size_t n_bytes = std::min(slot.history->memory->n_bytes(), grown->memory->n_bytes());
    backend_->copy(grown->memory->data(), slot.history->memory->data(), n_bytes);
    ORRERY_RETURN_IF_ERROR(backend_->finish({}));  // before what is copied may be given back
  }
  slot.history = std::move(grown);
  slot.history_capacity = capacity;
  return {};
}

int64_t Cache::history_bytes(int64_t n_tokens) const {
  int64_t width = 0;
  for (const auto& [key, slot] : constant_) width += slot.spec.history_width;
  return n_tokens * width * static_cast<int64_t>(sizeof(float));
}

float* Cache::history(int32_t layer, int32_t iteration) {
  const auto found = constant_.find(owner({.layer = layer, .iteration = iteration, .kind = StateKind::kMatrixState}));
  CHECK(found != constant_.end() && found->second.history != nullptr);
  return reinterpret_cast<float*>(found->second.history->memory->data());
}

void Cache::advance(int64_t n) {
  length_ += n;
  move_retained();
  for (auto& [key, slot] : kv_) {
    slot.drop_before(std::min(first_visible(slot.spec, length_) / kKvPageTokens, retained_from_));
  }
}

// The first page that is retained is the first with which all that is retained stays within the limit.
void Cache::move_retained() {
  const auto retained_bytes = [&](int64_t from) {
    size_t n_bytes = 0;
    for (const auto& [key, slot] : kv_) {
      const int64_t n = first_visible(slot.spec, length_) / kKvPageTokens - std::max(from, slot.first_page);
      n_bytes +=
          static_cast<size_t>(std::max<int64_t>(n, 0)) * (key_page_bytes(slot.spec) + value_page_bytes(slot.spec));
    }
    return n_bytes;
  };
  const int64_t end = n_pages(length_);
  if (most_retained_bytes_ == 0) retained_from_ = end;
  while (retained_from_ < end && retained_bytes(retained_from_) > most_retained_bytes_) ++retained_from_;
}

size_t Cache::fork_bytes() const {
  size_t n_bytes = 0;
  for (const auto& [key, slot] : kv_) {
    const int64_t n_held = slot.spec.window > 0 ? n_pages(slot.spec.window) + 1 : 1;
    n_bytes += static_cast<size_t>(n_held) * (key_page_bytes(slot.spec) + value_page_bytes(slot.spec));
  }
  for (const auto& [key, slot] : constant_) n_bytes += static_cast<size_t>(slot.spec.unit_bytes());
  return n_bytes;
}

Result<void> Cache::truncate(int64_t length) {
  CHECK(length >= 0 && length <= length_);
  for (const auto& [key, slot] : kv_) {
    if (first_visible(slot.spec, length) / kKvPageTokens >= slot.first_page) continue;
    return Error{ErrorCode::kUnsupported, "this model's cache cannot be cut back to " + std::to_string(length) +
                                              " tokens: the window of layer " + std::to_string(key.layer) +
                                              " has forgotten what it saw there"};
  }
  if (!constant_.empty() && length != length_ && length != 0) {
    return Error{ErrorCode::kUnsupported, "this model's cache cannot be cut back to " + std::to_string(length) +
                                              " tokens: the state of layer " +
                                              std::to_string(constant_.begin()->first.layer) +
                                              " has gone on to token " + std::to_string(length_)};
  }
  if (length == 0) {
    for (auto& [key, slot] : constant_) slot.memory = nullptr;
  }
  for (auto& [key, slot] : kv_) slot.drop_from(n_pages(length));
  length_ = length;
  return {};
}

Result<Cache> Cache::fork() const {
  Cache copy(states_, backend_);
  copy.kv_ = kv_;  // shares the pages
  copy.constant_ = constant_;
  copy.length_ = length_;
  return copy;
}

CacheKey Cache::owner(CacheKey key) const {
  const auto found = shared_.find(key);
  return found == shared_.end() ? key : found->second;
}

const Cache::KvSlot& Cache::slot(int32_t layer, int32_t iteration) const {
  const auto found = kv_.find(owner({.layer = layer, .iteration = iteration, .kind = StateKind::kKeysValues}));
  CHECK(found != kv_.end());
  return found->second;
}

KvPages Cache::pages(int32_t layer, int32_t iteration) const {
  const KvSlot& kv = slot(layer, iteration);
  return {.keys = kv.keys, .values = kv.values, .first_page = kv.first_page};
}

std::byte* Cache::key_page(int32_t layer, int32_t iteration, int64_t position) {
  return slot(layer, iteration).page_of(position);
}

std::byte* Cache::value_page(int32_t layer, int32_t iteration, int64_t position) {
  const KvSlot& kv = slot(layer, iteration);
  return kv.page_of(position) + key_page_bytes(kv.spec);
}

const StateSpec& Cache::spec(CacheKey key) const {
  const auto constant = constant_.find(owner(key));
  return constant != constant_.end() ? constant->second.spec : slot(key.layer, key.iteration).spec;
}

void Cache::carry(int32_t from_layer, int32_t to_layer, int64_t position) {
  const auto find = [&](int32_t layer) {
    return std::ranges::find_if(kv_, [layer](const auto& slot) { return slot.first.layer == layer; });
  };
  const auto from = find(from_layer), to = find(to_layer);
  if (from == kv_.end() || to == kv_.end()) return;
  const StateSpec& spec = from->second.spec;
  CHECK(to->second.spec.unit_bytes() == spec.unit_bytes());
  std::byte* const source = from->second.page_of(position);
  std::byte* const target = to->second.page_of(position);
  // A head's vector of one position, in pages [n_kv_heads, 64, width] of keys, then of values.
  const auto copy_vectors = [&](size_t begin, int32_t width) {
    const size_t n_bytes = row_bytes(spec.dtype, static_cast<size_t>(width));
    for (int32_t head = 0; head < spec.n_kv_heads; ++head) {
      const size_t at = begin + static_cast<size_t>(head * kKvPageTokens + position % kKvPageTokens) * n_bytes;
      backend_->copy(target + at, source + at, n_bytes);
    }
  };
  copy_vectors(0, spec.d_head_k);
  copy_vectors(key_page_bytes(spec), spec.d_head_v);
}

LayerUsage usage_after(std::span<const LayerState> states, int32_t layer, int64_t t) {
  LayerUsage usage;
  for (const LayerState& state : states) {
    if (state.key.layer != layer || state.shared_with) continue;
    int64_t& bytes = usage.bytes[static_cast<size_t>(state.key.kind)];
    if (!state.spec.per_token()) {
      bytes += state.spec.unit_bytes();
      continue;
    }
    const int64_t evicted = first_visible(state.spec, t);
    usage.entries += t + 1 - evicted;
    usage.evicted += evicted;
    bytes += (t + 1 - evicted) * state.spec.unit_bytes();
  }
  return usage;
}

}  // namespace orrery
