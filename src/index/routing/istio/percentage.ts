import type { Fields } from "../notes.ts";

/** Millionths of a `Percent`. */
export function readPercentage(owner: Fields, field: string): number | undefined {
  if (!owner.has(field)) return undefined;
  const fields = owner.object(field, ["value"]), value = fields.raw("value") ?? 0;
  const good = typeof value === "number" && value >= 0 && value <= 100;
  if (!good) fields.wrong("value", value);
  owner.take(fields);
  return good ? Math.round(value * 10_000) : 0;
}
