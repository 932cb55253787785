#include "geo_answer.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "chance.h"
#include "text.h"

namespace holdfast::flaky {
namespace {

struct Place {
  std::string_view location;
  std::string_view postal_pattern;  // '#' stands for a digit
  int latitude_e4, longitude_e4;    // ten-thousandths of a degree
};

constexpr std::array kPlaces{
    Place{"United States", "", 377510, -978220},
    Place{"Ashburn, Virginia, United States", "201##", 390437, -774874},
    Place{"San Jose, California, United States", "951##", 373382, -1218863},
    Place{"Chicago, Illinois, United States", "606##", 418781, -876298},
    Place{"Toronto, Ontario, Canada", "M5H #A#", 436532, -793832},
    Place{"Montréal, Québec, Canada", "H3B #C#", 455017, -735673},
    Place{"Ciudad de México, Mexico", "06###", 194326, -991332},
    Place{"São Paulo, Brazil", "01###-000", -235505, -466333},
    Place{"Buenos Aires, Argentina", "C10##", -346037, -583816},
    Place{"Bogotá, Colombia", "1110##", 47110, -740721},
    Place{"London, England, United Kingdom", "EC1A #BB", 515074, -1278},
    Place{"Manchester, England, United Kingdom", "M1 #AE", 534808, -22426},
    Place{"Dublin, Leinster, Ireland", "D0#", 533498, -62603},
    Place{"Paris, Île-de-France, France", "750##", 488566, 23522},
    Place{"Amsterdam, North Holland, Netherlands", "10## AB", 523676, 49041},
    Place{"Frankfurt am Main, Hesse, Germany", "603##", 501109, 86821},
    Place{"Köln, North Rhine-Westphalia, Germany", "506##", 509375, 69603},
    Place{"Zürich, Switzerland", "80##", 473769, 85417},
    Place{"Wien, Austria", "10#0", 482082, 163738},
    Place{"Praha, Czechia", "1## 00", 500755, 144378},
    Place{"Warszawa, Mazovia, Poland", "00-###", 522297, 210122},
    Place{"Stockholm, Sweden", "111 ##", 593293, 180686},
    Place{"Helsinki, Uusimaa, Finland", "00##0", 601699, 249384},
    Place{"Madrid, Spain", "280##", 404168, -37038},
    Place{"Lisboa, Portugal", "1###-001", 387223, -91393},
    Place{"Milano, Lombardy, Italy", "201##", 454642, 91900},
    Place{"Athina, Attica, Greece", "10# ##", 379838, 237275},
    Place{"Istanbul, Türkiye", "34###", 410082, 289784},
    Place{"Cairo, Egypt", "115##", 300444, 312357},
    Place{"Lagos, Nigeria", "100###", 65244, 33792},
    Place{"Nairobi, Kenya", "00###", -12921, 368219},
    Place{"Johannesburg, Gauteng, South Africa", "20##", -262041, 280473},
    Place{"Dubai, United Arab Emirates", "", 252048, 552708},
    Place{"Mumbai, Maharashtra, India", "4000##", 190760, 728777},
    Place{"Singapore", "0#####", 13521, 1038198},
    Place{"Hong Kong", "", 223193, 1141694},
    Place{"Seoul, South Korea", "04###", 375665, 1269780},
    Place{"東京, Japan", "100-####", 356762, 1396503},
    Place{"Sydney, New South Wales, Australia", "20##", -338688, 1512093},
    Place{"Auckland, New Zealand", "10##", -368509, 1747645},
};

struct Network {
  std::string_view name, domain;
};

// Some hold what a careless proxy would spoil: quotes, a backslash, an
// ampersand, letters of two and three bytes.
constexpr std::array kNetworks{
    Network{"AS64496 NORTHWIND-TELECOM", "Northwind Telecom"},
    Network{"AS64497 BLUEHARBOR-BROADBAND", "Blue Harbor Broadband"},
    Network{"AS64498 Cedar & Pine Fibre Ltd", "Cedar & Pine Fibre"},
    Network{"AS64499 QUARRY-HOSTING", "Quarry Hosting"},
    Network{"AS64500 Glasfaser Süd GmbH", "Glasfaser Süd"},
    Network{"AS64501 Société Réseau Atlantique", "Réseau Atlantique"},
    Network{"AS64502 The \"Last Mile\" Co-operative", "Last Mile"},
    Network{"AS64503 MERIDIAN-MOBILE", "Meridian Mobile"},
    Network{"AS64504 UNIVERSITY-OF-NOWHERE", "University of Nowhere"},
    Network{"AS64505 SATLINK\\POLAR", "Satlink Polar"},
    Network{"AS64506 ORCHARD-CLOUD", "Orchard Cloud"},
    Network{"AS64507 TIDEWATER-CABLE", "Tidewater Cable"},
    Network{"AS64508 さくら通信", "さくら通信"},
    Network{"AS64509 KESTREL-CDN", "Kestrel"},
    Network{"AS64510 Ødegård Nett AS", "Ødegård Nett"},
    Network{"AS64511 PLAINS-ELECTRIC", "Plains Electric"},
    Network{"AS65536 MONSOON-BROADBAND", "Monsoon Broadband"},
    Network{"AS65537 Andes Conexión S.A.", "Andes Conexión"},
    Network{"AS65538 CITY-OF-EXAMPLEVILLE", ""},
    Network{"AS65551 LANTERN-VPN", "Lantern"},
};

// Integers only: printing a double differs between libraries.
std::string degrees(int e4) {
  std::string text = e4 < 0 ? "-" : "";
  const int value = std::abs(e4);
  text += std::to_string(value / 10000);
  std::string decimals = std::to_string(10000 + value % 10000).substr(1);
  while (!decimals.empty() && decimals.back() == '0') decimals.pop_back();
  return decimals.empty() ? text : text + "." + decimals;
}

std::string fill_digits(std::string_view pattern, Chance& chance) {
  std::string text(pattern);
  for (char& c : text) {
    if (c == '#') c = static_cast<char>('0' + chance.below(10));
  }
  return text;
}

}  // namespace

std::optional<Address> parse_address(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  char terminated[INET6_ADDRSTRLEN] = {};
  std::memcpy(terminated, text.data(), text.size());
  if (std::strlen(terminated) != text.size()) return std::nullopt;

  static constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  Address address;
  if (inet_pton(AF_INET, terminated, address.bytes.data() + 12) == 1) {
    std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
    address.is_v4 = true;
  } else if (inet_pton(AF_INET6, terminated, address.bytes.data()) == 1) {
    address.is_v4 = std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin());
  } else {
    return std::nullopt;
  }
  char canonical[INET6_ADDRSTRLEN];
  address.text =
      inet_ntop(address.is_v4 ? AF_INET : AF_INET6, address.bytes.data() + (address.is_v4 ? 12 : 0),
                canonical, sizeof canonical);
  return address;
}

Address neighbour(const Address& address) {
  auto bytes = address.bytes;
  bytes[15] ^= 1;
  char text[INET6_ADDRSTRLEN];
  inet_ntop(address.is_v4 ? AF_INET : AF_INET6, bytes.data() + (address.is_v4 ? 12 : 0), text,
            sizeof text);
  return *parse_address(text);
}

std::string geo_body(std::string_view ip, const GeoFields& fields) {
  std::string body;
  body.reserve(256);
  const auto member = [&body](std::string_view name, std::string_view value) {
    body += body.empty() ? '{' : ',';
    append_json_string(body, name);
    body += ':';
    append_json_string(body, value);
  };
  member("ip", ip);
  member("location", fields.location);
  member("postal_code", fields.postal_code);
  member("network_name", fields.network_name);
  member("domain", fields.domain);
  body += ",\"latitude\":" + (fields.latitude.empty() ? "null" : fields.latitude);
  body += ",\"longitude\":" + (fields.longitude.empty() ? "null" : fields.longitude) + "}";
  return body;
}

std::string geo_answer(const Address& address, std::uint64_t edition) {
  const std::string_view bytes(reinterpret_cast<const char*>(address.bytes.data()), 16);
  Chance chance(0, fnv1a(bytes), edition);
  const auto& place = kPlaces[chance.below(kPlaces.size())];
  const auto& network = kNetworks[chance.below(kNetworks.size())];
  GeoFields fields;
  fields.location = place.location;
  fields.postal_code = fill_digits(place.postal_pattern, chance);
  fields.network_name = network.name;
  fields.domain = network.domain;
  // Within 0.05 degrees, about 5 km, of the middle of the place.
  fields.latitude = degrees(place.latitude_e4 + static_cast<int>(chance.below(1001)) - 500);
  fields.longitude = degrees(place.longitude_e4 + static_cast<int>(chance.below(1001)) - 500);
  return geo_body(address.text, fields);
}

}  // namespace holdfast::flaky
