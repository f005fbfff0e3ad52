import { MeshError } from "../../core/errors.ts";
import { DUMP_KIND, type ProxyDump } from "../waypoint/config_dump.ts";

export type { ProxyDump } from "../waypoint/config_dump.ts";

/** Reads what a waypoint or gateway says of itself. @throws MeshError `bad_answer` when it is something else */
export function readProxyDump(text: string, from: string): ProxyDump {
  let raw: any;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new MeshError("bad_answer", `cannot read the configuration dump of "${from}"`, { cause });
  }
  if (raw?.kind === DUMP_KIND) return raw;
  if (raw?.workloads !== undefined && raw?.services !== undefined) {
    throw new MeshError(
      "bad_answer",
      `"${from}" is a ztunnel, which has no listeners, routes or clusters; use \`ambientd ctl ztunnel-config\``,
    );
  }
  throw new MeshError(
    "bad_answer",
    `cannot read the configuration dump of "${from}": it is not one of an ambientd waypoint`,
  );
}
