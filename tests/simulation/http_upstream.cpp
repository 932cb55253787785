#include "http_upstream.h"

#include <algorithm>
#include <charconv>

#include "base/http_date.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;
using upstream::find_field;
using upstream::Outcome;
using upstream::test::Fault;

bool is_meant_by_site(Fault fault) {
  return fault == Fault::None || fault == Fault::Tail || fault == Fault::Slow5s;
}

std::string field_in(const upstream::Request& request, std::string_view name) {
  const std::string* value = find_field(request.fields, name);
  return value ? *value : std::string();
}

std::string trace_of_request(const upstream::Request& request) {
  const std::string parent = field_in(request, "traceparent");
  return parent.size() < 35 ? std::string() : parent.substr(3, 32);
}

Control draw_control(base::Random& random) {
  Control control;
  const seconds some(1 + random.below(random.below(2) == 0 ? 5 : 40));
  const std::string max_age = "max-age=" + std::to_string(some.count());
  const std::uint64_t kind = random.below(16);
  // From 7 on it is a lifetime, with more or less beside it.
  if (kind >= 5 && kind != 8) {
    control.max_age = some;
    control.text = max_age;
  }
  switch (kind) {
    case 0:
      control.no_store = true;
      control.text = "no-store";
      break;
    case 1:
    case 2:
      break;  // nothing: a guess by Last-Modified, or none
    case 3:
      control.no_cache = true;
      control.text = "no-cache";
      break;
    case 4:
      control.no_cache = control.is_public = true;
      control.text = "public, no-cache";
      break;
    case 5:
      control.is_private = true;
      control.text += ", private";
      break;
    case 6:
      control.must_revalidate = true;
      control.while_revalidate = 30s;  // in vain
      control.text += ", must-revalidate, stale-while-revalidate=30";
      break;
    case 7:
      control.s_maxage = some;
      control.max_age = 1000s;
      control.text = "max-age=1000, s-maxage=" + std::to_string(some.count());
      break;
    case 8:
      control.s_maxage = some;
      control.if_error = 20s;
      control.text = "s-maxage=" + std::to_string(some.count()) + ", stale-if-error=20";
      break;
    case 9:
    case 10:
      control.while_revalidate = 15s;
      control.text += ", stale-while-revalidate=15";
      break;
    case 11:
      control.is_public = true;
      control.if_error = 60s;
      control.text += ", public, stale-if-error=60";
      break;
    case 12:
      control.is_public = true;
      control.text += ", public";
      break;
    default:
      break;
  }
  return control;
}

// "bytes=a-b", "bytes=a-", "bytes=-b" of so many; nothing: the whole.
std::optional<std::pair<std::size_t, std::size_t>> range_in(std::string_view range,
                                                            std::size_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (!range.starts_with(kUnit) || range.find(',') != range.npos) return std::nullopt;
  range.remove_prefix(kUnit.size());
  const std::size_t dash = range.find('-');
  const auto number = [](std::string_view text) {
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  const std::string_view first = range.substr(0, dash);
  const std::string_view last = range.substr(dash + 1);
  if (first.empty()) return std::pair(size - std::min(size, number(last)), size - 1);
  return std::pair(number(first), last.empty() ? size - 1 : std::min(size - 1, number(last)));
}

}  // namespace

const HttpSaid* HttpUpstream::said(std::string_view number) const {
  std::size_t value = 0;
  std::from_chars(number.data(), number.data() + number.size(), value);
  return value == 0 || value > all_.size() ? nullptr : &all_[value - 1];
}

const Representation* HttpUpstream::with_etag(std::string_view etag) const {
  const auto found = by_etag_.find(etag);
  return found == by_etag_.end() ? nullptr : found->second;
}

const HttpUpstream::Changes& HttpUpstream::changes_by(const std::string& trace) const {
  static const Changes kNone;
  const auto found = changes_.find(trace);
  return found == changes_.end() ? kNone : found->second;
}

HttpUpstream::Resource& HttpUpstream::resource(const std::string& path) {
  const auto [found, is_new] = resources_.try_emplace(path);
  if (is_new) draw(found->second);
  return found->second;
}

void HttpUpstream::draw(Resource& resource) {
  resource.vary = words_.below(10);
  resource.control = draw_control(words_);
  resource.validators = static_cast<Validators>(words_.below(5));
  resource.omits_vary_in_304 = words_.below(2) == 0;
}

std::uint64_t HttpUpstream::change(const std::string& path, bool missing) {
  Resource& changed = resource(path);
  ++changed.revision;
  changed.missing = missing;
  if (words_.below(2) == 0) draw(changed);
  return changed.revision;
}

// No two have the same tag or date, and of those without a validator none has another's length, by
// which a HEAD would tell them apart.
const Representation& HttpUpstream::representation(const std::string& path,
                                                   const Resource& resource,
                                                   const std::string& identity) {
  const auto [found, is_new] = representations_.try_emplace(identity);
  Representation& made = found->second;
  if (!is_new) return made;
  const std::size_t number = representations_.size();
  made.path = path;
  made.revision = resource.revision;
  made.status = resource.missing ? 404 : 200;
  const std::size_t size = resource.validators == Validators::None ? 61 + 3 * number : 60;
  for (std::size_t piece = 0; made.body.size() < size; ++piece) {
    made.body += identity + "#" + std::to_string(number) + "." + std::to_string(piece) + ";";
  }
  made.body.resize(size);
  const std::string tag = "\"" + std::to_string(number) + "\"";
  const Validators validators = resource.validators;
  if (validators == Validators::Strong || validators == Validators::StrongAndDate) made.etag = tag;
  if (validators == Validators::Weak) made.etag = "W/" + tag;
  if (validators == Validators::Date || validators == Validators::StrongAndDate) {
    // Before all of the schedule; the oldest may be called fresh for a minute.
    made.last_modified = base::format_http_date(begun_ - 50s - seconds(7 * number));
  }
  if (!made.etag.empty()) by_etag_[made.etag] = &made;
  return made;
}

// As to a GET, without a content.
HttpSaid& HttpUpstream::say(std::string_view method, const upstream::Request& request,
                            upstream::Reply& reply) {
  const std::string& path = request.target;
  Resource& current = resource(path);
  HttpSaid& said = all_.emplace_back();
  said.number = all_.size();
  said.method = method;
  said.made = scheduler_.now();
  said.asker = trace_of_request(request);
  const std::string authorization = field_in(request, "Authorization");
  said.authorized = !authorization.empty();
  said.asked_no_store = field_in(request, "Cache-Control").find("no-store") != std::string::npos;
  for (std::size_t i = 0; i < Selecting::kNames.size(); ++i) {
    said.selecting.values[i] = field_in(request, Selecting::kNames[i]);
  }
  said.control = current.control;
  switch (current.vary) {
    case 0:
    case 1:
      said.vary = {0};
      break;
    case 2:
      said.vary = {2, 0};
      break;
    case 3:
      said.vary = {1};
      break;
    case 4:
      // What it hangs on hangs on what it hangs on.
      said.vary = {0};
      if (said.selecting.values[0] == "2") said.vary.push_back(1);
      break;
    case 5:
      said.vary = {3};
      break;
    case 6:
      said.varies_on_all = true;
      break;
    default:
      break;
  }
  const Control& control = said.control;
  const bool for_one = control.no_store || control.is_private || said.varies_on_all;
  std::string identity = path + " r" + std::to_string(current.revision);
  for (const std::size_t i : said.vary) {
    identity.append(" ").append(Selecting::kNames[i]).append("=").append(said.selecting.values[i]);
  }
  if (said.authorized) identity += " for " + authorization;
  if (for_one) identity += " with " + said.selecting.values[3];
  if (said.varies_on_all) identity += " once " + std::to_string(said.number);
  said.of = &representation(path, current, identity);
  said.status = said.of->status;
  if (words_.below(12) == 0) said.age = seconds(1 + words_.below(6));
  if (!control.no_cache) {
    if (control.s_maxage || control.max_age) {
      said.lifetime = control.s_maxage ? *control.s_maxage : *control.max_age;
    } else if (const auto date = base::parse_http_date(said.of->last_modified)) {
      said.lifetime = std::chrono::floor<seconds>(scheduler_.clock().wall() - *date) / 10;
    }
  }
  upstream::Fields& fields = reply.fields;
  reply.status = said.status;
  fields.push_back({kNumber, std::to_string(said.number)});
  fields.push_back({"Date", base::format_http_date(scheduler_.clock().wall())});
  if (!control.text.empty()) fields.push_back({"Cache-Control", control.text});
  if (!said.of->etag.empty()) fields.push_back({"ETag", said.of->etag});
  if (!said.of->last_modified.empty()) {
    fields.push_back({"Last-Modified", said.of->last_modified});
  }
  if (said.age > seconds(0)) fields.push_back({"Age", std::to_string(said.age.count())});
  std::string vary = said.varies_on_all ? "*" : "";
  for (const std::size_t i : said.vary) {
    vary.append(vary.empty() ? "" : ", ").append(Selecting::kNames[i]);
  }
  if (!vary.empty()) fields.push_back({"Vary", vary});
  if (words_.below(14) == 0) {
    said.sets_cookie = keeps_cookies_;
    fields.push_back({"Set-Cookie", "s=" + std::to_string(said.number)});
  }
  return said;
}

// RFC 9110, 13.2.2 and 14.2.
void HttpUpstream::answer_conditions(const upstream::Request& request, HttpSaid& said,
                                     upstream::Reply& reply) {
  reply.body = said.of->body;
  if (said.status != 200) return;
  const Representation& of = *said.of;
  const std::string none_match = field_in(request, "If-None-Match");
  const std::string since = field_in(request, "If-Modified-Since");
  const bool is_known = none_match.empty() ? !since.empty() && since == of.last_modified
                                           : !of.etag.empty() && none_match == of.etag;
  if (is_known) {
    reply.status = 304;
    reply.body.clear();
    if (resource(of.path).omits_vary_in_304) {
      std::erase_if(reply.fields,
                    [](const upstream::Field& field) { return is_field(field, "Vary"); });
    }
    return;
  }
  const std::string if_range = field_in(request, "If-Range");
  const bool weak = of.etag.starts_with("W/");
  if (!if_range.empty() && (if_range != of.etag || weak) && if_range != of.last_modified) return;
  const auto range = range_in(field_in(request, "Range"), of.body.size());
  if (!range || said.method != "GET") return;
  if (range->first >= of.body.size()) {
    reply.status = said.status = 416;
    reply.body = "none";
    reply.fields.push_back({"Content-Range", "bytes */" + std::to_string(of.body.size())});
    return;
  }
  reply.status = 206;
  reply.fields.push_back({"Content-Range", "bytes " + std::to_string(range->first) + "-" +
                                               std::to_string(range->second) + "/" +
                                               std::to_string(of.body.size())});
  reply.body = of.body.substr(range->first, range->second - range->first + 1);
}

void HttpUpstream::compose(Fault fault, const upstream::Request& request, upstream::Reply& reply) {
  ++asked_[trace_of_request(request)];
  if (!is_meant_by_site(fault)) {
    reply.body = "an error's";
    reply.fields.push_back({"Content-Type", "text/plain"});
    return;
  }
  answer_conditions(request, say("GET", request, reply), reply);
  if (reply.status == 206) ++rests_;
}

void HttpUpstream::delivered(const std::string&, const upstream::Reply& reply) {
  const std::string* number = find_field(reply.fields, kNumber);
  if (number == nullptr || reply.transport != Outcome::Ok) return;
  HttpSaid& said = all_[std::stoull(*number) - 1];
  said.delivered = order_.next();
}

void HttpUpstream::answer_unsafe(const std::string& method, const upstream::Request& request,
                                 upstream::Reply& reply) {
  const std::string trace = trace_of_request(request);
  const int status = std::array{200, 200, 201, 204, 303, 409}[words_.below(6)];
  if (status == 409) {
    reply.status = status;
    reply.body = "a conflict";
    return;
  }
  Changes& changes = changes_[trace];
  changes.emplace_back(request.target, change(request.target, method == "DELETE"));
  // RFC 9110, 9.3.3: what a GET would get now.
  if (status == 200 && method == "POST" && words_.below(2) == 0) {
    HttpSaid& said = say(method, request, reply);
    reply.body = said.of->body;
    reply.fields.push_back({"Content-Location", request.target});
    return;
  }
  reply.status = status;
  if (status != 204) reply.body = "done";
  if (words_.below(2) == 0) {
    const std::string other = "/r/" + std::to_string(1 + words_.below(3));
    changes.emplace_back(other, change(other, false));
    reply.fields.push_back({words_.below(2) == 0 ? "Location" : "Content-Location", other});
  }
}

// ---- What goes through in pieces ----

upstream::Transport::AttemptId HttpUpstream::stream(const upstream::Sending& sending,
                                                    const upstream::StreamRequest& request,
                                                    upstream::StreamPeer& peer, Callback callback) {
  failed_ = failed_ || fails();
  const AttemptId id = ++last_stream_;
  Stream& stream = streams_[id];
  stream.request = request;
  stream.peer = &peer;
  stream.callback = std::move(callback);
  stream.begun = scheduler_.now();
  stream.latency = draw_latency();
  ++asked_[trace_of_request(request.request)];
  const Fault fault = pick(sending.origin, request.request.target);
  stream.reply.status = 200;
  play(fault, stream.reply, stream.latency);
  stream.reply.body.clear();
  const base::SteadyTime by = stream.begun + request.patience;
  const bool has_content = request.content != upstream::StreamRequest::Content::None;
  stream.limit.set_at(scheduler_, has_content ? by : std::min(by, request.head_by), [this, id] {
    end(id, upstream::Reply{.transport = Outcome::Timeout, .phase = upstream::Phase::Answer});
  });
  const Outcome outcome = stream.reply.transport;
  if (outcome == Outcome::Connect || outcome == Outcome::Dns || outcome == Outcome::Tls) {
    stream.next.set_after(scheduler_, 100us, [this, id, reply = stream.reply] { end(id, reply); });
    return id;
  }
  stream.next.set_after(scheduler_, 1ms, [this, id] { read_content(id); });
  return id;
}

void HttpUpstream::read_content(AttemptId id) {
  Stream& stream = streams_.at(id);
  std::array<char, 4096> bytes;
  bool whole = stream.request.content == upstream::StreamRequest::Content::None;
  while (!whole) {
    const auto got = stream.peer->read(bytes.data(), bytes.size());
    if (!got) {
      stream.waits = true;
      return;
    }
    whole = *got == 0;
  }
  stream.next.set_after(scheduler_, stream.latency, [this, id] { answer(id); });
}

void HttpUpstream::answer(AttemptId id) {
  Stream& stream = streams_.at(id);
  upstream::Reply& reply = stream.reply;
  const bool cut = reply.transport == Outcome::Truncated;
  if (reply.transport != Outcome::Ok && !cut) return end(id, reply);
  const std::string& method = stream.request.method;
  if (reply.status != 200) {
    reply.body = "an error's";
  } else if (method == "GET" || method == "HEAD") {
    answer_conditions(stream.request.request, say(method, stream.request.request, reply), reply);
  } else {
    answer_unsafe(method, stream.request.request, reply);
  }
  if (reply.status != 204 && reply.status != 304) {
    reply.fields.push_back({"Content-Length", std::to_string(reply.body.size())});
  }
  if (const std::string* number = find_field(reply.fields, kNumber)) {
    all_[std::stoull(*number) - 1].delivered = order_.next();
  }
  const std::size_t length = reply.body.size();
  if (method == "HEAD") reply.body.clear();
  if (cut) reply.body.resize(reply.body.size() / 2);
  stream.head_out = true;
  stream.peer->head({reply.status, reply.fields, length});
  // Once the head is out it is only patience that ends it.
  stream.limit.set_after(scheduler_, stream.request.patience, [this, id] {
    end(id, upstream::Reply{.transport = Outcome::Timeout, .phase = upstream::Phase::Answer});
  });
  stream.next.set_after(scheduler_, stream.latency / 4, [this, id] { write_answer(id); });
}

void HttpUpstream::write_answer(AttemptId id) {
  Stream& stream = streams_.at(id);
  while (stream.written < stream.reply.body.size()) {
    if (!stream.peer->has_room(0)) {
      stream.waits = true;
      return;
    }
    const std::string_view piece = std::string_view(stream.reply.body).substr(stream.written, 50);
    stream.peer->write(std::string(piece));
    stream.written += piece.size();
  }
  stream.next.set_after(scheduler_, 1ms, [this, id] { end(id, streams_.at(id).reply); });
}

void HttpUpstream::go_on(AttemptId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || !std::exchange(found->second.waits, false)) return;
  found->second.head_out ? write_answer(id) : read_content(id);
}

void HttpUpstream::end(AttemptId id, upstream::Reply reply) {
  const auto ended = streams_.extract(id);
  Stream& stream = ended.mapped();
  stream.next.cancel();
  stream.limit.cancel();
  if (!stream.head_out) reply.status = 0;
  const bool set_up = reply.transport == Outcome::Connect || reply.transport == Outcome::Dns ||
                      reply.transport == Outcome::Tls;
  if (!set_up) reply.phase = upstream::Phase::Answer;
  reply.body.clear();
  reply.duration = scheduler_.now() - stream.begun;
  stream.callback(std::move(reply));
}

void HttpUpstream::cancel(AttemptId id) {
  if (streams_.erase(id) == 0) SimulatedUpstream::cancel(id);
}

}  // namespace holdfast::simulation
