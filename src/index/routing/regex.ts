import { RE2JS } from "re2js";

/** Longest pattern that is taken: Envoy's limit is on the compiled program, which no user comes near. */
const MAX_LENGTH = 4096;
const known = new Map<string, boolean>();

/** Whether a text may replace what RE2's pattern found: `\1` stands for its first group, `\\` for a backslash. */
export function isSubstitution(pattern: string, text: string): boolean {
  if (!isRegex(pattern)) return false;
  const groups = RE2JS.compile(pattern).groupCount();
  return !text.replace(/\\(\\|\d)/g, (_, what) => what === "\\" || Number(what) <= groups ? "" : "\\").includes("\\");
}

/** Whether RE2 takes the pattern. */
export function isRegex(pattern: string): boolean {
  if (pattern.length > MAX_LENGTH) return false;
  let good = known.get(pattern);
  if (good === undefined) {
    try {
      RE2JS.compile(pattern);
      good = true;
    } catch {
      good = false;
    }
    if (known.size > 10_000) known.clear();
    known.set(pattern, good);
  }
  return good;
}
