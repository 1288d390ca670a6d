-- The functions of the store. Loaded by redis_client.py, which writes `#!lua name=…` and VERSION
-- in front. They know no business word: values are opaque, numbers are whole and of 15 digits at
-- most (Lua's are doubles). Everything is validated first, since an error undoes no earlier write.
-- All keys of a partition carry its hash tag, so those of indexes, made here, are in its slot too.
-- A Redis whose file was cut in the middle of a call may do the front half of that call at a later
-- start. So each call that writes more than once counts itself in `begun` first and says with
-- `ended` last how far it had counted: from half a call on, these two differ, until all is cleared.

local DIGITS_MAX = 15
local WRITES_MAX = 2000
-- Of store.py, and room for the counts between the arguments.
local BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024

local function whole(text)
  if type(text) ~= 'string' or #text > DIGITS_MAX or not string.find(text, '^%d+$') then
    return nil
  end
  return tonumber(text)
end

-- Answers a refusal if the epoch given is not the one that owns the partition.
local function refusal(epoch_key, epoch, seq)
  local stored = redis.call('GET', epoch_key) or '0'
  if whole(stored) > epoch then
    return {'fenced', stored}
  end
  if whole(stored) < epoch then
    return {'behind', seq}
  end
  return nil
end

-- ARGV questions, each a reading command and what it takes, as JSON. Answers each of them, with its
-- error where it has one. Also answers where the disk or the memory is full: it writes nothing.
redis.register_function{
  function_name = 'ask_' .. VERSION,
  flags = {'no-writes'},
  callback = function(_, args)
    local answers = {}
    for place, question in ipairs(cjson.decode(args[1])) do
      answers[place] = redis.pcall(unpack(question))
    end
    return answers
  end,
}

local function begin(position_key)
  return redis.call('HINCRBY', position_key, 'begun', 1)
end

local function standing(keys)
  return {
    redis.call('GET', keys[1]) or '0',
    redis.call('LLEN', keys[3]),
    redis.call('HGETALL', keys[2]),
  }
end

-- KEYS epoch, position, outbox. ARGV milliseconds of the caller's clock: so no epoch comes back
-- after a wipe.
redis.register_function('take_over_' .. VERSION, function(keys, args)
  local now = whole(args[1])
  if not now then
    return redis.error_reply('ERR the clock is no whole number')
  end
  local epoch = whole(redis.call('GET', keys[1]) or '0') + 1
  standing(keys)
  redis.call('SET', keys[1], string.format('%.0f', math.max(epoch, now)))
  return standing(keys)
end)

-- KEYS epoch, position, outbox, state, indexes. ARGV epoch
redis.register_function('clear_' .. VERSION, function(keys, args)
  local epoch = whole(args[1])
  if not epoch then
    return {'invalid', 'the epoch is no whole number'}
  end
  local refused = refusal(keys[1], epoch, redis.call('HGET', keys[2], 'seq') or '0')
  if refused then
    return refused
  end
  local names = redis.call('SMEMBERS', keys[5])
  begin(keys[2])
  for _, name in ipairs(names) do
    redis.call('UNLINK', keys[5] .. ':' .. name)
  end
  -- The position, which says that this has begun, last.
  for place = 5, 2, -1 do
    redis.call('UNLINK', keys[place])
  end
  return {'committed', '0'}
end)

-- Calls `command` with args[first] to args[last], a hundred at a time: a long `unpack` would fail.
local function in_steps(command, key, args, first, last)
  while first <= last do
    local upto = math.min(first + 99, last)
    redis.call(command, key, unpack(args, first, upto))
    first = upto + 1
  end
end

-- Changes of indexes stand in groups: name, number of members, members.
-- Returns where the groups end and how many members there are, or nil if they do not add up.
local function measured(args, first, groups)
  local at, members = first, 0
  for _ = 1, groups do
    local count = whole(args[at + 1])
    if not count or at + 1 + count > #args then
      return nil
    end
    members = members + count
    at = at + 2 + count
  end
  return at, members
end

local function check_types(key, args, at, groups)
  for _ = 1, groups do
    redis.call('ZCARD', key .. ':' .. args[at])
    at = at + 2 + whole(args[at + 1])
  end
end

local function remove_members(key, args, at, groups)
  for _ = 1, groups do
    local count = whole(args[at + 1])
    in_steps('ZREM', key .. ':' .. args[at], args, at + 2, at + 1 + count)
    at = at + 2 + count
  end
end

local function add_members(key, args, at, groups)
  for _ = 1, groups do
    local count = whole(args[at + 1])
    redis.call('SADD', key, args[at])
    local scored = {}
    for place = at + 2, at + 1 + count do
      scored[#scored + 1] = '0'
      scored[#scored + 1] = args[place]
    end
    in_steps('ZADD', key .. ':' .. args[at], scored, 1, #scored)
    at = at + 2 + count
  end
end

-- KEYS epoch, position, outbox, state, indexes.
-- ARGV epoch, expected seq, trim, number of fields, of writes, of deletes, of groups of removals,
-- of groups of additions, of outbox entries; then all of these, in that order.
redis.register_function('commit_' .. VERSION, function(keys, args)
  local number = {}
  for place = 1, 9 do
    number[place] = whole(args[place])
    if not number[place] then
      return {'invalid', 'argument ' .. place .. ' is no whole number'}
    end
  end
  local epoch, trim = number[1], number[3]

  local stands = redis.call('HMGET', keys[2], 'seq', 'begun', 'ended')
  local seq = stands[1] or '0'
  local refused = refusal(keys[1], epoch, seq)
  if refused then
    return refused
  end
  if whole(seq) ~= number[2] or stands[2] ~= stands[3] then
    return {'behind', seq}
  end

  local waiting = redis.call('LLEN', keys[3])
  if trim > waiting then
    return {'invalid', 'cannot trim ' .. trim .. ' of ' .. waiting .. ' entries'}
  end
  local fields = 10
  local writes = fields + 2 * number[4]
  local deletes = writes + 2 * number[5]
  local removals = deletes + number[6]
  local additions, removed = measured(args, removals, number[7])
  local entries, added
  if additions then
    entries, added = measured(args, additions, number[8])
  end
  if not entries or entries + number[9] ~= #args + 1 then
    return {'invalid', 'the arguments do not add up'}
  end
  local changes = number[5] + number[6] + removed + added
  if changes > WRITES_MAX then
    return {'invalid', changes .. ' changes are above ' .. WRITES_MAX}
  end
  local bytes = 0
  for place = fields, #args do
    bytes = bytes + #args[place]
  end
  if bytes > BYTES_MAX then
    return {'invalid', bytes .. ' bytes are above ' .. BYTES_MAX}
  end
  redis.call('HLEN', keys[4])
  redis.call('SCARD', keys[5])
  check_types(keys[5], args, removals, number[7])
  check_types(keys[5], args, additions, number[8])

  local begun = begin(keys[2])
  if trim > 0 then
    redis.call('LTRIM', keys[3], trim, -1)
  end
  in_steps('HDEL', keys[4], args, deletes, removals - 1)
  in_steps('HSET', keys[4], args, writes, deletes - 1)
  remove_members(keys[5], args, removals, number[7])
  add_members(keys[5], args, additions, number[8])
  in_steps('RPUSH', keys[3], args, entries, #args)
  in_steps('HSET', keys[2], args, fields, writes - 1)
  local committed = redis.call('HINCRBY', keys[2], 'seq', 1)
  -- The last of all: where it is missing, anything before it may be.
  redis.call('HSET', keys[2], 'ended', begun)
  return {'committed', tostring(committed)}
end)
