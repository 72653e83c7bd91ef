#include "app/scene_files.h"

#include <cctype>

#include "app/npy.h"
#include "app/output_file.h"

namespace orrery {
namespace {

constexpr size_t kFlushBytes = size_t{1} << 20;

// Quoted where it has to be: names of tokens may hold commas, quotes and line breaks.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string csv_header(const SceneTable& table) {
  std::string line;
  for (const SceneColumn& column : table.columns) line += (line.empty() ? "" : ",") + csv_field(column.header());
  return line + "\r\n";
}

std::string csv_row(const SceneTable& table, size_t row) {
  std::string line;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (i > 0) line += ',';
    line += csv_field(table.columns[i].text_at(row));
  }
  return line + "\r\n";
}

// Letters and digits of a table's name; what is between them becomes a dash.
std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      plain += c;
    } else if (!plain.empty() && plain.back() != '-') {
      plain += '-';
    }
    if (plain.size() == 48) break;
  }
  while (!plain.empty() && plain.back() == '-') plain.pop_back();
  return plain;
}

Result<void> write_map(const SceneTable& table, const std::string& path) {
  const std::vector<double>& values = table.columns.back().numbers;
  ORRERY_ASSIGN_OR_RETURN(NpyWriter file, NpyWriter::create(path, DType::kF32, {table.map_rows, table.map_cols}));
  const std::vector<float> narrow(values.begin(), values.end());  // they came from floats
  ORRERY_RETURN_IF_ERROR(file.append_values(std::span<const float>(narrow)));
  return file.close();
}

Result<void> write_series(const SceneTable& table, const std::string& path) {
  std::vector<const SceneColumn*> columns;
  for (const SceneColumn& column : table.columns) {
    if (!column.is_text()) columns.push_back(&column);
  }
  std::vector<double> values;
  values.reserve(table.n_rows() * columns.size());
  for (size_t row = 0; row < table.n_rows(); ++row) {
    for (const SceneColumn* column : columns) values.push_back(column->numbers[row]);
  }
  ORRERY_ASSIGN_OR_RETURN(NpyWriter file,
                          NpyWriter::create_f64(path, {static_cast<int64_t>(table.n_rows()), std::ssize(columns)}));
  ORRERY_RETURN_IF_ERROR(file.append_values(std::span<const double>(values)));
  return file.close();
}

}  // namespace

std::string table_csv(const SceneTable& table) {
  std::string text = csv_header(table);
  for (size_t row = 0; row < table.n_rows(); ++row) text += csv_row(table, row);
  return text;
}

Result<void> write_table_csv(const SceneTable& table, const std::string& path) {
  ORRERY_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  std::string text = csv_header(table);
  for (size_t row = 0; row < table.n_rows(); ++row) {
    text += csv_row(table, row);
    if (text.size() < kFlushBytes) continue;
    ORRERY_RETURN_IF_ERROR(file.write(text));
    text.clear();
  }
  ORRERY_RETURN_IF_ERROR(file.write(text));
  return file.close();
}

Result<void> write_table_npy(const SceneTable& table, const std::string& path) {
  return table.is_map() ? write_map(table, path) : write_series(table, path);
}

Result<std::vector<std::string>> write_scene_tables(const Scene& scene, const std::string& path) {
  const std::vector<SceneTable> tables = scene_tables(scene);
  if (tables.empty()) {
    return Error{ErrorCode::kUnsupported, "the view \"" + scene.view +
                                              "\" shows no numbers here, so there is nothing "
                                              "to write: " +
                                              path};
  }
  const size_t dot = path.rfind('.');
  const std::string ending = dot == std::string::npos ? "" : path.substr(dot);
  std::vector<std::string> files;
  for (size_t i = 0; i < tables.size(); ++i) {
    const std::string name = tables.size() == 1 ? path
                                                : path.substr(0, path.size() - ending.size()) + "-" +
                                                      std::to_string(i + 1) + "-" + plain_name(tables[i].name) + ending;
    ORRERY_RETURN_IF_ERROR(ending == ".npy" ? write_table_npy(tables[i], name) : write_table_csv(tables[i], name));
    files.push_back(name);
  }
  return files;
}

}  // namespace orrery
