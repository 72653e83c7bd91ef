// Cache as bytes of the host: saved while a run is recorded, and taken up again instead of running its first tokens.
#include <algorithm>
#include <cstring>

#include "engine/cache.h"
#include "kernels/kv_store.h"

namespace orrery {

namespace {

bool keeps_all(const StateSpec& spec) { return spec.per_token() && spec.window == 0; }

int64_t window_begin(const StateSpec& spec, int64_t length) { return std::max<int64_t>(0, length + 1 - spec.window); }

}  // namespace

bool Cache::keeps_all_keys() const {
  return std::ranges::any_of(kv_, [](const auto& entry) { return keeps_all(entry.second.spec); });
}

// Pages are [n_kv_heads, 64, d] of keys, then of values: of each page and head, its tokens lie together.
void Cache::add_pieces(CacheKey key, const StateSpec& spec, int64_t begin, int64_t end,
                       std::vector<Piece>& pieces) const {
  const size_t values_at = kv_page_bytes(spec.dtype, spec.n_kv_heads, spec.d_head_k);
  for (const bool values : {false, true}) {
    const size_t width = row_bytes(spec.dtype, static_cast<size_t>(values ? spec.d_head_v : spec.d_head_k));
    if (width == 0) continue;
    for (int32_t head = 0; head < spec.n_kv_heads; ++head) {
      for (int64_t from = begin; from < end;) {
        const int64_t to = std::min(end, (from / kKvPageTokens + 1) * kKvPageTokens);
        const size_t offset = static_cast<size_t>(head * kKvPageTokens + from % kKvPageTokens) * width;
        pieces.push_back({.key = key,
                          .position = from,
                          .offset = (values ? values_at : 0) + offset,
                          .n_bytes = static_cast<size_t>(to - from) * width});
        from = to;
      }
    }
  }
}

std::vector<Cache::Piece> Cache::state_pieces(int64_t length) const {
  std::vector<Piece> pieces;
  for (const auto& [key, slot] : constant_) {
    pieces.push_back({.key = key, .n_bytes = static_cast<size_t>(slot.spec.unit_bytes())});
  }
  for (const auto& [key, slot] : kv_) {
    if (!keeps_all(slot.spec)) add_pieces(key, slot.spec, window_begin(slot.spec, length), length, pieces);
  }
  return pieces;
}

std::vector<Cache::Piece> Cache::key_pieces(int64_t begin, int64_t end) const {
  std::vector<Piece> pieces;
  for (const auto& [key, slot] : kv_) {
    if (keeps_all(slot.spec)) add_pieces(key, slot.spec, begin, end, pieces);
  }
  return pieces;
}

namespace {

template <typename Pieces>
size_t bytes_of(const Pieces& pieces) {
  size_t n_bytes = 0;
  for (const auto& piece : pieces) n_bytes += piece.n_bytes;
  return n_bytes;
}

}  // namespace

size_t Cache::states_bytes(int64_t length) const { return bytes_of(state_pieces(length)); }
size_t Cache::keys_bytes(int64_t begin, int64_t end) const { return bytes_of(key_pieces(begin, end)); }

std::byte* Cache::address(const Piece& piece) {
  if (piece.position < 0) return constant_.at(piece.key).memory->memory->data();
  return kv_.at(piece.key).page_of(piece.position) + piece.offset;
}

Result<std::vector<std::byte>> Cache::save(const std::vector<Piece>& pieces) const {
  std::vector<std::byte> bytes(bytes_of(pieces));
  if (bytes.empty()) return bytes;
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<Readback> brought, backend_->allocate_readback(bytes.size()));
  std::byte* at = brought->written();
  for (const Piece& piece : pieces) {
    backend_->copy(at, const_cast<Cache*>(this)->address(piece), piece.n_bytes);
    at += piece.n_bytes;
  }
  const Fetch all[] = {{brought.get(), bytes.size()}};
  ORRERY_RETURN_IF_ERROR(backend_->finish(all));
  std::memcpy(bytes.data(), brought->read(), bytes.size());
  return bytes;
}

Result<std::vector<std::byte>> Cache::save_states() const { return save(state_pieces(length_)); }

Result<std::vector<std::byte>> Cache::save_keys(int64_t begin, int64_t end) const {
  CHECK(begin >= 0 && begin <= end && end <= length_);
  return save(key_pieces(begin, end));
}

Result<void> Cache::load(const std::vector<Piece>& pieces, std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  // Placed as a weight is, which takes host bytes to where the backend computes; whole words of them.
  std::vector<float> words((bytes.size() + sizeof(float) - 1) / sizeof(float));
  std::memcpy(words.data(), bytes.data(), bytes.size());
  const TensorView view{.dtype = DType::kF32,
                        .shape = {static_cast<int64_t>(words.size())},
                        .data = reinterpret_cast<const std::byte*>(words.data())};
  ORRERY_ASSIGN_OR_RETURN(const PlacedWeight placed, backend_->place(view, {}));
  const std::byte* from = placed.view.data;
  for (const Piece& piece : pieces) {
    backend_->copy(address(piece), from, piece.n_bytes);
    from += piece.n_bytes;
  }
  return backend_->finish({});  // before what is copied is given back
}

Result<void> Cache::restore(int64_t length, std::span<const std::byte> states, std::span<const SavedKeys> keys) {
  CHECK(length_ == 0 && length > 0);
  int64_t covered = 0;
  bool fits = states.size() == states_bytes(length);
  for (const SavedKeys& part : keys) {
    fits = fits && part.begin == covered && part.end >= covered && part.bytes.size() == keys_bytes(covered, part.end);
    if (!fits) break;
    covered = part.end;
  }
  if (!fits || (keeps_all_keys() && covered != length)) {
    return Error{ErrorCode::kInvalidFile,
                 "its bytes are not those of this model's cache after " + std::to_string(length) + " tokens"};
  }
  Cache filled(states_, backend_);
  // What has left a window takes no memory, not even for now.
  for (auto& [key, slot] : filled.kv_) {
    if (!keeps_all(slot.spec)) slot.first_page = window_begin(slot.spec, length) / kKvPageTokens;
  }
  ORRERY_RETURN_IF_ERROR(filled.reserve(length));
  ORRERY_RETURN_IF_ERROR(filled.load(filled.state_pieces(length), states));
  for (const SavedKeys& part : keys) {
    ORRERY_RETURN_IF_ERROR(filled.load(filled.key_pieces(part.begin, part.end), part.bytes));
  }
  filled.most_retained_bytes_ = most_retained_bytes_;
  filled.advance(length);
  *this = std::move(filled);
  return {};
}

}  // namespace orrery
