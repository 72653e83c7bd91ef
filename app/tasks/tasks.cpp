#include "app/tasks/tasks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace orrery {
namespace {

// Appends text and, where it is asked for, notes it as an answer. In these four tasks every character is a token.
class LetterCase {
 public:
  explicit LetterCase(std::string_view name) {
    case_.text = std::string(name) + ":";
    n_tokens_ = 1;
  }
  size_t n_left() const { return kTaskTokens - n_tokens_; }
  void add(char c) {
    case_.text += c;
    ++n_tokens_;
  }
  void answer(char c, int32_t label) {
    case_.answers.push_back({case_.text.size(), case_.text.size() + 1, label});
    add(c);
  }
  TaskCase take() { return std::move(case_); }

 private:
  TaskCase case_;
  size_t n_tokens_ = 0;
};

char small(uint64_t i) { return static_cast<char>('a' + i); }
char capital(uint64_t i) { return static_cast<char>('A' + i); }
char lower(char c) { return static_cast<char>(c - 'A' + 'a'); }

// --- recall: keys with their values, then keys again, each followed by its value ---

constexpr std::array<int32_t, 6> kPairs{4, 8, 16, 24, 32, 36};

TaskCase make_recall(TaskRandom& random, int64_t index) {
  const int32_t n_pairs = kPairs[static_cast<size_t>(index) % kPairs.size()];
  std::vector<char> keys;
  for (uint64_t i = 0; i < 26; ++i) keys.push_back(capital(i));
  for (char digit = '0'; digit <= '9'; ++digit) keys.push_back(digit);
  random.shuffle(keys);
  keys.resize(static_cast<size_t>(n_pairs));
  std::vector<std::pair<char, char>> pairs;
  for (const char key : keys) pairs.emplace_back(key, small(random.below(26)));
  LetterCase text("recall");
  for (const auto& [key, value] : pairs) {
    text.add(key);
    text.add(value);
  }
  text.add(';');
  random.shuffle(pairs);
  for (const auto& [key, value] : pairs) {
    if (text.n_left() < 2) break;
    text.add(key);
    text.answer(value, n_pairs);
  }
  return text.take();
}

constexpr LabelRange kPairLabels[] = {{4, 4, "4 pairs"},    {8, 8, "8 pairs"},    {16, 16, "16 pairs"},
                                      {24, 24, "24 pairs"}, {32, 32, "32 pairs"}, {36, 36, "36 pairs"}};

// --- copy: letters, a bar, the letters again ---

TaskCase make_copy(TaskRandom& random, int64_t) {
  const auto n = static_cast<int32_t>(random.between(6, 40));
  std::vector<char> letters;
  for (int32_t i = 0; i < n; ++i) letters.push_back(small(random.below(26)));
  LetterCase text("copy");
  for (const char letter : letters) text.add(letter);
  text.add('|');
  for (const char letter : letters) text.answer(letter, n);
  return text.take();
}

constexpr LabelRange kLetterLabels[] = {{6, 10, "6 to 10 letters"}, {11, 20, "11 to 20"}, {21, 40, "21 to 40"}};

// --- hops: a ring of nodes as edges, then how far to go from where ---

constexpr size_t kNodes = 7;
constexpr int kQueries = 4;
constexpr int32_t kMostHops = 5;

TaskCase make_hops(TaskRandom& random, int64_t) {
  std::vector<char> letters;
  for (uint64_t i = 0; i < 26; ++i) letters.push_back(capital(i));
  random.shuffle(letters);
  LetterCase text("hops");
  for (size_t first = 0; first + kNodes <= letters.size(); first += kNodes) {
    if (text.n_left() < 2 * kNodes + 1 + 4 * kQueries) break;
    const auto node = [&](size_t i) { return letters[first + i % kNodes]; };
    std::vector<size_t> edges;
    for (size_t i = 0; i < kNodes; ++i) edges.push_back(i);
    random.shuffle(edges);
    for (const size_t i : edges) {
      text.add(node(i));
      text.add(lower(node(i + 1)));
    }
    text.add(';');
    for (int query = 0; query < kQueries; ++query) {
      const auto k = static_cast<int32_t>(random.between(1, kMostHops));
      const size_t from = random.below(kNodes);
      text.add(static_cast<char>('0' + k));
      text.add(node(from));
      text.add('=');
      text.answer(lower(node(from + static_cast<size_t>(k))), k);
    }
  }
  return text.take();
}

constexpr LabelRange kHopLabels[] = {
    {1, 1, "1 hop"}, {2, 2, "2 hops"}, {3, 3, "3 hops"}, {4, 4, "4 hops"}, {5, 5, "5 hops"}};

// --- brackets: a random walk; what closes must be of the kind that was opened ---

constexpr std::string_view kOpen = "([{", kClose = ")]}";
constexpr size_t kMostOpen = 5;

TaskCase make_brackets(TaskRandom& random, int64_t) {
  LetterCase text("brackets");
  std::vector<std::pair<size_t, size_t>> open;  // kind, place
  for (size_t place = 0; text.n_left() > 0; ++place) {
    if (open.empty() || (open.size() < kMostOpen && random.share() < 0.5)) {
      open.emplace_back(random.below(kOpen.size()), place);
      text.add(kOpen[open.back().first]);
      continue;
    }
    const auto [kind, opened] = open.back();
    open.pop_back();
    text.answer(kClose[kind], static_cast<int32_t>(place - opened));
  }
  return text.take();
}

constexpr LabelRange kDistanceLabels[] = {
    {1, 8, "1 to 8 back"}, {9, 16, "9 to 16 back"}, {17, 32, "17 to 32 back"}, {33, 96, "33 and more back"}};
constexpr std::string_view kClosing[] = {")", "]", "}"};

// --- story: sentences of a small grammar, in one of four domains ---

struct Domain {
  std::array<std::string_view, 6> nouns;
  std::array<std::string_view, 4> verbs;
  std::array<std::string_view, 4> adjectives;
  std::array<std::string_view, 2> adverbs;
};
constexpr std::array<std::string_view, 4> kDomainNames{"sea", "kitchen", "space", "music"};
constexpr std::array<Domain, 4> kDomains{{
    {{"sailor", "whale", "harbour", "anchor", "island", "storm"},
     {"follows", "crosses", "leaves", "watches"},
     {"salty", "deep", "wild", "grey"},
     {"offshore", "downwind"}},
    {{"cook", "soup", "oven", "kettle", "onion", "spoon"},
     {"stirs", "warms", "tastes", "covers"},
     {"sweet", "hot", "fresh", "sour"},
     {"slowly", "twice"}},
    {{"pilot", "comet", "planet", "rocket", "moon", "probe"},
     {"orbits", "reaches", "photographs", "passes"},
     {"distant", "silent", "frozen", "bright"},
     {"outward", "forever"}},
    {{"singer", "violin", "choir", "drum", "melody", "organ"},
     {"plays", "answers", "repeats", "leads"},
     {"soft", "loud", "quick", "low"},
     {"together", "again"}},
}};

// Writes sentences, and notes of every token how likely it was.
class Storyteller {
 public:
  Storyteller(TaskRandom& random, int32_t domain) : random_(random), words_(kDomains[static_cast<size_t>(domain)]) {
    case_.text = "story:";
    case_.domain = domain;
  }

  TaskCase tell() {
    while (!full()) sentence();
    return std::move(case_);
  }

 private:
  bool full() const { return case_.answers.size() + 1 >= kTaskTokens; }

  // A word and its probability; `of_domain`: only this domain has it.
  void say(std::string_view word, double probability, bool of_domain = false) {
    if (full()) return;
    double floor = -std::log(probability);
    // The first of them also says which of the domains it is.
    if (of_domain && !std::exchange(is_known_, true)) floor += std::log(static_cast<double>(kDomains.size()));
    const size_t begin = case_.text.size();
    if (word != ".") case_.text += ' ';
    case_.text += word;
    case_.answers.push_back({begin, case_.text.size(), case_.domain, floor});
  }
  template <size_t n>
  void say_one(const std::array<std::string_view, n>& words, double probability = 1.0) {
    say(words[random_.below(n)], probability / static_cast<double>(n), true);
  }
  void article(double probability = 1.0) { say(random_.below(2) == 0 ? "the" : "a", probability / 2); }
  void noun_phrase_rest() {
    if (random_.share() < 0.4) {
      say_one(words_.adjectives, 0.4);
      say_one(words_.nouns);
    } else {
      say_one(words_.nouns, 0.6);
    }
  }
  void noun_phrase(double probability = 1.0) {
    article(probability);
    noun_phrase_rest();
  }
  void clause_rest() {
    say_one(words_.verbs);
    noun_phrase();
  }

  void sentence() {
    if (std::exchange(is_first_, false)) {
      noun_phrase();
    } else if (random_.share() < 0.25) {
      say("then", 0.25);
      noun_phrase();
    } else {
      noun_phrase(0.75);
    }
    clause_rest();
    const double ending = random_.share();
    if (ending < 0.3) {
      say_one(words_.adverbs, 0.3);
      say(".", 1.0);
    } else if (ending < 0.4) {
      say("here", 0.1);
      say(".", 1.0);
    } else if (ending < 0.55) {
      say("and", 0.15);
      say("it", 1.0);
      clause_rest();
      say(".", 1.0);
    } else {
      say(".", 0.45);
    }
  }

  TaskRandom& random_;
  const Domain& words_;
  TaskCase case_;
  bool is_known_ = false;
  bool is_first_ = true;
};

TaskCase make_story(TaskRandom& random, int64_t index) {
  return Storyteller(random, static_cast<int32_t>(index % static_cast<int64_t>(kDomains.size()))).tell();
}

constexpr LabelRange kDomainLabels[] = {{0, 0, "sea"}, {1, 1, "kitchen"}, {2, 2, "space"}, {3, 3, "music"}};

constexpr Task kTasks[] = {
    {.name = "recall",
     .summary = "which value stood behind a key",
     .make = make_recall,
     .labels = kPairLabels,
     .choices = {}},
    {.name = "copy", .summary = "letters again, in order", .make = make_copy, .labels = kLetterLabels, .choices = {}},
    {.name = "hops",
     .summary = "where a number of steps leads on a ring of nodes",
     .make = make_hops,
     .labels = kHopLabels,
     .choices = {}},
    {.name = "brackets",
     .summary = "which kind of bracket closes",
     .make = make_brackets,
     .labels = kDistanceLabels,
     .choices = kClosing},
    {.name = "story",
     .summary = "sentences of four domains, in nats a token",
     .make = make_story,
     .labels = kDomainLabels,
     .choices = {},
     .is_text = true},
};

}  // namespace

std::span<const Task> all_tasks() { return kTasks; }

Result<const Task*> find_task(std::string_view name) {
  std::string names;
  for (const Task& task : kTasks) {
    if (task.name == name) return &task;
    names += (names.empty() ? "" : ", ") + std::string(task.name);
  }
  return Error{ErrorCode::kInvalidArgument,
               "There is no task of this name; there are " + names + ": " + std::string(name)};
}

std::span<const std::string_view> story_domains() { return kDomainNames; }

}  // namespace orrery
