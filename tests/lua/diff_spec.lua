-- SPDX-License-Identifier: Apache-2.0
--- The diff of two texts, held against what patch would make of it: applied to the old text it gives the new one.
local diff = require "lib.diff"

-- Applies a unified diff as patch does; raises where a line does not fit.
local function patched(old, text)
  local lines = {}
  for line in (old .. (old:sub(-1) == "\n" and "" or old == "" and "" or "\n")):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  local out, at, ends = {}, 1, old == "" or old:sub(-1) == "\n"
  local last_sign
  for line in text:gmatch("([^\n]*)\n") do
    local start, count = line:match("^@@ %-(%d+),?(%d*) %+%d+,?%d* @@$")
    local sign = line:sub(1, 1)
    if start then
      start = tonumber(start) + (count == "0" and 1 or 0)
      while at < start do
        out[#out + 1] = lines[at]
        at = at + 1
      end
    elseif line:find("^%-%-%- ") or line:find("^%+%+%+ ") then
      assert.is_nil(last_sign)
    elseif sign == "\\" then
      ends = last_sign == "-"
    else
      last_sign = sign
      if sign ~= "+" then
        assert.equal(lines[at], line:sub(2))
        at = at + 1
      end
      if sign ~= "-" then out[#out + 1] = line:sub(2) end
    end
  end
  while lines[at] do
    out[#out + 1] = lines[at]
    at = at + 1
  end
  return table.concat(out, "\n") .. (ends and #out > 0 and "\n" or "")
end

describe("a diff", function()
  it("of the same text is empty", function() assert.equal("", diff.unified("a\nb\n", "a\nb\n", "x", "y")) end)

  it("shows a changed line with three lines around it", function()
    local old, new = "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"
    assert.equal("--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n", diff.unified(old, new, "a", "b"))
  end)

  it("of a new file and of one that went counts from nothing", function()
    assert.equal("--- a\n+++ b\n@@ -0,0 +1,2 @@\n+x\n+y\n", diff.unified("", "x\ny\n", "a", "b"))
    assert.equal("--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n", diff.unified("x\n", "", "a", "b"))
  end)

  it("tells a last line without an end from one with it", function()
    assert.equal("--- a\n+++ b\n@@ -1,2 +1,2 @@\n x\n-y\n\\ No newline at end of file\n+y\n", diff.unified("x\ny", "x\ny\n", "a", "b"))
    assert.equal("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file\n", diff.unified("x\n", "x", "a", "b"))
  end)

  it("finds the fewest lines", function()
    local text = diff.unified("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", "x", "y")
    local edits = select(2, text:gsub("\n[+-]", "")) - 1  -- the head's second line
    assert.equal(5, edits)
  end)

  it("gives the new text when it is applied to the old one", function()
    local seed = 7
    local function random(n) seed = (seed * 16807) % 2147483647 return seed % n + 1 end
    for round = 1, 400 do
      local a, b = {}, {}
      for i = 1, random(40) - 1 do a[i] = ("line %d"):format(random(6)) end
      for _, line in ipairs(a) do
        local what = random(6)
        if what == 1 then b[#b + 1] = "new " .. random(3) elseif what > 2 then b[#b + 1] = line end
        if what == 3 then b[#b + 1] = ("line %d"):format(random(6)) end
      end
      local old = table.concat(a, "\n") .. (#a > 0 and random(2) == 1 and "\n" or "")
      local new = table.concat(b, "\n") .. (#b > 0 and random(2) == 1 and "\n" or "")
      local text = diff.unified(old, new, "a", "b")
      if text ~= "" then assert.equal(new, patched(old, text), "round " .. round) end
    end
  end)

  it("of two sets of files names each that changed, and shows nothing of what is no text or too long", function()
    local long, paused = ("x\n"):rep(70000), 0
    local changes = diff.files({ a = "1\n", b = "same", c = "gone\n", w = "\255" }, { a = "2\n", b = "same", l = long, w = "\254" }, function() paused = paused + 1 end)
    local told = {}
    for i, change in ipairs(changes) do told[i] = change.path .. " " .. change.change .. (change.diff and " shown" or "") end
    assert.same({ "a changed shown", "c removed shown", "l added", "w changed" }, told)
    assert.equal("--- a/c\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n", changes[2].diff)
    assert.equal(4, paused)
  end)

  it("of texts that have nothing in common takes no longer than reading them", function()
    local a, b = {}, {}
    for i = 1, 20000 do a[i], b[i] = "a" .. i, "b" .. i end
    local began = os.clock()
    local text = diff.unified("same\n" .. table.concat(a, "\n") .. "\nend\n", "same\n" .. table.concat(b, "\n") .. "\nend\n", "a", "b")
    assert.is_true(os.clock() - began < 5)
    assert.equal(40002 + 3, select(2, text:gsub("\n", "")))
  end)

  -- A large file that had changed everywhere was compared in one piece: 200 ms in which no call had its turn.
  it("of a large file lets others have their turn, and comes out the same", function()
    local one, other = {}, {}
    for i = 1, 20000 do one[i], other[i] = ("%d\n"):format(i), ("%d\n"):format(i % 40 == 0 and -i or i) end
    local old, new = table.concat(one), table.concat(other)
    local pauses, longest, last = 0, 0, os.clock()
    local text = diff.unified(old, new, "a", "b", function()
      pauses, longest, last = pauses + 1, math.max(longest, os.clock() - last), os.clock()
    end)
    assert.equal(diff.unified(old, new, "a", "b"), text)
    assert.is_true(pauses > 100, pauses)
    assert.is_true(longest < 0.5, longest)
  end)
end)
