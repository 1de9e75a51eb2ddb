-- What AI models cost: US dollars per million tokens (input, output, cached: read from a cache, written: to one), per million
-- characters, or per minute of sound; audio_input and audio_output are tokens of sound. These are list prices of November 2026 and change often: publish your own.
-- A tier is the whole price of requests with a longer prompt. "*" is every other model: dear on purpose, so that nothing is free.
return {
  currency = "USD",
  models = {
    ["claude-fable-5-1"] = { input = 10, output = 50, cached = 1 },
    ["claude-opus-5-5"] = { input = 4, output = 20, cached = 0.40 },
    ["claude-opus-5"] = { input = 5, output = 25, cached = 0.50, written = 6.25 },
    ["claude-sonnet-5-5"] = { input = 2, output = 10, cached = 0.20 },
    ["claude-haiku-5-5"] = { input = 0.10, output = 0.50, written = 0.125, tier = { above_tokens = 100000, input = 0.50, output = 2.50, written = 0.625 } },
    ["gpt-5.5"] = { input = 5, output = 30, cached = 0.50 },
    ["gpt-5.6-sol"] = { input = 4, output = 20, cached = 0.40 },
    ["gpt-5.6-terra"] = { input = 2, output = 12, cached = 0.20 },
    ["gpt-5.6-luna"] = { input = 1, output = 1.20, cached = 0.02 },
    ["gpt-5.4"] = { input = 2.50, output = 15, cached = 0.25 },
    ["gpt-5.4-mini"] = { input = 0.75, output = 4.50, cached = 0.075 },
    ["gpt-realtime-1.5"] = { input = 4, output = 16, cached = 0.40, audio_input = 32, audio_output = 64, audio_cached = 0.40 },
    ["gpt-realtime-2.1-mini"] = { input = 0.60, output = 2.40, cached = 0.06, audio_input = 10, audio_output = 20, audio_cached = 0.30 },
    ["gpt-realtime-whisper"] = { minute = 0.017 },
    ["gpt-transcribe"] = { minute = 0.006 },
    ["gpt-4o-mini-transcribe"] = { minute = 0.003 },
    ["text-embedding-3-small"] = { input = 0.02 },
    ["text-embedding-3-large"] = { input = 0.13 },
    ["gemini-3.8-flash"] = { input = 1.50, output = 7.50 },
    ["gemini-3.5-flash"] = { input = 1.50, output = 9 },
    ["gemini-3.1-pro-preview"] = { input = 2, output = 12, tier = { above_tokens = 200000, input = 4, output = 18 } },
    ["gemini-embedding-2"] = { input = 0.20 },
    ["*"] = { input = 10, output = 50, cached = 1, characters = 100, minute = 0.10, audio_input = 100, audio_output = 200 },
  },
  minutes = { inbound = 0.01, outbound = 0.02 },
}
