-- SPDX-License-Identifier: Apache-2.0
--- Answers found by the meaning of the question: an exact scan of embeddings in memory. One tenant's are never looked at for another,
--- and only what has the same context (the rest of the request, the version of the knowledge base) is compared.
--- How many numbers are held in all and of one tenant bounds both the memory and the time of a scan: some two milliseconds at most.
local nearest = {}

nearest.MOST_NUMBERS = 1024 * 1024    -- in a worker, 8 bytes each
nearest.MOST_OF_TENANT = 128 * 1024   -- 85 questions of 1,536 numbers
local MOST_DIMENSIONS = 4096

local of_tenant = {}  -- tenant id -> { numbers, entries = list of { context, digits, vector, answer, until_ms }, used }
local total, clock = 0, 0

-- The vector with length one, or nil for what is none: providers' bytes are not to be trusted.
local function unit(vector)
  if type(vector) ~= "table" or #vector == 0 or #vector > MOST_DIMENSIONS then return nil end
  local sum = 0
  for i = 1, #vector do
    local value = vector[i]
    if type(value) ~= "number" or value ~= value or math.abs(value) > 1e6 then return nil end
    sum = sum + value * value
  end
  if sum <= 1e-12 then return nil end
  local length, made = math.sqrt(sum), {}
  for i = 1, #vector do made[i] = vector[i] / length end
  return made
end

-- A function of its own, so that the compiler makes one tight loop of it.
local function product(a, b)
  local sum = 0
  for i = 1, #a do sum = sum + a[i] * b[i] end
  return sum
end

-- Two questions that differ in a number are two questions, however near they lie.
local function digits(text)
  local runs = {}
  for run in text:gmatch("%d+") do runs[#runs + 1] = run end
  return table.concat(runs, " ")
end

local function remove(mine, place)
  local size = #mine.entries[place].vector
  table.remove(mine.entries, place)
  mine.numbers, total = mine.numbers - size, total - size
end

--- The answer of the nearest question with the same context and the same numbers in it, and how near (the cosine); nil: none is as near
--- as the threshold.
--- @param context string
--- @param question string
--- @param vector table  its embedding
--- @param threshold number  0 to 1
function nearest.find(tenant, context, question, vector, threshold, now_ms)
  local mine, wanted = of_tenant[tenant.id], unit(vector)
  if not mine or not wanted then return nil end
  clock = clock + 1
  mine.used = clock
  local best, best_cosine
  local runs = digits(question)
  for place = #mine.entries, 1, -1 do
    local entry = mine.entries[place]
    if entry.until_ms <= now_ms then
      remove(mine, place)
    elseif entry.context == context and entry.digits == runs and #entry.vector == #wanted then
      local cosine = product(wanted, entry.vector)
      if cosine >= threshold and (not best or cosine > best_cosine) then best, best_cosine = entry, cosine end
    end
  end
  if best then return best.answer, best_cosine end
end

-- Room for so many numbers: the tenant's own oldest go first, then those of who asked longest ago.
local function make_room(mine, size)
  while #mine.entries > 0 and mine.numbers + size > nearest.MOST_OF_TENANT do remove(mine, 1) end
  while total + size > nearest.MOST_NUMBERS do
    local oldest
    for id, other in pairs(of_tenant) do
      if other ~= mine and (not oldest or other.used < of_tenant[oldest].used) then oldest = id end
    end
    if not oldest then return end
    total = total - of_tenant[oldest].numbers
    of_tenant[oldest] = nil
  end
end

--- Keeps an answer. Nothing is kept of a vector that is none.
function nearest.keep(tenant, context, question, vector, answer, until_ms)
  local made = unit(vector)
  if not made then return false end
  local mine = of_tenant[tenant.id]
  if not mine then
    mine = { numbers = 0, entries = {}, used = 0 }
    of_tenant[tenant.id] = mine
  end
  clock = clock + 1
  mine.used = clock
  make_room(mine, #made)
  mine.entries[#mine.entries + 1] = { context = context, digits = digits(question), vector = made, answer = answer, until_ms = until_ms }
  mine.numbers, total = mine.numbers + #made, total + #made
  return true
end

--- Forgets all of a tenant, or of everybody.
function nearest.forget(tenant)
  for id, mine in pairs(of_tenant) do
    if not tenant or id == tenant.id then
      total = total - mine.numbers
      of_tenant[id] = nil
    end
  end
end

--- How many numbers are held: in all, of a tenant.
function nearest.held(tenant)
  return total, of_tenant[tenant.id] and of_tenant[tenant.id].numbers or 0
end

return nearest
