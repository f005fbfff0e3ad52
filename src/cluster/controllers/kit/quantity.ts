const SUFFIXES: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The value of a Kubernetes quantity such as `100m`, `2Gi` or `1e3`; 0 for what is not one. */
export function parseQuantity(quantity: string | number | undefined): number {
  if (typeof quantity === "number") return quantity;
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([a-zA-Z]{0,2}))$/.exec(quantity ?? "");
  if (!match) return 0;
  const [, digits, exponent, suffix] = match;
  if (exponent) return Number(digits + exponent);
  return Object.hasOwn(SUFFIXES, suffix) ? Number(digits) * SUFFIXES[suffix] : 0;
}

/**
 * An int-or-percentage such as maxSurge: `"25%"` of `total`, rounded up or down, or the number itself. What cannot be
 * read is 0.
 */
export function scaledValue(value: string | number | undefined, total: number, round: "up" | "down"): number {
  if (typeof value === "number") return value;
  const match = /^(\d+)(%?)$/.exec(value ?? "");
  if (!match) return 0;
  if (match[2] === "") return Number(match[1]);
  const share = (Number(match[1]) * total) / 100;
  return round === "up" ? Math.ceil(share) : Math.floor(share);
}
