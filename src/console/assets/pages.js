// Overview, the list of applications, one application.

import { h, icon, percent, plural, rate, replace } from "./dom.js";

const MEMBERSHIP = {
  ambient: "ambient",
  sidecar: "sidecar",
  proxy: "mesh proxy",
  system: "system",
  part: "partly out of mesh",
  out: "out of mesh",
};
const HEALTH = {
  ok: "Healthy",
  degraded: "Degraded",
  failing: "Failing",
  denied: "Refused by policy",
  unready: "Not ready",
  idle: "No traffic",
};

const chip = (kind, ...children) => h("span", { class: `chip ${kind}` }, ...children);
const health = (kind) => h("span", { class: `health ${kind}` }, h("i", { class: "dot" }), HEALTH[kind]);
const graphOf = (namespace) => `/kiali/console/graph/namespaces?namespaces=${encodeURIComponent(namespace)}`;
const appPath = (namespace, app) =>
  `/kiali/console/namespaces/${encodeURIComponent(namespace)}/applications/${encodeURIComponent(app)}`;

/** Out of mesh is said loudly; everything else is as it should be. */
function membershipChip({ membership, outOfMesh, pods }) {
  if (membership === "part") return chip("out", icon("warn"), `${outOfMesh} of ${pods} pods out of mesh`);
  return chip(membership === "out" ? "out" : membership, membership === "out" && icon("warn"), MEMBERSHIP[membership]);
}

function waypointOf({ workloads }) {
  return workloads.map(({ waypoint }) => waypoint).find((one) => one);
}

function traffic({ received }) {
  const { requests, connections, errors, denied } = received;
  if (!(requests > 0) && !(connections > 0) && !(denied > 0)) return h("span", { class: "quiet" }, "–");
  return h(
    "span",
    {},
    requests > 0 ? `${rate(requests)} requests/s` : `${rate(connections)} connections/s`,
    errors > 0 && h("span", { class: "bad" }, ` · ${rate(errors)}/s failed`),
    denied > 0 && h("span", { class: "refused" }, ` · ${rate(denied)}/s refused`),
  );
}

function secured({ received: { mtlsShare } }) {
  if (mtlsShare === undefined || mtlsShare === null) return h("span", { class: "quiet" }, "–");
  const whole = mtlsShare > 0.9999;
  return h(
    "span",
    { class: whole ? "secure" : "plain" },
    icon(mtlsShare > 0 ? "lock" : "unlock"),
    whole ? " mTLS" : mtlsShare > 0 ? ` ${percent(mtlsShare)}` : " plain",
  );
}

export function applicationsPage({ ask, setting, set }) {
  const body = h("tbody");
  const filter = h("input", {
    type: "search",
    placeholder: "Filter by name",
    "aria-label": "Filter by name",
    oninput: () => draw(),
  });
  const scope = h("select", {
    "aria-label": "Namespace",
    onchange: () => set("namespaces", scope.value) || page.reload(),
  });
  const count = h("p", { class: "quiet count", "aria-live": "polite" });
  const element = h(
    "section",
    { class: "sheet" },
    h("div", { class: "sheet-head" }, h("h1", {}, "Applications"), h("div", { class: "tools" }, scope, filter)),
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ...["Health", "Name", "Namespace", "Details", "Traffic in", "Security", "Pods"].map((text) =>
            h("th", { scope: "col" }, text)
          ),
        ),
      ),
      body,
    ),
    count,
  );
  let shown = [];
  const row = (app) =>
    h(
      "tr",
      {},
      h("td", {}, health(app.health)),
      h(
        "td",
        {},
        h("a", { href: appPath(app.namespace, app.app) }, app.app),
        h("small", { class: "quiet" }, app.workloads.length > 1 ? plural(app.workloads.length, "workload") : ""),
      ),
      h("td", {}, app.namespace),
      h(
        "td",
        {},
        membershipChip(app),
        waypointOf(app) && chip("waypoint", icon("waypoint"), waypointOf(app).split("/")[1]),
        policies(app).length > 0 && chip("policy", icon("shield"), plural(policies(app).length, "policy", "policies")),
      ),
      h("td", {}, traffic(app)),
      h("td", {}, secured(app)),
      h("td", { class: app.ready < app.pods ? "bad" : "" }, `${app.ready}/${app.pods}`),
    );
  function draw() {
    const text = filter.value.trim().toLowerCase();
    const rows = shown.filter(({ app, namespace }) => `${namespace}/${app}`.toLowerCase().includes(text));
    body.replaceChildren(...rows.map(row));
    const out = rows.filter(({ membership }) => membership === "out" || membership === "part").length;
    count.textContent = rows.length === 0
      ? "No applications here."
      : `${plural(rows.length, "application")}, ${out === 0 ? "all in the mesh" : `${out} out of mesh`}`;
  }
  const page = {
    name: "applications",
    title: "Applications",
    element,
    load: async () => {
      const namespaces = setting("namespaces");
      const [list, answer] = await Promise.all([
        ask("namespaces"),
        ask("applications", { namespaces, window: setting("window") }),
      ]);
      return { list, answer };
    },
    show({ list, answer }) {
      const chosen = setting("namespaces");
      scope.replaceChildren(
        h("option", { value: "" }, "All namespaces"),
        ...list.namespaces.filter(({ workloads }) => workloads > 0).map(({ name }) =>
          h("option", { value: name, selected: name === chosen }, name)
        ),
      );
      shown = answer.applications;
      draw();
    },
    reload: () => page.load().then(page.show),
  };
  return page;
}

function policies(app) {
  const names = new Map(
    app.workloads.flatMap(({ policies }) => policies).map((one) => [`${one.namespace}/${one.name}`, one]),
  );
  return [...names.values()];
}

export function applicationPage({ ask, setting }, namespace, name) {
  const element = h("section", { class: "sheet" });
  return {
    name: "applications",
    title: name,
    element,
    load: () => ask("applications", { namespaces: namespace, window: setting("window") }),
    show({ applications }) {
      const app = applications.find((one) => one.app === name);
      const head = h(
        "div",
        { class: "sheet-head" },
        h("h1", {}, h("a", { href: "/kiali/console/applications", class: "quiet" }, "Applications"), " / ", name),
        h("div", { class: "tools" }, h("a", { class: "button", href: graphOf(namespace) }, "Show in the graph")),
      );
      if (!app) {
        element.replaceChildren(head, h("p", { class: "empty" }, `Nothing of ${name} runs in namespace ${namespace}.`));
        return;
      }
      const outside = app.workloads.flatMap(({ outOfMesh }) => outOfMesh);
      replace(
        element,
        head,
        h("p", { class: "facts" }, health(app.health), membershipChip(app), traffic(app), secured(app)),
        outside.length > 0 && h(
          "p",
          { class: "note" },
          icon("warn"),
          ` Out of mesh: ${outside.join(", ")}. To put the namespace into the mesh: `,
          h("code", {}, `kubectl label namespace ${namespace} istio.io/dataplane-mode=ambient`),
        ),
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ...["Workload", "Version", "Mesh", "Identity", "Services", "Policies", "Pods"].map((text) =>
                h("th", { scope: "col" }, text)
              ),
            ),
          ),
          h(
            "tbody",
            {},
            ...app.workloads.map((one) =>
              h(
                "tr",
                {},
                h("td", {}, one.name),
                h("td", {}, one.version),
                h(
                  "td",
                  {},
                  membershipChip({ ...one, outOfMesh: one.outOfMesh.length }),
                  one.waypoint && chip("waypoint", icon("waypoint"), one.waypoint),
                ),
                h("td", {}, h("code", {}, `ns/${one.namespace}/sa/${one.serviceAccount}`)),
                h("td", {}, one.services.join(", ") || "–"),
                h(
                  "td",
                  {},
                  one.policies.length === 0
                    ? "–"
                    : one.policies.map(({ name, action, at }) =>
                      chip("policy", icon("shield"), `${name} (${action} at the ${at})`)
                    ),
                ),
                h("td", {}, `${one.ready}/${one.pods}`),
              )
            ),
          ),
        ),
      );
    },
  };
}

export function overviewPage({ ask }) {
  const mesh = h("div", { class: "mesh" }), cards = h("div", { class: "cards" });
  const element = h("section", { class: "overview" }, mesh, h("h2", {}, "Namespaces"), cards);
  return {
    name: "overview",
    title: "Overview",
    element,
    load: () => Promise.all([ask("status"), ask("namespaces")]),
    show([status, { namespaces }]) {
      const readable = status.proxies.filter(({ ok }) => ok).length;
      mesh.replaceChildren(
        ...status.mesh.map(({ name, pods, ready }) =>
          h(
            "div",
            { class: "tile" },
            h(
              "span",
              { class: `health ${pods === 0 ? "idle" : ready === pods ? "ok" : "failing"}` },
              h("i", { class: "dot" }),
              name,
            ),
            h("b", {}, pods === 0 ? "not there" : `${ready} of ${pods} ready`),
          )
        ),
        h(
          "div",
          { class: "tile" },
          h(
            "span",
            {
              class: `health ${
                status.proxies.length === 0 ? "idle" : readable === status.proxies.length ? "ok" : "failing"
              }`,
            },
            h("i", { class: "dot" }),
            "metrics",
          ),
          h("b", {}, `${readable} of ${plural(status.proxies.length, "proxy", "proxies")} read`),
        ),
        h("div", { class: "tile" }, h("span", { class: "quiet" }, "version"), h("b", {}, status.version)),
      );
      cards.replaceChildren(...namespaces.filter(({ workloads, ambient }) => workloads > 0 || ambient).map(card));
    },
  };
}

function card({ name, ambient, waypoint, system, workloads, pods, inMesh, policies }) {
  const share = pods === 0 ? 0 : inMesh / pods;
  return h(
    "article",
    { class: `ns-card${system ? " system" : ""}` },
    h("h3", {}, h("a", { href: graphOf(name) }, name)),
    h(
      "p",
      { class: "chips" },
      ambient ? chip("ambient", "ambient") : system ? chip("proxy", "system") : chip("out", "not enrolled"),
      waypoint && chip("waypoint", icon("waypoint"), waypoint.split("/")[1]),
      policies > 0 && chip("policy", icon("shield"), plural(policies, "policy", "policies")),
    ),
    !system && h(
      "div",
      { class: "meter", role: "img", "aria-label": `${inMesh} of ${pods} pods in the mesh` },
      bar(share),
    ),
    h(
      "p",
      { class: "quiet" },
      system
        ? plural(pods, "pod")
        : `${inMesh} of ${plural(pods, "pod")} in the mesh · ${plural(workloads, "workload")}`,
    ),
    h(
      "p",
      { class: "links" },
      h("a", { href: graphOf(name) }, "Graph"),
      h("a", { href: `/kiali/console/applications?namespaces=${encodeURIComponent(name)}` }, "Applications"),
    ),
  );
}

function bar(share) {
  const element = h("i");
  element.style.width = `${Math.round(share * 100)}%`;
  return element;
}
