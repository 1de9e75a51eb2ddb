-- SPDX-License-Identifier: Apache-2.0
--- What we say of ourselves in a conversation, where the script has written nothing of its own: in each language that voice.lexicon knows. No I/O.
---
---   local says = sentences.of("de-AT", { human = "Ich hole jemanden." })
---   says.silence              "Sind Sie noch da?"; each is a text, but filler: a list
---   sentences.with(says.confirm, "12345")
---
--- A language has all of them. Where one is told to say a word, calls.talk.escalation understands it.
local lexicon = require "voice.lexicon"

local sentences = {}

--- Those that a script may write itself.
sentences.own = { "again", "broken", "confirm", "filled", "filler", "goodbye", "human", "more", "no_reply", "no_topics", "not_noted", "noted", "number", "offer", "silence",
  "topics", "unclear", "unclear_slot", "unknown", "upset", "which" }

local of = {
  en = {
    greeting = "Hello. How can I help you?",
    again = "I am sorry, I lost you for a moment. Please say that again.",
    silence = "Are you still there?",
    unclear = "I am sorry, I did not understand that. Could you say it again?",
    no_reply = "I am sorry, that took too long. Could you say it again?",
    filler = { "One moment, please.", "I am still looking.", "Just a little longer." },
    human = "One moment, I will put you through to somebody.",
    upset = "I am sorry about that. I will put you through to somebody who can help.",
    broken = "I am sorry, something does not work on our side. I will put you through to somebody.",
    topics = "I can tell you about %s. Or say human, to speak to somebody.",
    no_topics = "Please say human, to speak to somebody.",
    unknown = "I am sorry, I do not know that.",
    which = "What would you like to know?",
    offer = "Shall we call you back about this?",
    filled = "Thank you, I have written that down.",
    confirm = "I have understood: %s. Is that right?",
    unclear_slot = "I am sorry, I did not get that.",
    number = "Please enter or say your phone number, and then press hash.",
    noted = "Thank you. We will call you back.",
    not_noted = "I am sorry, I could not write that down. I will put you through to somebody.",
    more = "Is there anything else?",
    goodbye = "Thank you for calling. Goodbye.",
    ["and"] = "and", plus = "plus",
  },
  de = {
    greeting = "Guten Tag. Wie kann ich Ihnen helfen?",
    again = "Entschuldigung, ich habe Sie kurz nicht gehört. Sagen Sie das bitte noch einmal.",
    silence = "Sind Sie noch da?",
    unclear = "Entschuldigung, das habe ich nicht verstanden. Können Sie es noch einmal sagen?",
    no_reply = "Entschuldigung, das hat zu lange gedauert. Können Sie es noch einmal sagen?",
    filler = { "Einen Moment, bitte.", "Ich sehe noch nach.", "Nur noch einen Augenblick." },
    human = "Einen Moment, ich verbinde Sie mit jemandem.",
    upset = "Das tut mir leid. Ich verbinde Sie mit jemandem, der Ihnen helfen kann.",
    broken = "Entschuldigung, bei uns funktioniert gerade etwas nicht. Ich verbinde Sie mit jemandem.",
    topics = "Ich kann Ihnen etwas sagen über %s. Oder sagen Sie Mitarbeiter, um mit jemandem zu sprechen.",
    no_topics = "Bitte sagen Sie Mitarbeiter, um mit jemandem zu sprechen.",
    unknown = "Das weiß ich leider nicht.",
    which = "Was möchten Sie wissen?",
    offer = "Sollen wir Sie deswegen zurückrufen?",
    filled = "Danke, ich habe das aufgeschrieben.",
    confirm = "Ich habe verstanden: %s. Ist das richtig?",
    unclear_slot = "Entschuldigung, das habe ich nicht verstanden.",
    number = "Bitte geben Sie Ihre Telefonnummer ein oder sagen Sie sie, und drücken Sie dann Raute.",
    noted = "Danke. Wir rufen Sie zurück.",
    not_noted = "Entschuldigung, ich konnte das nicht aufschreiben. Ich verbinde Sie mit jemandem.",
    more = "Kann ich sonst noch etwas für Sie tun?",
    goodbye = "Danke für Ihren Anruf. Auf Wiederhören.",
    ["and"] = "und", plus = "plus",
  },
  es = {
    greeting = "Hola. ¿En qué puedo ayudarle?",
    again = "Perdone, le he perdido un momento. ¿Puede repetirlo, por favor?",
    silence = "¿Sigue ahí?",
    unclear = "Perdone, no le he entendido. ¿Puede repetirlo?",
    no_reply = "Perdone, ha tardado demasiado. ¿Puede repetirlo?",
    filler = { "Un momento, por favor.", "Todavía lo estoy mirando.", "Solo un poco más." },
    human = "Un momento, le paso con una persona.",
    upset = "Lo siento. Le paso con una persona que puede ayudarle.",
    broken = "Lo siento, algo no funciona por nuestra parte. Le paso con una persona.",
    topics = "Puedo informarle sobre %s. O diga agente para hablar con una persona.",
    no_topics = "Diga agente para hablar con una persona.",
    unknown = "Lo siento, eso no lo sé.",
    which = "¿Qué le gustaría saber?",
    offer = "¿Quiere que le llamemos para hablar de esto?",
    filled = "Gracias, lo he anotado.",
    confirm = "He entendido: %s. ¿Es correcto?",
    unclear_slot = "Perdone, no lo he entendido.",
    number = "Marque o diga su número de teléfono y después pulse almohadilla.",
    noted = "Gracias. Le llamaremos.",
    not_noted = "Lo siento, no he podido anotarlo. Le paso con una persona.",
    more = "¿Desea algo más?",
    goodbye = "Gracias por su llamada. Adiós.",
    ["and"] = "y", plus = "más",
  },
  fr = {
    greeting = "Bonjour. Comment puis-je vous aider ?",
    again = "Pardon, je vous ai perdu un instant. Pouvez-vous répéter, s'il vous plaît ?",
    silence = "Vous êtes toujours là ?",
    unclear = "Pardon, je n'ai pas compris. Pouvez-vous répéter ?",
    no_reply = "Pardon, cela a pris trop de temps. Pouvez-vous répéter ?",
    filler = { "Un instant, s'il vous plaît.", "Je cherche encore.", "Encore un petit moment." },
    human = "Un instant, je vous passe quelqu'un.",
    upset = "J'en suis désolé. Je vous passe quelqu'un qui pourra vous aider.",
    broken = "Désolé, quelque chose ne fonctionne pas de notre côté. Je vous passe quelqu'un.",
    topics = "Je peux vous renseigner sur %s. Ou dites conseiller, pour parler à quelqu'un.",
    no_topics = "Dites conseiller, pour parler à quelqu'un.",
    unknown = "Désolé, je ne le sais pas.",
    which = "Que voulez-vous savoir ?",
    offer = "Voulez-vous que nous vous rappelions à ce sujet ?",
    filled = "Merci, c'est noté.",
    confirm = "J'ai compris : %s. Est-ce exact ?",
    unclear_slot = "Pardon, je n'ai pas compris.",
    number = "Tapez ou dites votre numéro de téléphone, puis appuyez sur dièse.",
    noted = "Merci. Nous vous rappellerons.",
    not_noted = "Désolé, je n'ai pas pu le noter. Je vous passe quelqu'un.",
    more = "Puis-je faire autre chose pour vous ?",
    goodbye = "Merci de votre appel. Au revoir.",
    ["and"] = "et", plus = "plus",
  },
  it = {
    greeting = "Buongiorno. Come posso aiutarla?",
    again = "Mi scusi, l'ho persa per un momento. Può ripetere, per favore?",
    silence = "È ancora in linea?",
    unclear = "Mi scusi, non ho capito. Può ripetere?",
    no_reply = "Mi scusi, ci è voluto troppo tempo. Può ripetere?",
    filler = { "Un momento, per favore.", "Sto ancora cercando.", "Ancora un attimo." },
    human = "Un momento, le passo una persona.",
    upset = "Mi dispiace. Le passo una persona che può aiutarla.",
    broken = "Mi dispiace, qualcosa non funziona da parte nostra. Le passo una persona.",
    topics = "Posso darle informazioni su %s. Oppure dica operatore, per parlare con una persona.",
    no_topics = "Dica operatore, per parlare con una persona.",
    unknown = "Mi dispiace, questo non lo so.",
    which = "Che cosa desidera sapere?",
    offer = "Vuole che la richiamiamo per questo?",
    filled = "Grazie, l'ho annotato.",
    confirm = "Ho capito: %s. È giusto?",
    unclear_slot = "Mi scusi, non ho capito.",
    number = "Digiti o dica il suo numero di telefono, e poi prema cancelletto.",
    noted = "Grazie. La richiameremo.",
    not_noted = "Mi dispiace, non sono riuscito ad annotarlo. Le passo una persona.",
    more = "Posso fare altro per lei?",
    goodbye = "Grazie per la chiamata. Arrivederci.",
    ["and"] = "e", plus = "più",
  },
  pt = {
    greeting = "Olá. Em que posso ajudar?",
    again = "Desculpe, perdi a ligação por um momento. Pode repetir, por favor?",
    silence = "Ainda está aí?",
    unclear = "Desculpe, não entendi. Pode repetir?",
    no_reply = "Desculpe, demorou demais. Pode repetir?",
    filler = { "Um momento, por favor.", "Ainda estou procurando.", "Só mais um pouco." },
    human = "Um momento, vou passar a uma pessoa.",
    upset = "Lamento. Vou passar a uma pessoa que pode ajudar.",
    broken = "Desculpe, algo não funciona do nosso lado. Vou passar a uma pessoa.",
    topics = "Posso informar sobre %s. Ou diga atendente, para falar com uma pessoa.",
    no_topics = "Diga atendente, para falar com uma pessoa.",
    unknown = "Desculpe, isso não sei.",
    which = "O que gostaria de saber?",
    offer = "Quer que liguemos de volta sobre isso?",
    filled = "Obrigado, já anotei.",
    confirm = "Entendi: %s. Está certo?",
    unclear_slot = "Desculpe, não entendi.",
    number = "Digite ou diga o seu número de telefone, e depois carregue em cardinal.",
    noted = "Obrigado. Ligaremos de volta.",
    not_noted = "Desculpe, não consegui anotar. Vou passar a uma pessoa.",
    more = "Deseja mais alguma coisa?",
    goodbye = "Obrigado por ligar. Até logo.",
    ["and"] = "e", plus = "mais",
  },
}

--- Those of a language; of one that is not here, or none, the English ones.
--- @param language string|nil  "de", "de-AT"
--- @param own table|nil        the script's: by name, of sentences.own
function sentences.of(language, own)
  local known = of[lexicon.language(language) or "en"]
  local all = setmetatable({}, { __index = known })
  for name, sentence in pairs(own or {}) do all[name] = sentence end
  return all
end

--- A sentence with a text in the place of its "%s".
function sentences.with(sentence, text)
  return (sentence:gsub("%%s", function() return text end))
end

return sentences
