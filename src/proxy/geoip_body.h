// Judges the content of a GeoIP answer: is it the JSON object that was asked for?
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "upstream/fetcher.h"

namespace holdfast::proxy {

// One thread; keeps the parser's memory between calls.
class GeoipBodyValidator {
 public:
  explicit GeoipBodyValidator(std::size_t max_body_bytes);
  ~GeoipBodyValidator();
  GeoipBodyValidator(const GeoipBodyValidator&) = delete;
  GeoipBodyValidator& operator=(const GeoipBodyValidator&) = delete;

  // Ok if `body` is one whole JSON object (RFC 8259) in valid UTF-8, without a byte order
  // mark or lone surrogates, since not everybody's parser takes those, that has each
  // of ip, location, postal_code, network_name, domain, latitude and longitude
  // once, with a string or null as text, a number or null as coordinate, and an
  // ip that is `ip` in canonical form. More members are fine.
  upstream::Verdict validate(std::string_view ip, std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace holdfast::proxy
