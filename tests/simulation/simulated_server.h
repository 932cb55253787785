// SimulatedServer is the http::Server that a Service answers to, without connections: it hands
// each request's content over as that is asked for, and collects what is answered. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/virtual_scheduler.h"
#include "http/server.h"

namespace holdfast::simulation {

// What a client has of its answer.
struct Given {
  int status = 0;  // 0: no head came
  std::string fields;
  std::string body;
  bool whole = false;
};

class SimulatedServer final : public http::Server {
 public:
  struct Clients {
    virtual ~Clients() = default;
    virtual void begun(http::ExchangeId id) = 0;
    virtual void ended(http::ExchangeId id, const Given& given) = 0;
    virtual void broken(const std::string& promise) = 0;
  };

  SimulatedServer(base::VirtualScheduler& scheduler, Clients& clients)
      : scheduler_(scheduler), clients_(clients) {}

  // Gives the request to the handler, as a connection does. `slow`: what is written to that client
  // takes a while to be taken.
  void hand_over(http::Handler& handler, http::ExchangeId id, const http::Request& request,
                 std::string content, bool slow) {
    handler_ = &handler;
    Exchange& exchange = exchanges_[id];
    exchange.content = std::move(content);
    exchange.streamed = request.streamed;
    exchange.slow = slow;
    handler.handle(*this, id, request);
  }
  // The client closes its connection.
  void leave(http::ExchangeId id) {
    if (exchanges_.erase(id) > 0) handler_->abandoned(id);
  }
  std::size_t open() const { return exchanges_.size(); }

  void respond(http::ExchangeId id, const http::Response& response) override {
    const auto ended = exchanges_.extract(id);
    if (ended.empty()) return;
    if (ended.mapped().given.status != 0) clients_.broken("a second answer behind one in pieces");
    Given given{response.status, std::string(response.fields), std::string(response.body), true};
    given.fields += response.more_fields;
    clients_.begun(id);
    clients_.ended(id, given);
  }
  void begin(http::ExchangeId id, const http::ResponseHead& head) override {
    Exchange* exchange = find(id);
    if (exchange == nullptr) return;
    if (exchange->given.status != 0) clients_.broken("a second head");
    exchange->given.status = head.status;
    exchange->given.fields = head.fields;
    exchange->left = head.length;
    clients_.begun(id);
    end_by_length(id, *exchange);
  }
  bool write(http::ExchangeId id, std::string_view piece) override {
    Exchange* exchange = find(id);
    if (exchange == nullptr) return true;
    exchange->given.body += piece;
    if (exchange->left) *exchange->left -= std::min<std::uint64_t>(piece.size(), *exchange->left);
    if (end_by_length(id, *exchange) || !exchange->slow) return true;
    scheduler_.call_at(scheduler_.now() + std::chrono::milliseconds(20), [this, id] {
      if (find(id) != nullptr) handler_->written(id);
    });
    return false;
  }
  void interim(http::ExchangeId id, int, std::string_view) override {
    const Exchange* exchange = find(id);
    if (exchange != nullptr && exchange->given.status != 0) {
      clients_.broken("an interim answer behind the final one");
    }
  }
  void end(http::ExchangeId id) override { finish(id, true); }
  void cut(http::ExchangeId id) override { finish(id, false); }
  void take_content(http::ExchangeId id, std::size_t bytes) override {
    Exchange* exchange = find(id);
    if (exchange == nullptr) return;
    exchange->allowed += bytes;
    scheduler_.post([this, id] { deliver(id); });
  }
  void for_client_alone(http::ExchangeId) override {}

 private:
  struct Exchange {
    Given given;
    std::optional<std::uint64_t> left;  // of an answer whose length was told
    std::string content;
    std::size_t sent = 0;  // of the content
    std::size_t allowed = 0;
    bool streamed = false;
    bool last_sent = false;
    bool slow = false;
  };

  Exchange* find(http::ExchangeId id) {
    const auto found = exchanges_.find(id);
    return found == exchanges_.end() ? nullptr : &found->second;
  }
  void deliver(http::ExchangeId id) {
    for (;;) {
      Exchange* exchange = find(id);
      if (exchange == nullptr || exchange->last_sent || !exchange->streamed) return;
      if (exchange->allowed == 0) return;
      const std::size_t bytes =
          std::min({exchange->allowed, exchange->content.size() - exchange->sent, kPiece});
      const std::string piece = exchange->content.substr(exchange->sent, bytes);
      exchange->sent += bytes;
      exchange->allowed -= bytes;
      exchange->last_sent = exchange->sent == exchange->content.size();
      handler_->content(id, piece, exchange->last_sent);
    }
  }
  // As Server has it: a length that is used up ends the answer, if the request has come whole.
  bool end_by_length(http::ExchangeId id, const Exchange& exchange) {
    if (!exchange.left || *exchange.left > 0) return false;
    if (exchange.streamed && !exchange.last_sent) return false;
    const auto ended = exchanges_.extract(id);
    handler_->answered(id);
    done(id, ended.mapped().given, true);
    return true;
  }
  void finish(http::ExchangeId id, bool whole) {
    const auto ended = exchanges_.extract(id);
    if (ended.empty()) return;
    const bool short_of = ended.mapped().left.value_or(0) > 0;
    done(id, ended.mapped().given, whole && !short_of);
  }
  // Not inside what the handler does, as a client is told.
  void done(http::ExchangeId id, Given given, bool whole) {
    given.whole = whole;
    scheduler_.post([this, id, given = std::move(given)] { clients_.ended(id, given); });
  }

  static constexpr std::size_t kPiece = 3000;

  base::VirtualScheduler& scheduler_;
  Clients& clients_;
  http::Handler* handler_ = nullptr;
  std::unordered_map<http::ExchangeId, Exchange> exchanges_;
};

}  // namespace holdfast::simulation
