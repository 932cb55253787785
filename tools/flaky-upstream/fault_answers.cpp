#include "fault_answers.h"

#include <cstdio>

#include "text.h"

namespace holdfast::flaky {
namespace {

constexpr std::string_view kHtmlPage =
    "<!DOCTYPE html>\n<html><head><title>Scheduled maintenance</title></head>\n"
    "<body><h1>We will be back soon</h1></body></html>\n";
constexpr std::string_view kNoBackendPage =
    "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n"
    "<body><h1>Not Found</h1><p>default backend</p></body></html>\n";

// No two of these fail in the same part of a JSON parser, so one that looks only
// at what it needs will let one of them through.
std::string malformed(std::string content, Chance& chance) {
  switch (chance.below(4)) {
    case 0:  // cut off, by a writer that died
      content.resize(1 + chance.below(content.size() - 1));
      break;
    case 1:  // two answers run together
      content += "}";
      break;
    case 2:  // a byte that UTF-8 never has
      content.insert(content.size() - 1, ",\"note\":\"\xff\"");
      break;
    default:  // what a careless printf makes of an unknown number
      content.insert(content.size() - 1, ",\"accuracy\":nan");
      break;
  }
  return content;
}

Message with_content(const Exchange& exchange, std::string content) {
  Message message;  // without the validators: they belong to the right content
  message.content_type = exchange.answer.content_type;
  message.content = std::move(content);
  return message;
}

WirePlan status(int code, std::string_view text, bool keep_alive) {
  return plan_of(json_error(code, text), keep_alive);
}

}  // namespace

Message too_many_requests(base::Duration retry_after) {
  Message message = json_error(429, "rate limit exceeded");
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(retry_after).count();
  message.fields.emplace_back("Retry-After", std::to_string(seconds));
  return message;
}

WirePlan plan_with_fault(Fault fault, const Exchange& exchange, const FaultSettings& settings,
                         Chance& chance) {
  using End = WirePlan::End;
  const bool keep_alive = exchange.keep_alive;
  const std::string& content = exchange.answer.content;
  switch (fault) {
    case Fault::None:
    case Fault::Slow:
      return plan_of(exchange.answer, keep_alive);
    case Fault::Status500:
      return status(500, "internal error", keep_alive);
    case Fault::Status502:
      return status(502, "bad gateway", keep_alive);
    case Fault::Status503:
      return status(503, "overloaded", keep_alive);
    case Fault::Status401:
      return status(401, "token revoked", keep_alive);
    case Fault::Status403:
      return status(403, "account suspended", keep_alive);
    case Fault::Status404:
      return status(404, "no data for this address", keep_alive);
    case Fault::Status429:
      return plan_of(too_many_requests(settings.retry_after), keep_alive);
    case Fault::Hang:
      return {{}, End::Hang};
    case Fault::Reset:
      return {{}, End::Reset};
    case Fault::Close:
      return {{}, End::Close};
    case Fault::Garbage:
      return {"\x16\x03\x01 this is no HTTP\r\n\r\n", End::Close};
    case Fault::Html: {
      Message page = with_content(exchange, std::string(kHtmlPage));
      page.content_type = "text/html; charset=utf-8";
      return plan_of(page, keep_alive);
    }
    case Fault::Html404: {
      Message page = with_content(exchange, std::string(kNoBackendPage));
      page.status = 404;
      page.content_type = "text/html; charset=utf-8";
      // Some balancers forbid to store it. Taken for the API's word, the one kind would take a
      // stored answer's place, and the other would erase it.
      if (chance.below(2) == 0) page.fields.emplace_back("Cache-Control", "no-store");
      return plan_of(page, keep_alive);
    }
    case Fault::OtherIp:
      return plan_of(with_content(exchange, exchange.other_content), keep_alive);
    case Fault::Empty:
      return plan_of(with_content(exchange, ""), keep_alive);
    case Fault::NotAnObject:
      return plan_of(with_content(exchange, "[]"), keep_alive);
    case Fault::MissingFields:
      return plan_of(with_content(exchange, exchange.partial_content), keep_alive);
    case Fault::ResetBody:
      return {head_of(exchange.answer, content.size(), keep_alive) +
                  content.substr(0, content.size() / 2),
              End::Reset};
    case Fault::ShortBody:
      return {head_of(exchange.answer, content.size() + 64, keep_alive) + content, End::Close};
    case Fault::Malformed:
      return plan_of(with_content(exchange, malformed(content, chance)), keep_alive);
    case Fault::ShortChunked: {
      Message message = exchange.answer;
      message.fields.emplace_back("Transfer-Encoding", "chunked");
      char size[32];
      std::snprintf(size, sizeof size, "%zx\r\n", content.size());
      return {head_of(message, std::nullopt, keep_alive) + size + content + "\r\n", End::Close};
    }
    case Fault::Oversized: {
      std::string padded = content;
      padded.insert(padded.size() - 1,
                    ",\"padding\":\"" + std::string(settings.oversized_bytes, 'x') + "\"");
      return plan_of(with_content(exchange, std::move(padded)), keep_alive);
    }
    case Fault::Redirect:
    case Fault::RedirectEcho: {
      Message message = with_content(exchange, "");
      message.status = 301;
      message.fields.emplace_back(
          "Location",
          "https://moved.example" + (fault == Fault::Redirect ? "/v2" : exchange.repeated));
      return plan_of(message, keep_alive);
    }
    case Fault::Bom:
      return plan_of(with_content(exchange, "\xEF\xBB\xBF" + content), keep_alive);
    case Fault::Drip: {
      WirePlan plan = plan_of(exchange.answer, keep_alive);
      plan.drip_interval = settings.drip_interval;
      plan.at_once_bytes = plan.bytes.size() - content.size();
      return plan;
    }
  }
  return {{}, End::Reset};
}

}  // namespace holdfast::flaky
