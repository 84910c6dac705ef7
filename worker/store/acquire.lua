-- Takes the lease. KEYS: 1 lease, 2 writer. ARGV: 1 floor, 2 holder, 3 milliseconds.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return {'held', holder} end
local epoch = tonumber(redis.call('HGET', KEYS[2], 'epoch') or 0)
epoch = string.format('%d', math.max(epoch, tonumber(ARGV[1])) + 1)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'holder', ARGV[2])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {'ok', epoch}
