// Policies and requests that are put to Envoy and to us. Policies are written as their authors write them.

export type Mode = "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";
export const MODES: readonly Mode[] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/** `spec` of an AuthorizationPolicy without its target. */
export interface Spec {
  readonly action: "ALLOW" | "DENY";
  readonly rules: readonly any[];
}

/** A request of HTTP/1.1 as bytes: one character each. */
export interface Sent {
  readonly method?: string;
  readonly target?: string;
  readonly host?: string;
  /** Further lines. */
  readonly headers?: readonly string[];
}

/** Policies with the requests that are interesting for them. */
export interface Group {
  readonly name: string;
  readonly modes: readonly Mode[];
  /** Own proxies in front whose word in X-Forwarded-For counts. */
  readonly trustedProxies: number;
  readonly specs: readonly Spec[];
  readonly requests: readonly Sent[];
}

export function bytesOf(
  { method = "GET", target = "/", host = "web.example.com", headers = [] }: Sent,
  number: number,
): string {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `host: ${host}`,
    ...headers,
    `x-number: ${number}`,
    "connection: close",
  ];
  return lines.join("\r\n") + "\r\n\r\n";
}

/** A field on its own and negated, allowed and denied. */
function field(part: "source" | "operation", name: string, ...lists: (readonly string[])[]): Spec[] {
  const wrapper = part === "source" ? "from" : "to", negated = `not${name[0].toUpperCase()}${name.slice(1)}`;
  return lists.flatMap((values) =>
    (["ALLOW", "DENY"] as const).flatMap((action) =>
      [name, negated].map((one) => ({ action, rules: [{ [wrapper]: [{ [part]: { [one]: values } }] }] }))
    )
  );
}

/** A condition on its own and negated, allowed and denied. */
function condition(key: string, ...lists: (readonly string[])[]): Spec[] {
  return lists.flatMap((values) =>
    (["ALLOW", "DENY"] as const).flatMap((action) =>
      ["values", "notValues"].map((one) => ({ action, rules: [{ when: [{ key, [one]: values }] }] }))
    )
  );
}

const PATH_POLICIES: (readonly string[])[] = [
  ["/admin"],
  ["/admin/"],
  ["/admin*"],
  ["/admin/*"],
  ["*/admin"],
  ["*.html"],
  ["*"],
  ["/"],
  ["/a b"],
  ["/a%20b"],
  ["/admin%2Fx"],
  ["/admin/x", "/other/*"],
  ["/admin;v=1"],
  ["/ADMIN"],
  ["//admin"],
  ["/{*}"],
  ["/admin/{*}"],
  ["/admin/{**}"],
  ["/{*}/x"],
  ["/{**}/x"],
  ["/a/{**}/z.html"],
  ["/{**}"],
];

const TARGETS: string[] = [
  "/",
  "/admin",
  "/admin/",
  "/admin/x",
  "/admin/x/",
  "/admin/x/y",
  "/adminx",
  "/ADMIN",
  "/Admin/x",
  "/a/b/c/z.html",
  "/a/z.html",
  "/a//z.html",
  "/x",
  "/y/x",
  "/index.html",
  "/index.html?a=b",
  "/admin?x",
  "/admin?/../x",
  "/admin?a#b",
  "/admin#x",
  "/admin#/x",
  "/?/admin",
  "//",
  "//admin",
  "//admin//x",
  "/admin//x",
  "/admin///",
  "///admin",
  "/./admin",
  "/x/../admin",
  "/admin/..",
  "/admin/../",
  "/admin/../x",
  "/admin/.",
  "/admin/./x",
  "/../admin",
  "/../../admin",
  "/x/..//admin",
  "/x//../admin",
  "//../admin",
  "/admin/...",
  "/admin/.x",
  "/admin..",
  "/..admin",
  "/.admin",
  "/%61dmin",
  "/%41DMIN",
  "/ad%6Din",
  "/ad%6din/x",
  "/%2561dmin",
  "/admin%2Fx",
  "/admin%2fx",
  "/admin%5Cx",
  "/admin%5cx",
  "/admin\\x",
  "\\admin",
  "/\\admin",
  "/x\\..\\admin",
  "/x%2F..%2Fadmin",
  "/x%2f..%2fadmin",
  "/x/%2e%2e/admin",
  "/x/%2E%2E/admin",
  "/x/.%2e/admin",
  "/x/%2e./admin",
  "/%2e/admin",
  "/x%2f%2e%2e%2fadmin",
  "/x%5c..%5cadmin",
  "/%2f%2fadmin",
  "/%2Fadmin",
  "/%252fadmin",
  "/admin%252fx",
  "/x/%252e%252e/admin",
  "/admin%00",
  "/admin%00/x",
  "/%00admin",
  "/admin%0a",
  "/admin%0d%0ax",
  "/admin%20",
  "/admin%09",
  "/a%20b",
  "/a+b",
  "/admin%",
  "/admin%2",
  "/admin%zz",
  "/admin%u002f",
  "/%",
  "/admin%c0%af",
  "/admin%c0%afx",
  "/admin%e0%80%afx",
  "/x/%c0%ae%c0%ae/admin",
  "/admin%ef%bc%8fx",
  "/admin%E2%88%95x",
  "/caf%C3%A9",
  "/admin;v=1",
  "/admin;v=1/x",
  "/admin;/x",
  "/x/..;/admin",
  "/x/.;/admin",
  "/x/..;a=b/admin",
  "/x/..;",
  "/x/.;a/..;b/admin",
  "/x/%2e%2e;/admin",
  "/x/..%3b/admin",
  "/x/...;/admin",
  "/x/..;?q",
  "/x/..,/admin",
  "/x/.;;/admin",
  "/x//..;/admin",
  "/..;/admin",
  "/x/;/../admin",
  "/;/admin",
  "/admin;x?y",
  "/admin%3Bv=1",
  "/admin%3b",
  "/admin%3Fx",
  "/admin%23x",
  "/admin,x",
  "/admin&x",
  "/admin=x",
  "/admin'x",
  "/admin(x)",
  "/admin*",
  "/admin|x",
  "/admin^x",
  "/admin[x]",
  "/admin{x}",
  '/admin"x',
  "/admin<x>",
  "/admin`x",
  "/admin~x",
  "/admin:80",
  "/admin@x",
  "/%7Eadmin",
  "/admin%7e",
  "/admin%2D",
  "/admin%5F",
  "/admin/x%2e",
  "/admin/%2e%2e%2fx",
  "/admin/..%2fx",
  "/admin/..%5cx",
  "/x/../admin/..",
  "/x/./../admin/./x",
  "/.%2fadmin",
  "/..%2fadmin",
  "/admin\u00e9",
  "/admin\u00ff",
  "/\u00c0\u00af",
  "/admin\t",
  "/admin\u0001",
  "/admin\u007f",
  "admin",
  "",
  "*",
  "?admin",
  "#admin",
  "http://web.example.com/admin",
  "http://web.example.com",
  "http://web.example.com?admin",
  "http://web.example.com//admin",
  "http://web.example.com/x/../admin",
  "HTTP://WEB.EXAMPLE.COM/admin",
  "https://web.example.com/admin",
  "http://other.example.com/admin",
  "http:///admin",
  "http://user@web.example.com/admin",
  "http://web.example.com:80/admin",
  "ftp://web.example.com/admin",
  "://web.example.com/admin",
  "//web.example.com/admin",
  "/http://web.example.com/admin",
];

const HOST_POLICIES: (readonly string[])[] = [
  ["web.example.com"],
  ["WEB.example.com"],
  ["web.example.com:80"],
  ["web.example.com:*"],
  ["*.example.com"],
  ["web.*"],
  ["*"],
  ["web.example.com", "web.example.com:*"],
  ["10.0.0.1"],
  ["[::1]"],
];

const HOSTS = [
  "web.example.com",
  "WEB.EXAMPLE.COM",
  "Web.Example.com",
  "web.example.com:80",
  "web.example.com:8080",
  "web.example.com:",
  "web.example.com:0",
  "web.example.com:080",
  "web.example.com:65536",
  "web.example.com:x",
  "web.example.com.",
  "web.example.com.:80",
  "web.example.com..",
  ".web.example.com",
  "xweb.example.com",
  "web.example.com.evil.org",
  "evil.org",
  "user@web.example.com",
  "web.example.com@evil.org",
  "web.example.com/x",
  "web.example.com?x",
  "web.example.com#x",
  "web.example.com,evil.org",
  "web.example.com evil.org",
  "web%2eexample.com",
  "web_example.com",
  "*",
  "",
  "10.0.0.1",
  "10.0.0.1:80",
  "[::1]",
  "[::1]:80",
  "[::0001]",
  "::1",
  "w\u00e9b.example.com",
];

const METHODS = [
  "GET",
  "get",
  "Get",
  "POST",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "DELETE",
  "TRACE",
  "FOO",
  "GETX",
  "gET",
  "PROPFIND",
  "G",
  "M-SEARCH",
  "GET,POST",
];

const HEADER_POLICIES: (readonly string[])[] = [["1"], ["1*"], ["*1"], ["*"], ["1", "2"], ["1,2"], ["1, 2"], [" 1"], [
  "a b",
]];

const HEADER_LINES: readonly (readonly string[])[] = [
  [],
  ["x-a: 1"],
  ["X-A: 1"],
  ["x-a:1"],
  ["x-a:   1  "],
  ["x-a: 2"],
  ["x-a: 11"],
  ["x-a: 12"],
  ["x-a: 21"],
  ["x-a:"],
  ["x-a: "],
  ["x-a: 1", "x-a: 2"],
  ["x-a: 2", "x-a: 1"],
  ["x-a: 1", "X-A: 1"],
  ["x-a: 1, 2"],
  ["x-a: 1,2"],
  ["x-a: 1", "x-a:"],
  ["x-a:", "x-a: 1"],
  ["x-a: 1", "x-b: 2"],
  ["x_a: 1"],
  ["x-a: a b"],
  ["x-a: a\tb"],
  ["x-a: \u00e9"],
  ["x-a: 1;x"],
  ["x-a : 1"],
  [" x-a: 1"],
  ["x-a: 1\u0000"],
  ["x-a: 1", "connection: x-a"],
];

const FORWARDED: readonly (readonly string[])[] = [
  [],
  ["x-forwarded-for: 10.1.2.3"],
  ["x-forwarded-for: 10.1.2.3, 192.0.2.9"],
  ["x-forwarded-for: 192.0.2.9, 10.1.2.3"],
  ["x-forwarded-for: 10.1.2.3", "x-forwarded-for: 192.0.2.9"],
  ["x-forwarded-for: 192.0.2.9", "x-forwarded-for: 10.1.2.3"],
  ["x-forwarded-for: 10.1.2.3,192.0.2.9"],
  ["x-forwarded-for:  10.1.2.3 "],
  ["x-forwarded-for: 10.1.2.3:80"],
  ["x-forwarded-for: nonsense"],
  ["x-forwarded-for: nonsense, 10.1.2.3"],
  ["x-forwarded-for: 10.1.2.3, nonsense"],
  ["x-forwarded-for: "],
  ["x-forwarded-for: 10.1.2.3,"],
  ["x-forwarded-for: ,10.1.2.3"],
  ["x-forwarded-for: 010.1.2.3"],
  ["x-forwarded-for: ::ffff:10.1.2.3"],
  ["x-forwarded-for: [::ffff:10.1.2.3]:80"],
  ["x-forwarded-for: 2001:db8::1"],
  ["x-forwarded-for: 2001:db8::1, 10.1.2.3"],
  ["x-envoy-external-address: 10.1.2.3"],
  ["forwarded: for=10.1.2.3"],
  ["x-real-ip: 10.1.2.3"],
];

const RANGES: (readonly string[])[] = [["127.0.0.0/8"], ["127.0.0.1"], ["10.0.0.0/8"], ["10.1.2.3"], ["0.0.0.0/0"], [
  "::/0",
], [
  "2001:db8::/32",
  "192.0.2.0/24",
]];

const rule = (...rules: any[]): Spec[] => (["ALLOW", "DENY"] as const).map((action) => ({ action, rules }));
const to = (operation: any) => ({ operation });

const code = (i: number) => i.toString(16).padStart(2, "0");

export const GROUPS: readonly Group[] = [
  {
    name: "every byte in a path",
    modes: ["NONE", "BASE"],
    trustedProxies: 0,
    specs: field("operation", "paths", ["/{*}"], ["/{**}"], ["/a*"]),
    // Without line feeds, which are not in paths but after them.
    requests: Array.from({ length: 256 }, (_, i) => ({ target: `/a${String.fromCharCode(i)}b` })).filter((_, i) =>
      i !== 10 && i !== 13
    ),
  },
  {
    name: "every escape in a path",
    modes: ["BASE", "DECODE_AND_MERGE_SLASHES"],
    trustedProxies: 0,
    specs: field("operation", "paths", ["/{*}"], ["/a*"]),
    requests: Array.from({ length: 256 }, (_, i) => ({ target: `/a%${i % 2 ? code(i) : code(i).toUpperCase()}b` })),
  },
  {
    name: "paths",
    modes: MODES,
    trustedProxies: 0,
    specs: field("operation", "paths", ...PATH_POLICIES),
    requests: TARGETS.map((target) => ({ target })),
  },
  {
    name: "hosts",
    modes: ["BASE"],
    trustedProxies: 0,
    specs: [
      ...field("operation", "hosts", ...HOST_POLICIES),
      ...condition("request.headers[host]", ["web.example.com"], ["*"]),
      ...condition("request.headers[:authority]", ["web.example.com"]),
    ],
    requests: [
      ...HOSTS.map((host) => ({ host })),
      ...["http://web.example.com/", "http://WEB.example.com:80/", "http://evil.org/"].flatMap((target) =>
        ["web.example.com", "evil.org", "WEB.EXAMPLE.COM", "web.example.com:80"].map((host) => ({ target, host }))
      ),
      { headers: ["host: evil.org"] },
      { headers: ["Host: web.example.com"] },
      { headers: [":authority: evil.org"] },
      { headers: ["x-forwarded-host: evil.org"] },
    ],
  },
  {
    name: "methods",
    modes: ["BASE"],
    trustedProxies: 0,
    specs: [
      ...field("operation", "methods", ["GET"], ["get"], ["GET", "POST"], ["*"], ["G*"], ["*T"]),
      ...condition("request.headers[:method]", ["GET"]),
    ],
    requests: METHODS.map((method) => ({ method })),
  },
  {
    name: "headers",
    modes: ["BASE"],
    trustedProxies: 0,
    specs: [
      ...condition("request.headers[x-a]", ...HEADER_POLICIES),
      ...condition("request.headers[X-A]", ["1"]),
      ...condition("request.headers[:path]", ["/"], ["/x"], ["*"]),
      ...condition("request.headers[x-none]", ["*"]),
    ],
    requests: HEADER_LINES.map((headers) => ({ headers })),
  },
  ...[0, 1].map((trustedProxies): Group => ({
    name: trustedProxies === 0 ? "addresses" : "addresses behind one proxy",
    modes: ["BASE"],
    trustedProxies,
    specs: [
      ...field("source", "ipBlocks", ...RANGES),
      ...field("source", "remoteIpBlocks", ...RANGES),
      ...condition("source.ip", ["127.0.0.1"], ["10.0.0.0/8"]),
      ...condition("remote.ip", ["127.0.0.1"], ["10.0.0.0/8"]),
    ],
    requests: FORWARDED.map((headers) => ({ headers })),
  })),
  {
    name: "several fields",
    modes: ["BASE"],
    trustedProxies: 0,
    specs: [
      ...rule({ to: [to({ methods: ["GET"], paths: ["/admin*"] })] }),
      ...rule({ to: [to({ methods: ["GET"], notPaths: ["/admin*"] })] }),
      ...rule({ to: [to({ methods: ["POST"] }), to({ paths: ["/admin"] })] }),
      ...rule({ to: [to({ methods: ["POST"] })] }, { to: [to({ hosts: ["evil.org"] })] }),
      ...rule({ to: [to({ paths: ["/admin*"], notPaths: ["/admin/x"] })] }),
      ...rule({
        from: [{ source: { ipBlocks: ["127.0.0.0/8"], notRemoteIpBlocks: ["10.0.0.0/8"] } }],
        to: [to({ methods: ["GET"] })],
        when: [{ key: "request.headers[x-a]", values: ["1"], notValues: ["2"] }],
      }),
      ...rule({
        when: [{ key: "request.headers[x-a]", values: ["1"] }, { key: "request.headers[x-b]", notValues: ["2"] }],
      }),
      ...rule({}),
      { action: "ALLOW", rules: [] },
    ],
    requests: ["GET", "POST"].flatMap((method) =>
      ["/", "/admin", "/admin/x", "/x/../admin"].flatMap((target) =>
        ["web.example.com", "evil.org"].flatMap((host) =>
          [[], ["x-a: 1"], ["x-a: 1", "x-b: 2"], ["x-a: 2"]].map((headers) => ({ method, target, host, headers }))
        )
      )
    ),
  },
];
