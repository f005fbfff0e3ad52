import { awaitEnrolment, eventually, expect, labelNamespace, runCtl, type TourStep } from "./context.ts";
import { served } from "./policy.ts";
import { awaitWire, readWire } from "./wiretap.ts";

/** Journey 5: out again, in the order that keeps the applications reachable (tutorial S3 step 21). */
export const LEAVING: readonly TourStep[] = [
  {
    title: "Take the namespace out of the mesh",
    command: "kubectl label namespace default istio.io/dataplane-mode-",
    async run(tour) {
      await labelNamespace(tour, "default", { "istio.io/dataplane-mode": null });
      const pods = await awaitEnrolment(tour, false);
      const line = await eventually(tour, 15_000, () => served(tour, "notsleep"));
      // Plain text on the wire again: nothing redirects the pods' connections any more. Old tunnels may still say goodbye.
      await eventually(tour, 15_000, async () => {
        const before = await readWire(tour);
        await served(tour, "ratings");
        await served(tour, "sleep");
        const wire = await awaitWire(tour, (seen) => seen.plainText > before.plainText, "requests still travel in TLS");
        expect(wire.hboneSegments === before.hboneSegments, "HBONE connections still carry requests");
      });
      return [`${pods.length} pods left, none restarted`, line, "on the wire: the page is readable again"];
    },
  },
  {
    title: "Take the waypoint away",
    command: "kubectl label namespace default istio.io/use-waypoint- && ambientd ctl waypoint delete --all",
    async run(tour) {
      await labelNamespace(tour, "default", { "istio.io/use-waypoint": null });
      const said = await runCtl(tour, "waypoint", "delete", "--all");
      expect(said.includes("waypoint default/waypoint deleted"), `it said "${said.trim()}"`);
      return [said.trim(), await served(tour, "sleep"), await served(tour, "notsleep")];
    },
  },
  {
    title: "Uninstall the mesh; the applications go on",
    command: "ambientd ctl uninstall -y --purge",
    async run(tour) {
      await runCtl(tour, "uninstall", "-y", "--purge");
      return [await served(tour, "sleep"), await served(tour, "notsleep")];
    },
  },
];
