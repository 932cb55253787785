-- wrk script for misses.sh, which gives http://HOST/lookup/ as the URL.
--
--   wrk ... -s misses.lua URL -- fill NETWORK   NETWORK.0.0.0, NETWORK.0.0.1 and on, each once
--   wrk ... -s misses.lua URL -- hits RATE      9.9.9.9, about RATE times a second in all
dofile("tools/bench/result.lua")

local CONNECTIONS = 4 -- of hits

function init(args)
  local prefix = wrk.path
  if args[1] == "fill" then
    local network, i = tonumber(args[2]), -1
    request = function()
      i = i + 1
      return wrk.format("GET", string.format("%s%d.%d.%d.%d", prefix, network,
        math.floor(i / 65536) % 256, math.floor(i / 256) % 256, i % 256))
    end
  else
    local pause = math.max(1, math.floor(1000 * CONNECTIONS / tonumber(args[2])))
    local hit = wrk.format("GET", prefix .. "9.9.9.9")
    request = function() return hit end
    delay = function() return pause end
  end
end
