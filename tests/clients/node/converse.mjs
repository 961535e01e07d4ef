// Plays one scenario with @openai/agents-realtime, told nothing but the URL, and prints what the
// app saw as JSON:  node converse.mjs ws://127.0.0.1:8000/v1/realtime?model=x voice
import {
  OpenAIRealtimeWebSocket,
  RealtimeAgent,
  RealtimeSession,
  tool,
} from "@openai/agents-realtime";
import { z } from "zod";

const [url, scenario] = process.argv.slice(2);
const RATE = 24_000;
const LOUD = 16_000;
const DEADLINE_MS = 15_000;

const seen = { events: [], errors: [], interruptions: 0, audioBytes: 0, toolOutput: null };
const waiting = new Set();

const weather = tool({
  name: "get_weather",
  description: "Looks out of the window.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `raining on ${city}`,
});
const agent = new RealtimeAgent({
  name: "Vivi",
  instructions: scenario === "interruption" ? "Tell a story." : "Chat.",
  tools: scenario === "function" ? [weather] : [],
});
const config = {
  ...(scenario === "push_to_talk" && { audio: { input: { turnDetection: null } } }),
  ...(scenario === "text" && { outputModalities: ["text"] }),
};
const transport = new OpenAIRealtimeWebSocket({ url });
const session = new RealtimeSession(agent, { transport, config });

transport.on("*", (event) => {
  seen.events.push(event);
  for (const check of waiting) check();
});
session.on("audio", (event) => (seen.audioBytes += event.data.byteLength));
session.on("audio_interrupted", () => (seen.interruptions += 1));
session.on("agent_tool_end", (_context, _agent, _tool, output) => (seen.toolOutput = output));
session.on("error", (error) => seen.errors.push(String(error.error?.message ?? error.error)));

/** Resolves with the count-th raw event of a type. */
function until(type, count = 1) {
  return new Promise((resolve) => {
    const check = () => {
      const found = seen.events.filter((event) => event.type === type);
      if (found.length < count) return;
      waiting.delete(check);
      resolve(found[count - 1]);
    };
    waiting.add(check);
    check();
  });
}

function stream(level, ms, options) {
  for (let sent = 0; sent < ms; sent += 40) {
    session.sendAudio(new Int16Array((RATE * 40) / 1000).fill(level).buffer, options);
  }
}

function speak() {
  stream(LOUD, 800);
  stream(0, 1600);
}

const scenarios = {
  async voice() {
    speak();
    await until("response.done");
    await until("conversation.item.retrieved");
  },
  async interruption() {
    speak();
    await until("response.output_audio.delta", 40);
    stream(LOUD, 400);
    await until("response.done");
    await until("conversation.item.truncated");
  },
  async function() {
    speak();
    await until("response.done", 2);
  },
  async push_to_talk() {
    stream(LOUD, 800);
    stream(LOUD, 40, { commit: true });
    await until("input_audio_buffer.committed");
    transport.sendEvent({ type: "response.create" });
    await until("response.done");
  },
  async text() {
    session.sendMessage("Hello");
    await until("response.done");
  },
};

setTimeout(() => {
  console.error(`${scenario} is not over after ${DEADLINE_MS} ms; last events:`);
  console.error(seen.events.slice(-8).map((event) => event.type).join("\n"));
  process.exit(1);
}, DEADLINE_MS).unref();

await session.connect({ apiKey: "none", url });
await until("session.updated");
await scenarios[scenario]();
await new Promise((resolve) => setImmediate(resolve));
const history = session.history.map(({ type, role, status, content }) => ({
  type,
  role,
  status,
  words: content?.map((part) => part.text ?? part.transcript).join(" "),
}));
const types = seen.events.map((event) => event.type);
const done = seen.events.filter((event) => event.type === "response.done");
console.log(
  JSON.stringify({
    ...seen,
    events: undefined,
    types,
    history,
    statuses: done.map((event) => event.response.status),
    truncated: seen.events.find((event) => event.type === "conversation.item.truncated"),
  }),
);
session.close();
process.exit(0);
