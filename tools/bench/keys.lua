-- wrk script for hits.sh --load wrk: which keys are asked for.
--
--   wrk ... -s keys.lua URL -- hot
--   wrk ... -s keys.lua URL -- uniform|zipf KEYS SEED
--
-- Key i is the i-th address from 20.0.0.0 on. Requests are prepared before the
-- clock starts, so that drawing keys costs the load generator next to nothing.
local ffi = require("ffi")
dofile("tools/bench/result.lua")

local DRAWS = 2 ^ 20

local function address(i)
  return string.format("20.%d.%d.%d", math.floor(i / 65536) % 256, math.floor(i / 256) % 256, i % 256)
end

local function prepare(keys)
  local before, after = wrk.format("GET", "/lookup/@"):match("^(.-)@(.*)$")
  local requests = {}
  for i = 0, keys - 1 do requests[i] = before .. address(i) .. after end
  return requests
end

-- Exponent 1.0: key k has weight 1/(k+1); a draw is a binary search in the sums.
local function zipf(keys)
  local sums, total = ffi.new("double[?]", keys), 0
  for k = 0, keys - 1 do
    total = total + 1 / (k + 1)
    sums[k] = total
  end
  return function()
    local x, low, high = math.random() * total, 0, keys - 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      if sums[middle] < x then low = middle + 1 else high = middle end
    end
    return low
  end
end

function init(args)
  local mode, keys = args[1], tonumber(args[2])
  if mode == "hot" then return end
  math.randomseed(tonumber(args[3]))
  local requests = prepare(keys)
  local draw = mode == "zipf" and zipf(keys) or function() return math.random(0, keys - 1) end
  local draws = ffi.new("int32_t[?]", DRAWS)
  for n = 0, DRAWS - 1 do draws[n] = draw() end
  local next_draw = 0
  request = function()
    local i = draws[next_draw]
    next_draw = (next_draw + 1) % DRAWS
    return requests[i]
  end
end
