#include "proxy/response_fields.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <system_error>

#include "rfc9111/reasons.h"

namespace holdfast::proxy {
namespace {

// Of a byte its hex digits, the lower first.
constexpr std::array<std::array<char, 2>, 256> kHexPairs = [] {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kHex[i & 15], kHex[i >> 4]};
  return pairs;
}();

// What is said of every answer, put together here, as a string takes longer for each piece.
class Pieces {
 public:
  Pieces& operator+=(std::string_view text) {
    assert(text.size() <= text_.size() - size_);
    std::memcpy(text_.data() + size_, text.data(), text.size());
    size_ += text.size();
    return *this;
  }
  Pieces& operator+=(std::int64_t number) {
    [[maybe_unused]] const auto [end, error] =
        std::to_chars(text_.data() + size_, text_.data() + text_.size(), number);
    assert(error == std::errc());
    size_ = static_cast<std::size_t>(end - text_.data());
    return *this;
  }
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  std::array<char, 256> text_;  // more than twice what all of them come to
  std::size_t size_ = 0;
};

// Of an answer for which the upstream is not to be asked.
constexpr std::string_view kOffline = "; detail=offline";

void append_ttl(Pieces& out, const cache::Freshness& freshness) {
  out += "; ttl=";
  out += freshness.ttl.count();
}

// fwd and fwd-status (RFC 9211, 2.2 and 2.3).
void append_forward(Pieces& out, const Answer& answer) {
  out += std::string_view(answer.was_fresh       ? "; fwd=request"
                          : answer.was_stale     ? "; fwd=stale"
                          : answer.other_variant ? "; fwd=vary-miss"
                                                 : "; fwd=uri-miss");
  if (answer.upstream_status != 0) {
    out += "; fwd-status=";
    out += answer.upstream_status;
  }
}

void append_reason(Pieces& out, std::string_view word) {
  if (word.empty()) return;
  out += "; detail=";
  out += word;
}

}  // namespace

void append_age_and_lifetime(std::string& to, const Answer& answer,
                             const cache::Freshness& freshness) {
  Pieces out;
  out += "Age: ";
  out += freshness.age.count();
  if (answer.rung == Rung::Fetched && !answer.may_store) {
    // The upstream forbade it (RFC 9111, 5.2: directives are to be passed on), or a
    // purge came in between.
    out += "\r\nCache-Control: no-store\r\n";
  } else {
    out += "\r\nCache-Control: max-age=";
    out += std::max<std::int64_t>(0, (freshness.age + freshness.ttl).count());
    out += "\r\n";
  }
  to += out.view();
}

void append_age(std::string& to, const cache::Freshness& freshness) {
  Pieces out;
  out += "Age: ";
  out += freshness.age.count();
  out += "\r\n";
  to += out.view();
}

void append_etag(std::string& out, std::string_view etag, bool weak) {
  out.append(weak ? "ETag: W/" : "ETag: ").append(etag).append("\r\n");
}

void append_vary_on_coding(std::string& out) {
  out += "Vary: Accept-Encoding\r\n";
}

void append_cache_status(std::string& to, const Answer& answer, const cache::Freshness& freshness) {
  Pieces out;
  out += "Cache-Status: holdfast";
  switch (answer.rung) {
    case Rung::Fresh:
      out += "; hit";
      append_ttl(out, freshness);
      break;
    case Rung::StaleWhileRevalidate:
      out += "; hit";
      append_ttl(out, freshness);
      out += answer.stored_only ? kOffline : "; detail=stale-while-revalidate";
      break;
    case Rung::Fetched:
      append_forward(out, answer);
      if (answer.stored) {
        out += "; stored";
        append_ttl(out, freshness);
      }
      append_reason(out, reason_of(answer));
      break;
    case Rung::StaleIfError:
      if (answer.forwarded) {
        append_forward(out, answer);
      } else {
        out += "; hit";
        append_ttl(out, freshness);
      }
      out += answer.stored_only ? kOffline : "; detail=stale-if-error";
      break;
    case Rung::Offline:
      out += "; fwd=uri-miss; detail=offline";
      break;
    case Rung::Pass:  // says it itself
      break;
    case Rung::NotStored:
      if (answer.stored_only) {
        out += kOffline;
      } else {
        append_reason(out, reason_of(answer));
      }
      break;
    case Rung::Error:
      append_forward(out, answer);
      break;
  }
  if (answer.collapsed) out += "; collapsed";
  out += "\r\n";
  to += out.view();
}

std::string_view reason_of(const Answer& answer) {
  if (answer.rung == Rung::Fetched) {
    return answer.not_stored.empty() ? answer.not_reused : answer.not_stored;
  }
  const bool only_if_cached = answer.rung == Rung::NotStored && !answer.stored_only;
  return only_if_cached ? rfc9111::word(rfc9111::Reason::OnlyIfCached) : std::string_view();
}

void append_retry_after(std::string& out, std::chrono::seconds delay) {
  Pieces pieces;
  pieces += "Retry-After: ";
  pieces += delay.count();
  pieces += "\r\n";
  out += pieces.view();
}

void append_request_id(std::string& out, std::string_view request_id) {
  out.append("X-Request-ID: ").append(request_id).append("\r\n");
}

bool is_sane_request_id(std::string_view id) {
  constexpr std::string_view kOthers = "-_.~:+/=@";
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(c) != kOthers.npos;
  });
}

void make_request_id(base::Random& random, std::string& id) {
  std::uint64_t bits = random.next();
  std::array<char, 2 * sizeof bits> digits;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    std::memcpy(&digits[i], &kHexPairs[bits & 255], 2);
    bits >>= 8;
  }
  id.assign(digits.data(), digits.size());
}

}  // namespace holdfast::proxy
