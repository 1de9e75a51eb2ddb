# SPDX-License-Identifier: Apache-2.0
"""The set: calls of every kind that turn-taking goes wrong with, each written down so that the same seed gives the same call.

A part of a turn is what a recogniser makes of it, with its marks. Back-channels and noises over our speech are so many seconds after it began.
"""
from call import Call

GREETING = "Thank you for calling Acme Solar. We build and repair panels for roofs of every kind. How may we help you today?"
LONG = "Our technicians come on weekdays between eight and five. The first visit costs nothing, and takes about an hour. After that you get an offer by mail."
NUMBER = {"kind": "digits", "count": 10}
CARD = {"kind": "digits", "count": 16}
YES_NO = {"kind": "yes_no"}


def numbers():
    yield Call("number-asked", "numbers", 101).asks("What is your number?", expect=NUMBER).wait(0.5).turn("four one five", 1.2, "five five five", 1.5, "zero one four two").settle()
    yield Call("number-slow", "numbers", 102).asks("What is your number?", expect=NUMBER).wait(0.8).turn("two zero two", 2.1, "five five five", 1.9, "zero one", 1.0, "seven seven").settle()
    yield Call("number-by-digit", "numbers", 103).asks("What is your number?", expect=NUMBER).wait(0.5).turn("six", 0.5, "one", 0.6, "seven", 0.7, "five", 0.5, "five", 0.5, "five", 0.8, "zero", 0.5, "one", 0.6, "nine", 0.7, "three").settle()
    yield Call("number-open", "numbers", 104).asks(GREETING).wait(0.5).turn("My number is four one five", 1.0, "five five five", 1.0, "zero one four two").settle()
    yield Call("number-unasked", "numbers", 105).asks("Tell me more.").wait(0.4).turn("You can reach me at two one two", 1.2, "five five five", 1.1, "zero one nine nine", 0.9, "after six.").settle()
    yield Call("card", "numbers", 106).asks("What is the number of your contract?", expect=CARD).wait(0.9).turn("four one one one", 1.3, "two two three three", 1.8, "four four five five", 1.1, "six six seven seven").settle(8)
    yield Call("number-with-filler", "numbers", 107).asks("What is your number?", expect=NUMBER).wait(0.5).turn("It is five zero three", 0.9, "um", 1.2, "five five five", 1.0, "zero one double eight").settle()
    yield Call("amount", "numbers", 108).asks("How large is your bill?").wait(0.6).turn("About two hundred", 1.0, "and forty dollars a month.").settle()
    yield Call("date", "numbers", 109).asks("When shall we come?").wait(0.6).turn("On the twenty", 0.8, "first of May", 0.7, "two thousand", 0.5, "twenty seven.").settle()


def fillers():
    yield Call("filler-first", "fillers", 201).asks(GREETING).wait(0.7).turn("Um", 0.9, "I would like to book a visit.").settle()
    yield Call("filler-in-the-midst", "fillers", 202).asks(GREETING).wait(0.5).turn("I want to change", 0.5, "uh", 1.1, "my address, please.").settle()
    yield Call("filler-behind", "fillers", 203).asks("What is it about?").wait(0.5).turn("It is about the invoice from, um", 1.6, "from last month.").settle()
    yield Call("you-know", "fillers", 204).asks("What happened?").wait(0.5).turn("Well, you know", 1.2, "the panel on the left makes a noise.").settle()
    yield Call("let-me-see", "fillers", 205).asks("What does it say on the meter?").wait(0.8).turn("Let me see", 1.7, "It says error twelve.").settle()
    yield Call("conjunctions", "fillers", 206).asks(GREETING).wait(0.4).turn("I have a question about my contract and", 1.4, "about the price because", 1.2, "it went up.").settle()
    yield Call("slow-thinker", "fillers", 207).asks("What is your name?").wait(1.5).turn("My name is", 1.3, "Eleanor Whitfield.").settle()
    yield Call("breath-between-words", "fillers", 208).asks(GREETING).wait(0.5).turn("Our inverter stopped working", 0.45, "on Tuesday evening", 0.4, "after the storm.").settle()
    yield Call("two-sentences", "fillers", 209).asks(GREETING).wait(0.5).turn("I have two questions.", 0.5, "The first is about the price.", 0.45, "The second is about the roof.").settle()


def backchannels():
    words = [("mm-hm", 0.3), ("mm-hm", 1.0), ("mm-hm", 3.0), ("yeah", 0.3), ("okay", 1.0), ("right", 3.0), ("uh-huh", 1.0), ("I see", 3.0), ("okay", 0.3), ("yeah, okay", 1.0), ("all right", 3.0)]
    for i, (word, at) in enumerate(words):
        yield Call(f"backchannel-{word.replace(' ', '-').replace(',', '')}-{at:g}s", "back-channels", 301 + i).asks(LONG).over(at, word).wait(0.6).turn("I would like an offer.").settle()
    yield Call("backchannels-three", "back-channels", 320).asks(LONG).over(0.3, "mm-hm").over(1.8, "yeah").over(4.0, "okay").wait(0.6).turn("Send me the offer.").settle()
    yield Call("backchannel-long", "back-channels", 321).asks(LONG).over(2.0, "yeah, right, I see").wait(0.6).turn("What does it cost?").settle()
    yield Call("cough", "back-channels", 322).asks(LONG).sound("slam", 0.35, at=2.0, gain=0.5).wait(0.6).turn("What does it cost?").settle()


def slams():
    yield Call("slam-over-us", "door slam", 401).asks(LONG).sound("slam", 0.3, at=1.5).wait(0.6).turn("Come on Friday.").settle()
    yield Call("slam-hard-over-us", "door slam", 402).asks(LONG).sound("slam", 0.8, at=2.5).wait(0.6).turn("Come on Friday.").settle()
    yield Call("slams-two", "door slam", 403).asks(LONG).sound("slam", 0.3, at=1.0).sound("slam", 0.4, at=1.6).wait(0.6).turn("Come on Friday.").settle()
    yield Call("slam-before-turn", "door slam", 404).asks("What is your name?").wait(0.4).sound("slam", 0.4).wait(1.5).turn("Rosa Alvarez.").settle()
    yield Call("slam-in-pause", "door slam", 405).asks("What is your number?", expect=NUMBER).wait(0.5).turn("four one five", 0.4, ("slam", 0.3), 0.5, "five five five", 0.8, "zero one four two").settle()
    yield Call("slam-behind-turn", "door slam", 406).asks("What is it about?").wait(0.5).turn("I want to cancel my visit.").wait(0.15).sound("slam", 0.3, gain=0.7).settle()


def second_voices():
    yield Call("second-voice-over-us", "second voice", 501).asks(LONG).sound("voice", text="Have you seen my keys anywhere", at=1.5, gain=0.12).wait(0.6).turn("Come on Monday.").settle()
    yield Call("second-voice-loud", "second voice", 502).asks(LONG).sound("voice", text="Dinner is nearly ready now", at=2.0, gain=0.35).wait(0.6).turn("Come on Monday.").settle()
    yield Call("second-voice-understood", "second voice", 503).asks(LONG).sound("voice", text="Put it over there", at=2.0, gain=0.4, heard=True).wait(0.6).turn("Come on Monday.").settle()
    yield Call("television", "second voice", 504).asks(LONG).sound("voice", text="And now the weather for tomorrow with rain in the north and sun in the south and wind from the west along the coast", at=0.5, gain=0.1).wait(0.6).turn("Come on Monday.").settle()
    yield Call("second-voice-behind-turn", "second voice", 505).asks("What is it about?").wait(0.5).turn("My roof is leaking.").wait(0.2).sound("voice", text="Tell them about the window", gain=0.15).settle()


def echoes():
    yield Call("echo", "echo", 601).asks(LONG, echo_db=-20).wait(0.6).turn("That is fine.").settle()
    yield Call("echo-long", "echo", 602).asks(GREETING + " " + LONG, echo_db=-20).wait(0.6).turn("I need an offer.").settle()
    yield Call("echo-quiet-line", "echo", 603, noise_db=-75).asks(LONG, echo_db=-20).wait(0.6).turn("That is fine.").settle()
    yield Call("echo-with-barge-in", "echo", 604).asks(LONG, echo_db=-20).over(2.2, "Wait, I have a question.", kind="barge_in").settle()
    yield Call("echo-with-backchannel", "echo", 605).asks(LONG, echo_db=-20).over(2.0, "mm-hm").wait(0.6).turn("That is fine.").settle()
    yield Call("echo-loud", "echo", 606).asks(LONG, echo_db=-14).wait(0.6).turn("That is fine.").settle()


def keys():
    yield Call("key-over-us", "keys", 701).asks(LONG).press("2", at=1.5).settle()
    yield Call("keys-answer", "keys", 702).asks("Please enter the code.", expect={"kind": "digits", "count": 4}).wait(0.5).press("4711").settle()
    yield Call("keys-during-speech", "keys", 703).asks("What is your number?", expect=NUMBER).wait(0.5).turn("It is easier to type it.").press("4155550142", at=2.0).settle(9)
    yield Call("key-with-voice-over-us", "keys", 704).asks(LONG).press("1", at=2.0).over(2.1, "uh", kind="backchannel").settle()
    yield Call("keys-slow", "keys", 705).asks("Please enter the code.", expect={"kind": "digits", "count": 4}).wait(0.5).press("4711", every=1.6).settle()


def silences():
    yield Call("silence", "silence", 801).asks(GREETING).wait(18)
    yield Call("silence-then-answer", "silence", 802).asks(GREETING).wait(10.5).turn("Sorry, I was away. I want to book a visit.").settle()
    yield Call("silence-on-a-noisy-line", "silence", 803, noise_db=-34).asks(GREETING).wait(12)
    yield Call("silence-with-fan", "silence", 804).asks(GREETING).sound("noise", 14, "brownnoise", -22).wait(2)


def barge_ins():
    yield Call("barge-in", "barge-ins", 901).asks(LONG).over(2.0, "Excuse me, how much is it?", kind="barge_in").settle()
    yield Call("barge-in-stop", "barge-ins", 902).asks(LONG).over(1.5, "Stop.", kind="barge_in").settle()
    yield Call("barge-in-early", "barge-ins", 903).asks(LONG).over(0.3, "I just want to talk to a human.", kind="barge_in").settle()
    yield Call("barge-in-words", "barge-ins", 904).asks(LONG).over(3.0, "Tuesday would be better for me.", kind="barge_in").settle()
    yield Call("barge-in-answer", "barge-ins", 905).asks("Is your roof flat? I ask because a flat roof takes another frame than a steep one.", expect=YES_NO).over(1.6, "No, it is not.", kind="barge_in").settle()
    yield Call("barge-in-at-the-end", "barge-ins", 906).asks(LONG).over(8.2, "And what does it cost?", kind="barge_in").settle()
    yield Call("two-quick-1", "two quick barge-ins", 911).asks(LONG).over(1.5, "Wait.", 1.6, "No, sorry, I meant Tuesday.", kind="barge_in").settle()
    yield Call("two-quick-2", "two quick barge-ins", 912).asks(LONG).over(1.5, "Hold on a moment.", kind="barge_in").wait(1.3).over(4.3, "Actually, can you send it by mail?", kind="barge_in").settle()
    yield Call("two-quick-3", "two quick barge-ins", 913).asks(LONG).over(1.0, "How much is it?", 1.9, "No, how much for two roofs?", kind="barge_in").settle()
    yield Call("two-quick-4", "two quick barge-ins", 914).asks(LONG).over(2.0, "Stop.", 0.3, "Stop, please.", kind="barge_in").settle()
    yield Call("two-quick-5", "two quick barge-ins", 915).asks(LONG).over(1.5, "I have a question.", 1.2, "It is about the price.", kind="barge_in").settle()


def music():
    yield Call("music-over-us", "hold music", 1001).asks(LONG).sound("music", 12, at=2.0, gain=0.6).wait(6).turn("I am back. Please go on.").settle()
    yield Call("music-after-us", "hold music", 1002).asks("One moment, please.").wait(0.8).sound("music", 15, gain=0.6).wait(1.0).turn("I am back.").settle()
    yield Call("music-soft", "hold music", 1003).asks(LONG).sound("music", 9, at=1.0, gain=0.1).wait(1.5).turn("Please go on.").settle()
    yield Call("music-behind-turn", "hold music", 1004).asks("What is it about?").wait(0.5).turn("Please hold the line.").wait(0.2).sound("music", 10, gain=0.5).wait(1.0).turn("Now I have time.").settle()


def plain():
    yield Call("plain", "plain", 1101).asks(GREETING).wait(0.4).turn("I would like to book a visit for next week.").settle()
    yield Call("yes", "plain", 1102).asks("Do you own the house?", expect=YES_NO).wait(0.4).turn("Yes.").settle()
    yield Call("no-thanks", "plain", 1103).asks("Do you need anything else?", expect=YES_NO).wait(0.4).turn("No, thank you.").settle()
    yield Call("yes-and-more", "plain", 1104).asks("Do you own the house?", expect=YES_NO).wait(0.4).turn("Yes", 0.6, "but my brother lives in it.").settle()
    yield Call("spelling", "plain", 1105).asks("How do you spell it?", expect={"kind": "spelling"}).wait(0.5).turn("W H I", 1.0, "T F", 1.1, "I E L D").settle()
    yield Call("quick-answer", "plain", 1106).asks("What is your name?").wait(0.05).turn("Rosa Alvarez.").settle()
    yield Call("noisy-street", "plain", 1107, noise_db=-34).asks(GREETING).wait(0.5).turn("I want to ask about the warranty.").settle()
    yield Call("three-turns", "plain", 1108).asks(GREETING).wait(0.5).turn("My panels are dirty.").settle().turn("They are on the garage.").settle().turn("No, nobody has cleaned them.").settle()
    yield Call("german", "plain", 1109, "de").asks("Guten Tag. Was kann ich tun?").wait(0.5).turn("Ich habe eine Frage zu meiner Rechnung und", 1.2, "zu dem Vertrag.").settle()
    yield Call("german-number", "numbers", 1110, "de").asks("Wie ist Ihre Nummer?", expect={"kind": "digits", "count": 8}).wait(0.5).turn("null drei null", 1.2, "eins zwei", 1.0, "drei vier neun").settle()
    yield Call("french", "plain", 1111, "fr").asks("Bonjour. Que puis-je faire pour vous?").wait(0.5).turn("Je voudrais un rendez-vous", 0.5, "pour la semaine prochaine.").settle()
    yield Call("spanish", "plain", 1112, "es").asks("Buenos dias. En que puedo ayudarle?").wait(0.5).turn("Quiero cambiar mi direccion", 0.4, "por favor.").settle()


def all_calls():
    made = [call for part in (numbers, fillers, backchannels, slams, second_voices, echoes, keys, silences, barge_ins, music, plain) for call in part()]
    assert len({call.name for call in made}) == len(made) >= 60
    return made
