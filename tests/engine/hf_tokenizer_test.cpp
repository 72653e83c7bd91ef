// Tokenizers of Hugging Face folders: the files beside tokenizer.json, steps by value, damaged and hostile files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tokenizer.h"
#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/hf_charsmap.h"
#include "engine/tokenizers/hf_regex.h"
#include "engine/tokenizers/hf_trie.h"
#include "engine/tokenizers/hf_unicode.h"
#include "tests/engine/formats/files.h"

namespace orrery {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempFolder;

const std::filesystem::path kGoldens = std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/goldens/hf_tokenizer";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Words as tokens: "a" is 0, "b" is 1, "ab" 2, "<unk>" 3; spaces cut.
json small_file() {
  return json::parse(R"({
    "version": "1.0",
    "added_tokens": [{"id": 4, "content": "<s>", "special": true}, {"id": 5, "content": "<t>", "special": false}],
    "normalizer": null,
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": null,
    "decoder": null,
    "model": {"type": "BPE", "unk_token": "<unk>", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3}, "merges": [["a", "b"]]}
  })");
}

class HfTokenizerTest : public ::testing::Test {
 protected:
  Result<std::shared_ptr<const Tokenizer>> load(const json& file) {
    folder_.write("tokenizer.json", file.dump());
    return Tokenizer::from_folder(folder_.path());
  }
  std::shared_ptr<const Tokenizer> loaded(const json& file) { return load(file).value(); }
  std::vector<int32_t> ids(const json& file, const std::string& text) { return loaded(file)->encode(text).value(); }
  Error refusal(const json& file) {
    const auto result = load(file);
    if (result) ADD_FAILURE() << "a tokenizer that should be refused was made";
    return result ? Error{} : result.error();
  }
  // small_file() with one part replaced.
  static json with(const std::string& part, const std::string& text) {
    json file = small_file();
    file[json::json_pointer(part)] = json::parse(text);
    return file;
  }

  // A golden's file with few tokens, so that mutations meet the rest.
  static json small_copy(const std::string& kind) {
    json file = json::parse(read_file(kGoldens / kind / "tokenizer.json"));
    json& model = file["model"];
    if (model.contains("merges")) model["merges"].erase(model["merges"].begin() + 3, model["merges"].end());
    if (!model["vocab"].is_array()) return file;
    model["vocab"].erase(model["vocab"].begin() + 40, model["vocab"].end());
    file["post_processor"] = nullptr;  // its ids are among those that went
    return file;
  }

  TempFolder folder_;
};

// --- the files beside

TEST_F(HfTokenizerTest, FoldersSayWhatTheyLack) {
  EXPECT_THAT(Tokenizer::from_folder(folder_.path() / "none").error().message, HasSubstr("no such folder"));
  const Error none = Tokenizer::from_folder(folder_.path()).error();
  EXPECT_EQ(none.code, ErrorCode::kNotFound);
  EXPECT_THAT(none.message, HasSubstr("tokenizer.json"));
  folder_.write("tokenizer.model", "x");
  const Error other = Tokenizer::from_folder(folder_.path()).error();
  EXPECT_EQ(other.code, ErrorCode::kUnsupported);
  EXPECT_THAT(other.message, HasSubstr("\"tokenizer.model\""));
}

TEST_F(HfTokenizerTest, SpecialTokensAreNamedByTokenizerConfig) {
  folder_.write("tokenizer_config.json",
                R"({"bos_token": {"__type": "AddedToken", "content": "<s>"}, "eos_token": "b", "pad_token": "<pad>"})");
  const auto tokenizer = loaded(small_file());
  EXPECT_EQ(tokenizer->bos(), 4);
  EXPECT_EQ(tokenizer->eos(), 1);
  EXPECT_TRUE(tokenizer->is_control(1));  // a token of the model that has become special
  EXPECT_EQ(tokenizer->find("<pad>"), 6);
  EXPECT_THAT(tokenizer->end_of_generation_ids(), ElementsAre(1));
  EXPECT_EQ(tokenizer->n_vocab(), 7);
  EXPECT_FALSE(tokenizer->adds_bos());
}

TEST_F(HfTokenizerTest, SpecialTokensMapCountsWhereTheConfigListsNoAddedTokens) {
  folder_.write("tokenizer_config.json", R"({"eos_token": "a"})");
  folder_.write("special_tokens_map.json", R"({"eos_token": {"content": "b"}})");
  EXPECT_EQ(loaded(small_file())->eos(), 1);
  folder_.write("tokenizer_config.json", R"({"eos_token": "a", "added_tokens_decoder": {}})");
  EXPECT_EQ(loaded(small_file())->eos(), 0);
}

TEST_F(HfTokenizerTest, EndsOfGenerationComeFromTheGenerationConfigFirst) {
  folder_.write("config.json", R"({"eos_token_id": 0, "bos_token_id": 4})");
  auto tokenizer = loaded(small_file());
  EXPECT_THAT(tokenizer->end_of_generation_ids(), ElementsAre(0));
  EXPECT_EQ(tokenizer->eos(), 0);
  EXPECT_EQ(tokenizer->bos(), 4);
  folder_.write("generation_config.json", R"({"eos_token_id": [2, 1, 99999]})");
  folder_.write("tokenizer_config.json", R"({"eos_token": "<s>"})");
  tokenizer = loaded(small_file());
  EXPECT_THAT(tokenizer->end_of_generation_ids(), ElementsAre(1, 2, 4));
  folder_.write("generation_config.json", R"({"eos_token_id": "x"})");
  EXPECT_THAT(refusal(small_file()).message, HasSubstr("eos_token_id"));
}

TEST_F(HfTokenizerTest, ChatTemplatesAreTextsListsOrAFileOfTheirOwn) {
  folder_.write("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(loaded(small_file())->chat_template(), "one");
  folder_.write("tokenizer_config.json",
                R"({"chat_template": [{"name": "rag", "template": "no"}, {"name": "default", "template": "two"}]})");
  EXPECT_EQ(loaded(small_file())->chat_template(), "two");
  folder_.write("chat_template.jinja", "three");
  EXPECT_EQ(loaded(small_file())->chat_template(), "three");
  folder_.write("chat_template.jinja", "\xff");
  EXPECT_THAT(refusal(small_file()).message, HasSubstr("UTF-8"));
}

TEST_F(HfTokenizerTest, LinksThatLeaveTheFolderAreNotFollowed) {
  const TempFolder elsewhere;
  std::filesystem::create_symlink(elsewhere.write("t.json", small_file().dump()), folder_.path() / "tokenizer.json");
  EXPECT_THAT(Tokenizer::from_folder(folder_.path()).error().message, HasSubstr("leaves the folder"));
}

TEST_F(HfTokenizerTest, VocabularyAndMergesOfGpt2GiveWhatTheirTokenizerJsonGives) {
  const json whole = json::parse(read_file(kGoldens / "gpt2" / "tokenizer.json"));
  folder_.write("vocab.json", whole["model"]["vocab"].dump());
  std::string merges = "#version: 0.2\n";
  for (const json& merge : whole["model"]["merges"]) {
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  }
  folder_.write("merges.txt", merges);
  folder_.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>", "add_eos_token": true})");
  const auto tokenizer = Tokenizer::from_folder(folder_.path());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto reference = Tokenizer::from_folder(kGoldens / "gpt2").value();
  const std::string text = "The river remembers, don't you think? 12345 été 漢字\n\n  x";
  std::vector<int32_t> expected = reference->encode(text).value();
  expected.push_back(reference->find("<|endoftext|>").value());
  EXPECT_EQ((*tokenizer)->encode(text).value(), expected);
}

// --- encoding

TEST_F(HfTokenizerTest, EmptyTextGivesNoIds) {
  folder_.write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  EXPECT_THAT(ids(small_file(), ""), IsEmpty());
  EXPECT_THAT(ids(small_file(), " "), IsEmpty());
}

TEST_F(HfTokenizerTest, InvalidBytesAreUnknownCharacters) {
  EXPECT_THAT(ids(small_file(), "ab\xff\x80 a"), ElementsAre(2, 3, 3, 0));
}

TEST_F(HfTokenizerTest, ControlTokensAreParsedOnRequestOthersAlways) {
  const auto tokenizer = loaded(small_file());
  EXPECT_THAT(tokenizer->encode("a<s>b<t>a").value(), ElementsAre(0, 4, 1, 5, 0));
  EXPECT_THAT(tokenizer->encode("<t>a<s>", EncodeOptions::plain()).value(), ElementsAre(5, 0, 3, 3, 3));
  EXPECT_TRUE(tokenizer->is_control(4));
  EXPECT_FALSE(tokenizer->is_control(5));
  const std::vector<int32_t> some = {4, 0, 5};
  EXPECT_EQ(tokenizer->decode(some).value(), "<s> a <t>");
  EXPECT_EQ(tokenizer->decode(some, false).value(), "a <t>");
}

TEST_F(HfTokenizerTest, AddedTokensTakeBlanksAndKeepOutOfWordsAsTheySay) {
  const auto added = [](const std::string& settings) {
    return with("/added_tokens", R"([{"id": 4, "content": "<s>", "special": true, )" + settings + "}]");
  };
  json file = added(R"("lstrip": true, "rstrip": true)");
  file["pre_tokenizer"] = nullptr;
  EXPECT_THAT(ids(file, "a  <s> \n b"), ElementsAre(0, 4, 1));
  file = added(R"("single_word": true)");
  file["pre_tokenizer"] = nullptr;
  EXPECT_THAT(ids(file, "<s>a<s> <s>"), ElementsAre(3, 3, 3, 0, 3, 3, 3, 3, 4));
}

TEST_F(HfTokenizerTest, UnknownCharactersFuseOrNotAsTheModelSays) {
  EXPECT_THAT(ids(small_file(), "axxb"), ElementsAre(0, 3, 3, 1));
  EXPECT_THAT(ids(with("/model/fuse_unk", "true"), "axxb"), ElementsAre(0, 3, 1));
  EXPECT_THAT(ids(with("/model/unk_token", "null"), "axxb"), ElementsAre(2));  // left out
}

TEST_F(HfTokenizerTest, HolesAmongTheIdsAreNoTokens) {
  const auto tokenizer = loaded(with("/model/vocab", R"({"a": 0, "b": 1, "ab": 9, "<unk>": 3})"));
  EXPECT_EQ(tokenizer->n_vocab(), 10);
  EXPECT_EQ(tokenizer->token_type(7), TokenType::kUnused);
  EXPECT_EQ(tokenizer->find(""), std::nullopt);
  const std::vector<int32_t> some = {0, 7, 9};
  EXPECT_EQ(tokenizer->decode(some).value(), "a ab");
}

TEST_F(HfTokenizerTest, TemplatesPutIdsAroundTexts) {
  const auto frame = [](const std::string& single) {
    return with("/post_processor", R"({"type": "TemplateProcessing", "single": )" + single + R"(, "pair": [],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [4, 5], "tokens": ["<s>", "<t>"]}}})");
  };
  const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
  const std::string token = R"({"SpecialToken": {"id": "<s>", "type_id": 0}})";
  EXPECT_THAT(ids(frame("[" + token + "," + text + "," + token + "]"), "ab"), ElementsAre(4, 5, 2, 4, 5));
  EXPECT_THAT(loaded(frame("[" + token + "," + text + "]"))->prefix_ids(), ElementsAre(4, 5));
  EXPECT_THAT(refusal(frame("[" + token + "]")).message, HasSubstr("exactly once"));
  EXPECT_THAT(refusal(frame("[" + text + "," + text + "]")).message, HasSubstr("exactly once"));
  json unknown = frame("[" + token + "," + text + "]");
  unknown["post_processor"]["special_tokens"]["<s>"]["ids"] = {77};
  EXPECT_THAT(refusal(unknown).message, HasSubstr("77"));
}

TEST_F(HfTokenizerTest, TransformersPassesOverAddBosWhereThereIsATokenizerJson) {
  folder_.write("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true})");
  EXPECT_THAT(ids(small_file(), "ab"), ElementsAre(2));
}

// --- time

TEST_F(HfTokenizerTest, TimeIsNearLinearInTheText) {
  for (const char* kind : {"llama2", "llama3", "t5", "bert"}) {
    const auto tokenizer = Tokenizer::from_folder(kGoldens / kind).value();
    for (const std::string unit : {"a", " ", "\n", "the river ", "漢", "\u0301"}) {
      std::string text;
      while (text.size() < 400'000) text += unit;
      const auto begin = std::chrono::steady_clock::now();
      ASSERT_TRUE(tokenizer->encode(text)) << kind << unit;
      EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << kind << unit;
    }
  }
}

TEST_F(HfTokenizerTest, PatternsThatBacktrackForeverEndInASentence) {
  const auto split = [](const std::string& pattern) {
    json file = small_file();
    file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
    return file;
  };
  const std::string text(3000, 'a');
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string pattern : {"(a+)+$x", "(a|a)*b", "(?:a*)*c", "((a{1,9}){1,9}){1,9}z"}) {
    const auto encoded = loaded(split(pattern))->encode(text + " " + text);
    if (!encoded) {
      EXPECT_THAT(encoded.error().message, HasSubstr("regular expression"));
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  EXPECT_THAT(refusal(split("(a")).message, HasSubstr("Oniguruma"));
  EXPECT_THAT(refusal(split(std::string(100'000, 'a'))).message, HasSubstr("too long"));
  EXPECT_THAT(refusal(split(std::string(5'000, '(') + std::string(5'000, ')'))).message, HasSubstr("Oniguruma"));
}

TEST_F(HfTokenizerTest, NormalizersThatBlowTextUpEndInASentence) {
  json file = small_file();
  json steps = json::array();
  for (int i = 0; i < 9; ++i) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(100, 'a')}});
  }
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  file["added_tokens"] = json::array();
  const auto encoded = loaded(file)->encode("a");
  ASSERT_FALSE(encoded);
  EXPECT_THAT(encoded.error().message, HasSubstr("too long"));
}

// --- damaged and hostile files

TEST_F(HfTokenizerTest, StepsThatAreNotThereAreRefusedByName) {
  for (const std::string part : {"/normalizer", "/pre_tokenizer", "/post_processor", "/decoder", "/model"}) {
    const Error error = refusal(with(part, R"({"type": "Unheard"})"));
    EXPECT_EQ(error.code, ErrorCode::kUnsupported) << error.message;
    EXPECT_THAT(error.message, HasSubstr("\"Unheard\""));
    EXPECT_THAT(error.message, HasSubstr(part.substr(1)));
    EXPECT_THAT(refusal(with(part, "[]")).message, HasSubstr("not an object"));
    EXPECT_THAT(refusal(with(part, "{}")).message, HasSubstr("type"));
  }
  EXPECT_THAT(refusal(with("/decoder", R"({"type": "CTC"})")).message, HasSubstr("\"CTC\""));
}

TEST_F(HfTokenizerTest, DamagedVocabulariesAreRefused) {
  const auto message = [&](const std::string& part, const std::string& text) {
    const Error error = refusal(with(part, text));
    EXPECT_EQ(error.code, ErrorCode::kInvalidFile) << error.message;
    EXPECT_THAT(error.message, HasSubstr(folder_.path().string()));
    return error.message;
  };
  EXPECT_THAT(message("/model/vocab", "[]"), HasSubstr("vocab"));
  EXPECT_THAT(message("/model/vocab", R"({"a": -1})"), HasSubstr("-1"));
  EXPECT_THAT(message("/model/vocab", R"({"a": 1.5})"), HasSubstr("1.5"));
  EXPECT_THAT(message("/model/vocab", R"({"a": 18446744073709551615})"), HasSubstr("18446744073709551615"));
  EXPECT_THAT(message("/model/vocab", R"({"a": "0"})"), HasSubstr("\"0\""));
  EXPECT_THAT(message("/model/vocab", R"({"a": 1, "b": 1})"), HasSubstr("same id"));
  EXPECT_THAT(message("/model/vocab", R"({"a": 0, "b": 1, "ab": 16000000})"), HasSubstr("16000000"));
  EXPECT_THAT(message("/model/merges", "3"), HasSubstr("merges"));
  EXPECT_THAT(message("/model/merges", R"(["a"])"), HasSubstr("\"a\""));
  EXPECT_THAT(message("/model/merges", R"([["a", 3]])"), HasSubstr("number 0"));
  EXPECT_THAT(message("/model/merges", R"([["a", "x"]])"), HasSubstr("\"x\""));
  EXPECT_THAT(message("/model/merges", R"([["b", "a"]])"), HasSubstr("\"ba\""));
  EXPECT_THAT(message("/added_tokens", "{}"), HasSubstr("added_tokens"));
  EXPECT_THAT(message("/added_tokens", "[{}]"), HasSubstr("content"));
  EXPECT_THAT(message("/added_tokens", R"([{"content": ")" + std::string(600, 'x') + "\"}]"), HasSubstr("512"));
  json empty = with("/model", R"({"type": "BPE", "vocab": {}, "merges": []})");
  empty["added_tokens"] = json::array();
  EXPECT_THAT(refusal(empty).message, HasSubstr("empty"));
}

TEST_F(HfTokenizerTest, DamagedUnigramsAndMapsAreRefused) {
  const auto unigram = [&](const std::string& rest) { return with("/model", R"({"type": "Unigram", )" + rest + "}"); };
  EXPECT_THAT(refusal(unigram(R"("vocab": [["a"]])")).message, HasSubstr("number 0"));
  EXPECT_THAT(refusal(unigram(R"("vocab": [["a", "b"]])")).message, HasSubstr("number 0"));
  EXPECT_THAT(refusal(unigram(R"("vocab": [["a", 0]], "unk_id": 1)")).message, HasSubstr("unk_id"));
  EXPECT_THAT(refusal(unigram(R"("vocab": [[")" + std::string(2000, 'x') + R"(", 0]])")).message, HasSubstr("1024"));
  const auto lacking = loaded(unigram(R"("vocab": [["a", -1]])"))->encode("ax");
  ASSERT_FALSE(lacking);
  EXPECT_THAT(lacking.error().message, HasSubstr("\"x\""));
  for (const std::string map : {"", "AAAA", "////", "!", "BAAAAA==", "/////w=="}) {
    EXPECT_THAT(
        refusal(with("/normalizer", R"({"type": "Precompiled", "precompiled_charsmap": ")" + map + "\"}")).message,
        HasSubstr("precompiled_charsmap"));
  }
}

TEST_F(HfTokenizerTest, HostileJsonIsRefused) {
  folder_.write("tokenizer.json", std::string(100'000, '[') + std::string(100'000, ']'));
  EXPECT_THAT(Tokenizer::from_folder(folder_.path()).error().message, HasSubstr("nested"));
  folder_.write("tokenizer.json", R"({"model": {}, "model": {}})");
  EXPECT_THAT(Tokenizer::from_folder(folder_.path()).error().message, HasSubstr("twice"));
  json steps = json::array();
  for (int i = 0; i < 2000; ++i) steps.push_back({{"type", "NFC"}});
  json file = small_file();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  EXPECT_THAT(refusal(file).message, HasSubstr("too many steps"));
}

TEST_F(HfTokenizerTest, MutatedFilesNeverCrash) {
  for (const char* kind : {"llama2", "llama3", "t5", "bert", "clip", "word_level", "byte_characters"}) {
    const json whole = small_copy(kind);
    int n_made = 0;
    testing::for_each_mutation(whole.dump(), 120, [&](const std::string& bytes) {
      folder_.write("tokenizer.json", bytes);
      const auto tokenizer = Tokenizer::from_folder(folder_.path());
      if (!tokenizer) {
        EXPECT_THAT(tokenizer.error().message, HasSubstr(folder_.path().string()));
        return;
      }
      ++n_made;
      const auto ids = (*tokenizer)->encode("The river's 12 bed, été\n\n <s>漢\xff😀");
      EXPECT_TRUE(!ids || (*tokenizer)->decode(*ids));
      for (int32_t id = 0; id < (*tokenizer)->n_vocab(); id += 17) (*tokenizer)->token_bytes(id);
    });
    EXPECT_GT(n_made, 0) << kind;
  }
}

// Every value in turn gives way to each of these.
TEST_F(HfTokenizerTest, ValuesOfTheWrongKindNeverCrash) {
  const json odd =
      json::parse(R"([null, -1, 3, 4294967296, 1e300, true, "", "x", "\u0000", [], {}, [[]], {"type": "NFC"}])");
  int n_made = 0, n_refused = 0;
  for (const char* kind : {"llama2", "deepseek", "t5", "bert", "albert", "clip", "word_level", "gpt2_prefix"}) {
    const json whole = small_copy(kind);
    const json flat = whole.flatten();
    size_t i = 0, n_tokens = 0;
    for (const auto& [path, value] : flat.items()) {
      if (path.starts_with("/model/vocab/") && n_tokens++ % 50 != 0) continue;
      for (json::json_pointer at(path); !at.empty(); at = at.parent_pointer()) {
        json file = whole;
        file[at] = odd[i++ % odd.size()];
        const auto tokenizer = load(file);
        ++(tokenizer ? n_made : n_refused);
        if (tokenizer) {
          const auto ids = (*tokenizer)->encode("The river's 12 bed, été\n\n <s>漢\xff😀");
          EXPECT_TRUE(!ids || (*tokenizer)->decode(*ids));
          continue;
        }
        EXPECT_THAT(tokenizer.error().message, HasSubstr(folder_.path().string())) << path;
      }
    }
  }
  EXPECT_GT(n_made, 200);
  EXPECT_GT(n_refused, 500);
}

TEST_F(HfTokenizerTest, MutatedSideFilesNeverCrash) {
  folder_.write("tokenizer.json", small_file().dump());
  const std::string config = R"({"bos_token": "<s>", "eos_token": {"content": "b", "lstrip": true},
    "add_bos_token": false, "chat_template": [{"name": "default", "template": "x"}], "extra_special_tokens": ["<x>"],
    "added_tokens_decoder": {"4": {"content": "<s>", "special": true}}})";
  testing::for_each_mutation(config, 500, [&](const std::string& bytes) {
    folder_.write("tokenizer_config.json", bytes);
    const auto tokenizer = Tokenizer::from_folder(folder_.path());
    EXPECT_TRUE(!tokenizer || (*tokenizer)->encode("ab <s>"));
  });
}

// --- parts

TEST(HfRegexTest, FindsMatchesAndWhatLiesBetween) {
  const auto stretches = [](const HfRegex& regex, const std::string& text) {
    std::string out;
    HfSearchBudget budget(text.size());
    EXPECT_TRUE(regex.search(text, budget, [&](const HfMatch& m) {
      out += (m.is_match ? "<" : "(") + text.substr(m.begin, m.end - m.begin) + (m.is_match ? ">" : ")");
    }));
    return out;
  };
  EXPECT_EQ(stretches(**HfRegex::compile(R"(\d+)"), "a12b3"), "(a)<12>(b)<3>");
  EXPECT_EQ(stretches(**HfRegex::compile(R"(\p{N}{1,3}+)"), "12345"), "<12345>");  // repeats, not possessive
  EXPECT_EQ(stretches(**HfRegex::compile(R"([\p{L}&&[^\p{Han}]]+)"), "ab漢c"), "<ab>(漢)<c>");
  EXPECT_EQ(stretches(**HfRegex::compile("x*"), "aé"), "<>(a)<>(é)<>");
  EXPECT_EQ(stretches(**HfRegex::literal(""), "aé"), "<>(a)<>(é)<>");
  EXPECT_EQ(stretches(**HfRegex::literal("a."), "xa.a.b"), "(x)<a.><a.>(b)");
  EXPECT_EQ(stretches(**HfRegex::literal("q"), ""), "");
}

TEST(HfTrieTest, WalksByBytes) {
  const HfTrie trie({{"ab", 1}, {"a", 2}, {"abc", 3}, {"ab", 4}, {"\xff", 5}});
  EXPECT_EQ(trie.value(trie.walk(0, "a")), 2);
  EXPECT_EQ(trie.value(trie.walk(0, "ab")), 4);
  EXPECT_EQ(trie.value(trie.walk(0, "abc")), 3);
  EXPECT_EQ(trie.value(trie.walk(0, "\xff")), 5);
  EXPECT_EQ(trie.walk(0, "b"), 0u);
  EXPECT_EQ(HfTrie().child(0, 'a'), 0u);
}

TEST(HfUnicodeTest, ReadsAndWritesCharacters) {
  std::string text;
  for (const char32_t c : {U'a', U'é', U'漢', U'😀', U'\U0010ffff'}) append_utf8(c, text);
  EXPECT_EQ(text, "aé漢😀\U0010ffff");
  std::u32string characters;
  for_each_character(text, [&](char32_t c, std::string_view) { characters += c; });
  EXPECT_EQ(characters, U"aé漢😀\U0010ffff");
  EXPECT_EQ(count_characters(text), 5u);
  EXPECT_EQ(to_valid_utf8("a\xe6\xbc"
                          "b\xff"),
            "a\ufffd"
            "b\ufffd");
}

TEST(HfUnicodeTest, NormalFormsAndClusters) {
  EXPECT_EQ(to_normal_form("e\u0301ﬁ", NormalForm::kNfc).value(), "éﬁ");
  EXPECT_EQ(to_normal_form("éﬁ", NormalForm::kNfkd).value(), "e\u0301fi");
  EXPECT_EQ(to_normal_form("\u32ff", NormalForm::kNfkc).value(), "\u32ff");  // of Unicode 12.1
  std::vector<std::string> clusters;
  ASSERT_TRUE(for_each_grapheme("e\u0301\r\n👍🏽", [&](std::string_view c) { clusters.emplace_back(c); }));
  EXPECT_THAT(clusters, ElementsAre("e\u0301", "\r\n", "👍🏽"));
}

}  // namespace
}  // namespace orrery
