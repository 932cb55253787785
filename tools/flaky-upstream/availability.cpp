#include "availability.h"

#include "text.h"

namespace holdfast::flaky {
namespace {

std::string whole_milliseconds(base::Duration duration) {
  return std::to_string(std::chrono::round<std::chrono::milliseconds>(duration).count()) + "ms";
}

}  // namespace

base::Result<Mode> parse_mode(std::string_view text) {
  text = trim(text);
  if (text == "up") return Mode{Mode::Kind::Up};
  if (text == "down") return Mode{Mode::Kind::Down};
  if (text == "refuse") return Mode{Mode::Kind::Refuse};
  if (text == "blackhole") return Mode{Mode::Kind::Blackhole};
  const auto slash = text.find('/');
  if (text.starts_with("flap:") && slash != std::string_view::npos) {
    const auto up = parse_duration(trim(text.substr(5, slash - 5)));
    if (!up) return tl::unexpected(up.error());
    const auto down = parse_duration(trim(text.substr(slash + 1)));
    if (!down) return tl::unexpected(down.error());
    // Shorter than this it would do nothing but flap.
    if (*up < std::chrono::milliseconds(1) || *down < std::chrono::milliseconds(1)) {
      return base::invalid_input("both phases of flap:UP/DOWN last a millisecond or more");
    }
    return Mode{Mode::Kind::Flap, *up, *down};
  }
  return base::invalid_input("\"" + std::string(text) +
                             "\" is not up, down, refuse, blackhole or flap:UP/DOWN");
}

std::string to_text(const Mode& mode) {
  switch (mode.kind) {
    case Mode::Kind::Up:
      return "up";
    case Mode::Kind::Down:
      return "down";
    case Mode::Kind::Refuse:
      return "refuse";
    case Mode::Kind::Blackhole:
      return "blackhole";
    case Mode::Kind::Flap:
      return "flap:" + whole_milliseconds(mode.up) + "/" + whole_milliseconds(mode.down);
  }
  return "";
}

void Availability::set(const Mode& mode) {
  timer_.cancel();
  mode_ = mode;
  switch (mode.kind) {
    case Mode::Kind::Flap:
      return flap(true);
    case Mode::Kind::Up:
    case Mode::Kind::Blackhole:
      return server_.set_listening(true);
    case Mode::Kind::Refuse:
      return server_.set_listening(false);
    case Mode::Kind::Down:
      server_.set_listening(false);
      return server_.reset_all();
  }
}

void Availability::flap(bool up) {
  server_.set_listening(up);
  if (!up) server_.reset_all();
  timer_.set_after(scheduler_, up ? mode_.up : mode_.down, [this, up] { flap(!up); });
}

}  // namespace holdfast::flaky
