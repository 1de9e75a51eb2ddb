-- SPDX-License-Identifier: Apache-2.0
--- The guard's parts: personal values, marks, secrets, prices, grounding, pieces.
require "stand_in"
local amounts = require "ai.guard.amounts"
local grounding = require "ai.guard.grounding"
local mask = require "ai.guard.mask"
local secrets = require "ai.guard.secrets"
local stream = require "ai.guard.stream"

local function masked(text, known)
  local vault = mask.vault()
  local out = mask.text(text, vault, known)
  return out, vault
end

describe("personal values", function()
  it("leave as placeholders, the same for the same value, and come back", function()
    local text = "I am at jo.doe+x@mail.example.org or +1 202 555 0142, again jo.doe+x@mail.example.org."
    local out, vault = masked(text)
    assert.equal("I am at [EMAIL_1] or [PHONE_1], again [EMAIL_1].", out)
    assert.equal(text, mask.reveal(out, vault))
  end)

  it("are phone numbers as people write them", function()
    for _, number in ipairs{ "+49 30 123456", "030/1234567", "(202) 555-0142", "202-555-0142", "0171 1234567", "+12025550142" } do
      assert.equal("Call [PHONE_1] now.", (masked("Call " .. number .. " now.")))
    end
    assert.equal("[PHONE_1] [PHONE_2]", (masked("0301234567 0409876543")))
  end)

  it("are cards and accounts whose check digits are right, and no others", function()
    assert.equal("My card is [CARD_1].", (masked("My card is 4111 1111 1111 1111.")))
    assert.equal("My card is 4111 1111 1111 1112.", (masked("My card is 4111 1111 1111 1112.")))
    assert.equal("Pay to [IBAN_1], please", (masked("Pay to DE89 3704 0044 0532 0130 00, please")))
    assert.equal("Pay to DE88 3704 0044 0532 0130 00", (masked("Pay to DE88 3704 0044 0532 0130 00")))
  end)

  it("with the expiry or the check number behind a card left them to be read", function()
    for _, number in ipairs{ "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "3782 822463 10005", "378282246310005", "3056 930902 5904", "2223 0000 4841 0010" } do
      for _, behind in ipairs{ " 1227", " 12/27", " 12 27", " 12/2027", " 3/27", " 12-27", " 12/27 123", " 1227 1234", " 123", "/1227", " 12.27" } do
        local out, vault = masked("It is " .. number .. behind .. ", ok?")
        assert.is_nil(out:find(number, 1, true), number .. behind)
        assert.equal("It is [CARD_1], ok?", out)
        assert.equal("It is " .. number .. behind .. ", ok?", mask.reveal(out, vault))
      end
    end
    assert.equal("[CARD_1]", (masked("41111111111111111227")))
    assert.equal("[CARD_1]", (masked("41111111111111111227123")))
    assert.equal("[CARD_1] and [CARD_2]", (masked("4111 1111 1111 1111 12/27 and 5555 5555 5555 4444 01/28")))
  end)

  it("are not the numbers of orders, parcels and the like that are as long", function()
    for _, text in ipairs{
      "Order 4111 1111 1111 1112 1227", "parcel 00340434161094015902", "parcel 9400 1000 0000 0000 0000 00", "order 20261127 0930 4711 12",
      "4000 4500 5000 5500 6000", "2019 2020 2021 2022 2023", "4111 1111 1111 1111 9999", "9111 1111 1111 1119 1227", "from 01.02.2026 9.30 to 02.02.2026 17.45",
      "serial 1234-5678-9012-3456-7890", "meter 4111.1111.1111.1112.12", "41111111111111111399",
    } do assert.equal(text, (masked(text))) end
  end)

  it("in the brackets of a sentence left as they were", function()
    assert.equal("My card ([CARD_1]).", (masked("My card (4111 1111 1111 1111).")))
    assert.equal("Call me ([PHONE_1])!", (masked("Call me (0170 1234567)!")))
    assert.equal("[PHONE_1] ([PHONE_2]) ([PHONE_3]", (masked("0170 1234567 (0171 1234567) (0172 1234567")))
    local text = "(my mobile, (0170) 1234567) or ((202) 555-0142), and (3) of 5 (2026)"
    local out, vault = masked(text)
    assert.equal("(my mobile, [PHONE_1]) or ([PHONE_2]), and (3) of 5 (2026)", out)
    assert.equal(text, mask.reveal(out, vault))
  end)

  it("behind another word of capitals, or a second account, left as they were", function()
    assert.equal("AB12 [IBAN_1]", (masked("AB12 DE89370400440532013000")))
    assert.equal("[IBAN_1] [IBAN_2] AND [IBAN_1]", (masked("DE89370400440532013000 GB82WEST12345698765432 AND DE89370400440532013000")))
    assert.equal("[IBAN_1] [IBAN_2]", (masked("DE89 3704 0044 0532 0130 00 GB82 WEST 1234 5698 7654 32")))
    assert.equal("[IBAN_1][IBAN_2]", (masked("DE89370400440532013000GB82WEST12345698765432")))
    assert.equal("AB12 DE88370400440532013000 XY99", (masked("AB12 DE88370400440532013000 XY99")))
  end)

  it("are not dates, prices, years, amounts and order numbers", function()
    local text = "On 01.02.2026 at 9.30, 2026-11-27T06:00, for 9,900 dollars or 0.75, in 1998 and order 12345678, 100 200 300."
    assert.equal(text, (masked(text)))
  end)

  it("that are known go wherever they stand as whole words", function()
    local known = { { kind = "NAME", value = "Ann Lee" } }
    local out, vault = masked("ann lee and Ann Leeds, ANN LEE!", known)
    assert.equal("[NAME_1] and Ann Leeds, [NAME_1]!", out)
    assert.equal('{"name":"Ann Lee"}', mask.reveal('{"name":"[NAME_1]"}', vault, true))
    local quoted = mask.vault()
    assert.equal("[NAME_1]", mask.text('Al "Q"', quoted, { { kind = "NAME", value = 'Al "Q"' } }))
    assert.equal('{"n":"Al \\"Q\\""}', mask.reveal('{"n":"[NAME_1]"}', quoted, true))
  end)

  it("are not had by saying their placeholder", function()
    local vault = mask.vault()
    mask.text("+1 202 555 0142", vault)
    assert.equal("(PHONE_1)", mask.text("[PHONE_1]", vault))
    assert.equal("[PHONE_7]", mask.reveal("[PHONE_7]", vault))
  end)
end)

describe("a policy of the guard that nobody can read", function()
  it("is as none, and does not end the answer", function()
    local settings = require("ai.guard").settings
    local usual = settings{ purpose = "call" }
    for _, policy in ipairs{ { guard = { max_bytes = {}, price_text = 7, support = "much" } }, { guard = true }, "cost" } do
      assert.same(usual, settings{ purpose = "call", policy = policy })
    end
    assert.equal(300, settings{ purpose = "call", policy = { guard = { max_bytes = "300" } } }.max_bytes)
  end)
end)

describe("secrets", function()
  it("are keys and tokens by their form", function()
    for _, secret in ipairs{ "sk-" .. ("a1"):rep(20), "AKIA" .. ("B"):rep(16), "ghp_" .. ("x"):rep(36), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ" } do
      assert.same({ "The key is [removed] now", 1 }, { secrets.remove("The key is " .. secret .. " now") })
    end
    local pem = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"
    assert.same({ "a [removed] b", 1 }, { secrets.remove("a " .. pem .. " b") })
    assert.same({ "a [removed]", 1 }, { secrets.remove("a -----BEGIN EC PRIVATE KEY-----\nMIIB") })
  end)

  it("were looked for from each beginning to the end of the text, which took seconds", function()
    local began = os.clock()
    local text = ("-----BEGIN "):rep(100000)
    assert.same({ text, 0 }, { secrets.remove(text) })
    text = ("-----BEGIN PRIVATE KEY-----x-----END -----"):rep(20000)
    assert.equal(20000, select(2, secrets.remove(text)))
    assert.is_true(os.clock() - began < 2, ("it took %.1f s"):format(os.clock() - began))
    assert.same({ "a -----BEGIN CERTIFICATE-----x", 0 }, { secrets.remove("a -----BEGIN CERTIFICATE-----x") })
    assert.same({ "a [removed] b [removed]", 2 }, { secrets.remove("a -----BEGIN ENCRYPTED PRIVATE KEY-----x-----END ENCRYPTED PRIVATE KEY----- b -----BEGIN RSA PRIVATE KEY-----") })
  end)

  it("are values that are known, and nothing else", function()
    assert.same({ "say [removed] and [removed]", 2 }, { secrets.remove("say hunter22x and hunter22x", { "hunter22x" }) })
    local text = "The sk-8 model costs more; see www.example.org/a-long-path-of-words and ask-us-anything-you-like-please."
    assert.same({ text, 0 }, { secrets.remove(text, { "short" }) })
  end)
end)

local function prices(text)
  local values = {}
  for i, price in ipairs(amounts.prices(text)) do values[i] = price.value end
  return values
end

describe("prices", function()
  it("are read in the ways people write them", function()
    assert.same({ 1299.5 }, prices("It is $1,299.50 today"))
    assert.same({ 1299.5 }, prices("Es kostet 1.299,50 €."))
    assert.same({ 1299 }, prices("1 299 euros"))
    assert.same({ 5000 }, prices("about $5k"))
    assert.same({ 2000000 }, prices("2 million dollars"))
    assert.same({ 20, 30 }, prices("EUR 20 or 30 pounds"))
    assert.same({ 0.99 }, prices("0.99 USD"))
    assert.same({ 49 }, prices("49,- Euro"))
    assert.same({}, prices("5 kW, 10 years, 1998, from 9 to 17, page 3"))
  end)

  it("in words passed as none", function()
    local function values(text)
      local found = {}
      for i, price in ipairs(amounts.prices(text)) do
        found[i] = price.value
        for _, value in ipairs(price.others or {}) do found[i] = found[i] .. "/" .. value end
      end
      return table.concat(found, " ")
    end
    for text, expected in pairs{
      ["It costs twenty dollars."] = "20", ["Only twenty-five euros a month"] = "25", ["a hundred dollars"] = "100", ["one hundred and five pounds"] = "105",
      ["two thousand three hundred and forty US dollars"] = "2340", ["five and a half euros"] = "5.5", ["half a million dollars"] = "500000",
      ["one point five million dollars"] = "1500000", ["two and a half thousand euros"] = "2500", ["nineteen point nine nine dollars"] = "19.99",
      ["nineteen ninety-nine dollars"] = "1999/19.99", ["ninety-nine cents"] = "99/0.99", ["Twenty-dollar bills"] = "20", ["twelve hundred USD"] = "1200",
      ["nineteen dollars and ninety-nine cents"] = "19/19.99 99/0.99/19.99", ["three quid"] = "3", ["a million yen"] = "1000000",
      ["Das macht neunzehn Euro."] = "19", ["neunzehn Euro neunundneunzig"] = "19/19.99", ["einundzwanzig Euro"] = "21", ["zweihundertfünfzig Euro"] = "250",
      ["Zweitausendfünfhundert Franken"] = "2500", ["zweitausend fünfhundert Euro"] = "2500", ["zwölf Euro fünfzig"] = "12/12.5", ["anderthalb Millionen Euro"] = "1500000",
      ["zwei Millionen Euro"] = "2000000", ["eine Million Euro"] = "1000000", ["neunzehn Komma neun neun Euro"] = "19.99", ["dreißig Schweizer Franken"] = "30",
      ["zweieinhalb Euro"] = "2.5", ["hundertundeins Euro"] = "101", ["ein Euro"] = "1", ["neunhundertneunundneunzigtausendneunhundertneunundneunzig Euro"] = "999999",
      ["20 US dollars, 5 hundred euros"] = "20 500", ["20 złoty"] = "20", ["$20 and fifty cents"] = "20/20.5 50/0.5/20.5",
      -- and these are none
      ["one real reason to give it one try"] = "", ["two weeks, forty winks, one of our colleagues"] = "", ["What you pay in euros two days later"] = "",
      ["one hundred percent of a dollar amount"] = "", ["seven days, twenty-four hours, nine to five"] = "", ["under a thousand pines"] = "",
      ["hundert Kunden, und zwei von ihnen"] = "", ["in the nineteen nineties"] = "", ["a pound of flour"] = "",
    } do assert.equal(expected, values(text), text) end
  end)

  it("of a million digits or of marks alone are none", function()
    assert.same({}, prices("$" .. ("9"):rep(100000)))
    assert.same({}, prices("$" .. (".,"):rep(1000)))
  end)
end)

local passages = { { heading = "Prices", text = "A roof of 5 kW costs 9,900 dollars. It takes two days to build it." }, { heading = "Hours", text = "We are open Monday to Friday." } }

describe("an answer", function()
  it("that says what its passages say is borne out", function()
    local result = grounding.check("A 5 kW roof costs $9,900. Building takes two days. Does that help? You are welcome.", passages)
    assert.same({ sentences = 2, unsupported = {} }, result)
  end)

  it("with a number or words of its own is not", function()
    local result = grounding.check("A 5 kW roof costs 8,000 dollars. Our installers wear purple elephant costumes. We are open Monday.", passages)
    assert.equal(2, #result.unsupported)
    assert.same({ "number", "words" }, { result.unsupported[1].why, result.unsupported[2].why })
  end)

  it("may say again what it was asked, and says nothing to be checked without passages", function()
    assert.same({}, grounding.check("For your 7 kW roof with purple elephant tiles we open Monday.", passages, "I have a 7 kW roof with purple elephant tiles").unsupported)
    assert.is_nil(grounding.check("Anything at all, for 5 dollars.", {}))
  end)
end)

describe("a price in an answer", function()
  local guard = require "ai.guard"
  local options = { purpose = "call", policy = { guard = { prices = true, grounding = false } }, passages = {
    { heading = "Prices", text = "A visit costs $19.99, the yearly service two hundred and fifty euros. Spare keys are 99 cents." } } }
  local function said(text, asked)
    local request, notes = guard.before({ slug = "t", key = ("k"):rep(32) }, { messages = { { role = "user", text = asked or "How much is it?" } } }, options)
    return (guard.after({ slug = "t", key = ("k"):rep(32) }, request, text, options.passages, notes, options))
  end

  it("in words that no passage has was said to callers", function()
    for _, text in ipairs{ "It costs twenty dollars.", "Das kostet neunzehn Euro.", "That is nineteen ninety-eight dollars.", "It is nineteen dollars and ninety-eight cents." } do
      assert.equal("I would have to ask a colleague for the exact price.", said(text), text)
    end
  end)

  it("may be said in words where it stands in digits, and the other way round", function()
    for _, text in ipairs{ "It costs nineteen ninety-nine dollars.", "It costs nineteen dollars and ninety-nine cents.", "The service is 250 euros.", "Das sind neunzehn Dollar neunundneunzig.",
      "Spare keys are ninety-nine cents, or $0.99.", "We come in two days." } do
      assert.equal(text, said(text))
    end
    assert.equal("You offer twenty euros?", said("You offer twenty euros?", "I give you 20 euros"))
  end)

  it("was grounded by a price and the number of people behind it", function()
    local known = amounts.known
    for _, text in ipairs{ "20 dollars and 50 people", "It takes 20 dollars, 50 minutes and patience.", "for twenty dollars and fifty people", "20 Euro und 50 Leute",
      "20 dollars and 50% off", "20 dollars 50-60 people", "$20 and 50 daily visits", "20 dollars and 50\194\160people" } do
      assert.is_nil(known(text)[20.5], text)
      assert.is_true(known(text)[20] and known(text)[50], text)
    end
    for _, text in ipairs{ "20 dollars and 50 cents", "20 dollars 50", "20 dollars 50.", "twenty dollars fifty a month", "20 Euro fünfzig pro Stunde", "20 Euro 50\nand the rest",
      "zwanzig Euro fünfzig für Mitglieder" } do
      assert.is_true(known(text)[20.5], text)
    end
  end)
end)

describe("a sentence", function()
  it("with a number in digits is borne out by the same in words", function()
    assert.same({}, grounding.check("Building the roof takes 2 days.", { { text = "Building a roof takes two days." } }).unsupported)
  end)
end)

local function streamed(pieces, check, by_sentence, most)
  local s, out = stream.new(check or function(text) return text end, by_sentence, most), {}
  for _, piece in ipairs(pieces) do out[#out + 1] = s:feed(piece) end
  out[#out + 1] = s:finish()
  return table.concat(out), s
end

describe("an answer in pieces", function()
  it("loses and doubles nothing, however it is cut", function()
    local text = "One two. Three, four!  Five\n\nsix [PHONE_1] 七。八 \255 end"
    for _, by_sentence in ipairs{ true, false } do
      for size = 1, 9 do
        local pieces = {}
        for at = 1, #text, size do pieces[#pieces + 1] = text:sub(at, at + size - 1) end
        assert.equal(text, (streamed(pieces, nil, by_sentence)))
      end
    end
  end)

  it("is checked in whole words, so that a placeholder that comes in two is found", function()
    local vault = mask.vault()
    local hidden = mask.text("jo@example.org", vault)
    local check = function(text) return mask.reveal(text, vault) end
    assert.equal("Write to jo@example.org.", (streamed({ "Write to " .. hidden:sub(1, 4), hidden:sub(5), "." }, check, false)))
  end)

  it("ends behind a sentence where it would be too long", function()
    local text, s = streamed({ "One two three. Four five ", "six. Seven eight nine. Ten." }, nil, true, 32)
    assert.equal("One two three. Four five six. ", text)
    assert.is_true(s.full)
    assert.equal("", s:feed("more. "))
  end)

  it("of one endless word is not held for ever", function()
    local s, out = stream.new(function(text) return text end, true), 0
    for _ = 1, 100 do out = out + #s:feed(("x"):rep(1000)) end
    assert.is_true(out > 90000)
    assert.is_true(#s.held <= 5000)
  end)
end)

describe("hostile text", function()
  local size = 60000
  local texts = { "ats", ("@"):rep(size), "a@a.aa", ("a@a.aa"):rep(size / 6), "digits", ("1"):rep(size), "digits and spaces", ("0 "):rep(size / 2), "brackets", ("["):rep(size),
    "placeholders", ("[A_1]"):rep(size / 5), "accounts", ("DE11 "):rep(size / 5), "accounts without spaces", ("DE11"):rep(size / 4),
    "round brackets", ("(1"):rep(size / 2), "numbers in brackets", ("(01) "):rep(size / 5), "heads", ("-----BEGIN "):rep(size / 11),
    "whole keys", ("-----BEGIN PRIVATE KEY-----x-----END -----"):rep(size / 41), "keys", ("sk-"):rep(size / 3),
    "signs", ("$1"):rep(size / 2), "thousands", ("1 000"):rep(size / 5), "marks", ("1.,"):rep(size / 3), "high bytes", ("\255"):rep(size), "number words", ("twenty "):rep(size / 7),
    "long number words", ("hundert"):rep(size / 7), "ands", ("and a half "):rep(size / 11), "cards", ("4111 "):rep(size / 5), "und", ("und"):rep(size / 3), "names", ("Ann Le"):rep(size / 6) }
  for i = 1, #texts, 2 do
    it("takes time in proportion: " .. texts[i], function()
      local text, began = texts[i + 1], os.clock()
      local vault = mask.vault()
      mask.reveal(mask.text(text, vault, { { kind = "NAME", value = "Ann Lee" } }), vault)
      secrets.remove(text, { "AnnLeAnnLe" })
      amounts.prices(text)
      amounts.numbers(text)
      grounding.check(text, { { text = text } })
      assert.is_true(os.clock() - began < 5, ("it took %.1f s"):format(os.clock() - began))
    end)
  end
end)
