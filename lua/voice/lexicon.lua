-- SPDX-License-Identifier: Apache-2.0
--- The words by which a turn's end, a closed answer and a mere "mm-hm" are told, for each language that the knowledge base can read.
--- They stand as kb.words folds them: small letters, no accents, no apostrophes. A language that is not here has only the sounds
--- that mean the same everywhere.
local lexicon = {}

-- of each language
--   backchannel  said while the other speaks, without wanting the floor; phrases with "_" between their words
--   urgent       ends what is being said, even alone
--   filler       holds the floor while thinking
--   open         something must follow: conjunctions, articles, prepositions, possessives; not those that often end a sentence, too,
--                as German's separable prefixes do ("ich rufe an"), or that fold to a word which does ("la" of "là", "si" of "sí")
--   yes, no, polite   a closed answer is made of them
--   farewell     ends a talk, and needs no answer
--   closing      ends a list, a number or a spelling
--   digits       zero to nine, other names of them as name=digit
--   tens         number words of two digits
--   joins        stand between the tens and the unit: "treinta y uno"
--   teens        of those, what may stand in a unit's place: "soixante-dix"; twenties, what "quatre-" may stand before
--   scales       behind a number: more of it may follow; they are no digits
--   times        double=2: the next digit counts so often
local sounds = "mm mmm hm hmm mhm mmhm uhuh uhhuh huh aha ah oh ok okay"
local lists = {
  en = {
    backchannel = sounds .. " uh_huh yeah yep yup yes right sure alright all_right i_see got_it good great fine cool really exactly indeed go_on of_course",
    urgent = "stop wait hold_on hang_on excuse_me no nope agent operator human representative help pardon",
    filler = "um uh er erm eh hm hmm mmm well like let_me_see you_know i_mean",
    open = "and but or because if when while than which with without for to of in on at by from about into a an the my your our their his is as i im",
    yes = "yes yeah yep yup sure ok okay correct right absolutely definitely certainly exactly of_course",
    no = "no nope nah never not",
    polite = "please thanks thank you it is thats that i do dont am course",
    farewell = "bye goodbye byebye bye_bye good_bye have_a_nice_day have_a_good_day have_a_great_day you_too same_to_you take_care see_you cheers",
    closing = "thats_it thats_all thats_the_number done finished",
    digits = "zero one two three four five six seven eight nine oh=0 o=0 nought=0",
    scales = "hundred thousand",
    tens = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety",
    times = "double=2 triple=3",
  },
  de = {
    backchannel = sounds .. " ja jaja jo genau klar gut schon richtig stimmt verstehe ach so ach_so alles_klar na_klar sicher prima super eben",
    urgent = "stopp stop halt warten warte moment entschuldigung nein ne mitarbeiter mensch berater hilfe bitte_was",
    filler = "ah ahm hm hmm mmm also na halt_mal sagen_wir",
    open = "und aber oder weil wenn als dass denn sondern ohne fur zum zur von vom in im am bei uber unter " ..
      "der die das den dem des ein eine einen einem einer mein meine meinen ihr ihre",
    yes = "ja jo jawohl genau klar gerne gern sicher richtig stimmt ok okay naturlich freilich",
    no = "nein ne nee nicht niemals kein",
    polite = "bitte danke das ist doch na sehr schon ich",
    farewell = "tschuss tschus tschau ciao servus auf_wiedersehen wiedersehen auf_wiederhoren wiederhoren bis_dann bis_bald schonen_tag schonen_tag_noch einen_schonen_tag " ..
      "gleichfalls ebenfalls ihnen_auch",
    closing = "das_wars das_war_es fertig ende das_ist_alles",
    digits = "null eins zwei drei vier funf sechs sieben acht neun ein=1 zwo=2",
    tens = "zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn achtzehn neunzehn zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig",
    times = "doppel=2 doppelt=2",
  },
  es = {
    backchannel = sounds .. " si ya claro vale bien bueno entiendo de_acuerdo exacto eso aja perfecto por_supuesto",
    urgent = "para pare espera espere un_momento perdon no agente operador operadora persona ayuda disculpe",
    filler = "eh este pues em mmm o_sea a_ver bueno",
    open = "y e pero o u porque cuando que con sin para por de del en a al desde sobre el la los las un una unos unas mis su sus es",
    yes = "si claro vale correcto exacto ok okay bueno por_supuesto de_acuerdo asi_es eso_es",
    no = "no nunca tampoco",
    polite = "por favor gracias senor senora que asi es",
    farewell = "adios chao hasta_luego hasta_pronto que_tenga_buen_dia buen_dia buenas_tardes igualmente",
    closing = "eso_es_todo ya_esta nada_mas listo",
    digits = "cero uno dos tres cuatro cinco seis siete ocho nueve un=1 una=1",
    joins = "y",
    scales = "cien ciento cientos mil",
    tens = "diez once doce trece catorce quince dieciseis diecisiete dieciocho diecinueve veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    times = "doble=2 triple=3",
  },
  fr = {
    backchannel = sounds .. " oui ouais daccord dac bien bon voila exact tout_a_fait je_vois ah_bon bien_sur parfait entendu",
    urgent = "stop arretez attendez attends un_instant pardon non agent operateur conseiller humain aide excusez_moi",
    filler = "euh heu ben bah hum mmm alors enfin",
    open = "et mais ou parce que quand car avec sans pour de du des dans en a au aux chez le les l un une mon ma mes votre vos notre son sa ses est je",
    yes = "oui ouais daccord exact exactement ok okay volontiers bien_sur tout_a_fait absolument",
    no = "non jamais pas",
    polite = "s il vous te plait sil merci cest ca madame monsieur",
    farewell = "au_revoir bonne_journee bonne_soiree a_bientot salut vous_aussi egalement a_vous_aussi",
    closing = "cest_tout voila_cest_tout cest_bon fini termine",
    digits = "zero un deux trois quatre cinq six sept huit neuf une=1",
    joins = "et", scales = "cent cents mille",
    tens = "dix onze douze treize quatorze quinze seize vingt vingts trente quarante cinquante soixante septante huitante octante nonante",
    teens = "dix onze douze treize quatorze quinze seize", twenties = "vingt vingts",
    times = "double=2 triple=3",
  },
  it = {
    backchannel = sounds .. " si gia certo bene va_bene capisco ho_capito esatto giusto daccordo perfetto ecco",
    urgent = "stop basta ferma aspetta aspetti un_attimo un_momento scusi scusa no operatore operatrice persona aiuto",
    filler = "ehm eh uhm mmm allora cioe dunque insomma",
    open = "e ed ma o oppure perche se quando che con senza per di del della dei da dal in nel nella a al alla su sul il lo i gli le un uno una mio mia suo sua e_il",
    yes = "si certo esatto giusto corretto ok okay volentieri va_bene daccordo certamente",
    no = "no mai non",
    polite = "per favore grazie prego e cosi signora signore",
    farewell = "arrivederci arrivederla ciao buona_giornata buona_serata a_presto altrettanto anche_a_lei",
    closing = "e_tutto basta_cosi finito fatto",
    digits = "zero uno due tre quattro cinque sei sette otto nove un=1 una=1",
    tens = "dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    times = "doppio=2 triplo=3",
  },
  pt = {
    backchannel = sounds .. " sim pois ta certo claro bem bom entendo entendi isso exato esta_bem tudo_bem perfeito com_certeza",
    urgent = "pare para espere espera um_momento desculpe nao atendente operador operadora pessoa ajuda",
    filler = "hum eh em mmm entao tipo bom quer_dizer",
    open = "e mas ou porque se quando que com sem para por de do dos das em no na nos nas a ao o os as um uma meu minha seu sua",
    yes = "sim claro certo isso exato correto ok okay pois com_certeza",
    no = "nao nunca jamais",
    polite = "por favor obrigado obrigada senhor senhora e faz",
    farewell = "tchau adeus ate_logo ate_mais bom_dia boa_tarde igualmente para_voce_tambem",
    closing = "e_tudo e_so so_isso pronto acabou",
    digits = "zero um dois tres quatro cinco seis sete oito nove uma=1 duas=2 meia=6",
    joins = "e",
    tens = "dez onze doze treze quatorze catorze quinze dezesseis dezassete dezessete dezoito dezenove vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    times = "duplo=2 triplo=3",
  },
}

-- { words = set, phrases = texts with a space at both ends, the longest first }
local function group(list)
  local of = { words = {}, phrases = {} }
  for entry in (list or ""):gmatch("%S+") do
    if entry:find("_", 1, true) then of.phrases[#of.phrases + 1] = " " .. entry:gsub("_", " ") .. " " else of.words[entry] = true end
  end
  table.sort(of.phrases, function(a, b)
    if #a ~= #b then return #a > #b end
    return a < b
  end)
  return of
end

-- Names of numbers: digits as { "0", ... }, each under its name.
local function numbers_of(lists_of)
  local of = { digit = {}, two = {}, joins = {}, scales = {}, teens = {}, twenties = {}, times = {} }
  local n = 0
  for entry in (lists_of.digits or ""):gmatch("%S+") do
    local name, digit = entry:match("^(.-)=(%d)$")
    if name then of.digit[name] = digit else of.digit[entry], n = tostring(n), n + 1 end
  end
  for field, name in pairs{ two = "tens", joins = "joins", scales = "scales", teens = "teens", twenties = "twenties" } do
    for word in (lists_of[name] or ""):gmatch("%S+") do of[field][word] = true end
  end
  for name, count in (lists_of.times or ""):gmatch("(%S+)=(%d)") do of.times[name] = tonumber(count) end
  return of
end

local GROUPS = { "backchannel", "urgent", "filler", "open", "yes", "no", "polite", "farewell", "closing" }

local function build(lists_of)
  local of = { numbers = numbers_of(lists_of) }
  for _, name in ipairs(GROUPS) do of[name] = group(lists_of[name]) end
  local closed = table.concat({ lists_of.yes or "", lists_of.no or "", lists_of.polite or "" }, " ")
  of.closed = group(closed)
  of.assent = group(table.concat({ closed, lists_of.backchannel or "", lists_of.farewell or "" }, " "))
  return of
end

local built = { [""] = build{ backchannel = sounds, filler = "um uh hm hmm mmm", yes = "ok okay" } }
for language, lists_of in pairs(lists) do built[language] = build(lists_of) end

--- Which of the languages here one is: "de" of "de", "de-AT" or "DE_at"; nil of any other text, or nil.
function lexicon.language(language)
  local tag = type(language) == "string" and language:lower():match("^(%a%a)%f[%A]")
  return lists[tag or ""] and tag or nil
end

--- The words of a language; of one that is not here only what is the same everywhere.
function lexicon.of(language) return built[lexicon.language(language) or ""] end

--- Does a folded text, with a space at both ends, consist of a group's words and phrases alone (and of others that may stand among them)?
function lexicon.only(of, text, among)
  for _, phrase in ipairs(of.phrases) do
    local at = text:find(phrase, 1, true)
    while at do
      text = text:sub(1, at) .. text:sub(at + #phrase)
      at = text:find(phrase, at, true)
    end
  end
  for word in text:gmatch("%S+") do
    if not of.words[word] and not (among and among.words[word]) then return false end
  end
  return true
end

--- A folded text with a space at both ends, without the beginning of one of a group's phrases that it ends with: "yeah i" -> "yeah" for "i see".
function lexicon.without_begun(of, text)
  for _, phrase in ipairs(of.phrases) do
    for stop in phrase:sub(1, -2):gmatch("%S() ") do
      local begun = phrase:sub(1, stop)
      if #text >= #begun and text:sub(-#begun) == begun then return text:sub(1, #text - #begun + 1) end
    end
  end
  return text
end

--- Is one of a group's words or phrases in a folded text with a space at both ends?
function lexicon.has(of, text)
  for _, phrase in ipairs(of.phrases) do
    if text:find(phrase, 1, true) then return true end
  end
  for word in text:gmatch("%S+") do
    if of.words[word] then return true end
  end
  return false
end

--- Does a folded text with a space at both ends end with one of them?
function lexicon.ends(of, text)
  for _, phrase in ipairs(of.phrases) do
    if #text >= #phrase and text:sub(-#phrase) == phrase then return true end
  end
  local last = text:match("(%S+) $")
  return last ~= nil and of.words[last] == true
end

return lexicon
