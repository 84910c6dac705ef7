-- Writes a difference into one space; `plan.py` lays out KEYS and the arguments, which come as one
-- JSON array of strings in ARGV[4]: thousands of ARGV cost a client many times as much.
-- KEYS: 3 meta, 4 spaces, 5 events, 6 sizes, 7 info, 8 retired, the buckets, the members.
local META, SPACES, EVENTS, SIZES, INFO, RETIRED = unpack(KEYS, 3, 8)
local FIXED_KEYS = 8

local arguments, at = cjson.decode(ARGV[4]), 0
local function take()
  at = at + 1
  return arguments[at]
end
local function number() return tonumber(take()) end

-- What is to be written; reads arguments but changes nothing.
local function difference()
  local all = {clusters = {}, changes = {}, members = FIXED_KEYS + number()}
  for i = 1, number() do all.clusters[i] = take() end
  for i = 1, number() do
    all.changes[i] = {
      bucket = KEYS[FIXED_KEYS + number()], image = take(), new = number(), state = take(),
    }
  end
  return all
end

-- Finds the cluster that each changed image is published in. Returns those that have no key here.
local function find_published(all)
  local position, missing = {}, {}
  for i, cluster in ipairs(all.clusters) do position[cluster] = i end
  for _, change in ipairs(all.changes) do
    local state = redis.call('HGET', change.bucket, change.image)
    local cluster = state and string.match(state, '^%S+')
    change.old = cluster and position[cluster]
    if cluster and not change.old then missing[#missing + 1] = cluster end
  end
  return missing
end

-- Returns how many images there are more than before.
local function write(all)
  local grown, assigned = 0, {}
  for _, change in ipairs(all.changes) do
    if change.old and change.old ~= change.new then
      redis.call('SREM', KEYS[all.members + change.old], change.image)
    end
    if change.new == 0 then
      grown = grown - redis.call('HDEL', change.bucket, change.image)
    else
      redis.call('SADD', KEYS[all.members + change.new], change.image)
      grown = grown + redis.call('HSET', change.bucket, change.image, change.state)
      assigned[change.new] = true
    end
  end
  for i in pairs(assigned) do redis.call('HDEL', RETIRED, all.clusters[i]) end
  for _ = 1, number() do
    local cluster, info = take(), take()
    redis.call('HSET', INFO, cluster, info)
    redis.call('HDEL', RETIRED, cluster)
  end
  for _ = 1, number() do
    local cluster, successor = take(), take()
    redis.call('HSET', RETIRED, cluster, successor)
    redis.call('HDEL', INFO, cluster)
  end
  for i, cluster in ipairs(all.clusters) do
    local size = redis.call('SCARD', KEYS[all.members + i])
    if size == 0 or redis.call('HEXISTS', RETIRED, cluster) == 1 then
      redis.call('ZREM', SIZES, cluster)
    else
      redis.call('ZADD', SIZES, size, cluster)
    end
  end
  return grown
end

-- Sets the given fields of meta.
local function describe()
  local fields = {}
  for i = 1, number() do fields[i] = take() end
  redis.call('HSET', META, unpack(fields))
end

-- Adds the events, the oldest beyond `kept` going.
local function announce()
  local kept = take()
  for _ = 1, number() do
    local entry = {}
    for i = 1, number() do entry[i] = take() end
    redis.call('XADD', EVENTS, 'MAXLEN', '~', kept, '*', unpack(entry))
  end
end
