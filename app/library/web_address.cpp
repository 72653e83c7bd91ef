#include "app/library/web_address.h"

#include <curl/curl.h>

#include <memory>

namespace orrery {
namespace {

using Handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Handle new_handle() { return {curl_url(), &curl_url_cleanup}; }

std::string part(CURLU* handle, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(handle, which, &text, flags) != CURLUE_OK) return {};
  std::string copy = text;
  curl_free(text);
  return copy;
}

std::string decoded(const std::string& text) {
  std::string result;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const int high = text[at] == '%' && at + 2 < text.size() ? digit(text[at + 1]) : -1;
    const int low = high >= 0 ? digit(text[at + 2]) : -1;
    if (low >= 0) {
      result += static_cast<char>(high * 16 + low);
      at += 2;
    } else {
      result += text[at];
    }
  }
  return result;
}

}  // namespace

std::string url_encoded(std::string_view text, bool keep_slashes) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~' || (keep_slashes && c == '/');
    if (plain) {
      result += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result += '%';
    result += kHex[byte >> 4];
    result += kHex[byte & 15];
  }
  return result;
}

Result<WebAddress> WebAddress::parse(const std::string& text) {
  const Handle handle = new_handle();
  CHECK(handle != nullptr, "out of memory");
  const Error bad{ErrorCode::kInvalidArgument, "this is no http or https address: " + text};
  if (text.find('\0') != std::string::npos) return bad;
  if (curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return bad;
  WebAddress address;
  address.text_ = part(handle.get(), CURLUPART_URL);
  address.scheme_ = part(handle.get(), CURLUPART_SCHEME);
  address.host_ = part(handle.get(), CURLUPART_HOST);
  address.port_ = part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  address.path_ = part(handle.get(), CURLUPART_PATH);
  for (char& c : address.host_) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if ((address.scheme_ != "http" && address.scheme_ != "https") || address.host_.empty()) return bad;
  return address;
}

Result<WebAddress> WebAddress::resolve(const std::string& reference) const {
  const Handle handle = new_handle();
  CHECK(handle != nullptr, "out of memory");
  if (curl_url_set(handle.get(), CURLUPART_URL, text_.c_str(), 0) != CURLUE_OK ||
      curl_url_set(handle.get(), CURLUPART_URL, reference.c_str(), 0) != CURLUE_OK) {
    return Error{ErrorCode::kInvalidFile, "the server " + host_ + " leads to what is no address: " + reference};
  }
  return parse(part(handle.get(), CURLUPART_URL));
}

std::string WebAddress::file_name() const { return decoded(path_.substr(path_.rfind('/') + 1)); }

WebAddress WebAddress::with_file_name(const std::string& name) const {
  const Handle handle = new_handle();
  CHECK(handle != nullptr, "out of memory");
  const std::string path = path_.substr(0, path_.rfind('/') + 1) + url_encoded(name);
  CHECK(curl_url_set(handle.get(), CURLUPART_URL, text_.c_str(), 0) == CURLUE_OK);
  CHECK(curl_url_set(handle.get(), CURLUPART_PATH, path.c_str(), 0) == CURLUE_OK);
  return parse(part(handle.get(), CURLUPART_URL)).value();
}

std::string WebAddress::shown() const {
  const bool usual_port = port_ == (is_https() ? "443" : "80");
  return scheme_ + "://" + host_ + (usual_port ? "" : ":" + port_) + path_;
}

WebAddress WebAddress::without_user() const {
  const Handle handle = new_handle();
  CHECK(handle != nullptr, "out of memory");
  CHECK(curl_url_set(handle.get(), CURLUPART_URL, text_.c_str(), 0) == CURLUE_OK);
  for (const CURLUPart secret : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_FRAGMENT}) {
    CHECK(curl_url_set(handle.get(), secret, nullptr, 0) == CURLUE_OK);
  }
  return parse(part(handle.get(), CURLUPART_URL)).value();
}

bool WebAddress::same_origin(const WebAddress& other) const {
  return scheme_ == other.scheme_ && host_ == other.host_ && port_ == other.port_;
}

}  // namespace orrery
