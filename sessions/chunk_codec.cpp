#include "sessions/chunk_codec.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "sessions/byte_shuffle.h"
#include "sessions/fixed_point.h"

namespace orrery {
namespace {

constexpr uint32_t kLayoutVersion = 1;
constexpr int kZstdLevel = 1;
constexpr std::string_view kZstd = "+zstd";
constexpr std::string_view kShuffle = "shuffle";
constexpr int64_t kBlockKeys = kKvPageTokens;
constexpr size_t kMaxKeptBytes = size_t{4} << 20;

bool is_keyed(Axis axis) { return axis == Axis::kKey || axis == Axis::kKeyBlock; }

size_t n_leading_axes(const Probe& probe) { return probe.has_layers() ? 2 : 1; }

std::span<const Axis> inner_axes(const Probe& probe) { return std::span(probe.axes).subspan(n_leading_axes(probe)); }

// The size of a keyed axis at a step.
int64_t keyed_size(Axis axis, int64_t step) { return axis == Axis::kKey ? step + 1 : key_blocks_at(step); }

int64_t sum_to(int64_t n) { return n * (n + 1) / 2; }

// Sum of keyed_size over the last steps of the rows of row_steps steps, a power of two, in [0, end), for end <=
// kMaxSteps.
int64_t keyed_sum(Axis axis, int64_t end, int64_t row_steps) {
  if (axis == Axis::kKey) return sum_to(end);
  const int64_t n_rows = end / row_steps;
  if (row_steps > kBlockKeys) return row_steps / kBlockKeys * sum_to(n_rows);
  const int64_t rows_per_block = kBlockKeys / row_steps;
  const int64_t whole = n_rows / rows_per_block;
  return rows_per_block * sum_to(whole) + n_rows % rows_per_block * (whole + 1);
}

Axis keyed_axis(const Probe& probe) {
  const auto axes = inner_axes(probe);
  return !axes.empty() && is_keyed(axes.back()) ? axes.back() : Axis::kStep;
}

// Values per step, or per step and key where the last axis is keyed.
int64_t fixed_values(const ChunkForm& form) {
  int64_t n = form.probe->has_layers() ? static_cast<int64_t>(form.layers.size()) : 1;
  for (const int64_t size : form.inner) n *= size == 0 ? 1 : size;
  return n;
}

size_t record_bytes(const Probe& probe, const ChunkForm& form) {
  const bool pairs = !probe.axes.empty() && probe.axes.back() == Axis::kField && form.inner.back() == 2;
  return form.value_bytes() * (pairs ? 2 : 1);
}

Error invalid(std::string message) { return {ErrorCode::kInvalidFile, std::move(message)}; }

void append_u32(std::vector<std::byte>& bytes, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::byte>(value >> shift));
}

// Reads little-endian words; `ok` turns false at the first that is not there.
struct WordReader {
  std::span<const std::byte> bytes;
  bool ok = true;
  uint32_t next() {
    if (bytes.size() < 4) {
      ok = false;
      return 0;
    }
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value |= static_cast<uint32_t>(bytes[i]) << (8 * i);
    bytes = bytes.subspan(4);
    return value;
  }
  // A count and as many words, at most `limit` of them.
  template <typename T>
  std::vector<T> list(size_t limit) {
    const uint32_t n = next();
    if (n > limit || bytes.size() / 4 < n) ok = false;
    std::vector<T> values;
    if (!ok) return values;
    values.reserve(n);
    for (uint32_t i = 0; i < n; ++i) values.push_back(static_cast<T>(next()));
    return values;
  }
};

bool ascending(const std::vector<int32_t>& ids) {
  return std::ranges::adjacent_find(ids, std::ranges::greater_equal()) == ids.end();
}

// What a chunk of the probe may look like in a model: the largest form.
ChunkForm largest_form(const Probe& probe, const ModelConfig& config, int32_t level) {
  ChunkForm form;
  form.probe = &probe;
  form.level = level;
  if (probe.has_layers()) form.layers = probe.layers(config);
  form.inner = probe.inner_shape(config, 1);
  const auto axes = inner_axes(probe);
  for (size_t i = 0; i < form.inner.size() && i < axes.size(); ++i) {
    if (is_keyed(axes[i])) form.inner[i] = 0;
  }
  return form;
}

Result<void> check_form(const ChunkForm& form, const ChunkForm& largest) {
  if (!ascending(form.layers) || !std::ranges::includes(largest.layers, form.layers)) {
    return invalid("a chunk names layers that the model has not");
  }
  const auto axes = inner_axes(*form.probe);
  if (form.inner.size() != largest.inner.size() || form.inner.size() != axes.size()) {
    return invalid("a chunk has the wrong number of axes");
  }
  if (!ascending(form.heads) || (!form.heads.empty() && (axes.empty() || axes[0] != Axis::kHead))) {
    return invalid("a chunk names heads that cannot be");
  }
  for (size_t i = 0; i < form.inner.size(); ++i) {
    const bool picked = i == 0 && !form.heads.empty();
    const int64_t wanted = picked ? static_cast<int64_t>(form.heads.size()) : largest.inner[i];
    const bool empty = wanted == 0 && !is_keyed(axes[i]);
    if (form.inner[i] != wanted || empty) return invalid("a chunk has an axis of the wrong size");
  }
  if (!form.heads.empty() && (form.heads.front() < 0 || form.heads.back() >= largest.inner[0])) {
    return invalid("a chunk names heads that the model has not");
  }
  return {};
}

struct Codec {
  Words words = Words::kPlain;
  size_t record_bytes = 0;
};

Result<Codec> parse_codec(std::string_view text) {
  Codec codec;
  for (const Words words : {Words::kFixed, Words::kRanked}) {
    const std::string_view prefix = words_name(words);
    if (!text.starts_with(prefix)) continue;
    codec.words = words;
    text.remove_prefix(prefix.size());
  }
  const bool framed = text.starts_with(kShuffle) && text.ends_with(kZstd) && text.size() > 12;
  if (framed) {
    const std::string_view digits = text.substr(kShuffle.size(), text.size() - kShuffle.size() - kZstd.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), codec.record_bytes);
    if (error != std::errc() || end != digits.data() + digits.size()) codec.record_bytes = 0;
  }
  if (codec.record_bytes < 1 || codec.record_bytes > 64) {
    return Error{ErrorCode::kUnsupported, "a chunk has an unknown codec"};
  }
  return codec;
}

bool is_ranked_list(const ChunkForm& form) {
  return form.level == 0 && form.probe->has_axis(Axis::kTop) && form.inner.size() > 1 && form.inner.back() == 2;
}

// The lists of one chunk, for Words::kRanked.
RankedLists lists_of(const ChunkForm& form, int64_t step_begin) {
  const int64_t list_pairs = form.inner[form.inner.size() - 2];
  return {.list_pairs = static_cast<size_t>(list_pairs),
          .lists_per_step = static_cast<size_t>(fixed_values(form) / (2 * list_pairs)),
          .step_begin = step_begin};
}

Words words_for(const ChunkForm& form) {
  // A mean of multiples is none; the greatest of them is one.
  const bool is_mean = form.level != 0 && statistic_of(form.level) == Statistic::kMean;
  if (form.probe->fraction_bits != kFixedPointBits || is_mean) return Words::kPlain;
  return is_ranked_list(form) ? Words::kRanked : Words::kFixed;
}

}  // namespace

size_t ChunkForm::value_bytes() const { return dtype() == DType::kI64 ? 8 : 4; }

Result<ChunkForm> ChunkForm::of(const Frame& frame) {
  const Probe& probe = *frame.probe;
  const auto wrong = [&](const char* what) {
    return Error{ErrorCode::kInvalidArgument, "a frame of " + std::string(probe.name) + " has " + what};
  };
  if (frame.step_begin < 0 || frame.step_end <= frame.step_begin || frame.step_end > kMaxSteps) {
    return wrong("steps beyond what a session holds");
  }
  if (frame.shape.size() != probe.axes.size() || frame.n_rows() * steps_per_cell(frame.level) != frame.n_steps() ||
      frame.step_begin % steps_per_cell(frame.level) != 0 || !has_level(probe, frame.level)) {
    return wrong("the wrong shape");
  }
  ChunkForm form;
  form.probe = &probe;
  form.level = frame.level;
  form.layers = frame.layers;
  form.heads = frame.heads;
  if (probe.has_layers() && frame.shape[1] != static_cast<int64_t>(frame.layers.size()))
    return wrong("the wrong layers");
  const auto axes = inner_axes(probe);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t size = frame.shape[n_leading_axes(probe) + i];
    const bool keyed = is_keyed(axes[i]);
    if (keyed && (i + 1 != axes.size() || size != keyed_size(axes[i], frame.step_end - 1))) {
      return wrong("a key axis of the wrong size");
    }
    if (size <= 0) return wrong("an empty axis");
    form.inner.push_back(keyed ? 0 : size);
  }
  if (frame.payload_bytes != static_cast<size_t>(frame.n_values()) * form.value_bytes()) return wrong("the wrong size");
  return form;
}

std::vector<int64_t> ChunkForm::step_shape(int64_t step) const {
  std::vector<int64_t> shape;
  if (probe->has_layers()) shape.push_back(static_cast<int64_t>(layers.size()));
  const auto axes = inner_axes(*probe);
  for (size_t i = 0; i < inner.size(); ++i) shape.push_back(is_keyed(axes[i]) ? keyed_size(axes[i], step) : inner[i]);
  return shape;
}

int64_t ChunkForm::values_at(int64_t step) const {
  const Axis axis = keyed_axis(*probe);
  return fixed_values(*this) * (axis == Axis::kStep ? 1 : keyed_size(axis, last_step(step)));
}

Result<size_t> ChunkForm::bytes_of(int64_t step_begin, int64_t step_end) const {
  if (step_begin < 0 || step_end <= step_begin || step_end > kMaxSteps) {
    return invalid("a chunk covers impossible steps: " + std::to_string(step_begin) + " to " +
                   std::to_string(step_end));
  }
  const Axis axis = keyed_axis(*probe);
  if (step_begin % row_steps() != 0 || step_end % row_steps() != 0) {
    return invalid("a chunk of a coarse level does not begin and end with a cell");
  }
  const int64_t n_rows = (step_end - step_begin) / row_steps();
  const int64_t n =
      axis == Axis::kStep ? n_rows : keyed_sum(axis, step_end, row_steps()) - keyed_sum(axis, step_begin, row_steps());
  int64_t n_bytes = 0;
  const size_t limit = n_rows > 1 ? kMaxChunkBytes : kMaxStepBytes;
  if (__builtin_mul_overflow(n, fixed_values(*this) * static_cast<int64_t>(value_bytes()), &n_bytes) ||
      static_cast<uint64_t>(n_bytes) > limit) {
    return invalid("a chunk is larger than a session may hold");
  }
  return static_cast<size_t>(n_bytes);
}

void append_step(const Frame& frame, const ChunkForm& form, int64_t step, std::vector<std::byte>& raw) {
  const size_t frame_step_bytes = static_cast<size_t>(frame.values_per_step()) * form.value_bytes();
  const std::byte* from =
      frame.payload.get() + static_cast<size_t>((step - frame.step_begin) / form.row_steps()) * frame_step_bytes;
  const size_t n_bytes = form.bytes_at(step);
  const size_t at = raw.size();
  raw.resize(at + n_bytes);
  if (n_bytes == frame_step_bytes) {
    std::memcpy(raw.data() + at, from, n_bytes);
    return;
  }
  const Axis axis = keyed_axis(*form.probe);
  const size_t from_row = static_cast<size_t>(keyed_size(axis, frame.step_end - 1)) * form.value_bytes();
  const size_t to_row = static_cast<size_t>(keyed_size(axis, form.last_step(step))) * form.value_bytes();
  for (std::byte *to = raw.data() + at, *end = to + n_bytes; to < end; to += to_row, from += from_row) {
    std::memcpy(to, from, to_row);
  }
}

void ChunkEncoder::FreeContext::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

ChunkEncoder::ChunkEncoder() : context_(ZSTD_createCCtx()) {
  CHECK(context_ != nullptr, "out of memory");
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kZstdLevel);
}

ChunkEncoder::Encoded ChunkEncoder::encode(const ChunkForm& form, int64_t step_begin, std::span<const std::byte> raw) {
  plain_.clear();
  append_u32(plain_, kLayoutVersion);
  append_u32(plain_, static_cast<uint32_t>(form.layers.size()));
  for (const int32_t layer : form.layers) append_u32(plain_, static_cast<uint32_t>(layer));
  append_u32(plain_, static_cast<uint32_t>(form.heads.size()));
  for (const int32_t head : form.heads) append_u32(plain_, static_cast<uint32_t>(head));
  append_u32(plain_, static_cast<uint32_t>(form.inner.size()));
  for (const int64_t size : form.inner) append_u32(plain_, static_cast<uint32_t>(size));
  const size_t n_header = plain_.size();
  const size_t record = record_bytes(*form.probe, form);
  // Values that a device or an older build did not round are stored as they are.
  Words words = words_for(form);
  if (words != Words::kPlain) {
    words_.resize(raw.size());
    const bool fits = words == Words::kFixed ? to_fixed(raw, words_.data())
                                             : to_ranked(raw, lists_of(form, step_begin), words_.data());
    if (fits) raw = words_;
    if (!fits) words = Words::kPlain;
  }
  plain_.resize(n_header + raw.size());
  shuffle_bytes(raw, record, plain_.data() + n_header);

  compressed_.resize(ZSTD_compressBound(plain_.size()));
  const size_t n = ZSTD_compress2(context_.get(), compressed_.data(), compressed_.size(), plain_.data(), plain_.size());
  CHECK(ZSTD_isError(n) == 0, "zstd failed in a buffer that is large enough");
  return {words == Words::kFixed    ? "fixed20+shuffle4+zstd"
          : words == Words::kRanked ? "ranked20+shuffle8+zstd"
          : record == 8             ? "shuffle8+zstd"
          : record == 16            ? "shuffle16+zstd"
                                    : "shuffle4+zstd",
          std::span(compressed_).first(n)};
}

void ChunkDecoder::FreeContext::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

ChunkDecoder::ChunkDecoder() : context_(ZSTD_createDCtx()) { CHECK(context_ != nullptr, "out of memory"); }

std::span<const std::byte> ChunkDecoder::unpack(std::span<const std::byte> data, size_t n_bytes) {
  // One huge step should not keep its memory.
  if (n_bytes > capacity_ || capacity_ > std::max(n_bytes, kMaxKeptBytes)) {
    plain_ = std::make_unique_for_overwrite<std::byte[]>(n_bytes);
    capacity_ = n_bytes;
  }
  const size_t n = ZSTD_decompressDCtx(context_.get(), plain_.get(), n_bytes, data.data(), data.size());
  if (ZSTD_isError(n) != 0 || n != n_bytes) return {};
  return {plain_.get(), n_bytes};
}

Result<UnpackedChunk> ChunkDecoder::decode(const Probe& probe, const ModelConfig& config, int32_t level,
                                           int64_t step_begin, int64_t step_end, std::string_view codec,
                                           std::span<const std::byte> data) {
  ORRERY_ASSIGN_OR_RETURN(const Codec stored, parse_codec(codec));
  if (!has_level(probe, level)) return invalid("a chunk has a level that cannot be");
  const ChunkForm largest = largest_form(probe, config, level);
  const size_t n_most_header =
      16 + 4 * (largest.layers.size() + (largest.inner.empty() ? 0 : static_cast<size_t>(largest.inner[0])) +
                largest.inner.size());
  // The largest form may be beyond the bounds where the chunk itself, with fewer layers or heads, is not.
  const auto most = largest.bytes_of(step_begin, step_end);
  if (step_begin < 0 || step_end <= step_begin || step_end > kMaxSteps) return most.error();
  const size_t n_most = most ? *most : (step_end - step_begin > largest.row_steps() ? kMaxChunkBytes : kMaxStepBytes);

  const unsigned long long declared = ZSTD_getFrameContentSize(data.data(), data.size());
  if (declared == ZSTD_CONTENTSIZE_ERROR || declared == ZSTD_CONTENTSIZE_UNKNOWN) {
    return invalid("a chunk is not zstd data");
  }
  if (declared > n_most + n_most_header) return invalid("a chunk unpacks to more than its steps can hold");
  const std::span<const std::byte> plain = unpack(data, static_cast<size_t>(declared));
  if (plain.empty()) return invalid("a chunk cannot be unpacked");

  UnpackedChunk chunk;
  chunk.step_begin = step_begin;
  chunk.step_end = step_end;
  WordReader words{plain};
  if (words.next() != kLayoutVersion) return Error{ErrorCode::kUnsupported, "a chunk has an unknown layout"};
  chunk.form.probe = &probe;
  chunk.form.level = level;
  chunk.form.layers = words.list<int32_t>(plain.size());
  chunk.form.heads = words.list<int32_t>(plain.size());
  chunk.form.inner = words.list<int64_t>(8);
  if (!words.ok) return invalid("a chunk ends within its header");
  ORRERY_RETURN_IF_ERROR(check_form(chunk.form, largest));
  ORRERY_ASSIGN_OR_RETURN(const size_t n_values_bytes, chunk.form.bytes_of(step_begin, step_end));
  if (words.bytes.size() != n_values_bytes) return invalid("a chunk's size does not fit its steps");
  chunk.values = std::make_unique_for_overwrite<std::byte[]>(n_values_bytes);
  chunk.n_bytes = n_values_bytes;
  const std::span<std::byte> raw(chunk.values.get(), n_values_bytes);
  unshuffle_bytes(words.bytes, stored.record_bytes, raw.data());
  if (stored.words != Words::kPlain && chunk.form.dtype() != DType::kF32) {
    return invalid("a chunk's codec does not fit its probe");
  }
  if (stored.words == Words::kFixed) from_fixed(raw);
  if (stored.words == Words::kRanked) {
    if (!is_ranked_list(chunk.form)) return invalid("a chunk's codec does not fit its probe");
    from_ranked(raw, lists_of(chunk.form, step_begin));
  }
  return chunk;
}

Frame cut_chunk(const std::shared_ptr<const UnpackedChunk>& chunk, int64_t run, int64_t begin, int64_t end) {
  const ChunkForm& form = chunk->form;
  CHECK(begin >= chunk->step_begin && begin < end && end <= chunk->step_end);
  Frame frame;
  frame.run = run;
  frame.probe = form.probe;
  frame.level = form.level;
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = form.layers;
  frame.heads = form.heads;
  frame.origin = Origin::kRecorded;
  frame.shape = form.step_shape(end - 1);
  frame.shape.insert(frame.shape.begin(), (end - begin) / form.row_steps());
  frame.payload_bytes = static_cast<size_t>(frame.n_values()) * form.value_bytes();

  size_t offset = 0;
  if (begin > chunk->step_begin) offset = *form.bytes_of(chunk->step_begin, begin);
  const std::byte* from = chunk->values.get() + offset;
  const size_t n_stored = *form.bytes_of(begin, end);
  if (n_stored == frame.payload_bytes) {  // rectangular as it lies there
    frame.payload = std::shared_ptr<const std::byte>(chunk, from);
    return frame;
  }
  auto memory = std::make_shared<std::byte[]>(frame.payload_bytes);  // zeros
  const Axis axis = keyed_axis(*form.probe);
  const size_t to_row = static_cast<size_t>(keyed_size(axis, end - 1)) * form.value_bytes();
  std::byte* to = memory.get();
  for (int64_t step = begin; step < end; step += form.row_steps()) {
    const size_t from_row = static_cast<size_t>(keyed_size(axis, form.last_step(step))) * form.value_bytes();
    for (int64_t row = fixed_values(form); row > 0; --row, to += to_row, from += from_row) {
      std::memcpy(to, from, from_row);
    }
  }
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  return frame;
}

}  // namespace orrery
