#include "engine/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/formats/gguf.h"
#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/pre_tokenizer.h"
#include "engine/tokenizers/special_tokens.h"
#include "engine/tokenizers/utf8.h"
#include "tests/engine/formats/files.h"
#include "tests/engine/tokenizer_corpus.h"

namespace orrery {
namespace {

using ::testing::ElementsAre;
using testing::from_hex;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::TempFolder;

const std::filesystem::path kGoldens = std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/goldens/tokenizer";

// All 256 bytes, then a few words, then special tokens: a vocabulary whose ids can be told by eye.
class SmallVocabulary {
 public:
  SmallVocabulary() {
    for (int byte = 0; byte < 256; ++byte) token(spell_bytes(std::string(1, static_cast<char>(byte))), 1);
    merge("a", "b");
    merge("ab", "c");
    merge("b", "c");
    merge("Ġ", "a");
    token("<|im_start|>", 3);
    token("<|im_end|>", 3);
    token("<tool>", 4);
    token("<tool>x", 4);
  }

  void token(const std::string& text, int32_t type) {
    tokens.push_back(text);
    types.push_back(type);
  }
  void merge(const std::string& left, const std::string& right) {
    merges.push_back(left + " " + right);
    token(left + right, 1);
  }
  int32_t id(const std::string& text) const {
    return static_cast<int32_t>(std::find(tokens.begin(), tokens.end(), text) - tokens.begin());
  }
  GgufBuilder file(const std::string& pre = "gpt-2") const {
    GgufBuilder builder;
    builder.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre);
    builder.strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", merges);
    builder.i32s("tokenizer.ggml.token_type", types);
    return builder;
  }

  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
};

class TokenizerTest : public ::testing::Test {
 protected:
  Result<std::shared_ptr<const Tokenizer>> load(const GgufBuilder& builder) {
    auto file = GgufFile::open(folder_.write("vocabulary.gguf", builder.build()));
    if (!file) return file.error();
    return Tokenizer::from_gguf(std::move(file).value());
  }
  std::shared_ptr<const Tokenizer> loaded(const GgufBuilder& builder) { return load(builder).value(); }
  Error refusal(const GgufBuilder& builder) {
    const auto result = load(builder);
    if (result) ADD_FAILURE() << "a tokenizer that should be refused was made";
    return result ? Error{} : result.error();
  }

  TempFolder folder_;
  SmallVocabulary vocabulary_;
};

// --- goldens

struct Golden {
  std::shared_ptr<const Tokenizer> tokenizer;
  nlohmann::json file;
};

void expect_golden(const Tokenizer& tokenizer, const nlohmann::json& golden) {
  int n_checked = 0;
  for (const nlohmann::json& test : golden["cases"]) {
    const std::string text = test.contains("text") ? test["text"].get<std::string>() : from_hex(test["bytes_hex"]);
    if (text.empty()) continue;  // no ids here, not even BOS: interface
    const EncodeOptions options = test["special"].get<bool>() ? EncodeOptions{} : EncodeOptions::plain();
    const auto ids = tokenizer.encode(text, options);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, test["ids"].get<std::vector<int32_t>>()) << test.dump();
    ++n_checked;
  }
  EXPECT_GT(n_checked, 200);
  for (const nlohmann::json& test : golden["decode"]) {
    const auto bytes = tokenizer.decode(test["ids"].get<std::vector<int32_t>>());
    ASSERT_TRUE(bytes) << bytes.error().message;
    EXPECT_EQ(*bytes, from_hex(test["bytes_hex"])) << test.dump();
  }
}

class TokenizerGoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerGoldenTest, IdsAndBytesAreThoseOfTheReferences) {
  const std::string name = GetParam();
  std::ifstream stream(kGoldens / (name + ".json"));
  ASSERT_TRUE(stream) << name;
  const auto file = GgufFile::open(kGoldens / (name + ".gguf"));
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->pre_tokenizer(), name);
  expect_golden(**tokenizer, nlohmann::json::parse(stream));
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerGoldenTest, ::testing::Values("smollm", "gpt-2", "llama-bpe", "qwen2"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(TokenizerModelTest, Smollm2IdsAreThoseOfLlamaCpp) {
  const char* models = std::getenv("ORRERY_MODELS_DIR");
  const std::filesystem::path path = std::filesystem::path(models ? models : "") / "SmolLM2-135M-Instruct.Q4_1.gguf";
  if (models == nullptr || !std::filesystem::exists(path))
    GTEST_SKIP() << "SmolLM2-135M-Instruct is not in ORRERY_MODELS_DIR";
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->n_vocab(), 49152);
  EXPECT_THAT(std::vector((*tokenizer)->end_of_generation_ids().begin(), (*tokenizer)->end_of_generation_ids().end()),
              ElementsAre(0, 2, 4));
  std::ifstream stream(kGoldens / "smollm2.json");
  ASSERT_TRUE(stream);
  expect_golden(**tokenizer, nlohmann::json::parse(stream));
  testing::expect_digests(**tokenizer, "smollm2.npy", 1);
}

TEST(TokenizerModelTest, Gemma3IdsAreThoseOfLlamaCpp) {
  const char* models = std::getenv("ORRERY_MODELS_DIR");
  const std::filesystem::path path = std::filesystem::path(models ? models : "") / "gemma-3-270m-q4_k_m.gguf";
  if (models == nullptr || !std::filesystem::exists(path)) GTEST_SKIP() << "gemma-3-270m is not in ORRERY_MODELS_DIR";
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->n_vocab(), 262144);
  testing::expect_digests(**tokenizer, "gemma3.npy", 1);
}

// --- encoding

TEST_F(TokenizerTest, LowestRankMergesFirst) {
  const auto tokenizer = loaded(vocabulary_.file());
  const auto encode = [&](std::string_view text) { return tokenizer->encode(text).value(); };
  EXPECT_THAT(encode("abc"), ElementsAre(vocabulary_.id("abc")));  // ab + c before a + bc
  EXPECT_THAT(encode("bc"), ElementsAre(vocabulary_.id("bc")));
  EXPECT_THAT(encode("aab"), ElementsAre(vocabulary_.id("a"), vocabulary_.id("ab")));
  EXPECT_THAT(encode(" abab"), ElementsAre(vocabulary_.id("Ġ"), vocabulary_.id("ab"), vocabulary_.id("ab")));
  EXPECT_THAT(encode(" a"), ElementsAre(vocabulary_.id("Ġa")));
}

TEST_F(TokenizerTest, EmptyTextHasNoIdsEvenWhereBosIsAdded) {
  const auto tokenizer =
      loaded(vocabulary_.file().u32("tokenizer.ggml.bos_token_id", 5).boolean("tokenizer.ggml.add_bos_token", true));
  EXPECT_TRUE(tokenizer->encode("").value().empty());
  EXPECT_EQ(tokenizer->encode("a").value().front(), 5);
}

TEST_F(TokenizerTest, BosAndEosAreAddedWhereTheFileSaysSo) {
  GgufBuilder builder = vocabulary_.file();
  builder.u32("tokenizer.ggml.bos_token_id", 5).u32("tokenizer.ggml.eos_token_id", 6);
  EXPECT_THAT(loaded(builder)->encode("a").value(), ElementsAre(97));
  builder.boolean("tokenizer.ggml.add_bos_token", true).boolean("tokenizer.ggml.add_eos_token", true);
  EXPECT_THAT(loaded(builder)->encode("a").value(), ElementsAre(5, 97, 6));
  EXPECT_THAT(loaded(builder)->encode("a", EncodeOptions::plain()).value(), ElementsAre(97));
}

TEST_F(TokenizerTest, Llama3AddsBosByDefault) {
  GgufBuilder builder = vocabulary_.file("llama-bpe");
  EXPECT_THAT(loaded(builder)->encode("a").value(), ElementsAre(11, 97));  // llama.cpp's BOS where a file names none
  builder.u32("tokenizer.ggml.bos_token_id", 5);
  EXPECT_THAT(loaded(builder)->encode("a").value(), ElementsAre(5, 97));
  builder.boolean("tokenizer.ggml.add_bos_token", false);
  EXPECT_THAT(loaded(builder)->encode("a").value(), ElementsAre(97));
}

TEST_F(TokenizerTest, ControlTokensAreParsedOnRequestAndUserDefinedAlways) {
  const auto tokenizer = loaded(vocabulary_.file());
  const std::string text = "a<|im_end|><tool>xb";
  EXPECT_THAT(tokenizer->encode(text).value(),
              ElementsAre(97, vocabulary_.id("<|im_end|>"), vocabulary_.id("<tool>x"), 98));  // the longest spelling
  const auto plain = tokenizer->encode(text, EncodeOptions::plain()).value();
  EXPECT_THAT(plain, ::testing::Not(::testing::Contains(vocabulary_.id("<|im_end|>"))));
  EXPECT_THAT(plain, ::testing::Contains(vocabulary_.id("<tool>x")));
  EXPECT_EQ(tokenizer->decode(plain).value(), text);
}

TEST_F(TokenizerTest, EveryBytePassesThroughValidTextUnchanged) {
  const auto tokenizer = loaded(vocabulary_.file());
  std::string text;
  for (int c = 0; c < 128; ++c) text += static_cast<char>(c);
  text += "é漢😀\r\n\t\u00a0\u3000 x ";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).value()).value(), text);
}

TEST_F(TokenizerTest, BytesOfNoCharacterBecomeReplacementCharacters) {
  const auto tokenizer = loaded(vocabulary_.file());
  const auto round_trip = [&](std::string_view text) {
    return tokenizer->decode(tokenizer->encode(text).value()).value();
  };
  EXPECT_EQ(round_trip("a\xff\xe2\x82z\xf8\x80"), "a\ufffd\ufffd\ufffdz\ufffd\ufffd");
  EXPECT_EQ(round_trip("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");  // beyond U+10FFFF
  EXPECT_EQ(round_trip("\xc0\xaf\xed\xa0\x80"), "/\xed\xa0\x80");         // an overlong form, a surrogate: as they say
}

TEST_F(TokenizerTest, LongWordsTakeNearLinearTime) {
  const auto tokenizer = loaded(vocabulary_.file());
  const auto seconds = [&](const std::string& text) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(tokenizer->encode(text));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::string word;  // one word whose every pair merges
  for (int i = 0; i < 200'000; ++i) word += "abc";
  EXPECT_LT(seconds(word), 20);  // a quadratic algorithm takes hours; sanitizers take a second or two
  EXPECT_LT(seconds(std::string(600'000, ' ')), 20);
  EXPECT_LT(seconds(std::string(600'000, '\n') + "x"), 20);
  EXPECT_LT(seconds(std::string(600'000, '\xff')), 20);
}

TEST(PreTokenizerTest, FamiliesCutDigitsAndContractionsDifferently) {
  const auto cut = [](std::string_view pre, std::string_view text) {
    std::vector<std::string> words;
    const auto pre_tokenizer = PreTokenizer::make(pre);
    EXPECT_TRUE(pre_tokenizer) << pre;
    EXPECT_TRUE((*pre_tokenizer)->split(text, [&](std::string_view word) { words.emplace_back(word); }));
    return words;
  };
  EXPECT_THAT(cut("gpt-2", "I'LL it's 2024 x"), ElementsAre("I", "'", "LL", " it", "'s", " 2024", " x"));
  EXPECT_THAT(cut("smollm", "at 2024 x"), ElementsAre("at", " ", "2", "0", "2", "4", " x"));
  EXPECT_THAT(cut("llama-bpe", "I'LL 12345 x"), ElementsAre("I", "'LL", " ", "123", "45", " x"));
  EXPECT_THAT(cut("qwen2", "I'LL 123 x"), ElementsAre("I", "'LL", " ", "1", "2", "3", " x"));
  EXPECT_THAT(cut("qwen2", "Ali'sx"), ElementsAre("Ali", "'s", "x"));
  EXPECT_THAT(cut("ufakzeka", "Ali'sx"), ElementsAre("Ali", "'sx"));  // Turkish suffixes stay whole
  EXPECT_THAT(cut("gpt-2", "a   b\n\n c"), ElementsAre("a", "  ", " b", "\n\n", " c"));
  EXPECT_THAT(cut("qwen2", "a!\n\n  b\r\n"), ElementsAre("a", "!\n\n", " ", " b", "\r\n"));
  EXPECT_THAT(cut("gpt-2", "a\u00a0\u3000b"), ElementsAre("a", "\u00a0", "\u3000", "b"));
}

// --- loading

TEST_F(TokenizerTest, UnknownKindsAreRefusedByName) {
  EXPECT_EQ(refusal(GgufBuilder()).code, ErrorCode::kNotFound);
  EXPECT_THAT(refusal(GgufBuilder()).message, HasSubstr("--tokens"));
  const Error model = refusal(GgufBuilder().string("tokenizer.ggml.model", "unheard-of"));
  EXPECT_EQ(model.code, ErrorCode::kUnsupported);
  EXPECT_THAT(model.message, HasSubstr("\"unheard-of\""));
  const Error pre = refusal(vocabulary_.file("unheard-of"));
  EXPECT_EQ(pre.code, ErrorCode::kUnsupported);
  EXPECT_THAT(pre.message, HasSubstr("\"unheard-of\""));
  EXPECT_THAT(pre.message, HasSubstr("vocabulary.gguf"));
}

TEST_F(TokenizerTest, DamagedVocabulariesAreRefused) {
  const auto message = [&](const GgufBuilder& builder) {
    const Error error = refusal(builder);
    EXPECT_THAT(error.message, HasSubstr("vocabulary.gguf"));
    return error.message;
  };
  const auto base = [] {
    GgufBuilder builder;
    builder.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "gpt-2");
    return builder;
  };
  EXPECT_THAT(message(base()), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(message(base().i32s("tokenizer.ggml.tokens", {1})), HasSubstr("array of strings"));
  EXPECT_THAT(message(base().strings("tokenizer.ggml.tokens", {}).strings("tokenizer.ggml.merges", {})),
              HasSubstr("empty"));
  EXPECT_THAT(message(base().strings("tokenizer.ggml.tokens", {"a"})), HasSubstr("tokenizer.ggml.merges"));
  for (const std::string merge : {"", "ab", " ", "a "}) {
    EXPECT_THAT(message(base().strings("tokenizer.ggml.tokens", {"a"}).strings("tokenizer.ggml.merges", {merge})),
                HasSubstr("merge 0"));
  }
  SmallVocabulary few_types = vocabulary_;
  few_types.types.pop_back();
  EXPECT_THAT(message(few_types.file()), HasSubstr("types"));
  EXPECT_THAT(message(vocabulary_.file("glm4").boolean("tokenizer.ggml.add_bos_token", true)),
              HasSubstr("bos_token_id"));
  EXPECT_THAT(message(vocabulary_.file("roberta-bpe")), HasSubstr("seperator_token_id"));
}

TEST_F(TokenizerTest, MergesOfSpellingsThatAreNoTokensFallApartIntoBytes) {
  SmallVocabulary odd;
  odd.merges.insert(odd.merges.begin(), "x y");  // "xy" is no token
  const auto tokenizer = loaded(odd.file());
  EXPECT_THAT(tokenizer->encode("xy").value(), ElementsAre('x', 'y'));
}

TEST_F(TokenizerTest, EndOfGenerationComesFromIdsAndNames) {
  vocabulary_.token("<|eot_id|>", 1);  // some files call it normal
  const auto tokenizer =
      loaded(vocabulary_.file().u32("tokenizer.ggml.eos_token_id", 7).u32("tokenizer.ggml.eom_token_id", 9));
  EXPECT_TRUE(tokenizer->is_end_of_generation(7));
  EXPECT_TRUE(tokenizer->is_end_of_generation(9));
  EXPECT_TRUE(tokenizer->is_end_of_generation(vocabulary_.id("<|im_end|>")));
  EXPECT_TRUE(tokenizer->is_end_of_generation(vocabulary_.id("<|eot_id|>")));
  EXPECT_TRUE(tokenizer->is_control(vocabulary_.id("<|eot_id|>")));
  EXPECT_FALSE(tokenizer->is_end_of_generation(vocabulary_.id("<|im_start|>")));
  EXPECT_FALSE(tokenizer->is_end_of_generation(-1));
}

TEST_F(TokenizerTest, MutatedVocabulariesNeverCrash) {
  const std::string whole = vocabulary_.file("smollm").u32("tokenizer.ggml.bos_token_id", 5).build();
  int n_made = 0;
  testing::for_each_mutation(whole, 800, [&](const std::string& bytes) {
    auto file = GgufFile::open(folder_.write("m.gguf", bytes));
    if (!file) return;
    const auto tokenizer = Tokenizer::from_gguf(std::move(file).value());
    if (!tokenizer) return;
    ++n_made;
    const auto ids = (*tokenizer)->encode("abc <tool>x abcab 12\xff <|im_end|>");
    ASSERT_TRUE(ids);
    EXPECT_TRUE((*tokenizer)->decode(*ids));
  });
  EXPECT_GT(n_made, 100);
}

// --- decoding

TEST_F(TokenizerTest, DecodingIdsOutsideTheVocabularyIsAnError) {
  const auto tokenizer = loaded(vocabulary_.file());
  for (const int32_t id : {-1, tokenizer->n_vocab(), INT32_MAX}) {
    const std::vector<int32_t> ids = {97, id};
    const auto result = tokenizer->decode(ids);
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr(std::to_string(id)));
    EXPECT_EQ(tokenizer->token_bytes(id), "");
    EXPECT_EQ(tokenizer->token_text(id), "");
    EXPECT_FALSE(tokenizer->is_control(id));
  }
}

TEST_F(TokenizerTest, TokensHaveSpellingsAndBytes) {
  vocabulary_.token("<0x0A>", 6);
  vocabulary_.token("<0xZZ>", 6);
  vocabulary_.token("漢", 1);  // from outside the byte alphabet
  const auto tokenizer = loaded(vocabulary_.file());
  EXPECT_EQ(tokenizer->token_bytes(vocabulary_.id("Ġa")), " a");
  EXPECT_EQ(tokenizer->token_text(vocabulary_.id("Ġa")), "Ġa");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary_.id("<0x0A>")), "\n");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary_.id("<0xZZ>")), "<0xZZ>");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary_.id("漢")), "漢");
  EXPECT_EQ(tokenizer->find("Ġa"), vocabulary_.id("Ġa"));
  EXPECT_EQ(tokenizer->find("nothing"), std::nullopt);
  const std::vector<int32_t> ids = {vocabulary_.id("<|im_end|>"), 97};
  EXPECT_EQ(tokenizer->decode(ids).value(), "<|im_end|>a");
  EXPECT_EQ(tokenizer->decode(ids, false).value(), "a");
}

TEST_F(TokenizerTest, StreamNeverSplitsACharacter) {
  const auto tokenizer = loaded(vocabulary_.file());
  const std::string text = "aé漢😀z";
  StreamDecoder stream(*tokenizer);
  std::string all;
  for (const char byte : text) {  // ids of bytes are the bytes
    const std::string part = stream.push(static_cast<uint8_t>(byte));
    EXPECT_TRUE(is_valid_utf8(part));
    all += part;
    EXPECT_EQ(all, text.substr(0, all.size()));
  }
  EXPECT_EQ(all, text);
  EXPECT_EQ(stream.finish(), "");
}

TEST_F(TokenizerTest, StreamReplacesWhatCanNeverBeACharacter) {
  const auto tokenizer = loaded(vocabulary_.file());
  const auto decode = [&](const std::string& bytes) {
    StreamDecoder stream(*tokenizer);
    std::string all;
    for (const char byte : bytes) all += stream.push_bytes(std::string(1, byte));
    StreamDecoder at_once(*tokenizer);
    EXPECT_EQ(all + stream.finish(), at_once.push_bytes(bytes) + at_once.finish());
    return all + stream.finish();
  };
  EXPECT_EQ(decode("\xff"), "\ufffd");
  EXPECT_EQ(decode("\x80z"), "\ufffdz");
  EXPECT_EQ(decode("\xe6\xbczz"), "\ufffdzz");              // a character broken off by text
  EXPECT_EQ(decode("\xe0\x80\x80"), "\ufffd\ufffd\ufffd");  // overlong
  EXPECT_EQ(decode("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");  // surrogate
  EXPECT_EQ(decode("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");
  StreamDecoder stream(*tokenizer);
  EXPECT_EQ(stream.push_bytes("\xf0\x9f\x98"), "");
  EXPECT_EQ(stream.finish(), "\ufffd");
  EXPECT_EQ(stream.finish(), "");
}

TEST_F(TokenizerTest, StreamLeavesControlTokensOutUnlessWanted) {
  const auto tokenizer = loaded(vocabulary_.file());
  const int32_t end = vocabulary_.id("<|im_end|>");
  EXPECT_EQ(StreamDecoder(*tokenizer).push(end), "");
  EXPECT_EQ(StreamDecoder(*tokenizer, true).push(end), "<|im_end|>");
  EXPECT_EQ(StreamDecoder(*tokenizer).push(tokenizer->n_vocab() + 3), "");
}

// --- parts

TEST(Utf8Test, PrefixesAreStartsThatMoreBytesCouldComplete) {
  for (const std::string_view start :
       {"\xc3", "\xe6", "\xe6\xbc", "\xe0", "\xe0\xa0", "\xed", "\xf0", "\xf0\x9f", "\xf0\x9f\x98", "\xf4\x8f"}) {
    EXPECT_TRUE(is_utf8_prefix(start));
  }
  for (const std::string_view other : {"", "a", "\x80", "\xc0", "\xc1", "\xf5", "\xff", "\xe0\x80", "\xed\xa0",
                                       "\xf0\x80", "\xf4\x90", "\xc3\xa9", "\xe6z"}) {
    EXPECT_FALSE(is_utf8_prefix(other));
  }
}

TEST(ByteAlphabetTest, EveryByteHasASpellingOfItsOwn) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    EXPECT_EQ(bytes_of_spelling(spell_bytes(text)), text);
  }
  EXPECT_EQ(spell_bytes(" a\n"), "ĠaĊ");
  EXPECT_EQ(bytes_of_spelling("漢"), "漢");
  EXPECT_EQ(bytes_of_spelling("a b"), "a b");  // a bare space is not of the alphabet
  EXPECT_EQ(bytes_of_spelling("\xc4"), "\xc4");
}

TEST(SpecialTokensTest, FindsTheLeftmostThenTheLongest) {
  SpecialTokens special;
  special.add("ab", 1);
  special.add("abcd", 2);
  special.add("bc", 3);
  special.add("", 4);
  special.add(std::string(600, 'z'), 5);
  const auto find = [&](std::string_view text) {
    const auto match = special.find_next(text, 0);
    return match ? match->id : -1;
  };
  EXPECT_EQ(find("xxabcx"), 1);
  EXPECT_EQ(find("xxabcdx"), 2);
  EXPECT_EQ(find("abc"), 1);
  EXPECT_EQ(find("xbc"), 3);
  EXPECT_EQ(find("b"), -1);
  EXPECT_EQ(find(""), -1);
  EXPECT_EQ(find(std::string(700, 'z')), -1);
  EXPECT_EQ(special.find_next("abab", 1)->begin, 2u);
}

}  // namespace
}  // namespace orrery
