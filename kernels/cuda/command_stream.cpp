#include "kernels/cuda/command_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace orrery {

namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kLeastInputs = size_t{256} << 10;
constexpr size_t kLeastScratch = size_t{8} << 20;

size_t rounded_up(size_t n_bytes) { return (std::max<size_t>(n_bytes, 1) + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

CommandStream::~CommandStream() {
  graph_.reset();
  for (const Chunk& chunk : inputs_) {
    device_.free(chunk.device);
    device_.free_pinned(chunk.host);
  }
  for (const Chunk& chunk : scratch_) device_.free(chunk.device);
}

CommandStream::Chunk* CommandStream::chunk_with_room(std::vector<Chunk>& chunks, size_t n_bytes, bool pinned) {
  for (Chunk& chunk : chunks) {
    if (chunk.capacity - chunk.used >= n_bytes) return &chunk;
  }
  Chunk fresh;
  fresh.capacity = std::max(n_bytes, pinned ? kLeastInputs : kLeastScratch);
  Result<std::byte*> memory = device_.allocate(fresh.capacity);
  if (!memory) {
    if (failure_) failure_ = memory.error();
    return nullptr;
  }
  fresh.device = *memory;
  if (pinned) {
    Result<std::byte*> host = device_.allocate_pinned(fresh.capacity);
    if (!host) {
      device_.free(fresh.device);
      if (failure_) failure_ = host.error();
      return nullptr;
    }
    fresh.host = *host;
  }
  chunks.push_back(fresh);
  return &chunks.back();
}

std::byte* CommandStream::upload_bytes(std::span<const std::byte> bytes) {
  const size_t room = rounded_up(bytes.size());
  Chunk* chunk = chunk_with_room(inputs_, room, true);
  if (chunk == nullptr) return nullptr;
  if (!bytes.empty()) std::memcpy(chunk->host + chunk->used, bytes.data(), bytes.size());
  std::byte* const at = chunk->device + chunk->used;
  chunk->used += room;
  return at;
}

std::byte* CommandStream::scratch(size_t n_bytes) {
  const size_t room = rounded_up(n_bytes);
  Chunk* chunk = chunk_with_room(scratch_, room, false);
  if (chunk == nullptr) return nullptr;
  std::byte* const at = chunk->device + chunk->used;
  chunk->used += room;
  return at;
}

std::byte* CommandStream::shared_scratch(size_t n_bytes) {
  if (shared_scratch_bytes_ < n_bytes) {
    shared_scratch_ = scratch(n_bytes);
    shared_scratch_bytes_ = n_bytes;
  }
  return shared_scratch_;
}

void CommandStream::issue(const Pass& pass) {
  for (const Copy& copy : pass.uploads) device_.copy_in(copy.to, copy.from, copy.n_bytes);
  for (const Command& command : pass.commands) {
    if (const auto* launch = std::get_if<Launch>(&command)) {
      device_.launch(*launch);
    } else if (const auto* gemm = std::get_if<Gemm>(&command)) {
      device_.multiply(*gemm);
    } else {
      const Copy& copy = std::get<Copy>(command);
      device_.copy(copy.to, copy.from, copy.n_bytes);
    }
  }
  for (const Copy& copy : pass.wanted) device_.copy_out(copy.to, copy.from, copy.n_bytes);
}

Result<void> CommandStream::finish(std::span<const Copy> wanted) {
  Pass pass;
  pass.commands = std::exchange(commands_, {});
  pass.wanted.assign(wanted.begin(), wanted.end());
  for (Chunk& chunk : inputs_) {
    if (chunk.used > 0) pass.uploads.push_back({chunk.device, chunk.host, chunk.used});
    chunk.used = 0;
  }
  for (Chunk& chunk : scratch_) chunk.used = 0;
  shared_scratch_ = nullptr;
  shared_scratch_bytes_ = 0;
  Result<void> failure = std::exchange(failure_, Result<void>());
  if (!failure) {
    // Commands hold null for the memory that could not be had.
    last_ = {};
    graph_.reset();
    return failure;
  }
  if (pass.commands.empty() && pass.wanted.empty()) return device_.wait();
  const bool repeats = pass == last_;
  if (!repeats) graph_.reset();
  if (repeats && graph_ == nullptr) {
    device_.begin_capture();
    issue(pass);
    graph_ = device_.end_capture();
  }
  if (graph_ != nullptr) {
    device_.replay(*graph_);
    ++n_replays_;
  } else {
    issue(pass);
  }
  last_ = std::move(pass);
  return device_.wait();
}

}  // namespace orrery
