-- The functions of the embedded log. Loaded by redis_client.py, which writes `#!lua name=…` and
-- VERSION in front. Everything is validated first, since an error undoes no earlier write.
-- A topic's partition is a stream; the record at offset n is its entry <n+1>-0. One hash holds the
-- end of each stream, by its key: what is not in there does not exist.

local DIGITS_MAX = 15

local function whole(text)
  if type(text) ~= 'string' or #text > DIGITS_MAX or not string.find(text, '^%d+$') then
    return nil
  end
  return tonumber(text)
end

local function text(number)
  return string.format('%.0f', number)
end

-- KEYS ends. ARGV keys of streams. Answers for each whether it is new.
redis.register_function('create_' .. VERSION, function(keys, args)
  redis.call('HLEN', keys[1])
  local made = {}
  for place, stream in ipairs(args) do
    made[place] = redis.call('HSETNX', keys[1], stream, '0')
  end
  return made
end)

-- KEYS ends, clock, fence, streams. ARGV milliseconds of the caller's clock; the writer's epoch, or
-- nothing for who needs none; then of each record: number of its stream, number of its fields, names
-- and values. Answers the offset of the first new record in each stream.
redis.register_function('append_' .. VERSION, function(keys, args)
  local now = whole(args[1])
  if not now then
    return redis.error_reply('ERR the clock is no whole number')
  end
  if args[2] ~= '' then
    local newest = redis.call('GET', keys[3]) or '0'
    if newest ~= args[2] then
      return {'fenced', newest}
    end
  end
  local first, ends = {'appended'}, {}
  for place = 4, #keys do
    local known = redis.call('HGET', keys[1], keys[place])
    if not known then
      return {'missing', keys[place]}
    end
    redis.call('XLEN', keys[place])
    first[place - 2] = known
    ends[place - 3] = whole(known)
  end
  local at = 3
  while at <= #args do
    local stream, fields = whole(args[at]), whole(args[at + 1])
    if not stream or not ends[stream] or not fields or fields > 10 then
      return redis.error_reply('ERR the arguments do not add up')
    end
    at = at + 2 + 2 * fields
  end
  if at ~= #args + 1 then
    return redis.error_reply('ERR the arguments do not add up')
  end
  -- The time of appending never runs backwards, whatever the clocks do.
  now = text(math.max(now, whole(redis.call('GET', keys[2]) or '0')))

  redis.call('SET', keys[2], now)
  at = 3
  while at <= #args do
    local stream, fields = whole(args[at]), whole(args[at + 1])
    local upto = at + 1 + 2 * fields
    ends[stream] = ends[stream] + 1
    local id = text(ends[stream]) .. '-0'
    redis.call('XADD', keys[stream + 3], id, 't', now, unpack(args, at + 2, upto))
    at = upto + 1
  end
  for stream, last in ipairs(ends) do
    redis.call('HSET', keys[1], keys[stream + 3], text(last))
  end
  return first
end)

-- KEYS lease. ARGV who asks, milliseconds to hold it, a holder known to be dead (or nothing).
-- Answers the holder. Its own lease is renewed.
redis.register_function('take_lease_' .. VERSION, function(keys, args)
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] and holder ~= args[3] then
    return holder
  end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return args[1]
end)

-- KEYS lease. ARGV who gives it back.
redis.register_function('give_lease_' .. VERSION, function(keys, args)
  if redis.call('GET', keys[1]) == args[1] then
    redis.call('DEL', keys[1])
  end
  return 'OK'
end)
