-- wrk script for scrape.sh: asks for the page as Prometheus does, over one connection.
--
--   wrk -t1 -c1 ... -s scrape.lua http://HOST/metrics -- RATE
dofile("tools/bench/result.lua")

function init(args)
  local pause = math.floor(1000 / tonumber(args[1]))
  local page = wrk.format("GET", wrk.path, { ["Accept-Encoding"] = "gzip" })
  request = function() return page end
  delay = function() return pause end
end
