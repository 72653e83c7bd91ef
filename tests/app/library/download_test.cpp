// One file from a server that is slow, broken, changed or lying.
#include "app/library/download.h"

#include <gmock/gmock.h>

#include "app/library/part_file.h"
#include "app/library/sha256.h"
#include "tests/app/library/library_fixture.h"
#include "tests/app/library/loopback_server.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Reply = LoopbackServer::Reply;
using Request = LoopbackServer::Request;

class DownloadTest : public LibraryTest {
 protected:
  void TearDown() override { server_.stop(); }
  void SetUp() override {
    LibraryTest::SetUp();
    set_variable("no_proxy", "*");  // whatever the machine's proxy is, loopback is not behind it
    while (body_.size() < 300'000) body_ += std::to_string(body_.size() * 31 % 1009);
    body_.replace(0, 4, "GGUF");
    write_text(folder() / "expected", body_);
    sha256_ = sha256_of_file(folder() / "expected").value();
    options_.first_wait = std::chrono::milliseconds(5);
    options_.most_tries = 3;
    options_.patience.stall_time = std::chrono::milliseconds(250);
    options_.patience.connect_time = std::chrono::milliseconds(250);
  }

  Download what(const std::string& path = "/model.gguf") const {
    return {.request = {.address = WebAddress::parse(server_.address(path)).value()}, .target = target()};
  }
  fs::path target() const { return folder() / "model.gguf"; }
  fs::path part() const { return PartFile::path_of(target()); }

  // Leaves the first n bytes behind, as a fetch that was broken off does.
  void leave_part(size_t n, const std::string& etag = "\"v1\"") {
    server_.on("/model.gguf", [=, this](const Request&, Reply& reply) {
      reply.head(200, {"ETag: " + etag, "Content-Length: " + std::to_string(body_.size())});
      reply.send(body_.substr(0, n));
    });
    DownloadOptions once = options_;
    once.most_tries = 1;
    ASSERT_FALSE(download(what(), once));
    ASSERT_EQ(fs::file_size(part()), n);
  }

  void expect_whole(const Result<Downloaded>& result) const {
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->n_bytes, body_.size());
    EXPECT_EQ(result->sha256, sha256_);
    EXPECT_EQ(read_text(target()), body_);
    EXPECT_FALSE(fs::exists(part()));
    EXPECT_FALSE(fs::exists(part().string() + ".json"));
  }
  std::string expect_error(const Result<Downloaded>& result, ErrorCode code) const {
    EXPECT_FALSE(result);
    if (result) return {};
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_FALSE(fs::exists(target()));
    return result.error().message;
  }

  LoopbackServer server_;
  std::string body_;
  std::string sha256_;
  DownloadOptions options_;
};

TEST_F(DownloadTest, BringsAFileAndTellsHowFarItIs) {
  server_.serve("/model.gguf", body_);
  uint64_t last = 0;
  bool checked = false;
  options_.progress = [&](FetchStage stage, uint64_t done, uint64_t n_bytes) {
    if (stage == FetchStage::kChecking) {
      checked = true;
      return;
    }
    EXPECT_GE(done, last);
    last = done;
    if (done > 0) {
      EXPECT_EQ(n_bytes, body_.size());
    }
  };
  Download one = what();
  one.sha256 = sha256_;
  one.n_bytes = body_.size();
  expect_whole(download(one, options_));
  EXPECT_EQ(last, body_.size());
  EXPECT_TRUE(checked);
  EXPECT_EQ(server_.requests().size(), 1U);
}

TEST_F(DownloadTest, TakesAFileWithoutALength) {
  server_.on("/model.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {});
    reply.send(body_);
  });
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, ReplacesAnOlderFileOnlyWithAWholeOne) {
  write_text(target(), "an older one");
  Download one = what();
  one.sha256 = std::string(64, '0');
  server_.serve("/model.gguf", body_);
  ASSERT_FALSE(download(one, options_));
  EXPECT_EQ(read_text(target()), "an older one");
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, GoesOnWhereItWasBrokenOff) {
  leave_part(100'000);
  server_.serve("/model.gguf", body_);
  expect_whole(download(what(), options_));
  const Request last = server_.requests().back();
  EXPECT_EQ(last.header("range"), "bytes=100000-");
  EXPECT_EQ(last.header("if-range"), "\"v1\"");
}

TEST_F(DownloadTest, GoesOnByItselfWhenTheConnectionBreaks) {
  int n = 0;
  server_.on("/model.gguf", [&, this](const Request& request, Reply& reply) {
    if (++n == 3) return reply.file(request, body_, "\"v1\"");
    const uint64_t offset = request.header("if-range").empty() ? 0 : request.offset();
    reply.head(offset == 0 ? 200 : 206,
               {"ETag: \"v1\"", "Content-Length: " + std::to_string(body_.size() - offset),
                "Content-Range: bytes " + std::to_string(offset) + "-299999/" + std::to_string(body_.size())});
    reply.send(body_.substr(offset, 70'000));
  });
  expect_whole(download(what(), options_));
  ASSERT_EQ(server_.requests().size(), 3U);
  EXPECT_EQ(server_.requests()[1].offset(), 70'000U);
  EXPECT_EQ(server_.requests()[2].offset(), 140'000U);
}

TEST_F(DownloadTest, BeginsAnewWhereTheServerIgnoresRanges) {
  leave_part(100'000);
  server_.on("/model.gguf", [this](const Request&, Reply& reply) { reply.whole(200, {"ETag: \"v1\""}, body_); });
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, BeginsAnewWhereTheFileChanged) {
  leave_part(100'000, "\"v0\"");
  server_.serve("/model.gguf", body_, "\"v1\"");  // If-Range does not fit: the whole file
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, BeginsAnewWhereAServerSendsTheRestOfAnotherFile) {
  leave_part(100'000, "\"v0\"");
  server_.on("/model.gguf", [this](const Request& request, Reply& reply) {
    if (request.offset() == 0) return reply.whole(200, {"ETag: \"v1\""}, body_);
    reply.whole(206, {"ETag: \"v1\"", "Content-Range: bytes 100000-299999/" + std::to_string(body_.size())},
                std::string(body_.size() - 100'000, 'x'));
  });
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, BeginsAnewWhereARangeIsNotTheOneAskedFor) {
  leave_part(100'000);
  server_.on("/model.gguf", [this](const Request& request, Reply& reply) {
    if (request.offset() == 0) return reply.whole(200, {"ETag: \"v1\""}, body_);
    reply.whole(206, {"ETag: \"v1\"", "Content-Range: bytes 5-299999/" + std::to_string(body_.size())},
                body_.substr(5));
  });
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, BeginsAnewWhereTheRangeIsRefused) {
  leave_part(100'000);
  server_.on("/model.gguf", [this](const Request& request, Reply& reply) {
    if (request.offset() > 0) return reply.whole(416, {}, "");
    reply.whole(200, {}, body_);
  });
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, NeverGoesOnWithWhatNobodyCanProve) {
  leave_part(100'000, "W/\"weak\"");
  server_.serve("/model.gguf", body_);
  expect_whole(download(what(), options_));
  EXPECT_EQ(server_.requests().back().header("range"), "");
}

TEST_F(DownloadTest, NeverGoesOnWithAnotherAddressesPart) {
  leave_part(100'000);
  server_.serve("/other.gguf", body_);
  expect_whole(download(what("/other.gguf"), options_));
  EXPECT_EQ(server_.requests().back().header("range"), "");
}

TEST_F(DownloadTest, ADamagedNoteAboutThePartMeansANewBeginning) {
  leave_part(100'000);
  write_text(part().string() + ".json", "{\"url\": [");
  server_.serve("/model.gguf", body_);
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, NeverWritesThroughASymbolicLink) {
  write_text(folder() / "precious", "precious");
  fs::create_symlink(folder() / "precious", part());
  server_.serve("/model.gguf", body_);
  expect_error(download(what(), options_), ErrorCode::kIo);
  EXPECT_EQ(read_text(folder() / "precious"), "precious");
}

TEST_F(DownloadTest, AWholePartIsOnlyChecked) {
  leave_part(100'000);
  write_text(part(), body_);
  Download one = what();
  one.sha256 = sha256_;
  one.n_bytes = body_.size();
  const size_t before = server_.requests().size();
  expect_whole(download(one, options_));
  EXPECT_EQ(server_.requests().size(), before);
}

TEST_F(DownloadTest, GivesUpOnAServerThatStalls) {
  server_.on("/model.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {"ETag: \"v1\"", "Content-Length: " + std::to_string(body_.size())});
    reply.send(body_.substr(0, 100'000));
    reply.stall();
  });
  options_.most_tries = 1;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_THAT(expect_error(download(what(), options_), ErrorCode::kIo), HasSubstr("nothing any more"));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  EXPECT_EQ(fs::file_size(part()), 100'000U) << "what came is kept";
}

TEST_F(DownloadTest, GivesUpOnAServerThatDrips) {
  server_.on("/model.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {"Content-Length: " + std::to_string(body_.size())});
    for (int i = 0; i < 40; ++i) {
      reply.send(body_.substr(static_cast<size_t>(i), 1));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  options_.most_tries = 1;
  expect_error(download(what(), options_), ErrorCode::kIo);
}

TEST_F(DownloadTest, GivesUpOnAServerThatNeverAnswers) {
  server_.on("/model.gguf", [](const Request&, Reply& reply) { reply.stall(); });
  options_.most_tries = 1;
  expect_error(download(what(), options_), ErrorCode::kIo);
}

TEST_F(DownloadTest, SaysWhereAFileEndsBeforeItsEnd) {
  server_.on("/model.gguf", [this](const Request& request, Reply& reply) {
    reply.head(200, {"Content-Length: " + std::to_string(body_.size())});
    if (request.offset() == 0) reply.send(body_.substr(0, 50'000));
  });
  EXPECT_THAT(expect_error(download(what(), options_), ErrorCode::kIo), HasSubstr("before its end"));
  EXPECT_EQ(server_.requests().size(), 3U) << "it was tried again";
}

TEST_F(DownloadTest, RefusesALengthThatIsNotTheAnnouncedOne) {
  server_.serve("/model.gguf", body_);
  for (const uint64_t announced : {body_.size() - 1, body_.size() + 1}) {
    Download one = what();
    one.n_bytes = announced;
    EXPECT_THAT(expect_error(download(one, options_), ErrorCode::kMismatch), HasSubstr(std::to_string(body_.size())));
  }
}

TEST_F(DownloadTest, RefusesMoreThanWasAnnounced) {
  server_.on("/model.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {});  // no length: it could go on for ever
    reply.send(body_);
  });
  Download one = what();
  one.n_bytes = body_.size() - 1000;
  EXPECT_THAT(expect_error(download(one, options_), ErrorCode::kMismatch), HasSubstr("more than"));
  EXPECT_FALSE(fs::exists(part())) << "else its beginning would be taken for the whole the next time";
}

TEST_F(DownloadTest, ReadsNothingBeyondTheStatedLength) {
  server_.on("/model.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {"Content-Length: 1000"});
    reply.send(body_);
  });
  const auto result = download(what(), options_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->n_bytes, 1000U);
  EXPECT_EQ(fs::file_size(target()), 1000U);
  Download one = what();
  one.n_bytes = body_.size();
  fs::remove(target());
  expect_error(download(one, options_), ErrorCode::kMismatch);
}

TEST_F(DownloadTest, RefusesAFileOfAnotherSum) {
  server_.serve("/model.gguf", body_);
  Download one = what();
  one.sha256 = std::string(64, 'a');
  EXPECT_THAT(expect_error(download(one, options_), ErrorCode::kMismatch), HasSubstr(sha256_));
  EXPECT_FALSE(fs::exists(part()));
}

TEST_F(DownloadTest, RefusesAPageInTheFilesPlace) {
  server_.on("/model.gguf", [](const Request&, Reply& reply) {
    reply.whole(200, {"Content-Type: text/html"}, "<html>please log in</html>");
  });
  Download one = what();
  one.first_bytes = "GGUF";
  EXPECT_THAT(expect_error(download(one, options_), ErrorCode::kInvalidFile), HasSubstr("GGUF"));
}

TEST_F(DownloadTest, RefusesAnEncodingThatNobodyAskedFor) {
  server_.on("/model.gguf",
             [this](const Request&, Reply& reply) { reply.whole(200, {"Content-Encoding: gzip"}, body_); });
  EXPECT_THAT(expect_error(download(what(), options_), ErrorCode::kUnsupported), HasSubstr("gzip"));
}

TEST_F(DownloadTest, FollowsARedirect) {
  server_.redirect("/model.gguf", "/there/file?x=1", 307);
  server_.serve("/there/file", body_);
  expect_whole(download(what(), options_));
}

TEST_F(DownloadTest, DoesNotFollowRedirectsForEver) {
  server_.redirect("/model.gguf", "/other");
  server_.redirect("/other", server_.address("/model.gguf"));
  EXPECT_THAT(expect_error(download(what(), options_), ErrorCode::kIo), HasSubstr("leads on and on"));
  EXPECT_EQ(server_.requests().size(), 11U);
}

TEST_F(DownloadTest, RefusesRedirectsToWhatIsNotTheWeb) {
  for (const char* to : {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"}) {
    server_.redirect("/model.gguf", to);
    expect_error(download(what(), options_), ErrorCode::kInvalidArgument);
  }
}

TEST_F(DownloadTest, SendsATokenToItsOriginOnly) {
  LoopbackServer other;  // another port is another origin
  other.serve("/file", body_);
  server_.redirect("/model.gguf", "/again");
  server_.redirect("/again", other.address("/file"));
  Download one = what();
  one.request.bearer_token = "secret";
  expect_whole(download(one, options_));
  EXPECT_EQ(server_.requests("/model.gguf").front().header("authorization"), "Bearer secret");
  EXPECT_EQ(server_.requests("/again").front().header("authorization"), "Bearer secret");
  ASSERT_EQ(other.requests().size(), 1U);
  EXPECT_EQ(other.requests().front().header("authorization"), "");
  // The same server under another name, too.
  server_.redirect("/again", server_.address("/file", "localhost"));
  server_.serve("/file", body_);
  expect_whole(download(one, options_));
  EXPECT_EQ(server_.requests("/file").front().header("authorization"), "");
}

TEST_F(DownloadTest, SaysWhatAStatusMeans) {
  const std::pair<int, ErrorCode> statuses[] = {{401, ErrorCode::kUnsupported},
                                                {403, ErrorCode::kUnsupported},
                                                {404, ErrorCode::kNotFound},
                                                {410, ErrorCode::kNotFound},
                                                {418, ErrorCode::kIo}};
  for (const auto& [status, code] : statuses) {
    server_.on("/model.gguf", [status = status](const Request&, Reply& reply) { reply.whole(status, {}, "no"); });
    const size_t before = server_.requests().size();
    EXPECT_THAT(expect_error(download(what(), options_), code), HasSubstr(std::to_string(status)));
    EXPECT_EQ(server_.requests().size(), before + 1) << "it will not pass: " << status;
  }
}

TEST_F(DownloadTest, TriesAgainWhereAServerIsBusy) {
  int n = 0;
  server_.on("/model.gguf", [&, this](const Request& request, Reply& reply) {
    if (++n < 3) return reply.whole(n == 1 ? 503 : 429, {"Retry-After: 0"}, "later");
    reply.file(request, body_, "\"v1\"");
  });
  expect_whole(download(what(), options_));
  server_.on("/model.gguf", [](const Request&, Reply& reply) { reply.whole(500, {}, "never"); });
  fs::remove(target());
  const size_t before = server_.requests().size();
  EXPECT_THAT(expect_error(download(what(), options_), ErrorCode::kIo), HasSubstr("500"));
  EXPECT_EQ(server_.requests().size(), before + 3);
}

TEST_F(DownloadTest, NamesAServerThatIsNotThere) {
  Download one = what();
  one.request.address = WebAddress::parse("http://127.0.0.1:1/model.gguf").value();
  EXPECT_THAT(expect_error(download(one, options_), ErrorCode::kIo), HasSubstr("127.0.0.1:1/model.gguf"));
}

TEST_F(DownloadTest, StopsWhenCancelledAndGoesOnLater) {
  server_.on("/model.gguf", [this](const Request&, Reply& reply) {
    reply.head(200, {"ETag: \"v1\"", "Content-Length: " + std::to_string(body_.size())});
    reply.send(body_.substr(0, 120'000));
    reply.stall();
  });
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  options_.patience.stall_time = std::chrono::seconds(30);
  options_.progress = [&](FetchStage, uint64_t done, uint64_t) {
    if (done == 120'000) cancel = true;
  };
  const auto begun = std::chrono::steady_clock::now();
  expect_error(download(what(), options_), ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  EXPECT_EQ(bytes_there(target()), 120'000U);
  cancel = false;
  options_.progress = {};
  server_.serve("/model.gguf", body_);
  expect_whole(download(what(), options_));
  EXPECT_EQ(server_.requests().back().offset(), 120'000U);
}

TEST_F(DownloadTest, CanBeCancelledWhileItWaits) {
  server_.on("/model.gguf", [](const Request&, Reply& reply) { reply.whole(503, {"Retry-After: 60"}, ""); });
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  std::thread later([&] {
    while (server_.requests().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel = true;
  });
  const auto begun = std::chrono::steady_clock::now();
  expect_error(download(what(), options_), ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  later.join();
}

TEST_F(DownloadTest, AsksForRoomFirst) {
  server_.on("/model.gguf", [](const Request&, Reply& reply) {
    reply.head(200, {"Content-Length: 1000000000000000000"});
    reply.send("GGUF");
    reply.stall();
  });
  EXPECT_THAT(expect_error(download(what(), options_), ErrorCode::kIo), HasSubstr("free space"));
}

TEST(WebAddress, IsTakenApart) {
  const WebAddress address = WebAddress::parse("https://me:pass@Example.ORG:8443/a/b%20c.gguf?sig=x#f").value();
  EXPECT_EQ(address.host(), "example.org");
  EXPECT_EQ(address.file_name(), "b c.gguf");
  EXPECT_EQ(address.shown(), "https://example.org:8443/a/b%20c.gguf");
  EXPECT_EQ(address.without_user().text(), "https://Example.ORG:8443/a/b%20c.gguf?sig=x");
  EXPECT_EQ(address.with_file_name("d e.gguf").path(), "/a/d%20e.gguf");
  EXPECT_TRUE(WebAddress::parse("http://a/x").value().same_origin(WebAddress::parse("http://A:80/y").value()));
  EXPECT_FALSE(WebAddress::parse("http://a/x").value().same_origin(WebAddress::parse("https://a/x").value()));
  EXPECT_EQ(address.resolve("../y").value().shown(), "https://example.org:8443/y");
  for (const char* bad : {"", "ftp://a/b", "file:///x", "model.gguf", "hf:a/b", "http://", "https:// a/"}) {
    EXPECT_FALSE(WebAddress::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace orrery
