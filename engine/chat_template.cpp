#include "engine/chat_template.h"

#include <optional>

#include "engine/formats/quoted.h"

namespace orrery {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>";

// A Jinja string literal's text: \n, \t, \', \" and \\ resolved.
std::string unescape(std::string_view literal) {
  std::string text;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      text += literal[i];
      continue;
    }
    const char next = literal[++i];
    text += next == 'n' ? '\n' : next == 't' ? '\t' : next;
  }
  return text;
}

// Takes the line break that follows a role off the front: a real one or, within a literal, one written as \n.
bool take_newline(std::string_view& text) {
  const size_t length = text.starts_with("\n") ? 1 : text.starts_with("\\n") ? 2 : 0;
  text.remove_prefix(length);
  return length > 0;
}

// The system message that the template itself spells out, for chats that bring none:
// {{ '<|im_start|>system\nYou are …<|im_end|>\n' }} (SmolLM2, Qwen2.5), or the same as text between Jinja's tags.
// A message put together from parts ('<|im_start|>system\n' + …) is the caller's, not a default.
std::string find_default_system(std::string_view source) {
  const std::string opening = std::string(kStart) + "system";
  for (size_t at = source.find(opening); at != std::string_view::npos; at = source.find(opening, at + 1)) {
    std::string_view text = source.substr(at + opening.size());
    if (!take_newline(text)) continue;
    const size_t end = text.find(kEnd);
    if (end == std::string_view::npos) break;
    text = text.substr(0, end);
    const char before = at > 0 ? source[at - 1] : '\0';
    const bool is_literal = before == '\'' || before == '"';
    if (!is_literal) {
      if (text.find_first_of("{}") == std::string_view::npos) return std::string(text);
      continue;
    }
    bool closed = false;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == before)
        closed = true;
    }
    if (!closed) return unescape(text);
  }
  return {};
}

}  // namespace

std::string_view chat_role_name(ChatRole role) {
  static constexpr std::string_view kNames[] = {"system", "user", "assistant"};
  return kNames[static_cast<size_t>(role)];
}

Result<ChatTemplate> ChatTemplate::from_tokenizer(const Tokenizer& tokenizer, std::string_view model_name) {
  const std::string_view source = tokenizer.chat_template();
  const std::optional<int32_t> start = tokenizer.find(kStart);
  const std::optional<int32_t> end = tokenizer.find(kEnd);
  const auto contains = [&](std::string_view part) { return source.find(part) != std::string_view::npos; };
  if (source.empty() && (!start || !end)) {
    return Error{ErrorCode::kNotFound, "the model has no chat template: " + std::string(model_name)};
  }
  // <|im_sep|> ends the role instead of a line break (Phi-4); a template that asks for the date writes its own
  // messages.
  const bool is_chatml = source.empty() || (contains(kStart) && contains(kEnd) && !contains("<|im_sep|>"));
  if (!is_chatml || !start || !end || contains("strftime_now")) {
    return Error{ErrorCode::kUnsupported,
                 "the chat template of " + std::string(model_name) +
                     " is not plain ChatML, the only one supported so far; give a prompt instead "
                     "(--prompt): " +
                     in_quotes(source, 60)};
  }
  ChatTemplate result;
  result.im_start_ = *start;
  result.im_end_ = *end;
  result.default_system_ = find_default_system(source);
  result.adds_bos_ = tokenizer.bos() && *tokenizer.bos() != *start && (tokenizer.adds_bos() || contains("bos_token"));
  return result;
}

Result<std::vector<ChatSegment>> ChatTemplate::render(const Tokenizer& tokenizer,
                                                      const std::vector<ChatMessage>& messages) const {
  std::vector<ChatMessage> all;
  const bool brings_system = !messages.empty() && messages.front().role == ChatRole::kSystem;
  if (!default_system_.empty() && !brings_system) all.push_back({ChatRole::kSystem, default_system_});
  all.insert(all.end(), messages.begin(), messages.end());
  std::vector<ChatSegment> segments;
  const auto open = [&](ChatRole role) {
    ChatSegment& segment = segments.emplace_back(ChatSegment{role, {}});
    if (segments.size() == 1 && adds_bos_) segment.ids.push_back(*tokenizer.bos());
    segment.ids.push_back(im_start_);
  };
  // Role, line break and content are one text between control tokens, and are cut into words as one.
  const auto append = [&](const std::string& text) -> Result<void> {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.encode(text, EncodeOptions::plain()));
    segments.back().ids.insert(segments.back().ids.end(), ids.begin(), ids.end());
    return {};
  };
  for (const ChatMessage& message : all) {
    open(message.role);
    ORRERY_RETURN_IF_ERROR(append(std::string(chat_role_name(message.role)) + "\n" + message.content));
    segments.back().ids.push_back(im_end_);
    ORRERY_RETURN_IF_ERROR(append("\n"));
  }
  open(ChatRole::kAssistant);
  ORRERY_RETURN_IF_ERROR(append("assistant\n"));
  return segments;
}

}  // namespace orrery
