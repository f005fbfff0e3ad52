// Our proxy as the bench runs it: `ours.ts <input.json>`. The access log goes to standard output.

import { Reactor } from "../../../src/net/mod.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { assembleProxy, type ProxyInput } from "./assemble.ts";

const input: ProxyInput = JSON.parse(await Deno.readTextFile(Deno.args[0]));
const logger = new Logger("bench", {
  sink: { write: (line) => void Deno.stderr.writeSync(new TextEncoder().encode(line + "\n")) },
});
const reactor = new Reactor({ logger });
reactor.start();
assembleProxy(reactor, logger, input);
