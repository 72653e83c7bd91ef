// GGUF vocabularies as strangers may write them: each is refused with a sentence or used without harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "engine/formats/gguf.h"
#include "engine/tokenizer.h"
#include "engine/tokenizers/byte_tokens.h"
#include "engine/tokenizers/charsmap.h"
#include "tests/engine/formats/files.h"

namespace orrery {
namespace {

using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::TempFolder;

constexpr std::string_view kText = " a  ab\n\xe2\x96\x81 caf\xc3\xa9 \xff\xf4\x90\x80\x80 <s>x</s> 12345 \xe6\xb0\xb4";

void add_floats(GgufBuilder& builder, std::string_view key, const std::vector<float>& values) {
  testing::Bytes array;
  array.add<uint32_t>(testing::kIdF32).add<uint64_t>(values.size());
  for (const float value : values) array.add(value);
  builder.entry(key, testing::kIdArray, array);
}

// "<unk>", "<s>", "</s>", 256 byte tokens, then a few plain ones.
struct Parts {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  std::vector<float> scores = {0, 0, 0};

  Parts() {
    for (int byte = 0; byte < 256; ++byte) add(byte_token(static_cast<uint8_t>(byte)), 6, 0);
    for (const char* text : {"▁", "a", "b", "ab", "▁a", "x"}) {
      add(text, 1, -static_cast<float>(tokens.size()));
    }
  }
  void add(const std::string& text, int32_t type, float score) {
    tokens.push_back(text);
    types.push_back(type);
    scores.push_back(score);
  }
  GgufBuilder file(const std::string& model) const {
    GgufBuilder builder;
    builder.string("tokenizer.ggml.model", model).strings("tokenizer.ggml.tokens", tokens);
    builder.i32s("tokenizer.ggml.token_type", types);
    add_floats(builder, "tokenizer.ggml.scores", scores);
    builder.strings("tokenizer.ggml.merges", {"a b"});
    builder.u32("tokenizer.ggml.seperator_token_id", 2).u32("tokenizer.ggml.unknown_token_id", 0);
    builder.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
    return builder;
  }
};

const std::vector<std::string> kModels = {"gpt2", "gemma4", "llama", "t5", "rwkv", "plamo2", "bert"};

class HostileTokenizerTest : public ::testing::Test {
 protected:
  Result<std::shared_ptr<const Tokenizer>> load(const std::string& bytes) {
    auto file = GgufFile::open(folder_.write("v.gguf", bytes));
    if (!file) return file.error();
    return Tokenizer::from_gguf(std::move(file).value());
  }
  Result<std::shared_ptr<const Tokenizer>> load(const GgufBuilder& builder) { return load(builder.build()); }
  std::string refusal(const GgufBuilder& builder) {
    const auto result = load(builder);
    EXPECT_FALSE(result) << "a tokenizer that should be refused was made";
    return result ? "" : result.error().message;
  }

  static void expect_usable(const Tokenizer& tokenizer, std::string_view text = kText) {
    for (const bool special : {false, true}) {
      const auto ids = tokenizer.encode(text, {.add_special = special, .parse_special = special});
      ASSERT_TRUE(ids) << ids.error().message;
      for (const int32_t id : *ids) {
        ASSERT_GE(id, 0);
        ASSERT_LT(id, tokenizer.n_vocab());
      }
      EXPECT_TRUE(tokenizer.decode(*ids));
    }
    for (int32_t id = -1; id <= tokenizer.n_vocab(); ++id) (void)tokenizer.token_bytes(id);
  }

  TempFolder folder_;
  Parts parts_;
};

TEST_F(HostileTokenizerTest, EveryKindWorksOnTheWholeVocabulary) {
  for (const std::string& model : kModels) {
    SCOPED_TRACE(model);
    const auto tokenizer = load(parts_.file(model));
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    expect_usable(**tokenizer);
  }
}

TEST_F(HostileTokenizerTest, TypesAndScoresMustNotBeFewerThanTokens) {
  Parts few_types = parts_;
  few_types.types.pop_back();
  Parts few_scores = parts_;
  few_scores.scores.pop_back();
  for (const std::string& model : kModels) {
    SCOPED_TRACE(model);
    EXPECT_THAT(refusal(few_types.file(model)), HasSubstr("fewer types: 264"));
    if (model == "llama" || model == "t5" || model == "plamo2") {
      EXPECT_THAT(refusal(few_scores.file(model)), HasSubstr("fewer scores: 264"));
    }
  }
  Parts more = parts_;
  more.types.push_back(1);
  more.scores.push_back(1);
  const auto tokenizer = load(more.file("llama"));  // llama.cpp passes over them
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->n_vocab(), 265);
}

TEST_F(HostileTokenizerTest, ScoresMayBeAnyFloats) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::string model : {"llama", "t5", "plamo2"}) {
    for (const float score : {std::nanf(""), infinity, -infinity, std::numeric_limits<float>::max(), 1e-40f}) {
      SCOPED_TRACE(model + " " + std::to_string(score));
      Parts odd = parts_;
      for (size_t i = 259; i < odd.scores.size(); i += 2) odd.scores[i] = score;
      const auto tokenizer = load(odd.file(model));
      ASSERT_TRUE(tokenizer) << tokenizer.error().message;
      expect_usable(**tokenizer);
      std::fill(odd.scores.begin(), odd.scores.end(), score);
      const auto all = load(odd.file(model));
      ASSERT_TRUE(all) << all.error().message;
      expect_usable(**all);
    }
  }
}

TEST_F(HostileTokenizerTest, TypesOutOfRangeAreUndefined) {
  parts_.add("odd", -7, 0);
  parts_.add("odder", INT32_MAX, 0);
  for (const std::string& model : kModels) {
    SCOPED_TRACE(model);
    const auto tokenizer = load(parts_.file(model));
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    EXPECT_EQ((*tokenizer)->token_type(265), TokenType::kUndefined);
    EXPECT_EQ((*tokenizer)->token_type(266), TokenType::kUndefined);
    expect_usable(**tokenizer);
  }
}

TEST_F(HostileTokenizerTest, EmptyAndRepeatedTokensAreTokens) {
  for (const int32_t type : {1, 3, 4}) {
    Parts odd = parts_;
    odd.add("", type, 0);
    odd.add("", type, 0);
    odd.add("ab", type, 0);
    odd.add(std::string("ab\0cd", 5), type, 0);
    odd.add(std::string("\0", 1), type, 0);
    for (const std::string& model : kModels) {
      SCOPED_TRACE(model);
      const auto tokenizer = load(odd.file(model));
      ASSERT_TRUE(tokenizer) << tokenizer.error().message;
      EXPECT_EQ((*tokenizer)->token_text(265), "[EMPTY_265]");
      EXPECT_EQ((*tokenizer)->find("ab"), 262);  // the first
      expect_usable(**tokenizer);
      expect_usable(**tokenizer, "[EMPTY_265]abcd");
    }
  }
}

TEST_F(HostileTokenizerTest, LongTokensAndMergesCostTheirLengthOnly) {
  const std::string huge(1 << 18, 'a');
  Parts odd = parts_;
  for (const int32_t type : {1, 3, 4, 6}) odd.add(huge + std::to_string(type), type, -1);
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& model : kModels) {
    SCOPED_TRACE(model);
    GgufBuilder builder = odd.file(model);
    const auto tokenizer = load(builder);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    const auto ids = (*tokenizer)->encode(std::string(2'000, 'a'));
    ASSERT_TRUE(ids) << ids.error().message;
  }
  GgufBuilder merges;
  merges.string("tokenizer.ggml.model", "gpt2").strings("tokenizer.ggml.tokens", {"a", "b"});
  merges.strings("tokenizer.ggml.merges", {huge + " " + huge, "a " + huge, "a a"});
  const auto tokenizer = load(merges);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  expect_usable(**tokenizer, std::string(2'000, 'a'));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST_F(HostileTokenizerTest, MissingByteTokensAreSaidOrDropped) {
  Parts bare;
  bare.tokens.resize(3);
  bare.types.resize(3);
  bare.scores.resize(3);
  bare.add("a", 1, -1);
  EXPECT_THAT(refusal(bare.file("plamo2")), HasSubstr("<0x00>"));
  for (const std::string model : {"gpt2", "gemma4", "llama", "t5", "rwkv", "bert"}) {
    SCOPED_TRACE(model);
    const auto tokenizer = load(bare.file(model));
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    expect_usable(**tokenizer);
  }
}

TEST_F(HostileTokenizerTest, CharsmapsOfAnyBytesReadNothingOutside) {
  EXPECT_FALSE(Charsmap::make(""));
  EXPECT_FALSE(Charsmap::make("\x01\x00"));
  EXPECT_FALSE(Charsmap::make(std::string("\xff\xff\xff\xff zzzz")));
  EXPECT_FALSE(Charsmap::make(std::string("\x04\0\0\0abcd", 8)));  // no replacements
  uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(4 + 4 * 64, '\0');
    bytes[1] = 1;  // 256 bytes of entries
    for (size_t i = 4; i < bytes.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      bytes[i] = static_cast<char>(state >> (round % 2 == 0 ? 24 : 29));
    }
    bytes += round % 3 == 0 ? "never ended" : std::string("one\0two\0", 8);
    const auto map = Charsmap::make(bytes);
    ASSERT_TRUE(map) << map.error().message;
    for (size_t at = 0; at < kText.size(); ++at) (void)map->find(kText, at);
  }
}

TEST_F(HostileTokenizerTest, IdsOutsideTheVocabularyCountForNothing) {
  GgufBuilder builder;
  builder.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a"});
  builder.u32("tokenizer.ggml.bos_token_id", 99999);
  builder.entry("tokenizer.ggml.eos_token_id", testing::kIdI32, testing::Bytes().add<int32_t>(-1));
  builder.u32("tokenizer.ggml.eot_token_id", UINT32_MAX);
  const auto tokenizer = load(builder);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->bos(), 1);  // llama.cpp's defaults
  EXPECT_EQ((*tokenizer)->eos(), 2);
  EXPECT_EQ((*tokenizer)->encode("a").value().front(), 1);
}

TEST_F(HostileTokenizerTest, MutatedVocabulariesOfEveryKindNeverCrash) {
  int n_made = 0;
  for (const std::string& model : kModels) {
    testing::for_each_mutation(parts_.file(model).build(), 60, [&](const std::string& bytes) {
      const auto tokenizer = load(bytes);
      if (!tokenizer) return;
      ++n_made;
      expect_usable(**tokenizer);
    });
  }
  EXPECT_GT(n_made, 50);
}

TEST_F(HostileTokenizerTest, LongRunsTakeNearLinearTime) {
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& model : kModels) {
    const auto tokenizer = load(parts_.file(model));
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    for (const char c : {'a', ' ', '\n', '1', '\xff', '!'}) {
      ASSERT_TRUE((*tokenizer)->encode(std::string(30'000, c) + "x"));
    }
  }
  for (const char* pre :
       {"deepseek-llm", "jais-2", "afmoe", "superbpe", "tiny_aya", "exaone-moe", "gpt-4o", "kimi-k2"}) {
    const auto tokenizer = load(parts_.file("gpt2").string("tokenizer.ggml.pre", pre));
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    for (const char* text : {"a", " ", "\n", "1", "A", "!", "a b ", "\n ", "e\xcc\x81"}) {
      std::string run;
      while (run.size() < 30'000) run += text;
      ASSERT_TRUE((*tokenizer)->encode(run + "x"));
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(90));  // quadratic: hours
}

}  // namespace
}  // namespace orrery
