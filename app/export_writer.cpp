#include "app/export_writer.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "app/npy.h"
#include "app/output_file.h"
#include "app/text.h"

namespace orrery {

std::vector<int64_t> ExportShape::shape() const {
  std::vector<int64_t> sizes{step_end - step_begin};
  if (probe->has_layers()) sizes.push_back(static_cast<int64_t>(layers.size()));
  if (probe->has_layers() && n_iterations > 0) sizes.push_back(n_iterations);
  if (probe->has_axis(Axis::kHead)) sizes.push_back(static_cast<int64_t>(heads.size()));
  sizes.insert(sizes.end(), inner.begin(), inner.end());
  return sizes;
}

std::vector<Axis> ExportShape::axes() const {
  std::vector<Axis> all = probe->axes;
  if (probe->has_layers() && n_iterations > 0) all.insert(all.begin() + 2, Axis::kIteration);
  return all;
}

int64_t ExportShape::values_per_step() const {
  int64_t n = 1;
  const std::vector<int64_t> sizes = shape();
  for (size_t axis = 1; axis < sizes.size(); ++axis) n *= sizes[axis];
  return n;
}

namespace {

// One value as text that reads back to the same bits; "" for a missing one.
std::string value_text(DType dtype, const std::byte* at) {
  if (dtype == DType::kI64) {
    int64_t value;
    std::memcpy(&value, at, sizeof(value));
    return std::to_string(value);
  }
  if (dtype == DType::kI32) {
    int32_t value;
    std::memcpy(&value, at, sizeof(value));
    return std::to_string(value);
  }
  float value;
  std::memcpy(&value, at, sizeof(value));
  if (std::isnan(value)) return "";
  if (std::isinf(value)) return value > 0 ? "1e999" : "-1e999";  // what JSON readers and CSV readers take as infinite
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.9g", static_cast<double>(value));
  return buffer;
}

class NpyExport final : public ExportWriter {
 public:
  explicit NpyExport(NpyWriter file) : file_(std::move(file)) {}
  Result<void> row(int64_t, std::span<const std::byte> values) override { return file_.append(values); }
  Result<void> finish() override { return file_.close(); }

 private:
  NpyWriter file_;
};

// Quoted as RFC 4180 says: model text may hold commas, quotes and line breaks.
std::string csv_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : valid_utf8(text)) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

// A line per value: t, its token, the indices of the other axes, the value.
class CsvExport final : public ExportWriter {
 public:
  CsvExport(OutputFile file, ExportShape shape, const std::vector<Token>& tokens)
      : file_(std::move(file)), shape_(std::move(shape)), tokens_(tokens) {}

  Result<void> header() {
    std::string line;
    for (const Axis axis : shape_.axes()) {
      line += (line.empty() ? "" : ",") + csv_quoted(axis_name(axis));
      if (axis == Axis::kStep) line += ",\"token\"";
    }
    return file_.write(line + "," + csv_quoted(shape_.probe->name) + "\r\n");
  }

  Result<void> row(int64_t step, std::span<const std::byte> values) override {
    const std::vector<int64_t> sizes = shape_.shape();
    const std::string token =
        std::cmp_less(step, tokens_.size()) ? csv_quoted(tokens_[static_cast<size_t>(step)].bytes) : "\"\"";
    std::vector<int64_t> at(sizes.size() - 1, 0);
    std::string lines;
    const int64_t n = shape_.values_per_step();
    for (int64_t i = 0; i < n; ++i) {
      lines += std::to_string(step) + "," + token;
      for (size_t axis = 0; axis < at.size(); ++axis) lines += "," + index_text(axis + 1, at[axis]);
      lines +=
          "," + value_text(shape_.probe->dtype, values.data() + static_cast<size_t>(i) * shape_.value_bytes()) + "\r\n";
      for (size_t axis = at.size(); axis-- > 0;) {
        if (++at[axis] < sizes[axis + 1]) break;
        at[axis] = 0;
      }
    }
    return file_.write(lines);
  }
  Result<void> finish() override { return file_.close(); }

 private:
  std::string index_text(size_t axis, int64_t index) const {
    switch (axes_[axis]) {
      case Axis::kLayer:
        return std::to_string(shape_.layers[static_cast<size_t>(index)]);
      case Axis::kHead:
        return std::to_string(shape_.heads[static_cast<size_t>(index)]);
      case Axis::kField:
      case Axis::kComponent:
        return csv_quoted(shape_.probe->fields[static_cast<size_t>(index)]);
      default:
        return std::to_string(index);
    }
  }

  OutputFile file_;
  const ExportShape shape_;
  const std::vector<Axis> axes_ = shape_.axes();
  const std::vector<Token>& tokens_;
};

// {"probe", ..., "values": nested lists as the shape says}; missing values are null.
class JsonExport final : public ExportWriter {
 public:
  JsonExport(OutputFile file, ExportShape shape) : file_(std::move(file)), shape_(std::move(shape)) {}

  Result<void> header(const ExportSources& sources) {
    const Probe& probe = *shape_.probe;
    nlohmann::ordered_json object{{"probe", probe.name},     {"run", shape_.run},
                                  {"unit", probe.unit},      {"dtype", dtype_name(probe.dtype)},
                                  {"exact", probe.exact},    {"axes", nlohmann::ordered_json::array()},
                                  {"shape", shape_.shape()}, {"steps", {shape_.step_begin, shape_.step_end}}};
    for (const Axis axis : shape_.axes()) object["axes"].push_back(axis_name(axis));
    if (probe.has_layers()) object["layers"] = shape_.layers;
    if (probe.has_layers()) object["layer_labels"] = shape_.layer_labels;
    if (probe.has_axis(Axis::kHead)) object["heads"] = shape_.heads;
    if (!probe.fields.empty()) object["fields"] = probe.fields;
    object["recomputed"] = sources.recomputed;
    object["missing"] = sources.missing;
    std::string text = object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    text.back() = ',';  // the closing brace comes after the values
    return file_.write(text + "\"values\":[");
  }

  Result<void> row(int64_t, std::span<const std::byte> values) override {
    std::string text = std::exchange(first_, false) ? "\n" : ",\n";
    const std::vector<int64_t> sizes = shape_.shape();
    const std::byte* at = values.data();
    append_nested(sizes, 1, at, text);
    return file_.write(text);
  }
  Result<void> finish() override {
    ORRERY_RETURN_IF_ERROR(file_.write("]}\n"));
    return file_.close();
  }

 private:
  void append_nested(const std::vector<int64_t>& sizes, size_t axis, const std::byte*& at, std::string& text) const {
    if (axis == sizes.size()) {
      const std::string value = value_text(shape_.probe->dtype, at);
      text += value.empty() ? "null" : value;
      at += shape_.value_bytes();
      return;
    }
    text += '[';
    for (int64_t i = 0; i < sizes[axis]; ++i) {
      if (i > 0) text += ',';
      append_nested(sizes, axis + 1, at, text);
    }
    text += ']';
  }

  OutputFile file_;
  const ExportShape shape_;
  bool first_ = true;
};

}  // namespace

Result<std::unique_ptr<ExportWriter>> ExportWriter::create(const std::string& path, const ExportShape& shape,
                                                           const ExportSources& sources,
                                                           const std::vector<Token>& tokens) {
  if (path.ends_with(".npy")) {
    ORRERY_ASSIGN_OR_RETURN(NpyWriter file, NpyWriter::create(path, shape.probe->dtype, shape.shape()));
    return std::unique_ptr<ExportWriter>(std::make_unique<NpyExport>(std::move(file)));
  }
  if (path.ends_with(".csv")) {
    ORRERY_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
    auto writer = std::make_unique<CsvExport>(std::move(file), shape, tokens);
    ORRERY_RETURN_IF_ERROR(writer->header());
    return std::unique_ptr<ExportWriter>(std::move(writer));
  }
  if (path.ends_with(".json")) {
    ORRERY_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
    auto writer = std::make_unique<JsonExport>(std::move(file), shape);
    ORRERY_RETURN_IF_ERROR(writer->header(sources));
    return std::unique_ptr<ExportWriter>(std::move(writer));
  }
  return Error{ErrorCode::kInvalidArgument, "--out takes a file that ends in .npy, .csv or .json, not: " + path};
}

}  // namespace orrery
