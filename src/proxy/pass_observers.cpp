#include "proxy/pass_observers.h"

#include <string>
#include <utility>
#include <vector>

#include "proxy/canonical_path.h"
#include "rfc9111/invalidation.h"

namespace holdfast::proxy {
namespace {

using http::Known;

constexpr int kPartialContent = 206;

std::string target_of(const http::Request& request) {
  std::string target(request.path);
  if (request.query.data() != nullptr) target.append("?").append(request.query);
  return target;
}

// Who reads what a GET of that target would get, and its key.
struct Reader {
  const Routes::Entry* entry = nullptr;
  std::string key;
};
Reader reader_of(const Routes& routes, const http::Request& request, std::string_view target) {
  const std::size_t question = target.find('?');
  http::Request read = request;
  read.path = target.substr(0, question);
  read.query = question == target.npos ? std::string_view() : target.substr(question + 1);
  std::string storage;
  std::string_view path;
  Reader reader;
  if (canonical_path(read.path, storage, path) != nullptr) return reader;
  Parameters parameters;
  const RouteTable::Match match = routes.find(read.field(Known::Host), "GET", path, parameters);
  if (match.outcome != RouteTable::Outcome::Found) return reader;
  const Routes::Entry& entry = routes[match.route];
  if (entry.route.key(parameters, read, reader.key) == nullptr) reader.entry = &entry;
  return reader;
}

// What came, as a fetch would have brought it.
upstream::Reply reply_of(int status, const upstream::Fields& fields, std::string content,
                         base::Duration duration) {
  upstream::Reply reply;
  reply.status = status;
  reply.fields = fields;
  reply.body = std::move(content);
  reply.duration = duration;
  return reply;
}

class Invalidation final : public Passing::Observer {
 public:
  Invalidation(const http::Request& request, std::shared_ptr<const Routes> then,
               std::function<std::shared_ptr<const Routes>()> now, std::uint64_t seen)
      : request_(request), then_(std::move(then)), now_(std::move(now)) {
    if (request.method != http::Method::Post) return;
    const Reader reader = reader_of(*then_, request, target_of(request));
    if (reader.entry == nullptr || !reader.entry->route.plan().storing.http.on) return;
    reader_ = reader.entry;
    auto asked = std::make_shared<Asked>(request, reader.key);
    asked->authorization = HttpFields(request).authorization;
    asked_ = std::move(asked);
    most_bytes = reader_->route.plan().body.max_body_bytes;
    mark_ = reader_->flights.mark(seen);
  }

  bool wants_content(int status, const upstream::Fields& fields,
                     std::optional<std::uint64_t> length) override {
    const http::Request& request = request_.request();
    if (reader_ == nullptr || status != 200 ||
        !rfc9111::locates_target(request.field(Known::Host), target_of(request), fields)) {
      return false;
    }
    fields_ = fields;
    return !length || *length <= most_bytes;
  }

  void answered(int status, const upstream::Fields& fields) override {
    if (status >= 400) return;
    // Who purged it since the request came may mean what it is answered with.
    purged_ = reader_ != nullptr && reader_->flights.purged_since(mark_, asked_->key);
    forget(*then_, fields);
    const std::shared_ptr<const Routes> now = now_ ? now_() : then_;
    if (now != then_) forget(*now, fields);
    // What comes now came after that.
    if (reader_ != nullptr) mark_ = reader_->flights.mark(mark_.seen);
  }

  // RFC 9110, 9.3.3: what a POST answered, by its own word, is what a GET would.
  void content(std::string whole) override {
    if (purged_) return;
    reader_->flights.keep_passed(reader_->route, *asked_,
                                 {.method = "POST", .content_is_target = true},
                                 reply_of(200, fields_, std::move(whole), {}), mark_);
  }

 private:
  void forget(const Routes& routes, const upstream::Fields& fields) const {
    const http::Request& request = request_.request();
    const std::string target = target_of(request);
    std::vector<std::string> targets =
        rfc9111::also_invalidated(request.field(Known::Host), target, fields);
    targets.push_back(target);
    for (const std::string& one : targets) {
      const Reader reader = reader_of(routes, request, one);
      if (reader.entry != nullptr) static_cast<void>(reader.entry->flights.purge(reader.key));
    }
  }

  const KeptRequest request_;
  const std::shared_ptr<const Routes> then_;
  const std::function<std::shared_ptr<const Routes>()> now_;
  // Of an answer that may be kept: who reads it.
  const Routes::Entry* reader_ = nullptr;
  bool purged_ = false;
  AskedPtr asked_;
  Flights::Mark mark_;
  upstream::Fields fields_;
};

class Keeping final : public Passing::Observer {
 public:
  Keeping(const Routes::Entry& entry, AskedPtr asked, std::uint64_t seen)
      : entry_(entry), asked_(std::move(asked)), mark_(entry.flights.mark(seen)) {
    most_bytes = entry.route.plan().body.max_body_bytes;
  }

  bool wants_content(int status, const upstream::Fields& fields,
                     std::optional<std::uint64_t> length) override {
    if (is_head() || (status != 200 && status != kPartialContent)) return false;
    status_ = status;
    fields_ = fields;
    return !length || *length <= most_bytes;
  }

  void answered(int status, const upstream::Fields& fields) override {
    if (is_head()) {
      entry_.flights.head_passed(entry_.route, *asked_, reply_of(status, fields, {}, {}), mark_);
    }
  }

  void content(std::string whole) override {
    entry_.flights.keep_passed(entry_.route, *asked_, {},
                               reply_of(status_, fields_, std::move(whole), {}), mark_);
  }

 private:
  bool is_head() const { return asked_->kept.request().method == http::Method::Head; }

  const Routes::Entry entry_;
  const AskedPtr asked_;
  const Flights::Mark mark_;
  int status_ = 0;
  upstream::Fields fields_;
};

}  // namespace

std::shared_ptr<Passing::Observer> invalidation(const http::Request& request,
                                                std::shared_ptr<const Routes> then,
                                                std::function<std::shared_ptr<const Routes>()> now,
                                                std::uint64_t seen) {
  return std::make_shared<Invalidation>(request, std::move(then), std::move(now), seen);
}

std::shared_ptr<Passing::Observer> keeping(const Routes::Entry& entry, AskedPtr asked,
                                           std::uint64_t seen) {
  return std::make_shared<Keeping>(entry, std::move(asked), seen);
}

}  // namespace holdfast::proxy
