#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "app/export_rows.h"
#include "app/export_writer.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using ::testing::ElementsAre;
using testing::TemporaryFolder;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Frame frame_of(const Probe& probe, int64_t begin, std::vector<int64_t> shape, std::vector<int32_t> layers,
               const std::vector<float>& values) {
  Frame frame;
  frame.probe = &probe;
  frame.step_begin = begin;
  frame.step_end = begin + shape[0];
  frame.shape = std::move(shape);
  frame.layers = std::move(layers);
  frame.payload_bytes = values.size() * sizeof(float);
  const std::shared_ptr<std::byte[]> memory = std::make_shared<std::byte[]>(frame.payload_bytes);
  std::memcpy(memory.get(), values.data(), frame.payload_bytes);
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  return frame;
}

std::vector<float> floats(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

ExportShape row_shape() {
  ExportShape shape;
  shape.probe = find_probe("attention.row");
  shape.step_begin = 0;
  shape.step_end = 2;
  shape.layers = shape.visits = {0, 2};
  shape.heads = {1};
  shape.inner = {4};
  shape.layer_labels = {"0 attention", "2 attention"};
  return shape;
}

TEST(ExportRows, ChoosesLayersAndHeadsAndPadsKeysWithZero) {
  const ExportShape shape = row_shape();
  ExportRows rows(shape);
  // Layers 0 and 2, two heads, two keys.
  const Frame frame = frame_of(*shape.probe, 1, {1, 2, 2, 2}, {0, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(floats(rows.row(frame, 1)), ElementsAre(3, 4, 0, 0, 7, 8, 0, 0));
}

TEST(ExportRows, WhatAFrameLacksIsMissingNotZero) {
  const ExportShape shape = row_shape();
  ExportRows rows(shape);
  const Frame frame = frame_of(*shape.probe, 1, {1, 1, 2, 2}, {2}, {5, 6, 7, 8});
  const std::vector<float> row = floats(rows.row(frame, 1));
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(std::isnan(row[i]));
  EXPECT_EQ(row[4], 7);
  const std::vector<float> missing = floats(rows.missing_row());
  for (const float value : missing) EXPECT_TRUE(std::isnan(value));

  ExportShape tops;
  tops.probe = find_probe("output.top");
  tops.step_end = 1;
  tops.inner = {64, 2};
  ExportRows top_rows(tops);
  const std::vector<float> no_top = floats(top_rows.missing_row());
  EXPECT_EQ(no_top[0], -1);
  EXPECT_TRUE(std::isnan(no_top[1]));
}

TEST(ExportWriter, WritesNpyThatStatesItsShape) {
  const TemporaryFolder folder;
  const ExportShape shape = row_shape();
  const Result<std::unique_ptr<ExportWriter>> writer = ExportWriter::create(folder.file("a.npy"), shape, {}, {});
  ASSERT_TRUE(writer);
  const std::vector<float> row{1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_TRUE((*writer)->row(0, std::as_bytes(std::span(row))));
  ASSERT_TRUE((*writer)->row(1, std::as_bytes(std::span(row))));
  ASSERT_TRUE((*writer)->finish());
  const std::string file = contents(folder.file("a.npy"));
  EXPECT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t header = 10 + static_cast<unsigned char>(file[8]) + 256u * static_cast<unsigned char>(file[9]);
  EXPECT_EQ(header % 64, 0u);
  EXPECT_EQ(file[header - 1], '\n');
  EXPECT_THAT(file, ::testing::HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 1, 4), }"));
  EXPECT_EQ(file.size(), header + 2 * row.size() * sizeof(float));
}

TEST(ExportWriter, RemovesWhatWasNotFinishedAndRefusesOtherEndings) {
  const TemporaryFolder folder;
  {
    const auto writer = ExportWriter::create(folder.file("a.npy"), row_shape(), {}, {});
    ASSERT_TRUE(writer);
  }
  EXPECT_FALSE(std::filesystem::exists(folder.file("a.npy")));
  EXPECT_FALSE(ExportWriter::create(folder.file("a.txt"), row_shape(), {}, {}));
  EXPECT_FALSE(ExportWriter::create(folder.file("none/a.npy"), row_shape(), {}, {}));
}

TEST(ExportWriter, QuotesModelTextInCsv) {
  const TemporaryFolder folder;
  ExportShape shape;
  shape.probe = find_probe("residual.norm");
  shape.step_end = 1;
  shape.layers = shape.visits = {3};
  std::vector<Token> tokens(1);
  tokens[0].bytes = "a\"b,\n\xFF";
  const auto writer = ExportWriter::create(folder.file("a.csv"), shape, {}, tokens);
  ASSERT_TRUE(writer);
  const float value = 0.1f;
  ASSERT_TRUE((*writer)->row(0, std::as_bytes(std::span(&value, 1))));
  ASSERT_TRUE((*writer)->finish());
  EXPECT_EQ(contents(folder.file("a.csv")),
            "\"t\",\"token\",\"layer\",\"residual.norm\"\r\n0,\"a\"\"b,\n\xEF\xBF\xBD\",3,0.100000001\r\n");
}

TEST(ExportWriter, WritesMissingValuesAsNullInJson) {
  const TemporaryFolder folder;
  const ExportShape shape = row_shape();
  const auto writer = ExportWriter::create(folder.file("a.json"), shape, {.recomputed = {{1, 2}}, .missing = {}}, {});
  ASSERT_TRUE(writer);
  const std::vector<float> row{1, NAN, 3, 4, 5, 6, 7, 8.5f};
  ASSERT_TRUE((*writer)->row(0, std::as_bytes(std::span(row))));
  ASSERT_TRUE((*writer)->row(1, std::as_bytes(std::span(row))));
  ASSERT_TRUE((*writer)->finish());
  const nlohmann::json json = nlohmann::json::parse(contents(folder.file("a.json")));
  EXPECT_EQ(json["shape"], nlohmann::json({2, 2, 1, 4}));
  EXPECT_TRUE(json["values"][0][0][0][1].is_null());
  EXPECT_EQ(json["values"][1][1][0][3], 8.5);
  EXPECT_EQ(json["recomputed"][0][0], 1);
  EXPECT_EQ(json["axes"][3], "key");
}

}  // namespace
}  // namespace orrery
