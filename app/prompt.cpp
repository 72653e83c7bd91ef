#include "app/prompt.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

#include "app/text.h"
#include "engine/chat_template.h"

namespace orrery {
namespace {

constexpr size_t kMaxIdFileBytes = size_t{256} << 20;

Segment segment_of(ChatRole role) {
  switch (role) {
    case ChatRole::kSystem:
      return Segment::kSystem;
    case ChatRole::kUser:
      return Segment::kUser;
    case ChatRole::kAssistant:
      return Segment::kAssistant;
  }
  return Segment::kUser;
}

Result<void> check_text(const std::string& text, std::string_view option) {
  if (text.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(option) + " is empty; give the model something to continue: \"\""};
  }
  for (size_t at = 0; at < text.size();) {
    const size_t n = utf8_character(std::string_view(text).substr(at));
    if (n == 0) {
      return Error{ErrorCode::kInvalidArgument, std::string(option) +
                                                    " is not valid UTF-8; save the text as UTF-8, or give token ids "
                                                    "with --tokens; the first bad byte is at position " +
                                                    std::to_string(at)};
    }
    at += n;
  }
  return {};
}

Result<void> append(const std::vector<int32_t>& ids, Segment segment, const OpenedModel& opened,
                    std::vector<Token>& tokens) {
  const int64_t vocab = opened.model->config().vocab_size;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return Error{ErrorCode::kInvalidArgument, "token ids of " + opened.file->name() + " are from 0 to " +
                                                    std::to_string(vocab - 1) + ", but one is " + std::to_string(id)};
    }
    Token token;
    token.step = static_cast<int64_t>(tokens.size());
    token.id = id;
    token.segment = segment;
    if (opened.tokenizer != nullptr) token.bytes = opened.tokenizer->token_bytes(id);
    tokens.push_back(std::move(token));
  }
  return {};
}

Result<void> append_plain(const std::string& text, const OpenedModel& opened, std::vector<Token>& tokens) {
  const Tokenizer& tokenizer = *opened.tokenizer;
  // An end token after a prompt would end it before it began, so only what stands before a text is added.
  ORRERY_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.encode(text, {.add_special = false}));
  ids.insert(ids.begin(), tokenizer.prefix_ids().begin(), tokenizer.prefix_ids().end());
  return append(ids, Segment::kUser, opened, tokens);
}

Result<ChatTemplate> chat_template_of(const OpenedModel& opened) {
  if (opened.tokenizer == nullptr) return opened.need_tokenizer();
  return ChatTemplate::from_tokenizer(*opened.tokenizer, opened.file->name());
}

Result<void> append_segments(const std::vector<ChatSegment>& segments, const OpenedModel& opened,
                             std::vector<Token>& tokens) {
  for (const ChatSegment& segment : segments) {
    ORRERY_RETURN_IF_ERROR(append(segment.ids, segment_of(segment.role), opened, tokens));
  }
  return {};
}

Result<void> append_chat(const std::string& text, const std::optional<std::string>& system, const OpenedModel& opened,
                         std::vector<Token>& tokens) {
  ORRERY_ASSIGN_OR_RETURN(const ChatTemplate chat, chat_template_of(opened));
  std::vector<ChatMessage> messages;
  if (system) messages.push_back({.role = ChatRole::kSystem, .content = *system});
  messages.push_back({.role = ChatRole::kUser, .content = text});
  ORRERY_ASSIGN_OR_RETURN(const std::vector<ChatSegment> segments, chat.render(*opened.tokenizer, messages));
  return append_segments(segments, opened, tokens);
}

}  // namespace

Result<std::vector<Token>> prepare_turn(const std::string& text, const OpenedModel& opened, int32_t last_id) {
  ORRERY_RETURN_IF_ERROR(check_text(text, "--chat"));
  ORRERY_ASSIGN_OR_RETURN(const ChatTemplate chat, chat_template_of(opened));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<ChatSegment> segments, chat.render_next(*opened.tokenizer, text, last_id));
  std::vector<Token> tokens;
  ORRERY_RETURN_IF_ERROR(append_segments(segments, opened, tokens));
  return tokens;
}

Result<PreparedPrompt> prepare_prompt(PromptKind kind, const std::string& text, const OpenedModel& opened,
                                      const std::optional<std::string>& system) {
  PreparedPrompt prompt;
  if (kind == PromptKind::kTokens) {
    prompt.record = {.kind = "tokens", .text = text};
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, parse_ids(text, "--tokens"));
    ORRERY_RETURN_IF_ERROR(append(ids, Segment::kForced, opened, prompt.tokens));
  } else {
    const bool chat = kind == PromptKind::kChat;
    prompt.record = {.kind = chat ? "chat" : "prompt", .text = text, .system = chat ? system : std::nullopt};
    if (system && !chat) {
      return Error{ErrorCode::kInvalidArgument, "--system goes with --chat only; it was given: " + *system};
    }
    if (system && !system->empty()) ORRERY_RETURN_IF_ERROR(check_text(*system, "--system"));
    ORRERY_RETURN_IF_ERROR(check_text(text, chat ? "--chat" : "--prompt"));
    if (opened.tokenizer == nullptr) return opened.need_tokenizer();
    ORRERY_RETURN_IF_ERROR(chat ? append_chat(text, system, opened, prompt.tokens)
                                : append_plain(text, opened, prompt.tokens));
  }
  const int64_t context = opened.model->config().context_length;
  const auto n_tokens = static_cast<int64_t>(prompt.tokens.size());
  if (kind != PromptKind::kTokens && context > 0 && n_tokens > context) {  // given tokens are taken as they are
    return Error{ErrorCode::kInvalidArgument, "the prompt is too long for " + opened.file->name() +
                                                  ", whose context holds " + std::to_string(context) +
                                                  " tokens; shorten it; its tokens are " + std::to_string(n_tokens)};
  }
  if (prompt.tokens.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the prompt gives no tokens: \"" + text + "\""};
  }
  return prompt;
}

Result<PreparedPrompt> prepare_reading(const std::string& text, const OpenedModel& opened, bool begins_run) {
  if (opened.tokenizer == nullptr) return prepare_prompt(PromptKind::kTokens, text, opened);
  ORRERY_RETURN_IF_ERROR(check_text(text, "the text to be read"));
  PreparedPrompt reading;
  reading.record = {.kind = "prompt", .text = text};
  ORRERY_ASSIGN_OR_RETURN(std::vector<int32_t> ids, opened.tokenizer->encode(text, EncodeOptions::plain()));
  const auto& prefix = opened.tokenizer->prefix_ids();
  if (begins_run) ids.insert(ids.begin(), prefix.begin(), prefix.end());
  ORRERY_RETURN_IF_ERROR(append(ids, Segment::kForced, opened, reading.tokens));
  const int64_t context = opened.model->config().context_length;
  if (context > 0 && std::ssize(reading.tokens) > context) {
    return Error{ErrorCode::kInvalidArgument, "the text is too long for " + opened.file->name() +
                                                  ", whose context holds " + std::to_string(context) +
                                                  " tokens; shorten it; its tokens are " +
                                                  std::to_string(reading.tokens.size())};
  }
  if (reading.tokens.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the text to be read gives no tokens: \"" + text + "\""};
  }
  return reading;
}

Result<std::vector<int32_t>> parse_ids(std::string_view text, std::string_view option) {
  std::string file_text;
  std::string where(option);
  if (text.starts_with('@')) {
    const std::string path(text.substr(1));
    where += " (file " + path + ")";
    std::ifstream file(path, std::ios::binary);
    if (!file) return Error{ErrorCode::kNotFound, std::string(option) + ": there is no such file to read: " + path};
    file.seekg(0, std::ios::end);
    const std::streamoff n_bytes = file.tellg();
    if (n_bytes < 0 || static_cast<size_t>(n_bytes) > kMaxIdFileBytes) {
      return Error{ErrorCode::kInvalidFile, std::string(option) + ": this is no file of token ids: " + path};
    }
    file.seekg(0);
    file_text.assign(std::istreambuf_iterator<char>(file), {});
    text = file_text;
  }
  std::vector<int32_t> ids;
  constexpr std::string_view kSeparators = ", \t\r\n";
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;
       at = text.find_first_not_of(kSeparators, at)) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    int32_t id = 0;
    const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || rest != word.data() + word.size() || id < 0) {
      return Error{ErrorCode::kInvalidArgument, where + " takes token ids separated by commas or white space, not: " +
                                                    std::string(word.substr(0, 40))};
    }
    ids.push_back(id);
    at = end;
  }
  if (ids.empty()) return Error{ErrorCode::kInvalidArgument, where + " has no token ids: \"\""};
  return ids;
}

}  // namespace orrery
