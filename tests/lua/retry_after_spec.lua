-- SPDX-License-Identifier: Apache-2.0
local retry_after = require "ai.retry_after"

local NOW = 1795341600  -- 2026-11-22 10:00:00 UTC

local function wait(value, name)
  return retry_after.seconds({ [name or "retry-after"] = value }, NOW)
end

describe("how long a server asks to be left alone", function()
  it("is read as seconds, whole or not", function()
    assert.equal(7, wait("7"))
    assert.equal(0, wait("0"))
    assert.equal(1.5, wait(" 1.5 "))
  end)

  it("is read in milliseconds first, for they are finer", function()
    assert.equal(0.25, wait("250", "retry-after-ms"))
    assert.equal(0.25, retry_after.seconds({ ["Retry-After-Ms"] = "250", ["Retry-After"] = "1" }, NOW))
    assert.equal(1, retry_after.seconds({ ["retry-after-ms"] = "soon", ["retry-after"] = "1" }, NOW))
  end)

  it("is read as a date in each of HTTP's three forms", function()
    assert.equal(90, wait("Sun, 22 Nov 2026 10:01:30 GMT"))
    assert.equal(90, wait("Sunday, 22-Nov-26 10:01:30 GMT"))
    assert.equal(90, wait("Sun Nov 22 10:01:30 2026"))
    assert.equal(4 * 86400, wait("Thu Nov 26 10:00:00 2026"))
  end)

  it("is nothing when the date has passed", function()
    assert.equal(0, wait("Sun, 22 Nov 2026 09:59:59 GMT"))
    assert.equal(0, wait("Sunday, 06-Nov-94 08:49:37 GMT"))
  end)

  it("counts leap days and turns of the century", function()
    assert.equal(784111777, retry_after.date("Sun, 06 Nov 1994 08:49:37 GMT", NOW))
    assert.equal(951827696, retry_after.date("Tue, 29 Feb 2000 12:34:56 GMT", NOW))
    assert.equal(4107542400, retry_after.date("Mon, 01 Mar 2100 00:00:00 GMT", NOW))
    assert.equal(0, retry_after.date("Thu, 01 Jan 1970 00:00:00 GMT", NOW))
  end)

  it("is never more than a month", function()
    assert.equal(31 * 86400, wait("99999999999999999999"))
    assert.equal(31 * 86400, wait("Sun, 22 Nov 9999 10:00:00 GMT"))
  end)

  it("is not guessed from what is no time", function()
    for _, text in ipairs{
      "", " ", "soon", "-1", "1e9", "0x10", "nan", "inf", "1,5", "1.2.3", "Sun, 22 Foo 2026 10:00:00 GMT", "Sun, 00 Nov 2026 10:00:00 GMT",
      "Sun, 22 Nov 2026 24:00:00 GMT", "Sun, 22 Nov 2026 10:00:00 CET", "2026-11-22T10:00:00Z", ("9"):rep(5000) .. "x",
    } do assert.is_nil(wait(text)) end
    assert.is_nil(retry_after.seconds({}, NOW))
    assert.is_nil(retry_after.seconds({ ["retry-after"] = { "1" } }, NOW))
  end)

  it("comes with a word on whether to ask again at all", function()
    assert.is_true(retry_after.wanted{ ["x-should-retry"] = "true" })
    assert.is_false(retry_after.wanted{ ["X-Should-Retry"] = "false" })
    assert.is_nil(retry_after.wanted{ ["x-should-retry"] = "maybe" })
    assert.is_nil(retry_after.wanted{})
  end)
end)
