// Shared memory of an emulated block: who wrote and read each element, and whether a barrier lay between.
#include <string>

#include "kernels/cuda/emulated_block.h"

namespace orrery::cuda_emulated {

namespace {

constexpr size_t kMaxSharedBytes = 48 << 10;  // what every device gives a block without being asked

}  // namespace

Access Block::access() const { return {running, block_epoch, warp_epochs[running / kWarpSize]}; }

// Whether what `earlier` did is certain to be seen by the thread that runs.
bool Block::is_ordered(const Access& earlier) const {
  if (earlier.thread == running || earlier.block_epoch < block_epoch) return true;
  const uint32_t warp = running / kWarpSize;
  return earlier.thread / kWarpSize == warp && earlier.warp_epoch < warp_epochs[warp];
}

void Block::check_read(Array& array, size_t i) {
  if (i >= array.elements.size()) {
    fail("reads " + array.name + "[" + std::to_string(i) + "] of " + std::to_string(array.elements.size()) +
         " elements of shared memory");
  }
  Element& element = array.elements[i];
  if (element.writer.thread == kNobody) {
    fail("reads shared memory that was not written: " + array.name + "[" + std::to_string(i) + "]");
  }
  if (!is_ordered(element.writer)) {
    fail("reads " + array.name + "[" + std::to_string(i) + "], which " + thread_name(element.writer.thread) +
         " wrote with no barrier between");
  }
  if (element.reader.thread != kNobody && element.reader.block_epoch == block_epoch &&
      element.reader.thread != running && !is_ordered(element.reader)) {
    element.many_readers = true;
  } else if (element.reader.block_epoch != block_epoch) {
    element.many_readers = false;
  }
  element.reader = access();
}

void Block::check_write(Array& array, size_t i) {
  if (i >= array.elements.size()) {
    fail("writes " + array.name + "[" + std::to_string(i) + "] of " + std::to_string(array.elements.size()) +
         " elements of shared memory");
  }
  Element& element = array.elements[i];
  if (element.writer.thread != kNobody && !is_ordered(element.writer)) {
    fail("writes " + array.name + "[" + std::to_string(i) + "], which " + thread_name(element.writer.thread) +
         " wrote with no barrier between");
  }
  const bool read_now = element.reader.thread != kNobody && element.reader.block_epoch == block_epoch;
  if (read_now && (element.many_readers || !is_ordered(element.reader))) {
    fail("writes " + array.name + "[" + std::to_string(i) + "], which " + thread_name(element.reader.thread) +
         " read with no barrier between");
  }
  element.writer = access();
}

SharedMemory::SharedMemory(const void* key, const char* name, size_t element_bytes, size_t n) : array_(nullptr) {
  Block& block = *current_block;
  std::unique_ptr<Array>& found = block.shared[key];
  if (found == nullptr) {
    if (key == nullptr) n = block.launch.dynamic_shared_bytes / element_bytes;
    found = std::make_unique<Array>();
    found->name = name;
    found->element_bytes = element_bytes;
    found->bytes.resize(n * element_bytes);
    found->elements.resize(n);
    block.shared_bytes += n * element_bytes;
    if (block.shared_bytes > kMaxSharedBytes) {
      block.fail("a block's shared memory is at most " + std::to_string(kMaxSharedBytes) + " bytes, but " + name +
                 " brings it to " + std::to_string(block.shared_bytes));
    }
  }
  array_ = found.get();
}

std::byte* SharedMemory::read(size_t i) const {
  current_block->check_read(*array_, i);
  return array_->bytes.data() + i * array_->element_bytes;
}

std::byte* SharedMemory::write(size_t i) const {
  current_block->check_write(*array_, i);
  return array_->bytes.data() + i * array_->element_bytes;
}

size_t SharedMemory::size() const { return array_->elements.size(); }

}  // namespace orrery::cuda_emulated
