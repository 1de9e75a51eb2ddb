-- SPDX-License-Identifier: Apache-2.0
--- How a caller sounds, by his words: positive, neutral or negative, and how angry; for each language that conversations know. A model says it
--- better where one talks (calls.talk.marks); this is there at once, and without one. Pure; takes any bytes.
local lexicon = require "voice.lexicon"
local reading = require "voice.reading"

local sentiment = {}

--- Anger that puts a caller through; see sentiment.temper.
sentiment.ANGRY = 3
--- That a model says so.
sentiment.SAID = 3

-- Folded as voice.reading folds them, phrases with "_". Phrases that say nothing, though a word of them would; what turns the word behind it round, good words, bad ones; angry is said of us or to us
-- and counts two, furious is enough alone.
local lists = {
  en = {
    none = "good_morning good_afternoon good_evening good_day good_bye not_bad",
    turns = "not no never dont doesnt didnt isnt wasnt arent cant couldnt wont wouldnt hardly without",
    good = "good great perfect excellent wonderful fantastic amazing lovely happy glad pleased helpful awesome super brilliant delighted",
    bad = "bad terrible awful horrible poor wrong annoying annoyed unhappy disappointed disappointing useless slow worse worst complain complaint hate sad upset "
      .. "frustrated frustrating confusing angry mad",
    angry = "ridiculous unacceptable outrageous disgusting pathetic nonsense bullshit crap damn hell is_this_a_joke fed_up sick_of sick_and_tired had_enough enough_of waste_of_time "
      .. "waste_my_time wasting_my_time how_dare what_the_hell",
    furious = "furious idiot idiots stupid moron morons fuck fucking fucked asshole shut_up go_to_hell scam scammers crooks i_will_sue sue_you",
  },
  de = {
    none = "guten_tag guten_morgen guten_abend nicht_schlecht",
    turns = "nicht kein keine keinen nie niemals ohne kaum",
    good = "gut super prima toll wunderbar perfekt ausgezeichnet klasse freut nett hilfreich zufrieden spitze",
    bad = "schlecht furchtbar schrecklich falsch kaputt argerlich enttauscht enttauschend langsam beschwerde beschweren unzufrieden schlimm nervt nervig verwirrt traurig sauer",
    angry = "unverschamt unverschamtheit frechheit lacherlich quatsch blodsinn mist verdammt schnauze_voll reicht_mir mir_reicht es_reicht zeitverschwendung zum_kotzen",
    furious = "wutend idiot idioten dumm arschloch scheisse scheiss betruger betrug halt_die_klappe verklage verklagen",
  },
  es = {
    none = "nada_mal",
    turns = "no nunca jamas sin ni tampoco",
    good = "genial perfecto excelente maravilloso estupendo encantado feliz contento contenta amable fantastico",
    bad = "malo mala mal terrible horrible roto molesto molesta decepcionado decepcionada lento queja quejarme triste peor enfadado enfadada",
    angry = "ridiculo inaceptable verguenza tonterias harto harta maldito maldita perdida_de_tiempo perdiendo_el_tiempo ya_basta basta_ya",
    furious = "furioso furiosa idiota idiotas estupido estupidos mierda joder gilipollas estafa estafadores ladrones callate",
  },
  fr = {
    none = "pas_mal",
    turns = "pas jamais aucun aucune sans",
    good = "super parfait excellent genial formidable ravi ravie content contente heureux heureuse gentil magnifique",
    bad = "mauvais terrible horrible casse decu decue lent triste pire enerve enervant fache fachee mal",
    angry = "ridicule inacceptable scandaleux honte nimporte_quoi ras_le_bol en_ai_marre ca_suffit perte_de_temps perdre_mon_temps",
    furious = "furieux furieuse idiot idiots imbecile imbeciles merde putain connard arnaque escrocs voleurs ferme_la",
  },
  it = {
    none = "non_male",
    turns = "non mai senza nessun nessuna neanche",
    good = "ottimo perfetto eccellente fantastico contento contenta felice gentile bravissimi",
    bad = "male brutto terribile orribile rotto deluso delusa lento reclamo triste peggio arrabbiato arrabbiata",
    angry = "ridicolo inaccettabile vergogna vergognoso assurdo stufo stufa perdita_di_tempo maledetto",
    furious = "furioso furiosa idiota idioti stupido stupidi merda cazzo stronzo truffa truffatori ladri stai_zitto",
  },
  pt = {
    none = "nada_mal",
    turns = "nao nunca jamais sem nem",
    good = "otimo otima perfeito excelente maravilhoso feliz contente gentil fantastico",
    bad = "ruim mal terrivel horrivel quebrado decepcionado decepcionada lento reclamacao triste pior chateado chateada irritado irritada",
    angry = "ridiculo inaceitavel vergonha absurdo farto farta cansado_de perda_de_tempo perdendo_meu_tempo chega_disso maldito",
    furious = "furioso furiosa idiota idiotas estupido estupidos merda porra caralho golpistas ladroes cala_a_boca",
  },
}

local BACK = 2  -- words before, in which one turns another round: "not very good"
local WEIGHTS = { none = 0, good = 1, bad = -1, angry = -2, furious = -3 }

-- -> { words = word -> kind, phrases = { { text, kind } } }
local function build(lists_of)
  local of = { words = {}, phrases = {} }
  for kind, list in pairs(lists_of) do
    for entry in list:gmatch("%S+") do
      if entry:find("_", 1, true) then of.phrases[#of.phrases + 1] = { " " .. entry:gsub("_", " ") .. " ", kind } else of.words[entry] = kind end
    end
  end
  return of
end

local built = {}
for language, lists_of in pairs(lists) do built[language] = build(lists_of) end

--- A text's sentiment: "positive", "neutral" or "negative"; and its anger, 0 and more.
--- @param language string|nil  "en", "de-AT"; of one that is not known English is taken
function sentiment.of(text, language)
  local of = built[lexicon.language(language) or "en"]
  local folded = reading.fold(text)
  local score, anger, turned = 0, 0, -BACK - 1
  local function count(kind, is_turned)
    local weight = WEIGHTS[kind]
    if is_turned then weight = kind == "good" and -1 or 0 end
    score = score + weight
    if weight < -1 then anger = anger - weight elseif weight < 0 then anger = anger + 0.5 end
  end
  for _, phrase in ipairs(of.phrases) do
    local at = folded:find(phrase[1], 1, true)
    if at then
      count(phrase[2])
      folded = folded:sub(1, at) .. folded:sub(at + #phrase[1])  -- its words do not count again
    end
  end
  local place = 0
  for word in folded:gmatch("%S+") do
    place = place + 1
    local kind = of.words[word]
    if kind == "turns" then
      turned = place
    elseif kind then
      count(kind, place - turned <= BACK)
    end
  end
  return score > 0 and "positive" or score < 0 and "negative" or "neutral", math.floor(anger)
end

--- How angry he is by now: what he was is half forgotten with each turn. At sentiment.ANGRY he is put through.
function sentiment.temper(before, anger) return (before or 0) / 2 + anger end

local VALUES = { positive = 1, neutral = 0, negative = -1 }
local FORGETS = 0.7

--- How he sounded on the whole: his last words count most.
--- @param mood number|nil  of the turns before
function sentiment.mood(mood, word) return (mood or 0) * FORGETS + VALUES[word] end

--- That as a word.
function sentiment.word(mood) return mood > 0.5 and "positive" or mood < -0.5 and "negative" or "neutral" end

return sentiment
