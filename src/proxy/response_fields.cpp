#include "proxy/response_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace holdfast::proxy {
namespace {

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

void append_ttl(std::string& out, const cache::Freshness& freshness) {
  out += "; ttl=";
  append_number(out, freshness.ttl.count());
}

// fwd and fwd-status (RFC 9211, 2.2 and 2.3).
void append_forward(std::string& out, const Answer& answer) {
  out += answer.was_fresh ? "; fwd=request" : answer.was_stale ? "; fwd=stale" : "; fwd=uri-miss";
  if (answer.upstream_status != 0) {
    out += "; fwd-status=";
    append_number(out, answer.upstream_status);
  }
}

}  // namespace

void append_age_and_lifetime(std::string& out, const Answer& answer,
                             const cache::Freshness& freshness) {
  out += "Age: ";
  append_number(out, freshness.age.count());
  if (answer.rung == Rung::Fetched && !answer.may_store) {
    // The upstream forbade it (RFC 9111, 5.2: directives are to be passed on), or a
    // purge came in between.
    out += "\r\nCache-Control: no-store\r\n";
    return;
  }
  out += "\r\nCache-Control: max-age=";
  append_number(out, std::max<std::int64_t>(0, (freshness.age + freshness.ttl).count()));
  out += "\r\n";
}

void append_etag(std::string& out, std::string_view etag, bool weak) {
  out.append(weak ? "ETag: W/" : "ETag: ").append(etag).append("\r\n");
}

void append_vary_on_coding(std::string& out) {
  out += "Vary: Accept-Encoding\r\n";
}

void append_cache_status(std::string& out, const Answer& answer,
                         const cache::Freshness& freshness) {
  out += "Cache-Status: holdfast";
  switch (answer.rung) {
    case Rung::Fresh:
      out += "; hit";
      append_ttl(out, freshness);
      break;
    case Rung::StaleWhileRevalidate:
      out += "; hit";
      append_ttl(out, freshness);
      out += "; detail=stale-while-revalidate";
      break;
    case Rung::Fetched:
      append_forward(out, answer);
      if (answer.stored) {
        out += "; stored";
        append_ttl(out, freshness);
      }
      break;
    case Rung::StaleIfError:
      if (answer.forwarded) {
        append_forward(out, answer);
      } else {
        out += "; hit";
        append_ttl(out, freshness);
      }
      out += "; detail=stale-if-error";
      break;
    case Rung::Offline:
      out += "; fwd=uri-miss; detail=offline";
      break;
    case Rung::NotStored:
      out += "; detail=only-if-cached";
      break;
    case Rung::Error:
      append_forward(out, answer);
      break;
  }
  if (answer.collapsed) out += "; collapsed";
  out += "\r\n";
}

void append_retry_after(std::string& out, std::chrono::seconds delay) {
  out += "Retry-After: ";
  append_number(out, delay.count());
  out += "\r\n";
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
  constexpr std::string_view kHex = "0123456789abcdef";
  std::uint64_t bits = random.next();
  id.resize(16);
  for (char& digit : id) {
    digit = kHex[bits & 15];
    bits >>= 4;
  }
}

}  // namespace holdfast::proxy
