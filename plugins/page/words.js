// SPDX-License-Identifier: Apache-2.0
// What the platform's names and figures are called on the page. Times are in the zone of whoever looks.
"use strict";

const Words = (() => {
  const hungUp = { caller: "caller hung up", agent: "agent hung up", platform: "ended by the platform", carrier: "ended by the carrier", flow: "flow hung up" };
  const outcomes = { done: "flow completed", fallback: "went to the fallback", unanswered: "not answered", lost: "lost on our side" };
  const happened = {
    "call.started": "Call began", "call.answered": "Call answered", "call.state": "Call in another state", "call.ended": "Call ended", "call.summarised": "Call summed up",
    "lead.created": "New lead", "lead.updated": "Lead changed", "lead.assigned": "Lead assigned", "lead.deleted": "Lead deleted",
    "recording.stored": "Recording stored", "recording.deleted": "Recording deleted", "recording.left_out": "Part of a recording is silence", "script.failed": "Script failed",
    "user.created": "Person added", "user.updated": "Person changed", "bundle.uploaded": "Scripts uploaded",
  };
  // ITU-T G.107, annex B: from which MOS on how many are satisfied.
  const lines = [[4, "good line"], [3.6, "fair line, small faults"], [3.1, "poor line, hard to follow at times"], [0, "bad line, hard to understand"]];

  // Of the wait for an answer, from the end of the caller's speech; of: what GET /calls/quality calls it.
  const stages = [
    { name: "hearing", of: "finalText", doc: "until the caller's last words were recognised" },
    { name: "end of turn", of: "endOfTurn", doc: "until it was sure that the caller had finished" },
    { name: "thinking", of: "firstToken", doc: "until the model's first word" },
    { name: "voice", of: "firstAudio", doc: "until there was sound of the first words" },
    { name: "sending", of: "firstPacket", doc: "until the sound was on the line" },
  ];

  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const sameDay = (a, b) => a.toDateString() === b.toDateString();

  return {
    stages,
    outcome: (call) => (call.outcome === "hangup" ? hungUp[call.hangupBy] || "hung up" : outcomes[call.outcome] || call.outcome),
    event(type, data) {
      if (type === "call.state" && data.state) return `Call in state ${data.state}`;
      const about = { "call.ended": data.outcome && Words.outcome({ outcome: data.outcome, hangupBy: data.by }), "script.failed": data.file && `${data.file}:${data.line || "?"}` }[type];
      return (happened[type] || type) + (about ? ` (${about})` : "");
    },
    line: (mos) => lines.find(([least]) => mos >= least)[1],
    // 0:25, 1:02:03
    length(seconds) {
      const s = Math.max(0, Math.floor(seconds));
      return s >= 3600 ? `${Math.floor(s / 3600)}:${two((s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
    },
    // Of today the time, else the day too.
    moment(text) {
      const at = new Date(text), now = new Date();
      const time = { hour: "2-digit", minute: "2-digit" };
      if (sameDay(at, now)) return at.toLocaleTimeString([], time);
      return at.toLocaleString([], { day: "numeric", month: "short", ...(at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }), ...time });
    },
    exactly: (text) => new Date(text).toLocaleString([], { dateStyle: "full", timeStyle: "long" }),
  };
})();
