// Tokenizers of Hugging Face folders against what transformers makes of the same folders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "engine/tokenizer.h"
#include "engine/tokenizers/utf8.h"
#include "tests/engine/tokenizer_corpus.h"
#include "tests/support/npy.h"

namespace orrery {
namespace {

using testing::corpus_strings;
using testing::digest;

const std::filesystem::path kFolder = std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/goldens/hf_tokenizer";

uint32_t digest_of_text(const std::string& text) {
  std::vector<int32_t> bytes;
  for (const char c : text) bytes.push_back(static_cast<uint8_t>(c));
  return digest({bytes});
}

std::shared_ptr<const Tokenizer> open(const std::string& kind) {
  auto tokenizer = Tokenizer::from_folder(kFolder / kind);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? std::move(tokenizer).value() : nullptr;
}

class HfTokenizerGoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(HfTokenizerGoldenTest, IdsAndTextsAreThoseOfTransformers) {
  const auto tokenizer = open(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const auto golden = testing::read_npy<int32_t>(kFolder / GetParam() / "digests.npy");
  const std::vector<std::string>& strings = corpus_strings();
  ASSERT_EQ(golden.shape, (std::vector<size_t>{strings.size(), 4}));
  size_t n_checked = 0;
  for (size_t i = 0; i < strings.size(); ++i) {
    const auto expected = [&](size_t column) { return static_cast<uint32_t>(golden.values[4 * i + column]); };
    if (expected(0) == 0 && expected(1) == 0) continue;
    const auto ids = tokenizer->encode(strings[i]);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(digest({*ids}), expected(0)) << strings[i] << " " << ::testing::PrintToString(*ids);
    const auto plain = tokenizer->encode(strings[i], EncodeOptions::plain());
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(digest({*plain}), expected(1)) << strings[i] << " " << ::testing::PrintToString(*plain);
    EXPECT_EQ(digest_of_text(tokenizer->decode(*ids).value()), expected(2)) << strings[i];
    EXPECT_EQ(digest_of_text(tokenizer->decode(*ids, false).value()), expected(3)) << strings[i];
    ++n_checked;
  }
  EXPECT_GE(n_checked, 2000u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, HfTokenizerGoldenTest,
                         ::testing::Values("gpt2", "gpt2_prefix", "llama3", "llama2", "llama2_metaspace", "gemma",
                                           "qwen2", "tekken", "neox", "deepseek", "han_apart", "bert", "bert_cased",
                                           "t5", "albert", "word_level", "clip", "byte_characters"),
                         [](const auto& kind) { return std::string(kind.param); });

class HfTokenizerRoundTripTest : public ::testing::TestWithParam<const char*> {};

// What the kinds promise whose steps lose nothing; "▁" is how the SentencePiece ones spell a space.
TEST_P(HfTokenizerRoundTripTest, DecodingGivesTheTextBack) {
  const auto tokenizer = open(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  for (const std::string& text : corpus_strings()) {
    if (!is_valid_utf8(text) || text.find("▁") != std::string::npos) continue;
    const auto ids = tokenizer->encode(text, EncodeOptions::plain());
    ASSERT_TRUE(ids);
    EXPECT_EQ(tokenizer->decode(*ids).value(), text);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HfTokenizerRoundTripTest,
                         ::testing::Values("gpt2", "llama3", "gemma", "tekken", "deepseek", "han_apart"),
                         [](const auto& kind) { return std::string(kind.param); });

// Joined, the bytes of single tokens are the decoded text, but for what a kind does at a text's start.
TEST(HfTokenizerTokenBytesTest, TokensAloneHaveTheBytesThatTheyHaveInText) {
  for (const char* kind : {"gpt2", "llama3", "qwen2", "gemma", "llama2", "t5", "bert_cased"}) {
    const auto tokenizer = open(kind);
    ASSERT_NE(tokenizer, nullptr);
    for (const std::string text : {"The river remembers, and 12345 😀 é!", " two  spaces"}) {
      const auto ids = tokenizer->encode(text, EncodeOptions::plain());
      ASSERT_TRUE(ids);
      std::string bytes;
      for (const int32_t id : *ids) bytes += tokenizer->token_bytes(id);
      if (bytes.starts_with(' ') && !tokenizer->decode(*ids).value().starts_with(' ')) bytes.erase(0, 1);
      EXPECT_EQ(bytes.substr(bytes.find_first_not_of(' ')),
                tokenizer->decode(*ids).value().substr(tokenizer->decode(*ids).value().find_first_not_of(' ')))
          << kind;
    }
  }
}

}  // namespace
}  // namespace orrery
