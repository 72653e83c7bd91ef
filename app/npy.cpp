#include "app/npy.h"

namespace orrery {
namespace {

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::kI32:
      return "<i4";
    case DType::kI64:
      return "<i8";
    default:
      return "<f4";
  }
}

std::string header_of(const char* descr, const std::vector<int64_t>& shape) {
  std::string sizes;
  for (const int64_t size : shape) sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
  if (shape.size() == 1) sizes += ",";  // a tuple of one
  std::string header = std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
  const size_t before = 10;
  header.resize((before + header.size() + 1 + 63) / 64 * 64 - before - 1, ' ');
  return header + "\n";
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::string& path, DType dtype, const std::vector<int64_t>& shape) {
  CHECK(dtype == DType::kF32 || dtype == DType::kI32 || dtype == DType::kI64);
  return create(path, descr_of(dtype), dtype_info(dtype).block_bytes, shape);
}

Result<NpyWriter> NpyWriter::create_f64(const std::string& path, const std::vector<int64_t>& shape) {
  return create(path, "<f8", sizeof(double), shape);
}

Result<NpyWriter> NpyWriter::create(const std::string& path, const char* descr, uint64_t value_bytes,
                                    const std::vector<int64_t>& shape) {
  uint64_t n_bytes = value_bytes;
  for (const int64_t size : shape) n_bytes *= static_cast<uint64_t>(size);
  const std::string header = header_of(descr, shape);
  CHECK(header.size() <= 65535);
  ORRERY_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(header.size() & 255);
  start += static_cast<char>(header.size() >> 8);
  ORRERY_RETURN_IF_ERROR(file.write(start + header));
  return NpyWriter(std::move(file), n_bytes);
}

Result<void> NpyWriter::append(std::span<const std::byte> values) {
  written_bytes_ += values.size();
  return file_.write({reinterpret_cast<const char*>(values.data()), values.size()});
}

Result<void> NpyWriter::close() {
  CHECK(written_bytes_ == expected_bytes_, "an NPY file got another number of values than its shape says");
  return file_.close();
}

}  // namespace orrery
