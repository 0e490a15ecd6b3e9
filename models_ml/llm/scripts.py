"""The Lua of `limits`: each runs as one step of Redis, by Redis's clock in milliseconds.

KEYS: held, line, seen, state, ms, go:<token>. ARGV: token, concurrency (0: none), rate per minute (0: none), lease,
patience, and what the script names. In ``state``: ``failures`` (passing ones in a row), ``open_since``, ``retry_at``
and ``cool`` of the breaker, ``probe`` and ``probe_end``, ``pause_end``, ``tat`` of the rate, ``mean``, ``ticket``,
``calls``, ``failed``, and ``behind:<token>`` (how many wait behind one who stands in the line for them).

The rate is the generic cell rate algorithm (ITU-T I.371): one number, the time at which the next call is due; a
second's worth of calls may come at once.
"""

from __future__ import annotations

BREAKS_AFTER = 5  # passing failures in a row, over all workers
COOL_MS, MAX_COOL_MS = 5_000, 60_000  # a broken server is left alone so long, at first and at most
SAMPLES = 200  # calls whose times are kept
FORGOTTEN_MS = 120_000  # a server that nobody tried for so long is not said to have been down all the time
HANDED_MS = 2_000  # within this a place that was handed over is taken up, or free again
BREAKER = ("failures", "open_since", "retry_at", "cool", "probe", "probe_end", "pause_end")  # of ``state``
KEPT_MS = 7 * 86_400_000  # what is known of a server that nobody asks any more

_HEAD = """
local held, line, seen, state, took, go = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local token, concurrency, rate = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local lease, patience = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function get(name) return tonumber(redis.call('HGET', state, name) or '0') end
local function put(...) redis.call('HSET', state, ...) end
local function drop(...) redis.call('HDEL', state, ...) end

local function go_from_line(who)
  redis.call('ZREM', line, who)
  redis.call('ZREM', seen, who)
  drop('behind:' .. who)
end

-- Calls whose worker is gone, and those who wait no more.
local function tidy()
  redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now)) do go_from_line(gone) end
end

-- Milliseconds until the next call is due; nil when that is longer than `most`. Taking it moves the due time on.
local function due(most)
  if rate == 0 then return 0 end
  local each = 60000 / rate
  local tat = math.max(get('tat'), now)
  local wait = math.max(0, math.ceil(tat - math.max(0, 1000 - each) - now))
  if wait > most then return nil, wait end
  put('tat', tostring(tat + each))
  return wait
end

local function hold(who, wait, kept)
  redis.call('ZADD', held, now + wait + kept, who)
  go_from_line(who)
end
"""

# Values: how long the caller still waits, how long it is believed to stand in the line without a sign (0: it does not
# stand in the line), how many wait behind it. Returns {'go', milliseconds to sleep first, 1 for the call that tries a
# broken server} or {why not, milliseconds to wait, since when the breaker is open}.
ENTER = (
    _HEAD
    + """
local left, believed = tonumber(ARGV[6]), tonumber(ARGV[7])
local handed = redis.call('LPOP', go)
if handed and redis.call('ZADD', held, 'XX', 'CH', now + handed + lease, token) > 0 then
  return {'go', tonumber(handed), 0}
end
local retry_at, pause_end = get('retry_at'), get('pause_end')
if pause_end > now then return {'paused', pause_end - now, 0} end
local probing = false
if retry_at > 0 then
  if retry_at > now then return {'open', retry_at - now, get('open_since')} end
  local probe_end = get('probe_end')
  if probe_end > now then return {'probing', math.min(probe_end - now, get('cool')), get('open_since')} end
  probing = true
end
tidy()
if concurrency > 0 then
  local free = concurrency - redis.call('ZCARD', held)
  local before = redis.call('ZRANK', line, token) or redis.call('ZCARD', line)
  if before >= free then
    local guess = math.floor(get('mean') * (before - math.max(free, 0) + 1) / concurrency)
    if believed > 0 then
      if not redis.call('ZSCORE', line, token) then
        redis.call('ZADD', line, redis.call('HINCRBY', state, 'ticket', 1), token)
      end
      redis.call('ZADD', seen, now + believed, token)
      put('behind:' .. token, ARGV[8])
    end
    return {'line', guess, 0}
  end
end
local wait, longer = due(left)
if not wait then return {'rate', longer, 0} end
hold(token, wait, lease)
if probing then put('probe', token, 'probe_end', now + wait + lease) end
return {'go', wait, probing and 1 or 0}
"""
)

# Free places go to those who waited longest, each of whom looks at a list of his own.
_HAND_OVER = (
    f"""
local handed_ms = {HANDED_MS}
"""
    + """
local function hand_over()
  if concurrency == 0 or get('retry_at') > 0 or get('pause_end') > now then return end
  tidy()
  local free = concurrency - redis.call('ZCARD', held)
  local prefix = string.sub(go, 1, string.len(go) - string.len(token))
  while free > 0 do
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    if not first then return end
    local wait = due(patience)
    if not wait then return end
    hold(first, wait, handed_ms)  -- for a moment: who is alive takes it up
    redis.call('RPUSH', prefix .. first, wait)
    redis.call('PEXPIRE', prefix .. first, lease)
    free = free - 1
  end
end
"""
)

# Leaves the line; a place that was handed over at this very moment goes to the next.
GIVE_UP = (
    _HEAD
    + _HAND_OVER
    + """
go_from_line(token)
redis.call('DEL', go)
if redis.call('HGET', state, 'probe') == token then drop('probe', 'probe_end') end
if redis.call('ZREM', held, token) > 0 then hand_over() end
return {'ok', 0, 0}
"""
)

# Values: outcome ('answered': the server lives, 'failed': in passing, 'dropped': nobody knows), milliseconds, pause,
# and the milliseconds of each call that was answered since the worker told last.
LEAVE = (
    _HEAD
    + _HAND_OVER
    + f"""
local outcome, ms, pause = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
redis.call('ZREM', held, token)
local probed = redis.call('HGET', state, 'probe') == token
if probed then drop('probe', 'probe_end') end
redis.call('HINCRBY', state, 'calls', #ARGV - 7)
local answered = {{unpack(ARGV, 9)}}
-- Answers that came before a failure are no news of a server that others have found broken since.
if outcome == 'answered' or (#answered > 0 and get('retry_at') == 0) then
  drop('failures', 'open_since', 'retry_at', 'cool')
end
if outcome == 'answered' then table.insert(answered, ms) end
if #answered > 0 then
  local mean = get('mean')
  for _, each in ipairs(answered) do
    redis.call('LPUSH', took, each)
    mean = mean == 0 and tonumber(each) or mean * 0.9 + each * 0.1
  end
  redis.call('LTRIM', took, 0, {SAMPLES - 1})
  put('mean', tostring(mean))
end
if outcome == 'failed' then
  redis.call('HINCRBY', state, 'failed', 1)
  local failures = redis.call('HINCRBY', state, 'failures', 1)
  if probed then
    local cool = math.min({MAX_COOL_MS}, math.max({COOL_MS}, get('cool') * 2))
    if now - get('retry_at') > {FORGOTTEN_MS} then put('open_since', now) end
    put('cool', cool, 'retry_at', now + cool)
  elseif failures >= {BREAKS_AFTER} and get('retry_at') == 0 then
    put('cool', {COOL_MS}, 'retry_at', now + {COOL_MS}, 'open_since', now)
  end
end
if pause > 0 then put('pause_end', math.max(get('pause_end'), now + pause)) end
for _, key in ipairs({{held, state, took}}) do redis.call('PEXPIRE', key, {KEPT_MS}) end
hand_over()
return {{'ok', 0, 0}}
"""
)

# KEYS: held, state. ARGV: lease, tokens. Returns how many of them are still held.
RENEW = """
local kept = 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local probe = redis.call('HGET', KEYS[2], 'probe')
for i = 2, #ARGV do
  kept = kept + redis.call('ZADD', KEYS[1], 'XX', 'CH', now + ARGV[1], ARGV[i])
  if probe == ARGV[i] then redis.call('HSET', KEYS[2], 'probe_end', now + ARGV[1]) end
end
return kept
"""

# KEYS: held, seen, state, ms.
FIGURES = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {now, redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf'), redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf'),
  redis.call('HGETALL', KEYS[3]), redis.call('LRANGE', KEYS[4], 0, -1)}
"""

ALL = {"enter": ENTER, "give_up": GIVE_UP, "leave": LEAVE, "renew": RENEW, "figures": FIGURES}
