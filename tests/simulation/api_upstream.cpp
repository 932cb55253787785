#include "api_upstream.h"

#include <algorithm>
#include <array>
#include <utility>

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using upstream::find_field;
using upstream::Outcome;
using upstream::test::Fault;

// A good answer, sooner or later.
bool is_meant(Fault fault) {
  return fault == Fault::None || fault == Fault::Tail || fault == Fault::Slow5s;
}

std::string value_of(const upstream::Fields& fields, std::string_view name) {
  const std::string* value = find_field(fields, name);
  return value ? *value : std::string();
}

// "00-<trace>-<parent>-01"
std::string trace_in(const upstream::Fields& fields) {
  const std::string parent = value_of(fields, "traceparent");
  return parent.size() < 35 ? std::string() : parent.substr(3, 32);
}

// The last part of its path, as the lookup's answers have it.
std::string id_of(const std::string& target) {
  const std::string path = target.substr(0, target.find('?'));
  const std::string last = path.substr(path.rfind('/') + 1);
  const bool number = !last.empty() && last.find_first_not_of("0123456789") == last.npos;
  return number ? last : "0";
}

std::string body_of(const std::string& id, const std::string& kind, std::uint64_t number) {
  return R"({"id":)" + id + R"(,"n":)" + std::to_string(number) + R"(,"of":")" + kind + "\"}";
}

}  // namespace

std::string ApiUpstream::content_for(std::string_view once, std::size_t bytes) {
  std::string content;
  content.reserve(bytes + once.size() + 1);
  while (content.size() < bytes) content.append(once).append("/");
  content.resize(bytes);
  return content;
}

Said* ApiUpstream::said(const std::string& body) {
  const auto found = by_body_.find(body);
  return found == by_body_.end() ? nullptr : found->second;
}

std::uint64_t ApiUpstream::done_at(const std::string& once) const {
  const auto found = done_.find(once);
  return found == done_.end() ? 0 : found->second;
}

const Said* ApiUpstream::answer_to(const std::string& once) const {
  const auto found = answers_.find(once);
  return found == answers_.end() ? nullptr : found->second;
}

int ApiUpstream::sent(const std::string& once) const {
  const auto found = sent_.find(once);
  return found == sent_.end() ? 0 : found->second;
}

// Of each state of a resource, whatever it is called.
std::string ApiUpstream::etag_of(const std::string& target) const {
  const auto version = versions_.find(target);
  return "\"v" + std::to_string(version == versions_.end() ? 0 : version->second) + "\"";
}

Said& ApiUpstream::say(std::string_view method, const upstream::Request& request) {
  Said& said = all_.emplace_back();
  said.method = method;
  said.target = request.target;
  said.language = value_of(request.fields, "Accept-Language");
  said.asker = trace_in(request.fields);
  said.asked = order_.next();
  said.body = body_of(id_of(said.target), name_, all_.size());
  by_body_[said.body] = &said;
  return said;
}

void ApiUpstream::draw_caching(Said& said, upstream::Fields& fields) {
  const auto says = [&](std::string value) {
    fields.push_back({"Cache-Control", std::move(value)});
  };
  const std::string max_age = "max-age=" + std::to_string(1 + words_.below(60));
  switch (words_.below(16)) {
    case 0:
      says("no-store");
      said.may_store = false;
      break;
    case 1:
      says("private, " + max_age);
      said.may_store = false;
      break;
    case 2:
      said.cookie = "s=" + name_ + std::to_string(all_.size());
      fields.push_back({"Set-Cookie", said.cookie});
      said.may_store = false;
      break;
    case 3:
      says("no-cache");
      break;
    case 4:
    case 5:
    case 6:
      says(max_age + ", stale-while-revalidate=20, stale-if-error=60");
      break;
    case 7:
    case 8:
    case 9:
    case 10:
      says(max_age);
      break;
    default:
      break;
  }
  // By what it is of, so that one tag has several of them.
  const std::size_t hash = std::hash<std::string>{}(said.target);
  if (hash % 4 == 3) return;
  said.tags.push_back("t" + std::to_string(hash % 4));
  if (hash % 8 < 4) said.tags.emplace_back("half");
  static constexpr std::array kFields{"Cache-Tag", "Surrogate-Key"};
  const std::size_t field = hash / 8 % 2;
  std::string list;
  for (const std::string& tag : said.tags) {
    list += (list.empty() ? "" : field == 0 ? ", " : " ") + tag;
  }
  fields.push_back({kFields[field], list});
}

void ApiUpstream::compose(Fault fault, const upstream::Request& request, upstream::Reply& reply) {
  if (find_field(request.fields, kOnce)) broken_("what is to be sent once was asked like a GET");
  reply.fields.push_back({"Content-Type", "application/json"});
  if (!is_meant(fault)) {
    // As tempting as can be; the fault spoils it.
    const std::string id = id_of(request.target);
    reply.body = body_of(fault == Fault::Wrong ? id + "1" : id, "decoy", ++decoys_);
    reply.fields.push_back({"Cache-Control", "max-age=100000"});
    return;
  }
  const std::string etag = etag_of(request.target);
  reply.fields.push_back({"ETag", etag});
  if (value_of(request.fields, "If-None-Match") == etag) {
    reply.status = 304;
    return;
  }
  Said& said = say("GET", request);
  reply.body = said.body;
  draw_caching(said, reply.fields);
}

// ---- What is sent once ----

upstream::Transport::AttemptId ApiUpstream::stream(const upstream::Sending& sending,
                                                   const upstream::StreamRequest& request,
                                                   upstream::StreamPeer& peer, Callback callback) {
  const AttemptId id = ++last_stream_;
  Stream& stream = streams_[id];
  stream.request = request;
  stream.peer = &peer;
  stream.callback = std::move(callback);
  stream.begun = scheduler_.now();
  stream.unsafe.once = value_of(request.request.fields, kOnce);
  stream.unsafe.method = request.method;
  stream.unsafe.target = request.request.target;
  if (++sent_[stream.unsafe.once] > 1) {
    broken_("a " + request.method + " was sent " + std::to_string(sent_[stream.unsafe.once]) +
            " times: " + stream.unsafe.once);
  }
  stream.latency = draw_latency();
  stream.fault = pick(sending.origin, request.request.target);
  stream.reply.status = 200;
  play(stream.fault, stream.reply, stream.latency);
  stream.reply.body.clear();
  const base::SteadyTime by = stream.begun + request.patience;
  const bool has_content = request.content != upstream::StreamRequest::Content::None;
  stream.limit.set_at(scheduler_, has_content ? by : std::min(by, request.head_by), [this, id] {
    end(id, upstream::Reply{.transport = Outcome::Timeout, .phase = upstream::Phase::Answer});
  });
  const Outcome outcome = stream.reply.transport;
  if (outcome == Outcome::Connect || outcome == Outcome::Dns || outcome == Outcome::Tls) {
    stream.next.set_after(scheduler_, std::min(stream.latency, base::Duration(100us)),
                          [this, id, reply = stream.reply] { end(id, reply); });
    return id;
  }
  reached_.insert(stream.unsafe.once);
  stream.next.set_after(scheduler_, 1ms, [this, id] { read_content(id); });
  return id;
}

ApiUpstream::Stream* ApiUpstream::find(AttemptId id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : &found->second;
}

// It ends when nothing has moved for so long.
void ApiUpstream::moved(AttemptId id) {
  Stream* stream = find(id);
  if (stream->fault == Fault::Hang || stream->fault == Fault::Drip) return;
  stream->limit.set_after(scheduler_, stream->request.patience, [this, id] {
    end(id, upstream::Reply{.transport = Outcome::Timeout, .phase = upstream::Phase::Answer});
  });
}

void ApiUpstream::read_content(AttemptId id) {
  Stream* stream = find(id);
  const auto& request = stream->request;
  std::array<char, 4096> bytes;
  bool whole =
      request.content == upstream::StreamRequest::Content::None ||
      (request.content == upstream::StreamRequest::Content::Length && request.content_length == 0);
  while (!whole) {
    const auto got = stream->peer->read(bytes.data(), bytes.size());
    if (!got) {
      stream->waits = true;
      return;
    }
    stream->unsafe.content.append(bytes.data(), *got);
    whole = *got == 0;
    if (*got > 0) moved(id);
  }
  stream->unsafe.whole = true;
  if (stream->unsafe.content != content_for(stream->unsafe.once, stream->unsafe.content.size())) {
    broken_("the content of " + stream->unsafe.once + " is not its own");
  }
  if (request.content == upstream::StreamRequest::Content::Length &&
      stream->unsafe.content.size() != request.content_length) {
    broken_("the content of " + stream->unsafe.once + " is not as long as it was said to be");
  }
  stream->next.set_after(scheduler_, stream->latency, [this, id] { answer(id); });
}

void ApiUpstream::answer(AttemptId id) {
  Stream* stream = find(id);
  const upstream::Reply& reply = stream->reply;
  if (reply.transport != Outcome::Ok && reply.transport != Outcome::Truncated) {
    return end(id, reply);
  }
  int status = reply.status;
  if (status == 200) status = std::array{200, 201, 204, 303, 409}[words_.below(5)];
  Said& said = say(stream->unsafe.method, stream->request.request);
  said.may_store = false;
  said.status = status;
  upstream::Fields fields{{"Content-Type", "application/json"}};
  if (words_.below(3) == 0) {
    said.cookie = "u=" + name_ + std::to_string(all_.size());
    fields.push_back({"Set-Cookie", said.cookie});
  }
  if (status == 204) {
    by_body_.erase(said.body);
    said.body.clear();
  }
  if (status < 400) {
    ++versions_[said.target];
    done_[stream->unsafe.once] = order_.next();
  }
  stream->answer = &said;
  answers_[stream->unsafe.once] = &said;
  stream->reply.status = status;
  stream->head_out = true;
  const bool told = status == 204 || words_.below(2) == 0;
  const auto length = told ? std::optional<std::uint64_t>(said.body.size()) : std::nullopt;
  stream->peer->head({status, fields, length});
  moved(id);
  write_answer(id);
}

void ApiUpstream::write_answer(AttemptId id) {
  Stream* stream = find(id);
  const std::string& body = stream->answer->body;
  const bool cut = stream->reply.transport == Outcome::Truncated;
  const std::size_t most = cut ? body.size() / 2 : body.size();
  while (stream->written < most) {
    if (!stream->peer->has_room(0)) {
      stream->waits = true;
      return;
    }
    const std::size_t bytes = std::min<std::size_t>(most - stream->written, 20);
    stream->peer->write(body.substr(stream->written, bytes));
    stream->written += bytes;
    moved(id);
  }
  stream->next.set_after(scheduler_, 1ms, [this, id] { end(id, find(id)->reply); });
}

void ApiUpstream::go_on(AttemptId id) {
  Stream* stream = find(id);
  if (stream == nullptr || !std::exchange(stream->waits, false)) return;
  stream->head_out ? write_answer(id) : read_content(id);
}

void ApiUpstream::end(AttemptId id, upstream::Reply reply) {
  const auto ended = streams_.extract(id);
  Stream& stream = ended.mapped();
  stream.next.cancel();
  stream.limit.cancel();
  if (!stream.head_out) reply.status = 0;
  if (reply.phase == upstream::Phase::Connect && reply.transport != Outcome::Connect &&
      reply.transport != Outcome::Dns && reply.transport != Outcome::Tls) {
    reply.phase = upstream::Phase::Answer;
  }
  reply.duration = scheduler_.now() - stream.begun;
  stream.callback(std::move(reply));
}

void ApiUpstream::cancel(AttemptId id) {
  if (streams_.erase(id) == 0) SimulatedUpstream::cancel(id);
}

}  // namespace holdfast::simulation
