-- SPDX-License-Identifier: Apache-2.0
--- Reading credentials from headers, and what a refresh token's row allows. No I/O.
local rules = {}

--- How long after its use a refresh token may come again by accident: two windows of one browser.
rules.GRACE_US = 10 * 1e6

--- The value of a cookie, or nil.
function rules.cookie(header, name)
  for pair in (header or ""):gmatch("[^;]+") do
    local found, value = pair:match("^%s*([^=%s]+)%s*=%s*(.-)%s*$")
    if found == name then return value end
  end
end

--- A Set-Cookie value. An empty value with age 0 removes it.
function rules.set_cookie(name, value, path, max_age_s, secure)
  return ("%s=%s; Path=%s; Max-Age=%d; HttpOnly; SameSite=Lax%s"):format(name, value, path, max_age_s, secure and "; Secure" or "")
end

--- "Bearer x" -> x
function rules.bearer(header)
  if not header then return nil end
  local scheme, value = header:match("^(%a+)%s+(%S+)%s*$")
  return scheme and scheme:lower() == "bearer" and value or nil
end

--- What to do with a presented refresh token: "renew", "again" (just changed, by another tab), "stolen", "ended".
--- @param row table|nil  { expires_us, used_us, revoked }
function rules.judge_refresh(row, now_us)
  if not row or row.revoked or row.expires_us <= now_us then return "ended" end
  if not row.used_us then return "renew" end
  return now_us - row.used_us <= rules.GRACE_US and "again" or "stolen"
end

return rules
