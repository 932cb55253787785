// What must hold for a route of mode "rfc9111", whatever happens (RFC 9111):
//
//   selected   who asks for a URL that varies gets what was made for its own fields (4.1)
//   shared     nobody gets what was for somebody else alone (3.5, 5.2.2)
//   unchanged  nothing from before a change is given to who asked after it was told (4.4)
//   whole      a part is one of the content that its metadata names, and a whole is that (3.4)
//   stale      what is stale is given where the upstream lets it be, and nowhere else (4.2.4)
//   fresh      what is called a hit is, by its own words and by the client's (4.2, 5.2.1)
#include <algorithm>
#include <charconv>

#include "cached.h"
#include "rfc9111/fields.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;

// An age is made of two durations, each rounded down.
constexpr base::Duration kAgeRounding = 2s;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

std::string value_in(const Given& given, std::string_view name) {
  return std::string(rfc9111::find_line(given.fields, name).value_or(""));
}

// "bytes 3-7/60"; false: it is none.
bool read_content_range(std::string_view text, std::size_t& first, std::size_t& last,
                        std::size_t& complete) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return false;
  const char* const end = text.data() + text.size();
  auto read = std::from_chars(text.data() + kUnit.size(), end, first);
  if (read.ptr == end || *read.ptr != '-') return false;
  read = std::from_chars(read.ptr + 1, end, last);
  if (read.ptr == end || *read.ptr != '/') return false;
  read = std::from_chars(read.ptr + 1, end, complete);
  return read.ec == std::errc() && read.ptr == end;
}

bool is_part_of(std::string_view part, std::string_view range, const Representation& of) {
  std::size_t first = 0, last = 0, complete = 0;
  return read_content_range(range, first, last, complete) && complete == of.body.size() &&
         first <= last && last < complete && part == of.body.substr(first, last - first + 1);
}

// Each part behind its own Content-Range, up to the next boundary.
bool are_parts_of(std::string_view body, const Representation& of) {
  constexpr std::string_view kName = "Content-Range: ";
  std::size_t parts = 0;
  for (std::size_t at; (at = body.find(kName)) != body.npos; ++parts) {
    body.remove_prefix(at + kName.size());
    const std::string_view range = body.substr(0, body.find("\r\n"));
    const std::size_t content = body.find("\r\n\r\n");
    if (content == body.npos) return false;
    body.remove_prefix(content + 4);
    if (!is_part_of(body.substr(0, body.find("\r\n--")), range, of)) return false;
  }
  return parts >= 2;
}

}  // namespace

std::optional<seconds> Cached::Client::seconds_of(std::string_view directive) const {
  const std::string_view text = ask.cache_control;
  const std::size_t found = text.find(directive);
  if (found == text.npos) return std::nullopt;
  int number = 0;
  const std::string_view value = text.substr(found + directive.size() + 1);
  std::from_chars(value.data(), value.data() + value.size(), number);
  return seconds(number);
}

void Cached::broken(const std::string& promise) {
  if (!violation_.empty()) return;
  violation_ = "rfc9111: " + promise;
  trace_.line("VIOLATED: ", promise);
}

void Cached::begun(http::ExchangeId id) {
  const Client& client = clients_[id];
  if (client.over || client.safe()) return;
  for (const auto& [path, revision] : upstream_.changes_by(client.trace)) {
    changed_.push_back({path, revision, order_.next()});
  }
}

void Cached::ended(http::ExchangeId id, const Given& given) {
  Client& client = clients_[id];
  if (client.over) return;
  client.over = true;
  trace_.line("client ", id, " gets ", given.status, given.whole ? " " : " cut off: ", given.body,
              " answer ", value_in(given, HttpUpstream::kNumber), " ",
              value_in(given, "Cache-Status"), " ", value_in(given, "ETag"));
  if (client.safe()) return check_read(client, given);
  if (!upstream_.changes_by(client.trace).empty()) ++tally_.unsafe_done;
  const HttpSaid* const said = upstream_.said(value_in(given, HttpUpstream::kNumber));
  if (said && said->asker != client.trace) broken("an answer to what somebody else sent");
}

void Cached::check_read(const Client& client, const Given& given) {
  const std::string status = value_in(given, "Cache-Status");
  if (client.wants("only-if-cached") && upstream_.was_asked(client.trace)) {
    broken("the upstream was asked for who wants only what is stored");
  }
  const std::string number = value_in(given, HttpUpstream::kNumber);
  if (number.empty() && given.status == 304) return check_not_modified(client, given);
  if (number.empty() || !given.whole) {
    const bool is_error = given.status >= 500 || given.status == 429;
    const bool is_unsatisfied = given.status == 416 && !client.ask.range.empty();
    if (given.whole && !is_error && !is_unsatisfied) {
      broken("a strange answer: " + std::to_string(given.status));
    }
    ++(given.status == 504 && client.wants("only-if-cached") ? tally_.not_cached : tally_.errors);
    return;
  }
  const HttpSaid* const said = upstream_.said(number);
  if (said == nullptr) return broken("an answer that the upstream never gave: " + number);
  if (said->of->path != client.ask.path) return broken("an answer about " + said->of->path);
  if (said->method != "GET" && said->method != "HEAD" && said->method != "POST") {
    broken("the answer to a " + said->method);
  }
  const bool own = said->asker == client.trace;
  if (said->status == 416 && client.ask.range.empty()) broken("no such range for who wants all");
  check_selected(client, *said);
  check_shared(client, *said);
  check_unchanged(client, *said->of);
  if (said->status != 416) check_content(client, given, *said->of);
  check_age(client, given, *said);
  if (!value_in(given, "Set-Cookie").empty() && !own) {
    broken("somebody else's cookie");
  }
  if (const std::string etag = value_in(given, "ETag"); !etag.empty()) etags_.push_back(etag);
}

void Cached::check_selected(const Client& client, const HttpSaid& said) {
  if (said.asker == client.trace) return;
  if (said.varies_on_all) broken("what varies on everything went to somebody else");
  for (const std::size_t i : said.vary) {
    ++tally_.by_a_field;
    if (said.selecting.values[i] == client.ask.selecting.values[i]) continue;
    broken(std::string("what was made for another ") + Selecting::kNames[i]);
  }
}

void Cached::check_shared(const Client& client, const HttpSaid& said) {
  if (!said.may_be_shared()) ++tally_.for_one;
  if (said.asker == client.trace) return;
  if (said.authorized) ++tally_.shared_authorized;
  if (!said.may_be_shared())
    broken("what was for one client went to another: " + said.control.text);
}

void Cached::check_unchanged(const Client& client, const Representation& of) {
  for (const Changed& changed : changed_) {
    if (changed.told > client.asked || changed.path != client.ask.path) continue;
    ++tally_.asked_since_change;
    if (of.revision < changed.revision) broken("an answer from before what a client was told");
  }
}

void Cached::check_content(const Client& client, const Given& given, const Representation& of) {
  const std::string etag = value_in(given, "ETag");
  if (etag != of.etag) broken("the content of another entity-tag: " + etag);
  if (given.status == 304) return;
  const bool is_head = client.ask.method == "HEAD";
  if (given.status == 206 && !is_head) {
    ++tally_.parts;
    if (client.ask.range.empty()) broken("a part for who asked for all");
    if (contains(value_in(given, "Content-Type"), "multipart/byteranges")) {
      ++tally_.several_parts;
      if (!are_parts_of(given.body, of)) broken("a part of something else: " + given.body);
    } else if (!is_part_of(given.body, value_in(given, "Content-Range"), of)) {
      broken("a part of something else: " + given.body);
    }
    return;
  }
  if (given.status != of.status) broken("a status of another answer");
  if (given.body != (is_head ? "" : of.body) && !(is_head && given.body == of.body)) {
    broken("a content that is not its own: " + given.body);
  }
  if (given.status == 404) ++tally_.missing;
}

void Cached::check_age(const Client& client, const Given& given, const HttpSaid& said) {
  const std::string status = value_in(given, "Cache-Status");
  const base::Duration age = said.age + (now() - said.made);
  const bool own = said.asker == client.trace;
  const bool stale_at_once = contains(status, "detail=stale-while-revalidate");
  const bool stale_for_error = contains(status, "detail=stale-if-error");
  const Control& control = said.control;
  const auto max_age = client.seconds_of("max-age");
  const auto min_fresh = client.seconds_of("min-fresh");
  if (!contains(status, "; hit") && !stale_for_error) {
    // Whoever waited along has what came meanwhile, and what others may have.
    ++(contains(status, "; collapsed") ? tally_.collapsed
       : contains(status, "stored")    ? tally_.fetched
                                       : tally_.passed);
    if (said.delivered < client.asked) broken("what is called fetched was there before");
    if (!own && age > said.lifetime + kAgeRounding) broken("what is not fresh was shared");
    return;
  }
  const std::string shown = value_in(given, "Age");
  int seconds_shown = -1;
  std::from_chars(shown.data(), shown.data() + shown.size(), seconds_shown);
  if (seconds(seconds_shown) > age + 1s || seconds(seconds_shown) + kAgeRounding <= age) {
    broken("an Age of " + shown + " where it is " + text(age));
  }
  if (stale_for_error) {
    ++tally_.stale_if_error;
    if (!upstream_.has_failed()) broken("stale for an error that never was");
    const auto window = control.if_error.value_or(control.s_maxage ? 0s : storing_.stale_if_error);
    const auto longer = std::max(window, control.while_revalidate.value_or(0s));
    if (control.no_cache || control.must_revalidate ||
        age > said.lifetime + longer + kAgeRounding) {
      broken("stale for an error, of " + text(age) + ": " + control.text);
    }
    return;
  }
  // In an error's place who wanted more has what there is.
  const bool for_want_of_better = upstream_.has_failed();
  if (!for_want_of_better) {
    if (client.wants("no-cache")) broken("a hit for who wants none");
    if (max_age && age > *max_age + kAgeRounding) broken("a hit older than its client wants");
    if (min_fresh && age + *min_fresh > said.lifetime + kAgeRounding) {
      broken("a hit that is not fresh for as long as its client wants");
    }
  }
  if (stale_at_once) {
    ++tally_.stale_while_revalidate;
    const auto window = control.while_revalidate.value_or(0s);
    if (control.no_cache || control.must_revalidate || max_age ||
        age > said.lifetime + window + kAgeRounding) {
      broken("stale of " + text(age) + ": " + control.text);
    }
    return;
  }
  ++tally_.fresh;
  if (control.no_cache || age > said.lifetime + kAgeRounding) {
    broken("a hit of " + text(age) + ": " + control.text);
  }
}

// It names the content by its tag alone.
void Cached::check_not_modified(const Client& client, const Given& given) {
  ++tally_.not_modified;
  const std::string etag = value_in(given, "ETag");
  if (client.if_none_match.empty() || etag != client.if_none_match) {
    return broken("not modified, of another entity-tag: " + etag);
  }
  const Representation* const of = upstream_.with_etag(etag);
  if (of == nullptr || of->path != client.ask.path) return broken("not modified, of another URL");
  check_unchanged(client, *of);
}

void Cached::check_stored(const cache::StoredResponse& stored) {
  if (stored.kind != cache::Kind::Verbatim) return;
  const auto number = rfc9111::find_line(stored.fields, HttpUpstream::kNumber);
  const HttpSaid* const said = number ? upstream_.said(*number) : nullptr;
  if (said == nullptr) return broken("something stored that the upstream never gave");
  if (!said->may_be_shared()) broken("stored what may not be: " + said->control.text);
  const Representation& of = *said->of;
  if (stored.status == 206) {
    const auto range = rfc9111::find_line(stored.fields, "content-range");
    if (!range || !is_part_of(stored.body, *range, of)) broken("stored a part of something else");
  } else if (stored.body != of.body) {
    broken("stored a content that is not its own: " + stored.body);
  }
}

}  // namespace holdfast::simulation
