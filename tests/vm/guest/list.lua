-- wrk script: asks for each address of a list in turn.
--
--   wrk ... -s list.lua URL -- FILE
local requests, last = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local address = line:match("^[%x.:]+")
    if address then requests[#requests + 1] = wrk.format("GET", "/lookup/" .. address) end
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

-- requests, answers that were no 2xx, and what happened to connections
function done(summary)
  local e = summary.errors
  io.write(string.format("RESULT %d requests, %d not 2xx, %d not connected, %d cut, %d timed out\n",
    summary.requests, e.status, e.connect, e.read + e.write, e.timeout))
end
