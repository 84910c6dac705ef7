-- Lets keys of a space that nobody is led to any more go.
-- KEYS: 3 spaces, 4... what is to go. ARGV: 4 seconds until then, 5 the space if that is all of it.
local refusal = fence()
if refusal then return refusal end
for i = 4, #KEYS do
  if ARGV[4] == '0' then
    redis.call('UNLINK', KEYS[i])
  else
    redis.call('EXPIRE', KEYS[i], ARGV[4])
  end
end
if ARGV[5] ~= '' then redis.call('HDEL', KEYS[3], ARGV[5]) end
return {'ok'}
