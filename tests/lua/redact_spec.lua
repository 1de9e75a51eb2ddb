-- SPDX-License-Identifier: Apache-2.0
--- Personal values out of what is said: sign by sign, in writing, over utterances that follow each other, and by a tenant's own forms.
require "stand_in"
local redact = require "ai.guard.redact"
local spelling = require "ai.guard.spelling"

local function alone(text, options) return (redact.alone(text, options)) end

-- Utterances of one party, one after the other.
local function chain(...)
  local looks, out = {}, {}
  for i, text in ipairs{ ... } do looks[i] = redact.look(text) end
  redact.across(looks)
  for i, look in ipairs(looks) do out[i] = redact.text(look) end
  return out
end

describe("a card's number", function()
  it("that is spoken digit by digit is masked", function()
    for _, said in ipairs{
      "four one one one one one one one one one one one one one one one", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
      "four triple one, double one double one, double one double one, double one double one", "Four one one one. One one one one. One one one one. One one one one",
      "4111 uh 1111 um 1111 and 1111", "forty-one eleven eleven eleven eleven eleven eleven eleven", "4111, 1111, 1111, one one one one",
      "vier eins eins eins eins eins eins eins eins eins eins eins eins eins eins eins", "einundvierzig elf elf elf elf elf elf elf",
      "five five five five five five five five five five five five four four four four", "three seven eight two eight two two four six three one oh oh oh five",
    } do
      assert.equal("My card is [CARD], thanks.", alone("My card is " .. said .. ", thanks."), said)
    end
  end)

  it("takes its expiry and check number along", function()
    assert.equal("it's [CARD]", alone("it's 4111 1111 1111 1111 twelve twenty-seven one two three"))
  end)

  it("that one person told over several texts is taken out of all of them, and nothing else is", function()
    assert.same({ "I am Jo, +49 176 1234567", "my card is [CARD]", "[CARD]", "[CARD] and that is it", "", "4111" },
      redact.cards_said{ "I am Jo, +49 176 1234567", "my card is four one one one", "1111 1111", "one one one one and that is it", "", "4111" })
    assert.same({ "it's [CARD]!" }, redact.cards_said{ "it's 4111-1111-1111-1111!" })
    assert.same({}, redact.cards_said{})
  end)

  it("that is told behind many other digits is taken out as well", function()
    local texts = {}
    for i = 1, 12 do texts[i] = "two three five seven" end
    for i = 13, 16 do texts[i] = i == 13 and "4111" or "1111" end
    local out = redact.cards_said(texts)
    assert.same({ "[CARD]", "[CARD]", "[CARD]", "[CARD]" }, { out[13], out[14], out[15], out[16] })
    local long = ("23 "):rep(40)
    assert.same({ long, "[CARD]", "[CARD]" }, redact.cards_said{ long, "4111 1111", "1111 1111" })
  end)

  it("that a cut goes through leaves no part behind, said or written", function()
    local before = ("x"):rep(80) .. " my card is "
    for _, number in ipairs{ "4111 1111 1111 1111", "4111-1111-1111-1111", "four one one one one one one one one one one one one one one one" } do
      for bytes = #before + 4, #before + #number - 4 do assert.equal(before, redact.cut(before .. number .. " thanks", bytes)) end
    end
    assert.equal("short 4111", redact.cut("short 4111", 100))
    assert.equal("große ", redact.cut("große Dächer", 9))
    assert.equal("große", redact.cut("großes", 6))
    assert.equal("it is [CARD] ", redact.cut("it is [CARD] thanks", 16))
    local kana = ("か"):rep(50)
    assert.equal("はい " .. kana, redact.cut("はい " .. kana .. kana, 7 + #kana))
    local spoken = ("neun-"):rep(16)
    for bytes = 70, #spoken do assert.equal("", redact.cut(spoken .. " thanks", bytes)) end
    local digits = ("4"):rep(9000)
    assert.is_true(#redact.cut(digits, 4096) <= 4096)
  end)

  it("is looked for in many texts of digits in time that grows with their number", function()
    local texts, began = {}, os.clock()
    for i = 1, 400 do texts[i] = ("4111 "):rep(30) end
    redact.cards_said(texts)
    assert.is_true(os.clock() - began < 1)
  end)

  it("is none when its check digit is wrong", function()
    local text = "order four one one one one one one one one one one one one one one two"
    assert.equal(text, alone(text))
  end)

  it("that goes on in the next utterance is masked in both", function()
    assert.same({ "My number is [CARD]", "[CARD]" }, chain("My number is 4111 1111", "1111 1111"))
    assert.same({ "[CARD]", "[CARD]", "[CARD]", "and [CARD], that's it" }, chain("four one one one", "one one one one", "one one one one", "and one one one one, that's it"))
  end)

  it("is not made of what does not follow", function()
    assert.same({ "I have 4111 1111", "1111 1112 is it" }, chain("I have 4111 1111", "1111 1112 is it"))
  end)

  it("that is pressed is known, and before it is whole it may be one", function()
    assert.is_true(redact.keys("4111111111111111"))
    assert.equal("perhaps", redact.keys("411111111111111"))
    assert.is_false(redact.keys("411111111111"))
    assert.is_false(redact.keys("4111111111111112345"))
    assert.is_false(redact.keys("0150123456789"))
    assert.is_true(redact.keys("1*4111111111111111#"))
    assert.is_false(redact.keys(""))
  end)

  it("is taken out of notes and of values, and nothing else is", function()
    assert.equal("card [CARD]!", redact.cards("card 4111 1111 1111 1111!"))
    local value = { a = { "x", "4111111111111111" }, n = 4111111111111111, at = 1795341600000123, b = "+12025550123" }
    assert.same({ a = { "x", "[CARD]" }, n = "[CARD]", at = 1795341600000123, b = "+12025550123" }, redact.cards_in(value))
    assert.equal("4111111111111111", value.a[2])
    local plain = { 1, "two", { three = 3 } }
    assert.equal(plain, redact.cards_in(plain))
  end)
end)

describe("other personal values", function()
  it("are account numbers, in writing and spoken", function()
    for _, said in ipairs{ "DE89 3704 0044 0532 0130 00", "de89370400440532013000", "D E eight nine three seven zero four double zero four four zero five three two zero one three zero zero zero",
      "GB29 NWBK 6016 1331 9268 19" } do
      assert.equal("pay to [IBAN] please", alone("pay to " .. said .. " please"), said)
    end
    assert.equal("pay to DE88 3704 0044 0532 0130 00", alone("pay to DE88 3704 0044 0532 0130 00"))
  end)

  it("are national ids", function()
    assert.equal("it is [ID].", alone("it is 078-05-1120."))
    assert.equal("my social is [ID]", alone("my social is zero seven eight zero five one one two zero"))
    assert.equal("[ID]", alone("078051120", { before = "What is your social security number?" }))
    assert.equal("order 278051120", alone("order 278051120"))
    for _, text in ipairs{ "it is 666-05-1120", "it is 278-00-1120", "it is 278-05-0000" } do assert.equal(text, alone(text)) end
    assert.equal("number [ID] ok", alone("number AB 12 34 56 C ok"))
    assert.equal("dni [ID], nie [ID], not 12345678A", alone("dni 12345678Z, nie X1234567L, not 12345678A"))
    assert.equal("steuer id [ID]", alone("steuer id 86095742719"))
  end)

  it("are phone numbers, also spoken", function()
    for _, said in ipairs{
      "2025550123", "two oh two five five five oh one two three", "plus four nine thirty one two three four five six", "+1 202 555 0123", "zero one seven one one two three four five six seven",
    } do
      assert.equal("call [PHONE] now", alone("call " .. said .. " now"), said)
    end
  end)

  it("are e-mail addresses, also spoken", function()
    for _, said in ipairs{
      "jo.doe@example.org", "john at example dot com", "john dot smith at example dot co dot uk", "john underscore smith at my dash firm dot com", "john.smith at gmail.com",
    } do
      assert.equal("write to [EMAIL] please", alone("write to " .. said .. " please"), said)
    end
    assert.equal("look at the dot com crash", alone("look at the dot com crash"):gsub("%[EMAIL%]", "look at the dot com"))
    assert.equal("we meet at example.com headquarters at noon", alone("we meet at example.com headquarters at noon"))
  end)

  it("are what a tenant names by its form", function()
    local forms = { { name = "CONTRACT", form = "AC-######" }, { name = "BADGE", form = "@@##.*" } }
    assert.equal("it is [CONTRACT] and [BADGE]", alone("it is ac-123456 and XY12.7", { forms = forms }))
    assert.equal("it is ac-1234567 and xac-123456", alone("it is ac-1234567 and xac-123456", { forms = forms }))
  end)

  it("leave what people say otherwise as it is", function()
    for _, text in ipairs{
      "I have two kids and three dogs.", "It costs 4,500 dollars, or 12.50 a month.", "At ten thirty on the twenty-first.", "My zip is 94103.", "Yes, one moment.", "",
      "The order is 4711.", "It was in 2019, 2020 and 2021.", "We are at home.", "Press one for sales, two for support.",
    } do assert.equal(text, alone(text)) end
  end)
end)

describe("forms of tenants", function()
  it("are refused when they say too little or what no form is", function()
    local function fault(name, form) return select(2, redact.forms_fault{ { name = name, form = form } }) end
    assert.is_nil(fault("CONTRACT", "AC-###"))
    assert.truthy(fault("contract", "AC-###"))
    assert.truthy(fault("C", "AC-##"))
    assert.truthy(fault("C", "###"))
    assert.truthy(fault("C", "\195\164###"))
    local many = {}
    for i = 1, 21 do many[i] = { name = "C", form = "AC-###" } end
    assert.equal(21, (redact.forms_fault(many)))
  end)

  it("take time in proportion to the text, whatever they are", function()
    local forms = {}
    for i = 1, 20 do forms[i] = { name = "C", form = ("*"):rep(39) .. "!" } end
    assert.is_nil(redact.forms_fault(forms))
    local began = os.clock()
    alone(("a"):rep(16000), { forms = forms })
    assert.is_true(os.clock() - began < 2)
  end)
end)

describe("any bytes", function()
  it("may be a word of dots", function()
    local began = os.clock()
    for _, sign in ipairs{ ".", "-" } do
      local word = sign:rep(7990) .. "a"
      for _ = 1, 5 do assert.equal("at " .. word, alone("at " .. word)) end
    end
    assert.is_true(os.clock() - began < 0.5)
  end)

  it("are taken, in time that grows with their number", function()
    local pieces = { "one ", "4111 ", "double ", "@", "at ", "dot ", "\255", "DE89", "plus ", "uh ", "-", "a", "\0", "ä", "forty " }
    math.randomseed(7)
    for _ = 1, 200 do
      local parts = {}
      for i = 1, 60 do parts[i] = pieces[math.random(#pieces)] end
      local text = table.concat(parts)
      assert.is_string((alone(text)))
      spelling.runs(text)
    end
    local began = os.clock()
    for _, piece in ipairs(pieces) do alone(piece:rep(math.floor(16000 / #piece))) end
    assert.is_true(os.clock() - began < 10)
  end)
end)
