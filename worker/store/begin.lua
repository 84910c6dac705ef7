-- Opens a new space for a rebuild and returns its number. ARGV: 4 number of buckets.
-- spaces: last = the newest number given out, images = how many it holds so far,
-- and for every space that is not gone its number -> its buckets.
local refusal = fence()
if refusal then return refusal end
local space = redis.call('HINCRBY', KEYS[3], 'last', 1)
redis.call('HSET', KEYS[3], space, ARGV[4], 'images', 0)
return {'ok', space}
