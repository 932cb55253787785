// A flaky-upstream inside the test, and a client that sees every byte and how
// the connection ended. Nothing sleeps: what has to be waited for is asked of the
// control port, and a socket that stays silent for kPatience fails the test.
#pragma once

#include <string>
#include <string_view>
#include <thread>

#include "base/event_loop.h"
#include "control.h"
#include "upstream.h"

namespace holdfast::flaky {

enum class Ended { Open, Fin, Rst };

struct Reply {
  int status = 0;  // 0: no head came
  std::string head, content;
  Ended ended = Ended::Open;

  std::string field(std::string_view name) const;  // "" if absent
};

// One connection to 127.0.0.1, or to another address of this machine.
class Client {
 public:
  explicit Client(std::uint16_t port, const char* address = "127.0.0.1");
  virtual ~Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  bool refused() const { return refused_; }  // ECONNREFUSED, and nothing else
  void write(std::string_view bytes);
  // Reads one message framed by Content-Length, or less if the connection ends.
  Reply read();
  // Reads to the end of the connection.
  Reply read_all();
  void close() { fd_.reset(); }

 protected:
  // As recv() and send(), errno and all.
  virtual ssize_t receive(char* to, std::size_t most);
  virtual ssize_t transmit(const char* from, std::size_t most);

  base::UniqueFd fd_;

 private:
  bool read_more();
  Reply parse(bool to_the_end);

  bool connected_ = false;
  bool refused_ = false;
  Ended ended_ = Ended::Open;
  std::string buffer_;
};

std::string get(std::string_view target, std::string_view more_fields = "");

// A request on a connection of its own, which it asks to have closed.
Reply ask(std::uint16_t port, std::string_view target, std::string_view more_fields = "");

class Instance {
 public:
  explicit Instance(UpstreamSettings settings = {},
                    std::unique_ptr<AnswerSource> database = nullptr)
      : Instance(ListenSettings{}, std::move(settings), std::move(database)) {}
  explicit Instance(ListenSettings listen, UpstreamSettings settings = {},
                    std::unique_ptr<AnswerSource> database = nullptr)
      : upstream_(loop_, std::move(listen), std::move(settings), std::move(database)),
        control_(loop_, "127.0.0.1", 0, upstream_),
        thread_([this] { loop_.run(); }) {}
  ~Instance() {
    loop_.stop();
    thread_.join();
  }

  std::uint16_t port() const { return port_; }
  std::uint16_t control_port() const { return control_port_; }

  Reply put(std::string_view target, std::string_view content = "");
  Reply control(std::string_view target) { return ask(control_port_, target); }
  // The number after "name": in the counters.
  std::uint64_t count(std::string_view name);
  // Returns once the condition holds: wait("in_flight=3").
  void wait(std::string_view condition);

 private:
  base::SystemClock clock_;
  base::EventLoop loop_{"flaky-test", clock_};
  Upstream upstream_;
  Control control_;
  std::uint16_t port_ = upstream_.port();
  std::uint16_t control_port_ = control_.port();
  std::thread thread_;
};

std::uint64_t number_after(std::string_view json, std::string_view name);
std::string truth(std::string_view ip);  // the healthy body
bool is_json(std::string_view text);

}  // namespace holdfast::flaky
