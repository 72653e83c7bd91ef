#include "app/library/http_get.h"

#include <curl/curl.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostRedirects = 10;
constexpr int kPollMs = 100;  // how soon a cancel is noticed
constexpr int kMostTries = 3;
constexpr const char* kUserAgent = "orrery";

struct EasyCloser {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiCloser {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListCloser {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// A server that goes away while TLS writes to it raises SIGPIPE, which would end the program: it is held back in this
// thread, and forgotten.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoBrokenPipe() {
    const timespec now{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_;
};

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "bytes 100-199/200"; the total may be "*".
void read_content_range(std::string_view text, HttpReply& reply) {
  if (!text.starts_with("bytes ")) return;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return;
  reply.range_from = parse_number(text.substr(0, dash));
  reply.range_total = parse_number(text.substr(slash + 1));
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_passing(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

// One request without redirects.
class Transfer {
 public:
  Transfer(const HttpRequest& request, const WebAddress& address, bool with_token, const HttpSink& sink,
           const HttpPatience& patience)
      : address_(address), sink_(sink), easy_(curl_easy_init()), multi_(curl_multi_init()) {
    CHECK(easy_ != nullptr && multi_ != nullptr, "out of memory");
    for (const std::string& header : request.headers) add_header(header);
    // Sizes and ranges are those of the file itself only without an encoding on the way.
    add_header("Accept-Encoding: identity");
    if (with_token) add_header("Authorization: Bearer " + request.bearer_token);
    if (request.offset > 0) {
      add_header("Range: bytes=" + std::to_string(request.offset) + "-");
      if (!request.if_range.empty()) add_header("If-Range: " + request.if_range);
    }
    set(CURLOPT_URL, address.text().c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, kUserAgent);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(patience.connect_time.count()));
    set(CURLOPT_HTTPHEADER, headers_.get());
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
    set(CURLOPT_WRITEDATA, static_cast<void*>(this));
    set(CURLOPT_ERRORBUFFER, static_cast<char*>(complaint_));
    if (!request.ca_file.empty()) set(CURLOPT_CAINFO, request.ca_file.c_str());
    if (!request.proxy.empty()) set(CURLOPT_PROXY, request.proxy.c_str());
    CHECK(curl_multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK);
  }
  ~Transfer() { curl_multi_remove_handle(multi_.get(), easy_.get()); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  HttpOutcome run(const HttpPatience& patience, const std::atomic<bool>* cancel) {
    Clock::time_point window_begin = Clock::now();
    uint64_t window_bytes = 0;
    while (true) {
      int n_running = 0;
      CHECK(curl_multi_perform(multi_.get(), &n_running) == CURLM_OK);
      if (n_running == 0) return finish();
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
        return failed({ErrorCode::kCancelled, "cancelled: " + address_.shown()}, false);
      }
      const Clock::time_point now = Clock::now();
      if (n_bytes_ - window_bytes >= patience.stall_bytes) {
        window_begin = now;
        window_bytes = n_bytes_;
      } else if (now - window_begin > patience.stall_time + (replied_ ? kNone : patience.connect_time)) {
        return failed({ErrorCode::kIo, "the server sends nothing any more: " + address_.shown()}, true);
      }
      CHECK(curl_multi_poll(multi_.get(), nullptr, 0, kPollMs, nullptr) == CURLM_OK);
    }
  }

  // Where a redirect leads; empty where it does not say.
  std::string redirect() const {
    char* text = nullptr;
    curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_URL, &text);
    return text == nullptr ? std::string() : std::string(text);
  }

 private:
  static constexpr std::chrono::milliseconds kNone{0};

  template <typename T>
  void set(CURLoption option, T value) {
    CHECK(curl_easy_setopt(easy_.get(), option, value) == CURLE_OK);
  }

  void add_header(const std::string& line) {
    curl_slist* list = curl_slist_append(headers_.get(), line.c_str());
    CHECK(list != nullptr, "out of memory");
    static_cast<void>(headers_.release());
    headers_.reset(list);
  }

  std::string header(const char* name) const {
    curl_header* found = nullptr;
    if (curl_easy_header(easy_.get(), name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK) return {};
    return found->value;
  }

  void read_reply() {
    replied_ = true;
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    reply_.status = static_cast<int>(status);
    reply_.address = address_.shown();
    reply_.etag = header("ETag");
    reply_.last_modified = header("Last-Modified");
    reply_.content_type = header("Content-Type");
    curl_off_t n_bytes = -1;
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n_bytes);
    if (n_bytes >= 0) reply_.n_bytes = static_cast<uint64_t>(n_bytes);
    if (reply_.status == 206) read_content_range(header("Content-Range"), reply_);
    if (const auto seconds = parse_number(header("Retry-After"))) {
      reply_.retry_after_s = static_cast<int>(std::min<uint64_t>(*seconds, 3600));
    }
  }

  bool is_wanted() const { return reply_.status == 200 || reply_.status == 206; }

  Result<void> begin() {
    read_reply();
    if (!is_wanted()) return {};
    const std::string encoding = header("Content-Encoding");
    if (!encoding.empty() && encoding != "identity") {
      return Error{ErrorCode::kUnsupported, "the server encodes what was asked for plain, as: " + encoding};
    }
    return sink_.begin ? sink_.begin(reply_) : Result<void>();
  }

  static size_t on_bytes(char* bytes, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_bytes({bytes, size * count}) ? size * count : 0;
  }

  bool take_bytes(std::string_view bytes) {
    Result<void> taken;
    if (!replied_) taken = begin();
    n_bytes_ += bytes.size();
    // The page that comes with an error is for a browser.
    if (taken && !is_wanted()) return n_bytes_ <= kMostOfAnErrorPage;
    if (taken && sink_.take_bytes) taken = sink_.take_bytes(bytes);
    if (!taken) refusal_ = taken.error();
    return taken.has_value();
  }

  HttpOutcome finish() {
    int n_left = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &n_left);
    CHECK(message != nullptr && message->msg == CURLMSG_DONE);
    const CURLcode code = message->data.result;
    if (refusal_) return failed(*refusal_, false);
    if (code != CURLE_OK && !(replied_ && !is_wanted())) return failed(network_error(code), is_passing(code));
    if (!replied_) {  // a reply without a body
      const Result<void> begun = begin();
      if (!begun) return failed(begun.error(), false);
    }
    return {.reply = reply_, .failure = {}, .passing = false};
  }

  Error network_error(CURLcode code) const {
    if (code == CURLE_PARTIAL_FILE) {
      return {ErrorCode::kIo, "the server ended the file before its end: " + address_.shown()};
    }
    std::string why = complaint_[0] != '\0' ? complaint_ : curl_easy_strerror(code);
    while (!why.empty() && (why.back() == '\n' || why.back() == '.')) why.pop_back();
    for (char& c : why) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    return {ErrorCode::kIo, "cannot fetch (" + why + "): " + address_.shown()};
  }

  HttpOutcome failed(Error error, bool passing) const {
    return {.reply = reply_, .failure = std::move(error), .passing = passing};
  }

  static constexpr uint64_t kMostOfAnErrorPage = 65536;

  const WebAddress& address_;
  const HttpSink& sink_;
  std::unique_ptr<CURL, EasyCloser> easy_;
  std::unique_ptr<CURLM, MultiCloser> multi_;
  std::unique_ptr<curl_slist, ListCloser> headers_;
  char complaint_[CURL_ERROR_SIZE] = {};
  HttpReply reply_;
  bool replied_ = false;
  uint64_t n_bytes_ = 0;
  std::optional<Error> refusal_;
};

void start_curl_once() {
  static const CURLcode kStarted = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(kStarted == CURLE_OK);
}

Result<WebAddress> next_address(const WebAddress& from, const std::string& to) {
  ORRERY_ASSIGN_OR_RETURN(WebAddress next, from.resolve(to));
  if (from.is_https() && !next.is_https()) {
    return Error{ErrorCode::kUnsupported,
                 "the server leads from https to http, which is not followed: " + next.shown()};
  }
  return next;
}

}  // namespace

bool wait_unless_cancelled(std::chrono::milliseconds time, const std::atomic<bool>* cancel) {
  const Clock::time_point end = Clock::now() + time;
  while (cancel == nullptr || !cancel->load(std::memory_order_relaxed)) {
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return true;
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(50)));
  }
  return false;
}

HttpOutcome http_get(const HttpRequest& request, const HttpSink& sink, const HttpPatience& patience,
                     const std::atomic<bool>* cancel) {
  start_curl_once();
  const NoBrokenPipe no_broken_pipe;
  WebAddress address = request.address;
  for (int n_redirects = 0; n_redirects <= kMostRedirects; ++n_redirects) {
    const bool with_token = !request.bearer_token.empty() && address.same_origin(request.address);
    std::optional<Result<WebAddress>> next;
    {
      Transfer transfer(request, address, with_token, sink, patience);
      HttpOutcome outcome = transfer.run(patience, cancel);
      const std::string redirect = transfer.redirect();
      if (outcome.failure || !is_redirect(outcome.reply.status)) return outcome;
      if (redirect.empty()) {
        outcome.failure = Error{ErrorCode::kIo, "the server leads nowhere: " + address.shown()};
        return outcome;
      }
      next = next_address(address, redirect);
      if (!*next) return {.reply = outcome.reply, .failure = next->error(), .passing = false};
    }
    address = **next;
  }
  return {.reply = {},
          .failure = Error{ErrorCode::kIo, "the server leads on and on, more than " + std::to_string(kMostRedirects) +
                                               " times, from: " + request.address.shown()},
          .passing = false};
}

bool is_passing_status(int status) {
  return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

Error status_error(const HttpReply& reply) {
  const std::string status = std::to_string(reply.status);
  if (reply.status == 404 || reply.status == 410) {
    return {ErrorCode::kNotFound, "the server has no such file (" + status + "): " + reply.address};
  }
  if (reply.status == 401 || reply.status == 403) {
    return {ErrorCode::kUnsupported,
            "the server does not give this file to everybody (" + status + "): " + reply.address};
  }
  return {ErrorCode::kIo, "the server answered with status " + status + ": " + reply.address};
}

Result<HttpText> http_text(const HttpRequest& request, size_t max_bytes, const HttpPatience& patience,
                           std::chrono::milliseconds first_wait, const std::atomic<bool>* cancel) {
  for (int n_tries = 1;; ++n_tries) {
    HttpText result;
    HttpSink sink;
    sink.take_bytes = [&](std::string_view bytes) -> Result<void> {
      if (bytes.size() > max_bytes - result.text.size()) {
        return Error{ErrorCode::kInvalidFile, "the server's answer has more than " + std::to_string(max_bytes) +
                                                  " bytes: " + request.address.shown()};
      }
      result.text += bytes;
      return {};
    };
    HttpOutcome outcome = http_get(request, sink, patience, cancel);
    const bool passing = outcome.failure ? outcome.passing : is_passing_status(outcome.reply.status);
    if (passing && n_tries < kMostTries) {
      if (wait_unless_cancelled(first_wait * (1 << (n_tries - 1)), cancel)) continue;
      return Error{ErrorCode::kCancelled, "cancelled: " + request.address.shown()};
    }
    if (outcome.failure) return *outcome.failure;
    result.reply = std::move(outcome.reply);
    return result;
  }
}

}  // namespace orrery
