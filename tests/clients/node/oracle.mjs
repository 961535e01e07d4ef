// Reads server events, one JSON text a line, and answers each with the faults that
// @openai/agents-realtime finds in it: a line of JSON, [] where there is none. Each event meets
// the SDK's schema first, then the code that a client runs on it.
import { createInterface } from "node:readline";
import { OpenAIRealtimeBase } from "@openai/agents-realtime";
import { realtimeServerEventSchema } from "./node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs";

class Listener extends OpenAIRealtimeBase {
  /** Takes an event as from the wire; throws what a client would die of. */
  take(data) {
    this._onMessage({ data });
  }
  sendEvent() {}
  interrupt() {}
}

function faultsOf(line) {
  const verdict = realtimeServerEventSchema.safeParse(JSON.parse(line));
  if (!verdict.success) {
    return verdict.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  }
  try {
    listener.take(line);
    return [];
  } catch (error) {
    return [`the client dies: ${error.message}`];
  }
}

const listener = new Listener();
listener.on("error", () => {}); // `error` events are no faults, and every app listens to them
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(faultsOf(line))}\n`);
}
