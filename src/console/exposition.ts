// The Prometheus text format (version 0.0.4, and OpenMetrics as far as it is the same), read from peers that are not trusted: what
// is malformed is left out and counted, and nothing grows with a hostile answer beyond the given limits.

/** One sample: the series as it is written, which names it within one peer, and its value. */
export interface SeriesValue {
  /** `name{label="value",…}`, or `name`. */
  readonly series: string;
  readonly value: number;
}

export interface ExpositionLimits {
  /** Samples taken from one exposition; the rest is left out. */
  readonly maxSeries: number;
  /** Longer lines are left out. */
  readonly maxLine: number;
}

/** What was read, and what was not. */
export interface Exposition {
  readonly samples: SeriesValue[];
  /** Lines that are no samples of the format, or too long. */
  readonly malformed: number;
  /** Whether samples were left out because there were too many. */
  readonly truncated: boolean;
}

/** A series taken apart. */
export interface Series {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const MAX_LABELS = 64;
const MAX_VALUE = 512;

/** Reads the samples of the metrics that `wants` names. Lines of other metrics are passed over without a closer look. */
export function readExposition(text: string, wants: (name: string) => boolean, limits: ExpositionLimits): Exposition {
  const samples: SeriesValue[] = [];
  let malformed = 0;
  for (let at = 0; at < text.length;) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    const start = at;
    at = end + 1;
    if (end === start || text.charCodeAt(start) === 0x23) continue; // "#"
    if (end - start > limits.maxLine) {
      malformed++;
      continue;
    }
    const line = text.slice(start, text.charCodeAt(end - 1) === 0x0d ? end - 1 : end);
    if (line.trim() === "") continue;
    const name = NAME.exec(line)?.[0];
    if (name === undefined) {
      malformed++;
      continue;
    }
    if (!wants(name)) continue;
    const cut = line[name.length] === "{" ? endOfLabels(line, name.length) : name.length;
    const value = cut < 0 ? undefined : sampleValue(line.slice(cut));
    if (value === undefined) {
      malformed++;
      continue;
    }
    if (samples.length >= limits.maxSeries) return { samples, malformed, truncated: true };
    samples.push({ series: line.slice(0, cut), value });
  }
  return { samples, malformed, truncated: false };
}

/** Where the label set that opens at `at` has ended; -1 when it does not. */
function endOfLabels(line: string, at: number): number {
  let quoted = false;
  for (let i = at + 1; i < line.length; i++) {
    const c = line.charCodeAt(i);
    if (quoted) {
      if (c === 0x5c) i++; // "\"
      else if (c === 0x22) quoted = false;
    } else if (c === 0x22) quoted = true;
    else if (c === 0x7d) return i + 1; // "}"
  }
  return -1;
}

/** The value, with or without a timestamp or exemplar after it. Counters are finite and never negative: else undefined. */
function sampleValue(rest: string): number | undefined {
  const text = /^[ \t]+([0-9eE.+-]+)(?:[ \t]|$)/.exec(rest)?.[1];
  if (text === undefined) return undefined;
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** Takes a series apart; undefined when its labels are malformed, too many or too long. */
export function parseSeries(series: string): Series | undefined {
  const name = NAME.exec(series)?.[0];
  if (name === undefined) return undefined;
  const labels = new Map<string, string>();
  if (series.length === name.length) return { name, labels };
  if (series[name.length] !== "{" || !series.endsWith("}")) return undefined;
  const pair = /[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(,|$)/y;
  const body = series.slice(name.length + 1, -1);
  while (pair.lastIndex < body.length && body.slice(pair.lastIndex).trim() !== "") {
    const found = pair.exec(body);
    if (!found || labels.size >= MAX_LABELS || found[2].length > MAX_VALUE || labels.has(found[1])) return undefined;
    labels.set(found[1], found[2].includes("\\") ? unescape(found[2]) : found[2]);
  }
  return { name, labels };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
}
