// Holds every #include below the layers against the order of the layers:
//
//   kernels <- engine <- probes <- { sessions | views } <- app
//
// An arrow points at what may be included. Sessions and views do not see each other, so that a live run and a replay
// look the same by construction and a session replays without a window; nothing outside app/window knows Qt or GL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace orrery {
namespace {

// What a folder's files may include: their own folder, other folders or single files of the repository, and libraries.
// The rule with the longest folder that fits a file is the one that counts.
struct Rule {
  std::string_view folder;
  std::vector<std::string_view> repository;
  std::vector<std::string_view> libraries;
};

const std::vector<Rule>& rules() {
  static const std::vector<Rule> kRules = {
      {"kernels", {}, {"std", "system", "highway"}},
      {"kernels/cuda", {"kernels"}, {"std", "system", "cuda", "cublas", "boost context", "sanitizer"}},
      {"engine", {"kernels"}, {"std", "system", "json", "pcre2", "onig", "icu"}},
      {"probes", {"engine/probe_plan.h", "engine/config.h", "kernels"}, {"std"}},
      {"sessions", {"probes", "kernels/base"}, {"std", "system", "sqlite", "zstd", "json"}},
      {"views", {"probes", "kernels/base"}, {"std", "imgui", "stb", "json"}},
      {"app",
       {"kernels", "engine", "probes", "sessions", "views"},
       {"std", "system", "json", "imgui", "cli", "generated"}},
      {"app/library", {"kernels/base"}, {"std", "system", "json", "curl", "zip", "hash"}},
      {"app/window",
       {"kernels", "engine", "probes", "sessions", "views", "app"},
       {"std", "system", "json", "imgui", "imgui opengl", "qt", "opengl"}},
  };
  return kRules;
}

// How a header's name tells its library; the first that fits counts.
struct Library {
  std::string_view name;
  std::string_view headers;  // regular expression for the whole name
};

constexpr Library kLibraries[] = {
    {"std", "[a-z_]+"},
    {"highway", "hwy/.*"},
    {"cuda", "cuda_(runtime|fp16)\\.h"},
    {"cublas", "cublas_v2\\.h"},
    {"boost context", "boost/context/.*"},
    {"sanitizer", "sanitizer/.*"},
    {"json", "nlohmann/.*"},
    {"pcre2", "pcre2\\.h"},
    {"onig", "oniguruma\\.h"},
    {"icu", "unicode/.*"},
    {"sqlite", "sqlite3\\.h"},
    {"zstd", "zstd(_errors)?\\.h"},
    {"imgui opengl", "(.*/)?imgui_impl_.*"},
    {"imgui", "(imgui/)?(imgui|imconfig|imstb_).*\\.h"},
    {"stb", "stb_[a-z_]+\\.h"},
    {"cli", "CLI/.*"},
    {"curl", "curl/.*"},
    {"zip", "zip\\.h"},
    {"hash", "openssl/(evp|sha)\\.h"},
    {"generated", "orrery_[a-z]+\\.h"},  // written by the build
    {"qt", "(Qt[A-Za-z]*/)?(Q[A-Za-z0-9]+|q[a-z]+\\.h)"},
    {"opengl", "GL/.*"},
    // POSIX, Linux and the compiler's intrinsics.
    {"system",
     "(sys|linux)/.*|(immintrin|x86intrin|cpuid|unistd|fcntl|poll|signal|spawn|pthread|sched|dirent|pwd|"
     "errno|stdlib|time|dlfcn)\\.h"},
};

constexpr std::string_view kLayers[] = {"kernels", "engine", "probes", "sessions", "views", "app"};

bool is_below(std::string_view path, std::string_view folder) {
  return path == folder || (path.starts_with(folder) && path.substr(folder.size()).starts_with('/'));
}

const Rule* rule_of(std::string_view file) {
  const Rule* best = nullptr;
  for (const Rule& rule : rules()) {
    if (is_below(file, rule.folder) && (best == nullptr || rule.folder.size() > best->folder.size())) best = &rule;
  }
  return best;
}

bool is_of_repository(std::string_view included) {
  const std::string_view first = included.substr(0, included.find('/'));
  return included.find('/') != std::string_view::npos &&
         (first == "tests" || std::find(std::begin(kLayers), std::end(kLayers), first) != std::end(kLayers));
}

std::string_view library_of(std::string_view included) {
  for (const Library& library : kLibraries) {
    if (std::regex_match(included.begin(), included.end(), std::regex(std::string(library.headers)))) {
      return library.name;
    }
  }
  return "";
}

// Why `file`, governed by `rule`, may not include `included`; empty when it may.
std::string objection(const Rule& rule, std::string_view included) {
  const auto contains = [](const std::vector<std::string_view>& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  if (is_of_repository(included)) {
    const bool allowed = is_below(included, rule.folder) ||
                         std::any_of(rule.repository.begin(), rule.repository.end(),
                                     [&](std::string_view folder) { return is_below(included, folder); });
    return allowed ? "" : std::string(rule.folder) + " may not include it";
  }
  const std::string_view library = library_of(included);
  if (library.empty()) return "neither rooted at the repository nor of a known library";
  if (!contains(rule.libraries, library)) {
    return std::string(rule.folder) + " may not use the library " + std::string(library);
  }
  return "";
}

// One line for each #include of `text` that the rules forbid: "file:line: #include NAME: why".
std::vector<std::string> violations(const std::string& file, const std::string& text) {
  static const std::regex kDirective(R"(^\s*#\s*include\b\s*(.*)$)");
  static const std::regex kName(R"(^(?:"([^"]+)\"|<([^>]+)>).*$)");
  const Rule* rule = rule_of(file);
  std::vector<std::string> found;
  if (rule == nullptr) return {file + ": no rule for its folder"};
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch directive;
    if (!std::regex_match(line, directive, kDirective)) continue;
    const std::string rest = directive[1];
    std::smatch name;
    std::string included = rest;
    std::string why = "names no file";
    if (std::regex_match(rest, name, kName)) {
      included = name[1].matched ? name[1] : name[2];
      why = objection(*rule, included);
    }
    if (!why.empty()) found.push_back(file + ":" + std::to_string(number) + ": #include " + included + ": " + why);
  }
  return found;
}

std::vector<std::filesystem::path> source_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    static const std::vector<std::string> kEndings = {".h", ".hpp", ".cpp", ".cc", ".c", ".inc", ".inl", ".cu", ".cuh"};
    const std::string ending = entry.path().extension();
    if (entry.is_regular_file() && std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end()) {
      files.push_back(entry.path());
    }
  }
  return files;
}

class Layering : public testing::TestWithParam<std::string_view> {};

TEST_P(Layering, EveryIncludeIsAllowed) {
  const std::filesystem::path root = ORRERY_SOURCE_DIR;
  const auto files = source_files(root / GetParam());
  ASSERT_FALSE(files.empty()) << "no source file below " << GetParam();
  for (const auto& file : files) {
    std::ifstream stream(file);
    ASSERT_TRUE(stream) << file;
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    for (const std::string& line : violations(std::filesystem::relative(file, root), text)) ADD_FAILURE() << line;
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, Layering, testing::ValuesIn(kLayers),
                         [](const auto& layer) { return std::string(layer.param); });

struct Case {
  std::string file;
  std::string include;
};

TEST(LayeringRules, FindWhatIsForbidden) {
  const Case forbidden[] = {
      {"kernels/a.cpp", "\"engine/model.h\""},
      {"kernels/a.cpp", "<nlohmann/json.hpp>"},
      {"kernels/a.cpp", "<cuda_runtime.h>"},
      {"kernels/cuda/a.cu", "\"engine/backend.h\""},
      {"engine/cuda_backend.cpp", "<cuda_runtime.h>"},
      {"engine/cuda_backend.cpp", "<cublas_v2.h>"},
      {"engine/a.cpp", "\"probes/frame.h\""},
      {"engine/models/a.cpp", "<sqlite3.h>"},
      {"probes/a.cpp", "\"engine/model.h\""},
      {"probes/a.cpp", "\"engine/probe_plan.hpp\""},
      {"probes/a.cpp", "<sys/mman.h>"},
      {"sessions/a.cpp", "\"views/view.h\""},
      {"sessions/a.cpp", "\"engine/config.h\""},
      {"sessions/a.cpp", "\"kernels/softmax.h\""},
      {"views/a.cpp", "\"sessions/replay.h\""},
      {"views/a.cpp", "\"engine/config.h\""},
      {"views/a.cpp", "<QWidget>"},
      {"views/a.cpp", "<backends/imgui_impl_opengl3.h>"},
      {"app/run_loop.cpp", "<QtCore/QObject>"},
      {"app/run_loop.cpp", "<GL/gl.h>"},
      {"app/commands/run.cpp", "<sqlite3.h>"},
      {"app/library/a.cpp", "\"engine/model.h\""},
      {"app/library/a.cpp", "\"app/window/settings.h\""},
      {"app/library/a.cpp", "<openssl/ssl.h>"},
      {"app/window/a.cpp", "<zip.h>"},
      {"app/a.cpp", "\"tests/support/npy.h\""},
      {"engine/a.cpp", "\"model.h\""},
      {"engine/a.cpp", "\"../kernels/softmax.h\""},
      {"engine/a.cpp", "<boost/context/fiber.hpp>"},
      {"engine/a.cpp", "SOME_MACRO"},
  };
  for (const Case& bad : forbidden) {
    EXPECT_EQ(violations(bad.file, "#pragma once\n  #  include " + bad.include + "  // why\n").size(), 1U)
        << bad.file << " " << bad.include;
  }
}

TEST(LayeringRules, PassWhatIsAllowed) {
  const Case allowed[] = {
      {"kernels/a.cpp", "\"kernels/base/result.h\""},
      {"kernels/a.cpp", "\"hwy/highway.h\""},
      {"kernels/a.cpp", "<immintrin.h>"},
      {"kernels/cuda/a.cu", "\"kernels/attention.h\""},
      {"kernels/cuda/a.cpp", "<boost/context/fiber.hpp>"},
      {"engine/a.cpp", "\"kernels/cuda/device.h\""},
      {"engine/formats/a.cpp", "<sys/mman.h>"},
      {"engine/tokenizers/a.cpp", "<pcre2.h>"},
      {"probes/a.cpp", "\"engine/probe_plan.h\""},
      {"probes/a.cpp", "\"kernels/row_norm.h\""},
      {"sessions/a.cpp", "\"probes/frame.h\""},
      {"sessions/a.cpp", "\"kernels/base/result.h\""},
      {"views/a.cpp", "<imgui.h>"},
      {"views/a.cpp", "<string_view>"},
      {"app/commands/a.cpp", "\"views/scene.h\""},
      {"app/library/a.cpp", "<openssl/evp.h>"},
      {"app/window/a.cpp", "<QOpenGLWidget>"},
      {"app/window/a.cpp", "<imgui_impl_opengl3.h>"},
  };
  for (const Case& good : allowed) {
    EXPECT_THAT(violations(good.file, "#include " + good.include + "\n"), testing::IsEmpty());
  }
}

TEST(LayeringRules, NameFileLineAndReason) {
  EXPECT_THAT(violations("views/a.cpp", "#include <string>\n\n#include \"sessions/replay.h\"\n"),
              testing::ElementsAre("views/a.cpp:3: #include sessions/replay.h: views may not include it"));
}

TEST(LayeringRules, LeaveCommentsAlone) {
  EXPECT_THAT(violations("views/a.cpp", "// #include \"sessions/replay.h\"\n"), testing::IsEmpty());
}

}  // namespace
}  // namespace orrery
