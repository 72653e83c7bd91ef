// NPY 1.0 files, written row by row: arrays may be larger than memory.
//
// Layout: "\x93NUMPY", 1, 0, u16 header length, a Python literal {'descr', 'fortran_order', 'shape'} padded with spaces
// to a multiple of 64 bytes and ended by a line feed, then the values, little endian, row major.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "app/output_file.h"
#include "kernels/base/dtype.h"
#include "kernels/base/result.h"

namespace orrery {

class NpyWriter {
 public:
  // dtype: kF32, kI32 or kI64. kIo naming the file where it cannot be written. What is not closed is removed again.
  static Result<NpyWriter> create(const std::string& path, DType dtype, const std::vector<int64_t>& shape);
  static Result<NpyWriter> create_f64(const std::string& path, const std::vector<int64_t>& shape);
  Result<void> append(std::span<const std::byte> values);
  template <typename T>
  Result<void> append_values(std::span<const T> values) {
    return append(std::as_bytes(values));
  }
  // kIo where the disk is full; CHECKs that as many values came as the shape says.
  Result<void> close();

 private:
  static Result<NpyWriter> create(const std::string& path, const char* descr, uint64_t value_bytes,
                                  const std::vector<int64_t>& shape);
  NpyWriter(OutputFile file, uint64_t expected_bytes) : file_(std::move(file)), expected_bytes_(expected_bytes) {}

  OutputFile file_;
  uint64_t expected_bytes_;
  uint64_t written_bytes_ = 0;
};

}  // namespace orrery
