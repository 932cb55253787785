// Connection is one client: it reads requests, has them handled one after the
// other, and writes the answers in the same order. Internal to this folder; the
// life cycle is in connection.cpp. Loop's thread.
#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "base/event_loop.h"
#include "base/timeout_list.h"
#include "base/unique_fd.h"
#include "http/server_core.h"

namespace holdfast::http {

class Connection : public base::TimeoutHook {
 public:
  Connection(ServerCore& core, base::UniqueFd fd, const ClientAddress& address, std::uint32_t slot);
  ~Connection();

  // Each of these may end with the connection destroyed.
  void start();                                // reads at once: the request is often there already
  void resume();                               // goes on with buffered requests
  void time_out();                             // its deadline has come; has a last look
  void read_last_and_drain();                  // serves what has arrived, then closes if idle
  void answer_late(const Response& response);  // outside handle()
  void cut_off(CloseReason reason);            // by a reset, whatever it is doing

  // Inside handle(), for this connection's exchange.
  void answer_now(const Response& response);

  // `inside`: handle(), for this connection's exchange; else it may destroy it.
  void write_interim(int status, std::string_view fields, bool inside);

  // What goes in pieces: connection_pieces.cpp. Outside handle(); may destroy it as well.
  void begin_answer(const ResponseHead& head);
  void write_piece(std::string_view piece);
  void end_answer();
  void cut_answer();
  bool has_unsent() const { return !pending_.empty(); }
  // Nothing of the answer is missing, though the exchange goes on while its content comes.
  bool answer_is_whole() const { return exchange_ != 0 && whole_; }
  // These two also inside handle(), and never destroy it.
  void allow_content(std::size_t bytes);
  void set_for_client_alone() { for_client_alone_ = true; }

  // Whether the client has sent something that was not read yet.
  bool has_unread() const;

  ExchangeId exchange() const { return exchange_; }
  // The client has sent its last byte. Most that do so early have gone; those that
  // only closed their side still get their answer.
  bool client_ended() const { return ended_; }
  std::uint32_t slot() const { return slot_; }
  const ClientAddress& address() const { return address_; }
  Wait waiting_for() const { return waiting_for_; }
  void set_waiting_for(Wait wait) { waiting_for_ = wait; }
  bool resume_queued = false;  // ServerCore's

 private:
  struct Content;  // of a request that has any, while it comes in

  static void on_events(void* self, unsigned events);
  void on_readable();
  void on_writable();
  enum class Read { Some, Nothing, Ended };
  Read read_into(char* at, std::size_t room, std::size_t& got);
  void read_ahead();
  void discard();

  void process(std::string_view input);
  std::size_t next_request(std::string_view input);
  std::size_t take_content(std::string_view input);
  void start_content(RequestHead& head, std::string_view head_bytes, bool more_is_here);
  void hand_over(RequestHead& head, std::string_view content);
  void refuse(int status, RejectReason reason, std::string_view detail);
  void write_refusal(int status, std::string_view detail);
  void write_answer(ByteBuffer& out, const Response& response);
  void answer_limited(base::Duration wait);
  bool stays_after_answer(bool close) const;
  void answered(bool keep);
  void go_on_after_answer();
  void end_after_answer(CloseReason reason, bool more_may_come);

  void read_content();
  std::size_t pass_content(std::string_view input);
  void pass_inbox();
  void settle_content();
  void refuse_exchange(int status, RejectReason reason, std::string_view detail);
  void end_exchange();
  void end_if_whole();
  bool may_go_on() const;

  void flush(ByteBuffer& out);
  // From where they are, what goes at once.
  void send(const std::array<std::string_view, 3>& parts);
  std::size_t taken_by_kernel(ssize_t count);
  void fail(CloseReason reason) {
    failed_ = reason;
    has_failed_ = true;
  }
  void reset_on_close(bool on = true);
  void settle();
  void begin_lingering();
  bool is_ready() const;
  void wait(Wait what);

  ServerCore& core_;
  base::UniqueFd fd_;
  base::FdWatch watch_;  // after fd_: destroyed before it is closed
  ByteBuffer inbox_;     // bytes of requests not yet complete, or not yet their turn
  ByteBuffer pending_;   // answers that the socket has not taken yet
  std::unique_ptr<Content> content_;
  ExchangeId exchange_ = 0;  // handed over and not yet answered
  std::uint64_t requests_ = 0;
  std::size_t checked_ = 0;    // of the incomplete head; see RequestParser::parse()
  std::size_t discarded_ = 0;  // while lingering
  std::size_t unsent_ = 0;     // what ServerCore counts for `pending_`
  base::SteadyTime now_{};     // of this wake-up
  std::uint32_t slot_;
  Wait waiting_for_ = Wait::None;
  CloseReason failed_ = CloseReason::Error;
  CloseReason close_reason_ = CloseReason::Client;
  bool in_flight_counted_ = false;
  // How the content of an answer in pieces is framed; None: there is no such answer.
  enum class Pieces : std::uint8_t { None, Dropped, Length, Chunked, ToEnd };
  Pieces pieces_ = Pieces::None;
  bool keeps_after_pieces_ = false;
  std::uint8_t interims_ = 0;      // of the current exchange
  bool whole_ = false;             // by its length, or without content
  bool up_to_end_ = false;         // so goes the answer, and is not out whole
  bool for_client_alone_ = false;  // as the server's
  std::uint64_t pieces_left_ = 0;  // of Length
  bool restart_wait_ = false;      // a request was finished since the timeout began
  bool progressed_ = false;        // the socket took something since the timeout began
  bool looked_again_ = false;      // for what it waits for, when its deadline had come
  bool to_head_ = false;           // of the current exchange, as the next two
  bool to_http10_ = false;
  bool keep_alive_ = true;
  bool ended_ = false;          // the client has sent its last byte
  bool closing_ = false;        // no further requests; ends once the answers are out
  bool more_may_come_ = false;  // and the client may still be sending
  bool lingering_ = false;
  bool has_failed_ = false;
  ClientAddress address_;
};

}  // namespace holdfast::http
