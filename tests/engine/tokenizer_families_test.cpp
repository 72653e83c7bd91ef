// Every kind of tokenizer and every pre-tokenizer that GGUF names against llama.cpp's ids of 2,499 texts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/formats/gguf.h"
#include "engine/tokenizer.h"
#include "engine/tokenizers/pre_tokenizer_families.h"
#include "engine/tokenizers/utf8.h"
#include "tests/engine/formats/files.h"
#include "tests/engine/tokenizer_corpus.h"
#include "tests/support/npy.h"

namespace orrery {
namespace {

using testing::corpus_strings;
using testing::kFamilyGoldens;
using testing::TempFolder;

const nlohmann::json& golden_index() {
  static const nlohmann::json index = nlohmann::json::parse(std::ifstream(kFamilyGoldens / "index.json"));
  return index;
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& [name, golden] : golden_index().items()) names.push_back(name);
  return names;
}

// The file's bytes with another string for tokenizer.ggml.pre, whose value is "default".
std::string with_pre(std::string bytes, const std::string& pre) {
  const std::string key = "tokenizer.ggml.pre";
  const size_t type = bytes.find(key) + key.size();
  const size_t old_size = 4 + 8 + std::string("default").size();
  testing::Bytes value;
  value.add<uint32_t>(testing::kIdString).string(pre);
  return bytes.replace(type, old_size, value.str());
}

std::shared_ptr<const Tokenizer> open(const std::filesystem::path& path) {
  auto file = GgufFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::from_gguf(std::move(file).value());
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(tokenizer).value();
}

std::shared_ptr<const Tokenizer> open_golden(const nlohmann::json& golden) {
  const std::filesystem::path path = kFamilyGoldens / golden["vocabulary"].get<std::string>();
  if (!golden.contains("pre")) return open(path);
  const TempFolder folder;
  return open(folder.write("v.gguf", with_pre(testing::file_bytes(path), golden["pre"])));
}

class TokenizerFamilyTest : public ::testing::TestWithParam<std::string> {};

TEST_P(TokenizerFamilyTest, IdsAreThoseOfLlamaCpp) {
  const nlohmann::json& golden = golden_index()[GetParam()];
  const auto tokenizer = open_golden(golden);
  const auto ends = tokenizer->end_of_generation_ids();
  EXPECT_EQ(std::vector(ends.begin(), ends.end()), golden["ends"].get<std::vector<int32_t>>());
  // Names that mean the same as one that is held to all texts are held to some.
  const std::string file = golden["ids"];
  testing::expect_digests(*tokenizer, file, file == GetParam() + ".npy" ? 1 : 25);
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerFamilyTest, ::testing::ValuesIn(golden_names()), [](const auto& name) {
  std::string text = name.param;
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return text;
});

TEST(TokenizerFamiliesTest, EveryPreTokenizerHasAGolden) {
  for (const PreTokenizerFamily& family : pre_tokenizer_families()) {
    for (const std::string_view name : family.names) {
      const std::string prefix = family.spells_bytes ? "bpe-" : "plain-";
      EXPECT_TRUE(name.empty() || golden_index().contains(prefix + std::string(name))) << name;
    }
  }
}

// Whether every character of every valid text comes back. Not promised: by a vocabulary that lacks bytes, by
// normalizers.
class TokenizerRoundTripTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerRoundTripTest, DecodingGivesTheTextBack) {
  const auto tokenizer = open_golden(golden_index()[GetParam()]);
  const EncodeOptions options = EncodeOptions::plain();
  size_t n_valid = 0;
  for (const std::string& text : corpus_strings()) {
    if (!is_valid_utf8(text)) continue;
    // These spell a space themselves; a byte order mark goes.
    if (text.find("\xe2\x96\x81") != std::string::npos || text.starts_with("\xef\xbb\xbf")) continue;
    const auto ids = tokenizer->encode(text, options);
    ASSERT_TRUE(ids) << ids.error().message;
    const bool has_special = std::any_of(
        ids->begin(), ids->end(), [&](int32_t id) { return tokenizer->token_type(id) == TokenType::kUserDefined; });
    if (has_special && GetParam() == std::string("spm")) continue;  // llama.cpp adds a space behind it, too
    EXPECT_EQ(tokenizer->decode(*ids).value(), text);
    ++n_valid;
  }
  EXPECT_GT(n_valid, 1500u);
}

INSTANTIATE_TEST_SUITE_P(Promised, TokenizerRoundTripTest,
                         ::testing::Values("spm", "spm-no-space", "gemma4", "rwkv", "plamo2"), [](const auto& name) {
                           std::string text = name.param;
                           std::replace(text.begin(), text.end(), '-', '_');
                           return text;
                         });

}  // namespace
}  // namespace orrery
