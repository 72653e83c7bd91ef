// Tokenizer::from_gguf: what the tokenizer.ggml.* metadata of a GGUF file say.
#include <algorithm>
#include <array>
#include <cctype>
#include <deque>

#include "engine/formats/gguf.h"
#include "engine/formats/quoted.h"
#include "engine/tokenizer.h"
#include "engine/tokenizers/bpe_encoder.h"
#include "engine/tokenizers/gguf_codec.h"
#include "engine/tokenizers/gguf_special_ids.h"
#include "engine/tokenizers/plamo_encoder.h"
#include "engine/tokenizers/rwkv_encoder.h"
#include "engine/tokenizers/spm_encoder.h"
#include "engine/tokenizers/unigram_encoder.h"
#include "engine/tokenizers/word_piece_encoder.h"

namespace orrery {
namespace {

// What tokenizer.ggml.model stands for, and what llama.cpp takes for granted where the file does not say.
struct TokenizerKind {
  enum class Algorithm : uint8_t { kBpe, kSpm, kUnigram, kRwkv, kPlamo, kWordPiece };
  std::string_view name;
  Algorithm algorithm;
  int32_t bos = -1, eos = -1, unknown = -1, separator = -1;  // -1: none
  bool adds_space = false;
  bool adds_bos = false;
  bool adds_eos = false;
  bool can_add = true;        // false: the algorithm knows neither BOS nor EOS
  std::string_view pre = {};  // instead of the file's
};

using Algorithm = TokenizerKind::Algorithm;

constexpr std::array kKinds = {
    TokenizerKind{.name = "gpt2", .algorithm = Algorithm::kBpe, .bos = 11, .eos = 11},
    TokenizerKind{.name = "gemma4", .algorithm = Algorithm::kBpe, .pre = "gemma4"},
    TokenizerKind{.name = "llama",
                  .algorithm = Algorithm::kSpm,
                  .bos = 1,
                  .eos = 2,
                  .unknown = 0,
                  .adds_space = true,
                  .adds_bos = true},
    TokenizerKind{.name = "t5", .algorithm = Algorithm::kUnigram, .eos = 1, .unknown = 2, .adds_eos = true},
    TokenizerKind{.name = "rwkv", .algorithm = Algorithm::kRwkv, .can_add = false},
    TokenizerKind{.name = "plamo2", .algorithm = Algorithm::kPlamo, .bos = 1, .eos = 2, .unknown = 0, .can_add = false},
    TokenizerKind{.name = "bert",
                  .algorithm = Algorithm::kWordPiece,
                  .bos = 101,
                  .unknown = 100,
                  .separator = 102,
                  .adds_bos = true},
};

// Used once, by Tokenizer::from_gguf.
class GgufTokenizerLoader {
 public:
  explicit GgufTokenizerLoader(std::shared_ptr<const GgufFile> file) : kept_(std::move(file)), file_(*kept_) {}

  Result<TokenizerParts> load() {
    ORRERY_RETURN_IF_ERROR(load_kind());
    ORRERY_RETURN_IF_ERROR(load_vocabulary());
    ORRERY_RETURN_IF_ERROR(load_ids());
    auto encoder = make_encoder();
    if (!encoder) return with_path(encoder.error());
    parts_.end_of_generation = find_end_tokens(file_, ids_, *vocabulary_);
    parts_.vocabulary = vocabulary_;
    parts_.codec =
        std::make_unique<const GgufCodec>(vocabulary_, std::move(*encoder), make_cutter(), spelling(), adds_space_);
    return std::move(parts_);
  }

 private:
  Error invalid(const std::string& why) const {
    return Error{ErrorCode::kInvalidFile, file_.path() + " has a damaged tokenizer: " + why};
  }
  Error with_path(const Error& error) const {
    const bool has_path = error.message.find(file_.path()) != std::string::npos;
    return has_path ? error : Error{error.code, file_.path() + ": " + error.message};
  }

  Result<void> load_kind() {
    const GgufValue* model = file_.find("tokenizer.ggml.model");
    if (model == nullptr || model->as_string() == "none" || model->as_string() == "no_vocab") {
      return Error{ErrorCode::kNotFound, file_.path() + " has no tokenizer; give token ids instead (--tokens)"};
    }
    ORRERY_ASSIGN_OR_RETURN(parts_.model, file_.get_string("tokenizer.ggml.model"));
    const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& k) { return k.name == parts_.model; });
    if (kind == kKinds.end()) {
      return Error{ErrorCode::kUnsupported,
                   file_.path() + ": this kind of tokenizer is not supported; give token ids instead (--tokens): " +
                       in_quotes(parts_.model)};
    }
    kind_ = &*kind;
    ORRERY_ASSIGN_OR_RETURN(parts_.pre, file_.get_string("tokenizer.ggml.pre", "default"));
    if (!kind_->pre.empty()) parts_.pre = kind_->pre;
    ORRERY_ASSIGN_OR_RETURN(parts_.chat_template, file_.get_string("tokenizer.chat_template", ""));
    ORRERY_ASSIGN_OR_RETURN(adds_space_, file_.get_bool("tokenizer.ggml.add_space_prefix", kind_->adds_space));
    if (kind_->algorithm != Algorithm::kBpe) return {};
    auto pre_tokenizer = PreTokenizer::make(parts_.pre);
    if (!pre_tokenizer) return with_path(pre_tokenizer.error());
    pre_tokenizer_ = std::move(*pre_tokenizer);
    family_ = pre_tokenizer_->family();
    return {};
  }

  Result<void> load_vocabulary() {
    ORRERY_ASSIGN_OR_RETURN(const auto texts, file_.get_strings("tokenizer.ggml.tokens"));
    if (texts.empty()) return invalid("its vocabulary is empty");
    struct Memory {
      std::shared_ptr<const GgufFile> file;
      std::deque<std::string> made;
    };
    const auto memory = std::make_shared<Memory>(Memory{kept_, {}});
    vocabulary_->memory = memory;
    vocabulary_->texts.assign(texts.begin(), texts.end());
    vocabulary_->ids.reserve(texts.size());
    for (size_t id = 0; id < texts.size(); ++id) {
      std::string_view& text = vocabulary_->texts[id];
      text = text.substr(0, text.find('\0'));  // where llama.cpp's strings end; it names empty tokens, too
      if (text.empty()) text = memory->made.emplace_back("[EMPTY_" + std::to_string(id) + "]");
      vocabulary_->ids.emplace(text, static_cast<int32_t>(id));
    }
    vocabulary_->types.assign(texts.size(), TokenType::kNormal);
    if (file_.find("tokenizer.ggml.token_type") == nullptr) return {};
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> types, file_.get_ints("tokenizer.ggml.token_type"));
    ORRERY_RETURN_IF_ERROR(check_length("types", types.size()));
    std::transform(vocabulary_->types.begin(), vocabulary_->types.end(), types.begin(), vocabulary_->types.begin(),
                   [](TokenType, int64_t type) {
                     return type >= 0 && type <= 6 ? static_cast<TokenType>(type) : TokenType::kUndefined;
                   });
    return {};
  }

  Result<void> check_length(const char* what, size_t n) const {
    if (n >= vocabulary_->texts.size()) return {};
    return invalid("it has " + std::to_string(vocabulary_->size()) + " tokens, but fewer " + what + ": " +
                   std::to_string(n));
  }

  Result<std::vector<float>> load_scores() const {
    std::vector<float> scores(vocabulary_->texts.size());
    if (file_.find("tokenizer.ggml.scores") == nullptr) return scores;
    ORRERY_ASSIGN_OR_RETURN(scores, file_.get_floats("tokenizer.ggml.scores"));
    ORRERY_RETURN_IF_ERROR(check_length("scores", scores.size()));
    scores.resize(vocabulary_->texts.size());
    return scores;
  }

  Result<void> load_ids() {
    const auto given = [](int32_t id) { return id < 0 ? std::nullopt : std::optional<int32_t>(id); };
    ids_ = {given(kind_->bos), given(kind_->eos), given(kind_->unknown), given(kind_->separator)};
    if (!family_.has_default_bos) ids_.bos.reset();
    read_special_ids(file_, *vocabulary_, ids_);
    parts_.bos = ids_.bos;
    parts_.eos = ids_.eos;
    const bool adds_bos_by_default = kind_->adds_bos || family_.adds_bos;
    ORRERY_ASSIGN_OR_RETURN(bool adds_bos, file_.get_bool("tokenizer.ggml.add_bos_token", adds_bos_by_default));
    ORRERY_ASSIGN_OR_RETURN(const bool adds_eos, file_.get_bool("tokenizer.ggml.add_eos_token", kind_->adds_eos));
    const bool is_word_piece = kind_->algorithm == Algorithm::kWordPiece;
    ORRERY_ASSIGN_OR_RETURN(const bool needs_separator,
                            file_.get_bool("tokenizer.ggml.add_sep_token", family_.needs_separator || is_word_piece));
    adds_bos = adds_bos || family_.always_adds_bos;
    if (adds_bos && !ids_.bos) return invalid("add_bos_token is true, but there is no bos_token_id");
    if (adds_eos && !ids_.eos) return invalid("add_eos_token is true, but there is no eos_token_id");
    if (needs_separator && !ids_.separator) return invalid("add_sep_token is true, but there is no seperator_token_id");
    if (!kind_->can_add) return {};
    if (is_word_piece) {
      if (!ids_.bos || !ids_.separator) return invalid("it has no bos_token_id or no seperator_token_id");
      parts_.prefix_ids = {*ids_.bos};
      parts_.suffix_ids = {*ids_.separator};
      return {};
    }
    if (adds_bos) parts_.prefix_ids.push_back(*ids_.bos);
    if (adds_eos) parts_.suffix_ids.push_back(*ids_.eos);
    return {};
  }

  using Encoder = std::unique_ptr<const FragmentEncoder>;

  Result<Encoder> make_encoder() {
    switch (kind_->algorithm) {
      case Algorithm::kBpe:
        return make_bpe();
      case Algorithm::kRwkv:
        return Encoder(std::make_unique<const RwkvEncoder>(*vocabulary_, ids_.unknown));
      case Algorithm::kWordPiece:
        return make_word_piece();
      default:
        break;
    }
    ORRERY_ASSIGN_OR_RETURN(std::vector<float> scores, load_scores());
    if (kind_->algorithm == Algorithm::kUnigram) return make_unigram(std::move(scores));
    if (kind_->algorithm == Algorithm::kPlamo) {
      ORRERY_ASSIGN_OR_RETURN(auto plamo, PlamoEncoder::make(vocabulary_, scores));
      return Encoder(std::move(plamo));
    }
    return Encoder(std::make_unique<const SpmEncoder>(vocabulary_, std::move(scores), adds_space_, ids_.unknown));
  }

  Result<Encoder> make_bpe() {
    std::span<const std::string_view> merges;
    // Kimi K2's was made without merges: its tokens are whole words or bytes.
    if (parts_.pre != "kimi-k2" || file_.find("tokenizer.ggml.merges") != nullptr) {
      ORRERY_ASSIGN_OR_RETURN(merges, file_.get_strings("tokenizer.ggml.merges"));
    }
    const auto characters = family_.spells_bytes ? Bpe::Characters::kBytes : Bpe::Characters::kUtf8;
    ORRERY_ASSIGN_OR_RETURN(auto bpe, Bpe::make(vocabulary_, merges, characters));
    return Encoder(std::make_unique<const BpeEncoder>(std::move(pre_tokenizer_), std::move(bpe)));
  }

  Result<Encoder> make_unigram(std::vector<float> scores) {
    UnigramEncoder::Options options{.adds_space = adds_space_, .unknown = ids_.unknown};
    ORRERY_ASSIGN_OR_RETURN(options.removes_extra_spaces,
                            file_.get_bool("tokenizer.ggml.remove_extra_whitespaces", false));
    Charsmap charsmap;
    if (file_.find("tokenizer.ggml.precompiled_charsmap") != nullptr) {
      ORRERY_ASSIGN_OR_RETURN(const auto bytes, file_.get_ints("tokenizer.ggml.precompiled_charsmap"));
      std::string packed(bytes.size(), '\0');
      std::transform(bytes.begin(), bytes.end(), packed.begin(), [](int64_t byte) { return static_cast<char>(byte); });
      ORRERY_ASSIGN_OR_RETURN(charsmap, Charsmap::make(packed));
    }
    return Encoder(
        std::make_unique<const UnigramEncoder>(vocabulary_, std::move(scores), std::move(charsmap), options));
  }

  Result<Encoder> make_word_piece() {
    if (!ids_.unknown) return invalid("it has no unknown_token_id");
    WordPieceEncoder::Options options{.unknown = *ids_.unknown};
    ORRERY_ASSIGN_OR_RETURN(options.lower_case, file_.get_bool("tokenizer.ggml.normalizer.lowercase", true));
    ORRERY_ASSIGN_OR_RETURN(options.strips_accents,
                            file_.get_bool("tokenizer.ggml.normalizer.strip_accents", options.lower_case));
    return Encoder(std::make_unique<const WordPieceEncoder>(*vocabulary_, options));
  }

  TokenSpelling spelling() const {
    switch (kind_->algorithm) {
      case Algorithm::kBpe:
        return family_.escapes_white_space ? TokenSpelling::kEscapedSpaces : TokenSpelling::kByteAlphabet;
      case Algorithm::kRwkv:
        return TokenSpelling::kRwkvEscapes;
      case Algorithm::kPlamo:
        return TokenSpelling::kPlain;
      default:
        return TokenSpelling::kEscapedSpaces;
    }
  }

  // Control, unknown and user-defined tokens are looked for in the text. Whether they take white space with them GGUF
  // does not say; llama.cpp knows it of some models by name.
  TokenCutter make_cutter() const {
    const auto contains_any = [](std::string_view text, std::initializer_list<std::string_view> parts) {
      return std::any_of(parts.begin(), parts.end(),
                         [&](std::string_view part) { return text.find(part) != std::string_view::npos; });
    };
    const GgufValue* name_value = file_.find("general.name");
    std::string name(name_value == nullptr ? "" : name_value->as_string().value_or(""));
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    const bool is_jina = contains_any(parts_.pre, {"jina-v2-de", "jina-v2-es", "jina-v2-code"}) ||
                         contains_any(file_.architecture(), {"nomic-bert-moe", "jina-bert-v3"});
    const bool is_phi = !is_jina && contains_any(name, {"phi-3", "phi3"});
    const bool is_modern_bert = !is_jina && !is_phi && contains_any(name, {"modern-bert"});
    std::vector<TokenCutter::Token> tokens;
    for (int32_t id = 0; id < vocabulary_->size(); ++id) {
      const TokenType type = vocabulary_->type(id);
      const std::string_view text = vocabulary_->text(id);
      if (type != TokenType::kControl && type != TokenType::kUnknown && type != TokenType::kUserDefined) continue;
      tokens.push_back({.id = id,
                        .on_request = type != TokenType::kUserDefined,
                        .strips_left = (is_jina && text == "<mask>") || (is_modern_bert && text == "[MASK]"),
                        .strips_right = is_phi && text != "<unk>" && text != "<s>" && text != "<|endoftext|>"});
    }
    return TokenCutter(vocabulary_, std::move(tokens));
  }

  std::shared_ptr<const GgufFile> kept_;
  const GgufFile& file_;
  const TokenizerKind* kind_ = nullptr;
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;
  PreTokenizerFamily family_;  // of BPE; else one that asks for nothing
  std::shared_ptr<Vocabulary> vocabulary_ = std::make_shared<Vocabulary>();
  SpecialIds ids_;
  bool adds_space_ = false;
  TokenizerParts parts_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(std::shared_ptr<const GgufFile> file) {
  ORRERY_ASSIGN_OR_RETURN(TokenizerParts parts, GgufTokenizerLoader(std::move(file)).load());
  return from_parts(std::move(parts));
}

}  // namespace orrery
