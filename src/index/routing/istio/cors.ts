import type { CorsPolicy, TextMatch } from "../../../model/l7.ts";
import { isHeaderName } from "../gateway_api/filters.ts";
import type { Fields } from "../notes.ts";
import { isRegex } from "../regex.ts";

/** `corsPolicy` of a VirtualService's rule. */
export function readCors(owner: Fields): CorsPolicy | undefined {
  if (!owner.has("corsPolicy")) return undefined;
  const fields = owner.object("corsPolicy", [
    "allowOrigin",
    "allowOrigins",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
    "allowCredentials",
    "unmatchedPreflights",
  ]);
  const names = (field: string) =>
    fields.texts(field).filter((name) => {
      if (isHeaderName(name)) return true;
      fields.wrong(field, name);
      return false;
    });
  const origins = fields.objects("allowOrigins", ["exact", "prefix", "regex"]).flatMap(
    (one): CorsPolicy["allowOrigins"] => {
      let match: TextMatch | undefined;
      if (one.has("exact")) match = { kind: "exact", value: one.text("exact") };
      else if (one.has("prefix")) match = { kind: "prefix", value: one.text("prefix") };
      else if (one.has("regex") && isRegex(one.text("regex"))) match = { kind: "regex", value: one.text("regex") };
      // An origin that cannot be read is not allowed.
      if (!match || one.bad) one.wrong("", one.raw("regex"));
      return match ? [anyOrigin(match)] : [];
    },
  );
  const plain = fields.texts("allowOrigin").map((value) => anyOrigin({ kind: "exact", value }));
  const unmatched = fields.text("unmatchedPreflights", "FORWARD"), maxAgeMs = fields.duration("maxAge");
  return {
    allowOrigins: [...origins, ...plain],
    allowMethods: names("allowMethods"),
    allowHeaders: names("allowHeaders"),
    exposeHeaders: names("exposeHeaders"),
    ...(maxAgeMs === undefined ? {} : { maxAgeSeconds: Math.round(maxAgeMs / 1000) }),
    allowCredentials: fields.flag("allowCredentials"),
    unmatchedPreflights: unmatched === "IGNORE" ? "IGNORE" : "FORWARD",
  };
}

function anyOrigin(match: TextMatch): CorsPolicy["allowOrigins"][number] {
  return match.kind === "exact" && match.value === "*" ? { kind: "wildcard", value: "*" } : match;
}
