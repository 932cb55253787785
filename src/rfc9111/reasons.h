// Why something is not stored, not shared or not reused: one fixed list of words. Cache-Status, the
// log and `holdfast explain` say these and no others, and the manual, holdfast(8), has the same
// table, which a test compares. A word once released stays. Pure data; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::rfc9111 {

enum class Reason : std::uint8_t {
  // What the request says.
  Method,
  ClientNoStore,
  Precondition,
  Ambiguous,
  Authorization,
  Range,
  ClientNoCache,
  ClientMaxAge,
  ClientMinFresh,
  OnlyIfCached,
  // What the answer says, or is.
  Status,
  MustUnderstand,
  NoStore,
  Private,
  SetCookie,
  VaryStar,
  NoLifetime,
  NotFresh,
  TooLarge,
  InvalidBody,
  // What came in between.
  Failed,
  Purged,
};

struct ReasonWords {
  Reason reason;
  std::string_view word;     // static, and ends with a NUL
  std::string_view meaning;  // for people
};

inline constexpr std::array kReasons{
    ReasonWords{Reason::Method, "method",
                "not a GET, nor a POST whose answer says that it is one to a GET (RFC 9110, 9.3)"},
    ReasonWords{Reason::ClientNoStore, "client-no-store",
                "the request says no-store: passed through (RFC 9111, 5.2.1.5)"},
    ReasonWords{Reason::Precondition, "precondition",
                "the request has If-Match or If-Unmodified-Since: passed through, as the upstream "
                "judges those (RFC 9110, 13.1)"},
    ReasonWords{Reason::Ambiguous, "ambiguous",
                "a field's name in the request has a _, which some upstreams read as a -: nobody "
                "else gets what it brings"},
    ReasonWords{Reason::Authorization, "authorization",
                "the request has an Authorization, and only an answer with public, s-maxage or "
                "must-revalidate may be shared (RFC 9111, 3.5)"},
    ReasonWords{Reason::Range, "range",
                "the request asks for a part: kept as one, and only where nothing whole is "
                "(RFC 9111, 3.3)"},
    ReasonWords{Reason::ClientNoCache, "client-no-cache",
                "the request says no-cache: the upstream is asked before anything stored answers "
                "(RFC 9111, 5.2.1.4)"},
    ReasonWords{Reason::ClientMaxAge, "client-max-age",
                "the request takes nothing that is older than its max-age, or stale "
                "(RFC 9111, 5.2.1.1)"},
    ReasonWords{Reason::ClientMinFresh, "client-min-fresh",
                "the request takes nothing that is fresh for less than its min-fresh "
                "(RFC 9111, 5.2.1.3)"},
    ReasonWords{Reason::OnlyIfCached, "only-if-cached",
                "the request takes what is usable at once, or 504 (RFC 9111, 5.2.1.7)"},
    ReasonWords{Reason::Status, "status",
                "not one whose answers are kept: an interim one, a 304, an error where nothing "
                "lets it be kept, none that HTTP knows; in mode resilient all but 200, 203, 404 "
                "and 410"},
    ReasonWords{Reason::MustUnderstand, "must-understand",
                "the answer says so, and what its status asks of caches is not known here "
                "(RFC 9111, 5.2.2.3)"},
    ReasonWords{Reason::NoStore, "no-store", "the answer says so (RFC 9111, 5.2.2.5)"},
    ReasonWords{Reason::Private, "private",
                "the answer is for the one who asked (RFC 9111, 5.2.2.7)"},
    ReasonWords{Reason::SetCookie, "set-cookie",
                "the answer has one, and the route passes those on"},
    ReasonWords{Reason::VaryStar, "vary-star",
                "no later request is known to match the answer (RFC 9111, 4.1)"},
    ReasonWords{Reason::NoLifetime, "no-lifetime",
                "the answer has no lifetime, stale window or validator by which it could be reused "
                "(RFC 9111, 3)"},
    ReasonWords{Reason::NotFresh, "not-fresh",
                "the answer is kept, and to be asked for again before each use: nobody waits for "
                "another's (RFC 9111, 4)"},
    ReasonWords{Reason::TooLarge, "too-large", "the answer is longer than max_body"},
    ReasonWords{Reason::InvalidBody, "invalid-body",
                "the answer is not what validate asks for, or cannot be decoded"},
    ReasonWords{Reason::Failed, "failed",
                "the upstream failed, or did not answer, when it was asked last"},
    ReasonWords{Reason::Purged, "purged",
                "a purge came, or the route went out of service, while the answer was on its way"},
};

namespace reasons {

// Each has its place, so that a word is found by its number.
constexpr bool in_order() {
  for (std::size_t i = 0; i < kReasons.size(); ++i) {
    if (kReasons[i].reason != static_cast<Reason>(i)) return false;
  }
  return kReasons.size() == static_cast<std::size_t>(Reason::Purged) + 1;
}
static_assert(in_order());

}  // namespace reasons

constexpr std::string_view word(Reason reason) {
  return kReasons[static_cast<std::size_t>(reason)].word;
}
constexpr std::string_view meaning(Reason reason) {
  return kReasons[static_cast<std::size_t>(reason)].meaning;
}
// Of a word of the list; empty: it is none.
constexpr std::string_view meaning(std::string_view word) {
  for (const ReasonWords& one : kReasons) {
    if (one.word == word) return one.meaning;
  }
  return {};
}

}  // namespace holdfast::rfc9111
