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
--   greeting     begins a talk or ends it; hello, only begins it, or asks whether one is heard
--   there        asks whether anybody is there
--   thanks       are said to whom one wants nothing more of
--   objection    with the words of no: of who is about to be put through, or hung up on, and wants something else first: that it waits, a question, a wish
--   harmless     phrases with such words in them that object to nothing: they count for none
--   callback     asks to be called back
--   closing      ends a list, a number or a spelling
--   digits       zero to nine, other names of them as name=digit
--   tens         number words of two digits
--   joins        stand between the tens and the unit: "treinta y uno"
--   teens        of those, what may stand in a unit's place: "soixante-dix"; twenties, what "quatre-" may stand before
--   scales       behind a number: more of it may follow; they are no digits
--   times        double=2: the next digit counts so often
local sounds = "mm mmm hm hmm mhm mmhm uhuh uhhuh huh aha ah oh ok okay"
-- What recognisers that learned from films write down of noise.
local captions = "amara subtitles subtitulos sottotitoli legendas untertitel untertitelung sous_titres sous_titrage sottotitolato"
local lists = {
  en = {
    backchannel = sounds .. " uh_huh yeah yep yup yes right sure alright all_right i_see got_it good great fine cool really exactly indeed go_on of_course",
    urgent = "stop wait hold_on hang_on excuse_me no nope agent operator human representative help pardon",
    filler = "um uh er erm eh hm hmm mmm well like let_me_see you_know i_mean",
    open = "and but or because if when while than which with without for to of in on at by from about into a an the my your our their his is as i im",
    yes = "yes yeah yep yup sure ok okay correct right absolutely definitely certainly exactly of_course",
    no = "no nope nah never not",
    polite = "please thanks thank you it is thats that i do dont am course",
    farewell = "bye goodbye byebye bye_bye good_bye have_a_nice_day have_a_good_day have_a_great_day you_too same_to_you take_care see_you cheers " ..
      "rest_of_your_day have_a_wonderful_day have_a_lovely_day have_a_good_one good_night",
    greeting = "good_morning good_afternoon good_evening good_day",
    hello = "hello hi hey",
    there = "are_you_there is_anybody_there is_anyone_there anybody_there can_you_hear_me",
    thanks = "thanks thank appreciate cheers",
    objection = "stop wait hold_on hang_on one_moment just_a_moment one_second just_a_second one_minute just_a_minute excuse_me pardon but dont didnt doesnt cant " ..
      "cannot wont havent what whats how when where wheres who whos why which can_you could_you can_i could_i can_we may_i will_you would_you do_you do_i " ..
      "did_you are_you are_there is_there want wanted need id_like would_like i_wish tell_me give_me send_me show_me call_me explain let_me repeat " ..
      "say_that_again say_it_again ask question one_more one_last another something_else before first instead rather actually also forgot forget meant wrong " ..
      "mistake misunderstood cancel nevermind i_have_a_problem changed_my_mind one_sec " ..
      "second_thought second_thoughts leave_it come_again is_that",
    harmless = "no_problem no_problems no_worries no_trouble no_rush no_hurry no_objection no_objections no_question no_questions no_doubt no_thats_all no_thats_it " ..
      "no_thats_everything not_a_problem not_at_all not_bad why_not never_better dont_worry dont_mind dont_mention cant_wait cant_thank cant_complain " ..
      "but_of_course but_thanks but_thank_you ill_wait i_will_wait i_can_wait i_shall_wait to_wait gladly_wait ill_just_wait what_i_needed what_i_wanted " ..
      "what_i_need what_i_want what_we_needed what_we_wanted what_a_relief what_a_pleasure how_nice how_kind how_lovely how_wonderful how_great " ..
      "when_you_are_ready when_youre_ready when_you_can when_they_are who_can_help all_i_needed all_i_wanted all_i_need all_i_want if_you_want if_you_need " ..
      "as_you_want would_like_that id_like_that would_like_to_thank id_like_to_thank want_to_thank wanted_to_thank want_to_say_thank wanted_to_say_thank " ..
      "let_me_know let_me_thank may_i_thank answers_my_question answered_my_question answering_my_question dont_forget as_before at_first thats_actually " ..
      "thank_you_also",
    callback = "call_me_back can_you_call_me_back could_you_call_me_back i_want_to_be_called_back id_like_to_be_called_back i_would_like_to_be_called_back",
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
    farewell = "tschuss tschus tschau auf_wiedersehen wiedersehen auf_wiederhoren wiederhoren bis_dann bis_bald schonen_tag schonen_tag_noch einen_schonen_tag " ..
      "gleichfalls ebenfalls ihnen_auch",
    greeting = "ciao servus guten_tag guten_morgen guten_abend gruss_gott",
    hello = "hallo hi hey",
    there = "sind_sie_da sind_sie_noch_da ist_da_jemand ist_jemand_da horen_sie_mich",
    thanks = "danke dank danken bedanke dankeschon",
    objection = "keine keinen stopp stop halt warten warte moment augenblick sekunde entschuldigung verzeihung aber was wie wann wo wer warum wieso weshalb welche " ..
      "welcher welches wieviel woher wohin konnen_sie konnten_sie kann_ich konnte_ich darf_ich durfte_ich gibt_es haben_sie sagen_sie erklaren_sie " ..
      "wiederholen rufen_sie schicken_sie will mochte wollte brauche hatte_gern hatte_gerne frage noch_etwas noch_was noch_eine noch_ein noch_mal nochmal " ..
      "noch_kurz falsch irrtum missverstanden vergessen meinte lieber stattdessen zuerst vorher ausserdem eigentlich sondern abbrechen habe_ein_problem habe_noch " ..
      "eins_noch lassen_sie_das anders_uberlegt",
    harmless = "kein_problem keine_frage keine_fragen keine_sorge keine_ursache keine_eile keinen_einwand kein_thema macht_nichts nicht_schlimm nicht_schlecht " ..
      "warum_nicht nicht_wahr nicht_zu_danken im_moment moment_gern moment_gerne ich_warte ich_kann_warten ich_werde_warten warte_gern warte_gerne aber_gern " ..
      "aber_gerne aber_ja aber_klar aber_sicher aber_naturlich aber_danke was_ich_wollte was_ich_brauche was_ich_wissen_wollte das_wollte_ich " ..
      "mehr_wollte_ich_nicht mochte_mich_bedanken will_mich_bedanken wollte_mich_bedanken wie_schon wie_nett wie_gut wie_gesagt wie_immer wie_sie_wollen " ..
      "wie_sie_mochten haben_sie_vielen haben_sie_besten haben_sie_dank haben_sie_einen haben_sie_herzlichen das_konnen_sie meine_frage_beantwortet " ..
      "noch_ein_schones noch_eine_schone nicht_vergessen entschuldigung_fur warte_ich das_meinte_ich will_ihnen_nur_danken " ..
      "will_ihnen_danken wollte_ihnen_danken mochte_ihnen_danken wollte_nur_danke",
    callback = "rufen_sie_mich_zuruck ruf_mich_zuruck rufen_sie_mich_bitte_zuruck konnen_sie_mich_zuruckrufen konnten_sie_mich_zuruckrufen " ..
      "konnen_sie_mich_bitte_zuruckrufen ich_mochte_zuruckgerufen_werden ich_mochte_einen_ruckruf ich_hatte_gern_einen_ruckruf einen_ruckruf ruckruf",
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
    farewell = "adios chao hasta_luego hasta_pronto que_tenga_buen_dia que_tenga_un_buen_dia igualmente",
    greeting = "buen_dia buenos_dias buenas_tardes buenas_noches buenas",
    hello = "hola alo oiga diga",
    there = "hay_alguien hay_alguien_ahi esta_ahi sigue_ahi me_oye",
    thanks = "gracias agradezco agradecido agradecida",
    objection = "stop pare paren para_para espera espere esperen esperate aguarde un_momento un_momentito un_segundo un_minuto perdon perdone disculpe pero cuanto " ..
      "cuanta cuantos cuantas cuando donde cual cuales quien por_que como que_precio que_hora que_horario que_pasa que_cuesta puede_decirme me_puede " ..
      "puede_repetir podria puedo digame dime repita repetir queria quisiera quiero necesito me_gustaria pregunta preguntar otra_cosa algo_mas una_cosa antes " ..
      "primero ademas mejor_no mejor_manana en_realidad olvide olvidaba equivocado equivoque error cancelar tengo_un_problema en_vez",
    harmless = "no_hay_problema no_hay_ningun_problema no_hay_inconveniente no_problem como_no no_hay_de_que no_se_preocupe no_te_preocupes no_pasa_nada por_que_no " ..
      "no_importa no_esta_mal pero_claro pero_gracias pero_si puedo_esperar lo_que_queria lo_que_quiero lo_que_necesitaba lo_que_necesito quiero_agradecer " ..
      "queria_agradecer quiero_darle queria_darle cuando_quiera cuando_pueda cuando_guste cuanto_antes lo_antes_posible como_siempre asi_como como_usted como_quiera como_prefiera " ..
      "que_pase_buen",
    callback = "llameme llamenme me_llame me_llamen puede_llamarme pueden_llamarme devuelvame_la_llamada que_me_llamen quiero_que_me_llamen quisiera_que_me_llamen " ..
      "me_puede_llamar me_pueden_llamar",
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
    farewell = "au_revoir bonne_journee bonne_soiree a_bientot vous_aussi egalement a_vous_aussi",
    greeting = "salut bonjour bonsoir",
    hello = "allo coucou",
    there = "il_y_a_quelquun vous_etes_la vous_mentendez",
    thanks = "merci remercie remercier",
    objection = "stop arretez arrete attendez attends un_instant un_moment une_seconde une_minute pardon excusez_moi excuse_moi mais quoi combien quand comment pourquoi " ..
      "quel quelle quels quelles est_ce_que quest_ce pouvez_vous pourriez_vous puis_je avez_vous voulez_vous est_ce dites_moi repetez repeter je_voudrais " ..
      "je_veux jaimerais jai_besoin je_voulais question autre_chose une_chose encore_une avant dabord plutot en_fait trompe trompez erreur oublie annuler " ..
      "jai_un_probleme ou_est ou_etes etes_ou",
    harmless = "pas_de_probleme pas_de_problemes pas_de_souci pas_de_soucis pas_grave pas_mal pourquoi_pas pas_de_quoi nest_ce_pas pas_dobjection pas_dinconvenient " ..
      "ne_vous_inquietez_pas ne_vous_en_faites_pas mais_oui mais_bien_sur mais_merci mais_volontiers mais_avec_plaisir je_voudrais_vous_remercier " ..
      "je_voulais_vous_remercier je_veux_vous_remercier jaimerais_vous_remercier ce_que_je_voulais tout_ce_que_je_voulais quand_vous_voulez quand_vous_pouvez " ..
      "quel_plaisir quelle_gentillesse pas_de_question pas_dautre_question",
    callback = "rappelez_moi me_rappeler pouvez_vous_me_rappeler pourriez_vous_me_rappeler je_voudrais_etre_rappele je_voudrais_etre_rappelee je_veux_etre_rappele " ..
      "jaimerais_etre_rappele",
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
    farewell = "arrivederci arrivederla buona_giornata buona_serata a_presto altrettanto anche_a_lei",
    greeting = "ciao salve buongiorno buon_giorno buonasera buona_sera",
    hello = "pronto",
    there = "ce_qualcuno mi_sente",
    thanks = "grazie ringrazio ringraziarla ringraziare ringraziarvi",
    objection = "stop basta ferma fermi fermo aspetta aspetti aspettate un_attimo un_attimino un_momento un_secondo un_minuto scusi scusa scusate ma quanto quanta " ..
      "quanti quante quando dove chi quale quali cosa perche come puo_dirmi mi_puo puo_ripetere potrebbe posso mi_dica dimmi ripeta ripetere volevo vorrei " ..
      "voglio ho_bisogno unaltra altra_cosa domanda chiedere prima invece anzi piuttosto in_realta dimenticato dimenticavo sbagliato sbagliata errore " ..
      "annullare ancora_una ho_un_problema",
    harmless = "non_ce_problema non_ce_nessun_problema non_ce_alcun_problema non_ci_sono_problemi non_si_preoccupi non_ti_preoccupare non_fa_niente non_importa " ..
      "non_ce_di_che non_ce_fretta come_no perche_no non_male basta_cosi ma_certo ma_si ma_grazie ma_figurati ma_si_figuri ma_certamente ma_volentieri " ..
      "ma_prego vorrei_ringraziarla vorrei_ringraziare volevo_ringraziarla volevo_ringraziare voglio_ringraziarla che_volevo posso_aspettare posso_attendere " ..
      "prima_possibile quanto_prima per_quanto come_sempre come_vuole come_preferisce qualsiasi_cosa ogni_cosa quando_vuole quando_puo nessuna_domanda che_cosa_gentile",
    callback = "richiamatemi richiamami mi_richiami mi_richiamate mi_puo_richiamare puo_richiamarmi potete_richiamarmi vorrei_essere_richiamato " ..
      "vorrei_essere_richiamata mi_faccia_richiamare",
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
    farewell = "tchau adeus ate_logo ate_mais tenha_um_bom_dia igualmente para_voce_tambem",
    greeting = "bom_dia boa_tarde boa_noite",
    hello = "ola oi alo",
    there = "ha_alguem tem_alguem_ai esta_ai me_ouve",
    thanks = "obrigado obrigada brigado brigada agradeco agradecido agradecida",
    objection = "stop pare parem calma espere espera aguarde um_momento um_momentinho um_segundo um_minuto um_instante desculpe desculpa mas qual quais quanto quanta quantos " ..
      "quantas quando onde quem como por_que o_que pode_dizer pode_me pode_repetir voce_pode o_senhor_pode a_senhora_pode poderia posso me_diga diga_me " ..
      "repita repetir queria quero gostaria preciso pergunta perguntar outra_coisa mais_uma uma_coisa antes primeiro alias na_verdade em_vez esqueci engano " ..
      "enganei errado errada cancelar tenho_um_problema",
    harmless = "nao_tem_problema nao_ha_problema nao_ha_nenhum_problema nao_faz_mal pois_nao nao_se_preocupe por_que_nao nao_ha_de_que nao_importa como_nao nada_mal " ..
      "mas_claro mas_obrigado mas_obrigada mas_sim a_espera em_espera posso_esperar posso_aguardar queria_agradecer gostaria_de_agradecer quero_agradecer " ..
      "o_que_eu_queria que_eu_queria o_que_eu_precisava quando_quiser quando_puder como_quiser como_preferir como_sempre quanto_antes o_mais_antes e_preciso",
    callback = "ligue_de_volta me_ligue ligue_me me_liguem liguem_me pode_me_ligar pode_ligar_me podem_me_ligar me_ligue_de_volta quero_que_me_liguem " ..
      "gostaria_que_me_ligassem",
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

local GROUPS = { "backchannel", "urgent", "filler", "open", "yes", "no", "polite", "farewell", "greeting", "thanks", "harmless", "closing", "callback" }

local function build(lists_of)
  local of = { numbers = numbers_of(lists_of) }
  for _, name in ipairs(GROUPS) do of[name] = group(lists_of[name]) end
  local closed = table.concat({ lists_of.yes or "", lists_of.no or "", lists_of.polite or "" }, " ")
  local assent = table.concat({ closed, lists_of.backchannel or "", lists_of.thanks or "", lists_of.farewell or "", lists_of.greeting or "", lists_of.hello or "" }, " ")
  of.closed, of.assent = group(closed), group(assent)
  of.goodbye = group(assent .. " " .. (lists_of.closing or ""))
  of.opener = group(table.concat({ lists_of.hello or "", lists_of.greeting or "", lists_of.there or "" }, " "))
  of.callback_only = group(closed .. " " .. (lists_of.callback or ""))
  of.objection = group((lists_of.no or "") .. " " .. (lists_of.objection or ""))
  of.captions = group(captions)
  return of
end

local built = { [""] = build{ backchannel = sounds, filler = "um uh hm hmm mmm", yes = "ok okay", objection = "stop stopp" } }
for language, lists_of in pairs(lists) do built[language] = build(lists_of) end

--- Which of the languages here one is: "de" of "de", "de-AT" or "DE_at"; nil of any other text, or nil.
function lexicon.language(language)
  local tag = type(language) == "string" and language:lower():match("^(%a%a)%f[%A]")
  return lists[tag or ""] and tag or nil
end

--- The words of a language; of one that is not here only what is the same everywhere.
function lexicon.of(language) return built[lexicon.language(language) or ""] end

--- A folded text with a space at both ends, without a group's phrases.
function lexicon.without(of, text)
  for _, phrase in ipairs(of.phrases) do
    local at = text:find(phrase, 1, true)
    while at do
      text = text:sub(1, at) .. text:sub(at + #phrase)
      at = text:find(phrase, at, true)
    end
  end
  return text
end

--- How many words of a folded text with a space at both ends are in none of a group's phrases, not in the group, and not among others.
function lexicon.besides(of, text, among)
  local count = 0
  for word in lexicon.without(of, text):gmatch("%S+") do
    if not of.words[word] and not (among and among.words[word]) then count = count + 1 end
  end
  return count
end

--- Does such a text consist of a group's words and phrases alone (and of others that may stand among them)?
function lexicon.only(of, text, among) return lexicon.besides(of, text, among) == 0 end

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
