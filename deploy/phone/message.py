# SPDX-License-Identifier: Apache-2.0
"""SIP messages: enough of RFC 3261 to place and take calls over UDP. What comes in is not trusted to be whole."""
import re

SHORT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type", "l": "content-length"}


class Message:
    """status is None in a request, method in a response is that of CSeq. fields: {lower-case name: [values]}."""

    def __init__(self, method, status, reason, fields, body):
        self.method, self.status, self.reason, self.fields, self.body = method, status, reason, fields, body

    def field(self, name, default=""):
        return self.fields.get(name, [default])[0]

    @property
    def cseq(self):
        return int(self.field("cseq").split()[0])


def parse(data):
    """The message, or None when it is none."""
    head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
    lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon:
            return None
        fields.setdefault(SHORT.get(name, name), []).append(value.strip())
    if not all(fields.get(name) for name in ("call-id", "cseq", "from", "to", "via")):
        return None
    cseq = re.fullmatch(r"(\d{1,10})\s+([A-Za-z]+)", fields["cseq"][0])
    response = re.match(r"SIP/2\.0 ([1-6]\d\d)(?: (.*))?$", lines[0])
    request = re.match(r"([A-Z]+) \S+ SIP/2\.0$", lines[0])
    if not cseq or not (response or request):
        return None
    if response:
        return Message(cseq.group(2).upper(), int(response.group(1)), response.group(2) or "", fields, body)
    return Message(request.group(1), None, None, fields, body)


def build(first_line, fields, body="", kind="application/sdp"):
    lines = [first_line, *(f"{name}: {value}" for name, value in fields)]
    if body:
        lines.append(f"Content-Type: {kind}")
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def tag_of(value):
    found = re.search(r";\s*tag=([^;>\s]+)", value)
    return found.group(1) if found else None


def uri_of(value):
    found = re.search(r"<([^>]+)>", value) or re.match(r"\s*(sips?:[^;\s]+)", value)
    return found.group(1) if found else None


def user_of(value):
    found = re.search(r"sips?:([^@;>]*)@", value)
    return found.group(1) if found else ""


def sdp(host, port):
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n"
        "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def read_sdp(body):
    """(address, port, payload type of digits or None) of the audio, or None when mu-law is not offered."""
    media = re.search(r"^m=audio (\d+) RTP/AVP ([\d ]+)", body, re.M)
    address = re.search(r"^c=IN IP4 ([\d.]+)", body, re.M)
    if not media or not address or "0" not in media.group(2).split():
        return None
    digits = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", body, re.M | re.I)
    return address.group(1), int(media.group(1)), int(digits.group(1)) if digits else None
