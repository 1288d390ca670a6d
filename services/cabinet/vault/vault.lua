-- The functions of the vault. Loaded by streaming/redis_client.py, which writes `#!lua name=…` and
-- VERSION in front. They see sealed bytes and hashes alone. All is checked before the first write.

-- KEYS person and its list of looks, for each person. ARGV how many looks are kept; then for each
-- person: entries so far, entries after, hash of the last, the entry, and `keep`, `erase` or `set`
-- with the wrapped key and the sealed data. Answers 1, or 0 if one of them is not where the caller
-- saw it: then nothing was written.
redis.register_function('change_' .. VERSION, function(keys, args)
  local kept = tonumber(args[1])
  if not kept or #args ~= 1 + #keys / 2 * 7 then
    return redis.error_reply('ERR arguments and keys do not match')
  end
  for person = 0, #keys / 2 - 1 do
    local number = redis.call('HGET', keys[person * 2 + 1], 'number') or '0'
    if number ~= args[person * 7 + 2] then
      return 0
    end
  end
  for person = 0, #keys / 2 - 1 do
    local key, looks, first = keys[person * 2 + 1], keys[person * 2 + 2], person * 7 + 2
    redis.call('HSET', key, 'number', args[first + 1], 'head', args[first + 2])
    redis.call('RPUSH', looks, args[first + 3])
    redis.call('LTRIM', looks, -kept, -1)
    if args[first + 4] == 'set' then
      redis.call('HSET', key, 'key', args[first + 5], 'data', args[first + 6])
    elseif args[first + 4] == 'erase' then
      redis.call('HDEL', key, 'key', 'data')
    end
  end
  return 1
end)

-- KEYS person. ARGV the wrapped key that is there, the one to put in its place.
redis.register_function('rewrap_' .. VERSION, function(keys, args)
  if redis.call('HGET', keys[1], 'key') ~= args[1] then
    return 0
  end
  redis.call('HSET', keys[1], 'key', args[2])
  return 1
end)
