#include "fleet/link.h"

#include <algorithm>
#include <array>

namespace holdfast::fleet {

std::string_view error_class(std::string_view text) {
  struct Class {
    std::string_view word;
    std::string_view name;
  };
  static constexpr std::array<Class, 15> kClasses{{
      {"OOM", "oom"},
      {"LOADING", "loading"},
      {"READONLY", "readonly"},
      {"MISCONF", "misconf"},
      {"NOAUTH", "noauth"},
      {"WRONGPASS", "noauth"},
      {"NOPERM", "noperm"},
      {"MOVED", "moved"},
      {"ASK", "moved"},
      {"CLUSTERDOWN", "moved"},
      {"CROSSSLOT", "moved"},
      {"WRONGTYPE", "wrongtype"},
      {"BUSY", "busy"},
      {"TRYAGAIN", "busy"},
      {"MASTERDOWN", "readonly"},
  }};
  const std::string_view word = text.substr(0, text.find(' '));
  const auto* const found = std::find_if(kClasses.begin(), kClasses.end(),
                                         [&](const Class& entry) { return entry.word == word; });
  return found == kClasses.end() ? "other" : found->name;
}

}  // namespace holdfast::fleet
