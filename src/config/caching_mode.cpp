// A key that means nothing in a route's mode is refused, never passed over: whoever wrote it
// expects something of it. What is set for the whole program is there for other routes.
#include "config/caching_mode.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/ascii.h"
#include "base/suggest.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

constexpr std::uint64_t kMostVariants = 1024;
constexpr std::size_t kMostTargeted = 16;

struct KeyOfMode {
  std::string_view key;
  RouteConfig::Mode mode;
  std::string_view instead;  // what to do in the other one
};
constexpr std::string_view kMaxAge =
    "here the upstream states how long an answer is fresh; expected no such line, and there "
    "Cache-Control: max-age, or a field of targeted for this cache alone";
constexpr std::string_view kHttpAlone = "expected no such line, or mode = \"rfc9111\"";
constexpr std::array kKeysOfModes = {
    KeyOfMode{"cache_ttl", RouteConfig::Mode::Resilient, kMaxAge},
    KeyOfMode{"cache_ttl_override", RouteConfig::Mode::Resilient, kMaxAge},
    KeyOfMode{"negative_ttl", RouteConfig::Mode::Resilient, kMaxAge},
    KeyOfMode{"ttl_by_status", RouteConfig::Mode::Resilient, kMaxAge},
    KeyOfMode{"stale_while_revalidate", RouteConfig::Mode::Resilient,
              "here the upstream states it; expected no such line, and there Cache-Control: "
              "stale-while-revalidate"},
    KeyOfMode{
        "batch", RouteConfig::Mode::Resilient,
        "an array is made of answers that were found right, not of what each upstream states; "
        "expected no such line, or mode = \"resilient\""},
    KeyOfMode{"client_errors", RouteConfig::Mode::Resilient,
              "here every status reaches the client as it came; expected no such line"},
    KeyOfMode{"max_variants", RouteConfig::Mode::Rfc9111, kHttpAlone},
    KeyOfMode{"vary_normalise", RouteConfig::Mode::Rfc9111, kHttpAlone},
    KeyOfMode{"ranges", RouteConfig::Mode::Rfc9111, kHttpAlone},
    KeyOfMode{"transfer_coding", RouteConfig::Mode::Rfc9111, kHttpAlone},
    KeyOfMode{"targeted", RouteConfig::Mode::Rfc9111, kHttpAlone},
};

void read_strictness(SectionReader& r, const std::string& key, const FileValue& value,
                     bool& lenient) {
  std::string word;
  if (!r.text(key, value, word)) return;
  if (word == "strict" || word == "lenient") {
    lenient = word == "lenient";
    return;
  }
  r.wrong(value.line, key, shown_in_error(word) + ": expected one of \"strict\", \"lenient\"");
}

}  // namespace

bool counts_in(RouteConfig::Mode mode, std::string_view key) {
  return std::none_of(kKeysOfModes.begin(), kKeysOfModes.end(),
                      [&](const KeyOfMode& one) { return one.key == key && one.mode != mode; });
}

void read_mode(SectionReader& r, const FileValue& value, RouteConfig& route) {
  std::string mode;
  if (!r.text("mode", value, mode)) return;
  if (mode == "resilient") return;
  if (mode != "rfc9111") {
    return r.wrong(value.line, "mode",
                   shown_in_error(mode) + ": expected one of \"resilient\", \"rfc9111\"");
  }
  route.mode = RouteConfig::Mode::Rfc9111;
  route.validate.json = false;
}

void read_max_variants(SectionReader& r, const FileValue& value, RouteConfig& route) {
  if (const auto n = r.count("max_variants", value, 1, kMostVariants)) {
    route.http.max_variants = static_cast<unsigned>(*n);
  }
}

void read_vary_normalise(SectionReader& r, const FileValue& value, RouteConfig& route) {
  const std::string key = "vary_normalise";
  const std::vector<std::string> known = {"accept-language", "accept-encoding"};
  for (SectionReader::Element& field :
       r.list(key, value, "an array as [\"accept-language\", \"accept-encoding\"]", true)) {
    std::string name = std::move(field.text);
    std::transform(name.begin(), name.end(), name.begin(), base::ascii_lower);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      const std::string near = base::nearest(name, known);
      return r.wrong(
          field.line, key,
          shown_in_error(name) +
              (near.empty() ? ": expected \"accept-language\" or \"accept-encoding\", as others "
                              "are no lists of preferences"
                            : " is not known" + did_you_mean(near)));
    }
    route.http.vary_normalise.push_back(std::move(name));
  }
}

void read_ranges(SectionReader& r, const FileValue& value, RouteConfig& route) {
  read_strictness(r, "ranges", value, route.http.lenient_ranges);
}

void read_transfer_coding(SectionReader& r, const FileValue& value, RouteConfig& route) {
  read_strictness(r, "transfer_coding", value, route.http.lenient_transfer_coding);
}

void read_targeted(SectionReader& r, const FileValue& value, RouteConfig& route) {
  const std::string key = "targeted";
  std::vector<std::string> names;
  for (SectionReader::Element& field :
       r.list(key, value, "an array of field names, as [\"CDN-Cache-Control\"]", true)) {
    std::string_view objection;
    if (!is_token(field.text)) {
      objection = " is no field's name; expected one such as \"CDN-Cache-Control\"";
    } else if (same_field(field.text, "Cache-Control") || same_field(field.text, "Expires")) {
      objection = " is what these stand in for; expected any other field";
    } else if (is_framing_field(field.text)) {
      objection = " belongs to the connection; expected any other field";
    } else if (names.size() == kMostTargeted) {
      objection = " is one more than 16; expected at most that";
    }
    if (!objection.empty()) {
      return r.wrong(field.line, key, shown_in_error(field.text) + std::string(objection));
    }
    names.push_back(std::move(field.text));
  }
  route.http.targeted = std::move(names);
}

void check_mode(SectionReader& r, const RouteConfig& route) {
  const char* const other = route.mode == RouteConfig::Mode::Rfc9111 ? "resilient" : "rfc9111";
  for (const KeyOfMode& one : kKeysOfModes) {
    const auto line = r.place().lines.find(one.key);
    if (one.mode == route.mode || line == r.place().lines.end()) continue;
    r.wrong(line->second, one.key,
            std::string("is a key of mode = \"") + other + "\": " + std::string(one.instead));
  }
}

}  // namespace holdfast::config
