// Addresses on the web, taken apart by libcurl's own reader, so that what is checked is what is fetched.
#pragma once

#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

// An http or https address.
class WebAddress {
 public:
  // kInvalidArgument for anything else.
  static Result<WebAddress> parse(const std::string& text);
  // What `reference` (absolute or relative, as in a Location header or a page's link) means at this address.
  Result<WebAddress> resolve(const std::string& reference) const;

  const std::string& text() const { return text_; }
  const std::string& host() const { return host_; }
  const std::string& path() const { return path_; }  // as written: percent-encoded, begins with '/'
  bool is_https() const { return scheme_ == "https"; }
  std::string file_name() const;  // what follows the path's last '/', decoded; not checked
  // The same address with another last part of the path, given decoded.
  WebAddress with_file_name(const std::string& name) const;
  // For people and for files: without a user's name and password, query and fragment, which may be secret.
  std::string shown() const;
  // The same without a user's name and password, and without a fragment.
  WebAddress without_user() const;
  bool same_origin(const WebAddress& other) const;  // scheme, host and port

 private:
  WebAddress() = default;
  std::string text_;
  std::string scheme_;
  std::string host_;
  std::string port_;  // given or the scheme's own
  std::string path_;
};

// Percent-encoded but for '/', where `keep_slashes`, and what needs no encoding.
std::string url_encoded(std::string_view text, bool keep_slashes = false);

}  // namespace orrery
