// GET /search?q=TEXT[&page=N], or POST of q=TEXT[&page=N] as a form: a page of results, the path of
// the next one, and a word in the language that Accept-Language prefers among en, de and fr. There
// are as many pages as the text has luck for, nine at most.
#include <algorithm>
#include <array>

#include "api.h"
#include "text.h"

namespace holdfast::flaky {
namespace {

constexpr std::array<std::string_view, 3> kLanguages{"en", "de", "fr"};
constexpr std::array<std::string_view, 3> kHeadings{"Results", "Treffer", "Résultats"};

// The first that is known; a real service would weigh them.
std::size_t language_of(const Request& request) {
  const std::string* const field = request.field("Accept-Language");
  if (field == nullptr) return 0;
  for (const std::string_view range : split(*field, ',')) {
    const auto found = std::find(kLanguages.begin(), kLanguages.end(), trim(range).substr(0, 2));
    if (found != kLanguages.end()) return static_cast<std::size_t>(found - kLanguages.begin());
  }
  return 0;
}

std::string in_query(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain) {
      out += c;
    } else {
      out.append("%").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
  }
  return out;
}

std::string results(const std::string& text, std::uint64_t page, std::size_t language,
                    std::uint64_t edition) {
  const std::uint64_t luck = number_of(text, edition);
  const std::uint64_t pages = 1 + luck % 9;
  std::string list = "[";
  for (std::uint64_t i = 0; page <= pages && i < 3; ++i) {
    std::string result;
    append_raw_member(result, "id", std::to_string(luck % 100000 * 100 + page * 10 + i));
    append_member(result, "title", text + " #" + std::to_string((page - 1) * 3 + i + 1));
    list += (i == 0 ? "" : ",") + result;
  }
  std::string next = "null";
  if (page < pages) {
    next.clear();
    append_json_string(next, "/search?q=" + in_query(text) + "&page=" + std::to_string(page + 1));
  }
  std::string body;
  append_member(body, "query", text);
  append_raw_member(body, "page", std::to_string(page));
  append_member(body, "language", kLanguages[language]);
  append_member(body, "heading", kHeadings[language]);
  append_raw_member(body, "results", list + "]");
  append_raw_member(body, "next", next);
  return body;
}

// The query, wherever it came.
Request with_query(const Request& request) {
  Request asked = request;
  if (request.method != "POST") return asked;
  std::string form = request.content;
  std::replace(form.begin(), form.end(), '+', ' ');
  asked.target = "/search?" + form;
  return asked;
}

class Search final : public Api {
 public:
  bool takes_post() const override { return true; }

  std::optional<ApiAnswer> answer(const Request& request, std::uint64_t edition) const override {
    if (request.path() != "/search") return std::nullopt;
    ApiAnswer answer;
    const Request asked = with_query(request);
    const std::string text = asked.parameter("q").value_or("");
    const auto page = parse_count(asked.parameter("page").value_or("1"));
    if (text.empty() || !page || *page == 0 || *page > 1000000) {
      answer.message = json_error(400, "q=TEXT, and page=N from 1 up");
      return answer;
    }
    const std::size_t language = language_of(request);
    answer.key = "/search?q=" + text + "&page=" + std::to_string(*page) + " " +
                 std::string(kLanguages[language]);
    answer.message.content = results(text, *page, language, edition);
    answer.message.fields.emplace_back("Content-Language", kLanguages[language]);
    answer.message.fields.emplace_back("Vary", "Accept-Language");
    answer.other = [=, page = *page] { return results(text + "s", page, language, edition); };
    append_member(answer.partial, "query", text);
    return answer;
  }
};

}  // namespace

std::unique_ptr<Api> make_search_api() {
  return std::make_unique<Search>();
}

}  // namespace holdfast::flaky
