-- Every script but acquire starts with this.
-- KEYS: 1 lease, 2 writer. ARGV: 1 epoch, 2 holder, 3 milliseconds the lease lasts.
-- Returns nothing and renews the lease if it is ours; else what `raise_refusal` understands.
local function fence()
  local epoch, ours = 0, tonumber(ARGV[1])
  local last = redis.call('HMGET', KEYS[2], 'epoch', 'holder')
  if last[1] then epoch = tonumber(last[1]) end
  local holder = redis.call('GET', KEYS[1])
  if holder and holder ~= ARGV[2] then return {'held', holder} end
  if epoch > ours then return {'held', last[2]} end
  if epoch < ours then return {'lapsed', 'the store lost its data'} end
  if last[2] ~= ARGV[2] then return {'held', last[2]} end
  if not holder then return {'lapsed', 'the lease ran out'} end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
