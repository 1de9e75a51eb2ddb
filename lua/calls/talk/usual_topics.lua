-- SPDX-License-Identifier: Apache-2.0
--- What callers ask of any business, and how, in each language that voice.lexicon knows: data for calls.talk.topics.
---
--- A topic: words = those that stand for it, in the headings of a knowledge base as in questions, as voice.reading folds them: "preis*" is whatever
--- begins so, "how_much" two words of a question behind each other; asks = whole questions, with such words or without any, as they are written, with
--- ";" between them: "(a|b)" is one of these, "(a|)" may be left out.
--- Of each language besides, behind = words that whatever only says whose or for what it is stands behind in a heading, where it may stand in front, too ("store hours", "hours of
--- the store"); in a language without these it stands last; asking = words that say no more than that one asks; wishes = for somebody to speak to, for a call back and for an end,
--- written as asks are, which others understand (calls.talk.escalation, calls.talk.without_model).
local usual_topics = {
  en = {
    behind = "of for by in at to from with on without a an the your our my",
    asking = "about want wants know question questions more information info need interested hear details regarding concerning calling call looking learn explain give get",
    wishes = "(can|could|may) i (talk|speak) to (somebody|someone|a human|a person);"
      .. "i (want|would like|need) to (talk|speak) to (somebody|someone|a human|a person);i'd like to (talk|speak) to (somebody|someone);"
      .. "can i speak with someone;(talk|speak) to (somebody|someone|a person|an agent|an operator);"
      .. "(connect me|put me through) to (somebody|someone|a human);(a human|a person|an operator) please;a real person;"
      .. "(can|could) you call me back;can somebody call me back;i (want|would like) to be called back;no that's all;"
      .. "that's all thank you;thank you goodbye;goodbye",
    { words = "price* pricing cost costs costing fee fees rates tariff* charges expensive how_much",
      asks = "how much (is it|is that|is this|does it cost|does that cost|would it cost|will it cost|does one cost|do you charge|are they|do i have to pay);"
        .. "what does (it|that) cost;what (would|will) it cost;what do you charge;what is the (price|cost);what's the (price|cost);"
        .. "what do i have to pay;how expensive (is it|are you);is it expensive;how much money is it;what are (your|the) (prices|costs|fees|rates)" },
    { words = "hours opening open opens closing close closes closed",
      asks = "when (are you|do you|will you be) open;(when|what time) do you (open|close);what time are you open;"
        .. "are you open (today|tomorrow|now|on weekends|on the weekend|at the weekend);"
        .. "are you (open|closed) on (monday|tuesday|wednesday|thursday|friday|saturday|sunday|saturdays|sundays);are you open on holidays;"
        .. "how (late|long) are you open;until when are you open;when can i (come|come in|come by|visit you);"
        .. "what are your (hours|business hours|opening hours);which days are you open;what days are you open;at what time do you (open|close)" },
    { words = "address location* directions branch branches office offices place showroom shop* store*",
      asks = "where are you (|located|based);where is your (office|shop|store|company);where is the (office|shop|store);what is your address;"
        .. "what's your address;what is the address;can i have your address;how do i (get there|get to you|find you);"
        .. "how can i (get there|get to you|find you);where can i find you;where do i find you;which city are you in;where exactly are you;"
        .. "give me your address" },
    { words = "appointment* booking* book reservation* reserve",
      asks = "(can|could|may) i (make|book|get|have) an appointment;i (want|need|would like) an appointment;i'd like an appointment;"
        .. "i (want|would like|need) to make an appointment;i (want|would like) to book an appointment;how do i (make|book|get) an appointment;"
        .. "do i need an appointment;i (want|would like) to make a reservation;how (do|can) i book;i (want|would like) to book;can i book" },
    { words = "cancel* postpone* reschedul*",
      asks = "how (do|can) i cancel;(can|may) i cancel;i (want|need|would like|have) to cancel;"
        .. "i want to cancel my (appointment|order|booking|contract);can i cancel my (appointment|order|booking|contract);"
        .. "can i change my (appointment|order|booking);how do i cancel my (appointment|order|booking|contract)" },
    { words = "deliver* shipping shipment* ship dispatch",
      asks = "do you (deliver|ship);do you deliver to my (home|house|door);when will it (arrive|be delivered);how long does (delivery|shipping) take;"
        .. "when do you deliver;how much is (delivery|shipping);how do you deliver;where is my (order|parcel|package)" },
    { words = "contact email mail telephone phone",
      asks = "how (can|do) i (reach|contact) you;what is your (phone number|telephone number|email address|email|number);"
        .. "what's your (phone number|email address|email);can i (write|send) you an email;how can i get in touch;how can i get in touch with you" },
    { words = "payment* pay paying financing instalment* installment*",
      asks = "how (can|do) i pay;can i pay (by card|by credit card|with a card|with a credit card|in cash|cash|later|in instalments|monthly);"
        .. "do you (take|accept) (cards|credit cards|cash);do you offer financing" },
    { words = "warranty warranties guarantee*",
      asks = "how long is (the|your) (warranty|guarantee);is there a (warranty|guarantee);do i get a (warranty|guarantee);"
        .. "do you (give|have|offer) a (warranty|guarantee);what if it breaks;what happens if it breaks" },
    { words = "return returns returning refund* exchange*",
      asks = "can i (return it|send it back|give it back|get a refund|get my money back|exchange it);"
        .. "how do i (return it|get a refund|get my money back);i (want|would like) (a refund|my money back);i (want|would like) to return it" },
    { words = "service* offer* product* treatment*",
      asks = "what do you (do|offer|sell|have);what (services|products) do you (offer|have|sell);"
        .. "what kind of (services|products) do you (offer|have);what can you do for me" },
    { words = "parking park",
      asks = "where can i park;is there parking;do you have parking;do you have a parking lot;can i park there;is there a parking lot" },
  },
  de = {
    asking = "frage fragen wissen information informationen info erfahren sagen erzahlen geht gibt brauche wollte mochte hatte gern gerne wegen bezuglich interessiere mehr",
    wishes = "(ich möchte|kann ich) mit (jemandem|einem mitarbeiter) sprechen;können sie mich zurückrufen;ich möchte einen rückruf",
    { words = "preis* kosten kostet gebuhr* tarif* teuer honorar* wie_viel wieviel",
      asks = "was kostet (das|es|sowas|so etwas);wie viel kostet (das|es);wieviel kostet das;wie teuer (ist das|ist es|sind sie);"
        .. "was (muss ich|soll ich) bezahlen;was verlangen sie;was sind ihre preise;wie hoch sind die kosten" },
    { words = "offnungszeit* geoffnet offen offnen geschlossen schliessen sprechzeit* sprechstunde* geschaftszeit*",
      asks = "wann (haben sie|sind sie|ist bei ihnen) (offen|geöffnet|auf);wann (öffnen|schließen) sie;wann machen sie (auf|zu);"
        .. "haben sie (heute|morgen|jetzt|am wochenende) (offen|geöffnet|auf);"
        .. "haben sie am (montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag) (offen|geöffnet|auf);"
        .. "wie lange haben sie (offen|geöffnet|auf);bis wann haben sie (offen|geöffnet|auf);was sind ihre öffnungszeiten;"
        .. "wann kann ich (kommen|vorbeikommen)" },
    { words = "adresse* anschrift standort* anfahrt* wegbeschreibung filiale* lage",
      asks = "wo (sind|finde ich|sitzen) sie;wo ist ihr (büro|laden|geschäft);wie komme ich zu ihnen;wie finde ich sie;wie lautet ihre adresse;"
        .. "was ist ihre adresse;wo befinden sie sich" },
    { words = "termin* terminvereinbarung buchung* buchen reservierung* reservieren",
      asks = "kann ich einen termin (machen|haben|bekommen|vereinbaren);ich (möchte|hätte gern|hätte gerne|brauche) einen termin;"
        .. "wie bekomme ich einen termin;brauche ich einen termin;ich möchte (buchen|reservieren)" },
    { words = "storno* stornier* absag* kundig* widerruf* umbuch*",
      asks = "wie kann ich (absagen|stornieren|kündigen);ich möchte (absagen|stornieren|kündigen);kann ich (absagen|stornieren|kündigen);"
        .. "ich möchte meinen termin (absagen|verschieben)" },
    { words = "liefer* versand* zustell* versenden",
      asks = "liefern sie (|auch);wie lange dauert (die lieferung|der versand);wann kommt (meine bestellung|die lieferung);"
        .. "wo (ist|bleibt) meine bestellung;liefern sie nach hause" },
    { words = "kontakt* email mail telefon* erreichbar*",
      asks = "wie (kann ich sie erreichen|erreiche ich sie);wie lautet ihre (telefonnummer|e-mail-adresse|nummer);"
        .. "kann ich ihnen eine e-mail schreiben" },
    { words = "zahlung* zahlen bezahl* finanzier* rate raten ratenzahlung*",
      asks = "wie kann ich (zahlen|bezahlen);kann ich (mit karte|bar|in raten) (zahlen|bezahlen);nehmen sie (karten|kreditkarten|karte)" },
    { words = "garantie* gewahrleistung*",
      asks = "wie lange (ist|gilt) die garantie;wie lange habe ich garantie;gibt es (eine garantie|garantie);was ist wenn (es|etwas) kaputt geht" },
    { words = "ruckgabe* rucksendung* umtausch* erstatt* ruckerstattung*",
      asks = "kann ich (es|das) (zurückgeben|umtauschen|zurückschicken);bekomme ich mein geld zurück;ich möchte (es|das) (zurückgeben|umtauschen)" },
    { words = "leistung* angebot* produkt* dienst* service* behandlung*",
      asks = "was (machen|bieten|verkaufen|haben) sie;was bieten sie an;was können sie für mich tun" },
    { words = "parken parkplatz* parkhaus*", asks = "wo kann ich parken;gibt es parkplätze;haben sie parkplätze" },
  },
  es = {
    asking = "pregunta preguntas saber sobre informacion quiero quisiera queria gustaria decirme digame acerca tengo mas necesito",
    wishes = "(puedo|quisiera) hablar con alguien;(puede llamarme|me puede llamar)",
    { words = "precio* coste* costo* cuesta cuestan tarifa* caro cara",
      asks = "cuánto (cuesta|cuesta eso|es|vale|cobran|sale);qué (precio tiene|cuesta|vale);qué precios tienen;cuáles son (los|sus) precios;es caro;"
        .. "cuánto tengo que pagar" },
    { words = "horario* abierto* abierta abren abre cierran cierra cerrado* apertura",
      asks = "cuándo (abren|cierran|están abiertos);a qué hora (abren|cierran);qué horario (tienen|hacen);cuál es (el|su) horario;"
        .. "están abiertos (hoy|mañana|ahora|el fin de semana);"
        .. "abren (los|el) (lunes|martes|miércoles|jueves|viernes|sábado|sábados|domingo|domingos);hasta qué hora están abiertos;cuándo puedo ir" },
    { words = "direccion* ubicacion* sucursal* oficina* tienda* llegar",
      asks = "dónde (están|se encuentran|están ubicados);dónde está su (oficina|tienda);cuál es (la|su) dirección;cómo llego;cómo puedo llegar" },
    { words = "cita citas reserva* reservar",
      asks = "puedo (pedir|hacer|tener) una cita;(quiero|quisiera|necesito|me gustaría) (una|pedir una) cita;cómo pido una cita;necesito cita;"
        .. "quiero reservar;quisiera reservar" },
    { words = "cancela* anula*",
      asks = "cómo (cancelo|puedo cancelar);puedo cancelar;quiero cancelar;quisiera cancelar;quiero cancelar mi (cita|pedido|reserva)" },
    { words = "entrega* envio* enviar envian domicilio",
      asks = "hacen envíos;envían a domicilio;cuánto tarda (el envío|la entrega);cuándo llega (mi pedido|el pedido);dónde está mi pedido" },
    { words = "contacto* contactar correo email telefono*",
      asks = "cómo (puedo contactarles|les contacto|puedo contactar con ustedes);cuál es su (teléfono|número|correo)" },
    { words = "pago* pagar financiacion plazos",
      asks = "cómo (puedo pagar|se paga|pago);puedo pagar (con tarjeta|en efectivo|a plazos);aceptan (tarjetas|tarjeta|efectivo)" },
    { words = "garantia*", asks = "cuánto dura la garantía;(tiene|hay|dan) garantía;qué pasa si se rompe" },
    { words = "devolucion* devolver reembolso* cambio cambios",
      asks = "puedo (devolverlo|cambiarlo);cómo lo devuelvo;me devuelven el dinero;quiero (devolverlo|un reembolso)" },
    { words = "servicio* producto* oferta* tratamiento*", asks = "qué (hacen|ofrecen|venden|tienen);qué (servicios|productos) (ofrecen|tienen)" },
    { words = "aparcar aparcamiento* estacionar estacionamiento* parking",
      asks = "dónde puedo (aparcar|estacionar);hay (aparcamiento|estacionamiento);tienen (aparcamiento|estacionamiento)" },
  },
  fr = {
    asking = "question questions savoir sur information informations voudrais veux aimerais dire dites concernant propos ai besoin plus",
    wishes = "(je peux|je voudrais) parler à quelqu'un;pouvez-vous me rappeler",
    { words = "prix tarif* cout* coute coutent cher chere frais",
      asks = "combien (ça coûte|est-ce que ça coûte|cela coûte|coûte-t-il|c'est|est-ce|dois-je payer);c'est combien;ça coûte combien;"
        .. "quel est (le|votre) prix;quels sont (les|vos) (prix|tarifs);est-ce que c'est cher" },
    { words = "horaire* ouvert* ouverture* ouvrez ferme* fermez fermeture*",
      asks = "quand (êtes-vous ouverts|est-ce que vous êtes ouverts|ouvrez-vous|fermez-vous|puis-je venir);"
        .. "à quelle heure (ouvrez-vous|fermez-vous|est-ce que vous ouvrez|est-ce que vous fermez);quels sont (les|vos) horaires;"
        .. "vous êtes ouverts (aujourd'hui|demain|le week-end|le samedi|le dimanche);"
        .. "êtes-vous ouverts (aujourd'hui|demain|le week-end|le samedi|le dimanche);jusqu'à quelle heure êtes-vous ouverts" },
    { words = "adresse* acces itineraire agence* magasin* bureau bureaux",
      asks = "où (êtes-vous|est-ce que vous êtes|vous trouvez-vous|se trouve votre magasin|sont vos bureaux);vous êtes où;"
        .. "quelle est (l'|votre )adresse;comment (venir|vous trouver)" },
    { words = "rendez reservation* reserver",
      asks = "(puis-je|je peux) (prendre|avoir) un rendez-vous;je (voudrais|veux|souhaite) (un|prendre) rendez-vous;"
        .. "je voudrais prendre un rendez-vous;comment prendre rendez-vous;je voudrais réserver" },
    { words = "annul* resili* report* deplacer",
      asks = "comment annuler;(puis-je|je peux) annuler;je (voudrais|veux) annuler;je voudrais annuler (mon rendez-vous|ma commande|ma réservation)" },
    { words = "livraison* livrez livrer envoi* expedition*",
      asks = "(livrez-vous|vous livrez|est-ce que vous livrez);quels sont les délais de livraison;quand arrive ma commande;où est ma commande" },
    { words = "contact* joindre courriel email mail telephone",
      asks = "comment vous (joindre|contacter);quel est votre (numéro|numéro de téléphone|e-mail)" },
    { words = "paiement* payer reglement* financement*",
      asks = "comment (payer|puis-je payer);(puis-je|je peux) payer (par carte|en espèces|en plusieurs fois);"
        .. "acceptez-vous (les cartes|la carte|les espèces)" },
    { words = "garantie*", asks = "combien de temps dure la garantie;y a-t-il une garantie;il y a une garantie;que se passe-t-il si ça casse" },
    { words = "retour* rembours* echange* retourner",
      asks = "(puis-je|je peux) (le rendre|le retourner|être remboursé|l'échanger);comment me faire rembourser;je voudrais être remboursé" },
    { words = "service* prestation* produit* offre* soin*",
      asks = "que (faites-vous|proposez-vous|vendez-vous);qu'est-ce que vous (faites|proposez|vendez);quels (services|produits) proposez-vous" },
    { words = "parking* garer stationne*", asks = "où (puis-je|est-ce que je peux) me garer;y a-t-il un parking;avez-vous un parking" },
  },
  it = {
    asking = "domanda domande sapere su informazioni vorrei voglio volevo dirmi dica riguardo ho bisogno piu",
    wishes = "(posso|vorrei) parlare con qualcuno;può richiamarmi",
    { words = "prezz* cost* tariff* caro cara",
      asks = "quanto (costa|costano|viene|è|devo pagare);quali sono i (prezzi|costi|vostri prezzi);qual è il prezzo;è caro;che prezzi avete" },
    { words = "orari* apert* aprite chiud* chius*",
      asks = "quando (siete aperti|aprite|chiudete|posso venire);a che ora (aprite|chiudete);che orari (avete|fate);quali sono (gli|i vostri) orari;"
        .. "siete aperti (oggi|domani|adesso|il sabato|la domenica|nel fine settimana);fino a che ora siete aperti" },
    { words = "indirizz* sede sedi posizione filial* negozi* uffici*",
      asks = "dove (siete|vi trovate|posso trovarvi);dove si trova il (negozio|vostro ufficio);qual è (l'indirizzo|il vostro indirizzo);"
        .. "come (vi raggiungo|arrivo da voi)" },
    { words = "appuntament* prenot*",
      asks = "posso (prendere|avere|fissare) un appuntamento;(vorrei|voglio|mi serve) un appuntamento;vorrei (prendere|fissare) un appuntamento;"
        .. "come prendo un appuntamento;vorrei prenotare" },
    { words = "cancell* annull* disdi* disdett*",
      asks = "come (annullo|posso annullare|posso disdire);posso (annullare|disdire);vorrei (annullare|disdire);"
        .. "vorrei annullare (l'appuntamento|l'ordine|la prenotazione)" },
    { words = "consegn* spedi*",
      asks = "(consegnate|spedite) a casa;fate consegne;quanto ci vuole per la consegna;quando arriva (il mio ordine|l'ordine);dov'è il mio ordine" },
    { words = "contatt* email mail telefono",
      asks = "come (posso contattarvi|vi contatto);qual è il vostro (numero|numero di telefono|indirizzo email)" },
    { words = "pagament* pagare finanziament* rate",
      asks = "come (posso pagare|si paga);posso pagare (con la carta|in contanti|a rate);accettate (carte|carte di credito|contanti)" },
    { words = "garanzi*", asks = "quanto dura la garanzia;c'è (una garanzia|la garanzia);cosa succede se si rompe" },
    { words = "reso resi restitu* rimbors* cambio",
      asks = "posso (restituirlo|cambiarlo|avere un rimborso);come lo restituisco;vorrei (un rimborso|restituirlo)" },
    { words = "servizi* prodott* offert* trattament*", asks = "(che cosa|cosa) (fate|offrite|vendete);che (servizi|prodotti) (offrite|avete)" },
    { words = "parchegg*", asks = "dove posso parcheggiare;c'è (un parcheggio|parcheggio);avete un parcheggio" },
  },
  pt = {
    asking = "pergunta perguntas saber sobre informacao informacoes quero queria gostaria dizer diga tenho preciso mais",
    wishes = "(posso|queria) falar com alguém;pode me ligar",
    { words = "preco* custo* custa custam tarifa* valor valores caro cara",
      asks = "quanto (custa|custa isso|é|fica|vocês cobram|tenho que pagar);qual é o (preço|valor);quais são (os|seus) preços;é caro" },
    { words = "horario* aberto* abrem abre fecham fecha fechado* funcionamento",
      asks = "quando (vocês abrem|vocês fecham|abrem|fecham|estão abertos|posso ir);a que horas (abrem|fecham|vocês abrem|vocês fecham);"
        .. "que horas (abrem|fecham|vocês abrem|vocês fecham);qual é o horário (|de funcionamento);"
        .. "(vocês estão|estão) abertos (hoje|amanhã|agora|no sábado|no domingo|no fim de semana);abrem (ao|no) (sábado|domingo);"
        .. "até que horas (estão abertos|vocês ficam abertos)" },
    { words = "endereco* morada localizacao loja* filial filiais escritorio*",
      asks = "onde (vocês ficam|ficam|estão|vocês estão|fica a loja);qual é (o endereço|o seu endereço|a morada);como (chego aí|posso chegar)" },
    { words = "consulta* marcacao marcacoes marcar agend* reserva* reservar",
      asks = "posso (marcar|agendar) (uma consulta|um horário);(quero|queria|gostaria de|preciso) (marcar|agendar) (uma consulta|um horário);"
        .. "como (marco|agendo) uma consulta;queria reservar" },
    { words = "cancel* desmarc* anula* remarc*",
      asks = "como (cancelo|posso cancelar);posso cancelar;(quero|queria) cancelar;(quero|queria) cancelar (a consulta|o pedido|a reserva)" },
    { words = "entrega* entregam envio* enviam frete",
      asks = "vocês entregam;fazem entregas;quanto tempo demora a entrega;quando chega (o meu pedido|o pedido);onde está o meu pedido" },
    { words = "contato* contacto* email telefone",
      asks = "como (posso falar com vocês|entro em contato|posso contactar);qual é o (telefone|número|e-mail) de vocês;"
        .. "qual é o seu (telefone|número|e-mail)" },
    { words = "pagamento* pagar parcel* financiamento*",
      asks = "como (posso pagar|se paga|pago);posso pagar (com cartão|em dinheiro|parcelado|a prestações);aceitam (cartão|cartões|dinheiro)" },
    { words = "garantia*", asks = "quanto tempo (dura a|é a|tem de) garantia;tem garantia;há garantia;o que acontece se quebrar" },
    { words = "devolucao devolucoes devolver reembols* troca*",
      asks = "posso (devolver|trocar);como (devolvo|posso devolver);recebo o dinheiro de volta;(quero|queria) (devolver|um reembolso)" },
    { words = "servico* produto* oferta* tratamento*",
      asks = "o que (vocês fazem|vocês oferecem|vocês vendem|fazem|oferecem|vendem);que (serviços|produtos) (oferecem|têm|vocês oferecem|vocês têm)" },
    { words = "estaciona* parque", asks = "onde posso estacionar;tem estacionamento;há estacionamento" },
  },
}

return usual_topics
