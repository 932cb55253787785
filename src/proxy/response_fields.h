// The field lines that Holdfast itself adds to an answer, and X-Request-ID as it
// comes in. Pure functions that append to a buffer; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "cache/freshness.h"
#include "proxy/answer.h"

namespace holdfast::proxy {

// Age (RFC 9111, 5.1) and Cache-Control: max-age, the whole freshness lifetime (4.2.1), of
// which Age says what is used up: what a cache behind us takes for the rest is our ttl. Of
// a stale answer the lifetime is what it was, and Age is past it. Or no-store, for what we
// may not store either.
void append_age_and_lifetime(std::string& to, const Answer& answer,
                             const cache::Freshness& freshness);

// Age alone, where the upstream's own Cache-Control stands (mode rfc9111).
void append_age(std::string& to, const cache::Freshness& freshness);

// ETag. `weak` for content that another coding of it shares the tag with (RFC 9110,
// 8.8.1): the bytes differ, what they say does not.
void append_etag(std::string& out, std::string_view etag, bool weak);

// That the content's coding follows Accept-Encoding (RFC 9110, 12.5.5).
void append_vary_on_coding(std::string& out);

// Cache-Status (RFC 9211). `freshness` is the content's; ignored for an error.
// "stored" says that memory has the response, or that the store took it to be written:
// the disk itself has its word within 50 ms. Neither may be, for what is too large for
// memory while the store is off, or takes no more.
void append_cache_status(std::string& to, const Answer& answer, const cache::Freshness& freshness);

// The word of rfc9111/reasons.h that it has as its detail: why nothing is kept of the answer, or
// what is stored did not do. Empty: it has none of those.
std::string_view reason_of(const Answer& answer);

void append_retry_after(std::string& out, std::chrono::seconds delay);

void append_request_id(std::string& out, std::string_view request_id);

// Whether a client's X-Request-ID may be taken over: 1 to 128 characters of
// letters, digits and -_.~:+/=@ so that it can go into any log or field as it is.
bool is_sane_request_id(std::string_view id);

// Replaces `id` by 16 random hexadecimal digits.
void make_request_id(base::Random& random, std::string& id);

}  // namespace holdfast::proxy
